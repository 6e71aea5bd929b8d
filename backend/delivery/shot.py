"""A shot: an animation of a trained head, rendered to a video or to RGBA frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..media.audio import read_audio
from ..media.audio_rates import DELIVERY_RATE
from ..media.encode import SYNTHETIC_MARK, FrameWriter, VideoWriter
from ..media.guard import guarded
from ..portrait_sync.portrait import PlacedHead, open_portrait
from ..progress import Reporter
from ..protocol import OURS, Stage
from ..renderer.colour import to_straight_uint8
from ..training.checkpoints import Checkpoint
from ..workspace.animation import Animation
from ..workspace.camera import Camera
from ..workspace.files import key_of, write_json
from ..workspace.store import Workspace
from .footage import Footage, output_size


@dataclass(frozen=True)
class Shot:
    """An animation with the head that plays it and the camera of the complete frame."""

    workspace: Workspace
    head: Checkpoint
    animation: Animation
    conditions: np.ndarray
    camera: Camera

    @classmethod
    def of(cls, workspace: Workspace, head: Checkpoint, animation: Animation, size: int | None) -> Shot:
        """The shot with `size` as the longer side of its frames; the source's size where it is None.

        Raises:
            WorkspaceError: the head's lips follow audio, and the animation has none.
        """
        conditions = head.lips.animation_conditions(workspace, animation)
        camera = animation.camera.to_source(workspace.subject).scaled(*output_size(workspace.subject, size))
        return cls(workspace, head, animation, conditions, camera)

    @property
    def frames(self) -> int:
        return self.animation.frames

    def write_video(self, out: Path, audio: Path | None, reporter: Reporter, portrait: str = OURS) -> None:
        """A video over the footage, with `audio` in place of the animation's own; `portrait` is of `protocol.PORTRAITS`."""
        width, height = self.camera.width, self.camera.height
        footage, samples = Footage(self.workspace, width, height, reporter), self._samples(audio, reporter)
        composing, played = open_portrait(portrait, footage), self.animation
        rendered = self.head.renderer().render_batch(self.camera, played.head_to_camera, self.conditions)
        with VideoWriter(out, width, height, fps=played.fps, audio=samples) as video:
            for index, image in enumerate(rendered):
                reporter.progress(Stage.RENDERING, index, self.frames)
                pose, shapes = played.head_to_camera[index], played.blendshapes[index]
                head = PlacedHead(image.rgba, int(played.plate_frame[index]), self.camera, pose, shapes)
                video.write(composing.compose(head))
        reporter.progress(Stage.RENDERING, self.frames, self.frames)

    def write_frames(self, out: Path, reporter: Reporter) -> None:
        """`%06d.png` with straight alpha; frames that an interrupted run of the same shot left are kept."""
        poses = self.animation.head_to_camera
        camera = (self.camera.width, self.camera.height, self.camera.focal_px)
        key = key_of(poses.tolist(), self.conditions.tolist(), camera, str(self.head.path))
        marker = out / "frames.json"
        known = marker.read_text(encoding="utf-8") if marker.exists() else ""
        if key not in known:
            for old in out.glob("[0-9]" * 6 + ".png"):
                old.unlink()
            write_json(marker, {"key": key, "frames": self.frames, "note": SYNTHETIC_MARK})
        renderer, writer = self.head.renderer(), FrameWriter(out)
        for index in range(self.frames):
            if not writer.path(index).exists():
                rgba = renderer.render(self.camera, poses[index], self.conditions[index]).rgba
                writer.write(index, to_straight_uint8(rgba))
            reporter.progress(Stage.RENDERING, index + 1, self.frames)

    def _samples(self, audio: Path | None, reporter: Reporter) -> tuple[np.ndarray, int] | None:
        """Samples and rate for a video: of the file given, else of the animation's, if any."""
        path = audio or self.animation.audio
        if path is None or not (audio or path.exists()):
            return None
        return guarded(read_audio, path, DELIVERY_RATE, reporter=reporter, about=path), DELIVERY_RATE
