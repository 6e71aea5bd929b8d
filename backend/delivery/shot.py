"""A shot: an animation of a trained head, rendered to a video or to RGBA frames."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..media.audio import convert_audio, wav_blocks
from ..media.audio_rates import DELIVERY_RATE
from ..media.encode import SYNTHETIC_MARK, FrameWriter, VideoWriter
from ..media.guard import guarded
from ..portrait_sync.blend import behind_cover
from ..portrait_sync.portrait import PlacedHead, open_portrait
from ..progress import Reporter
from ..protocol import OURS, Stage
from ..renderer.colour import to_straight_uint8
from ..training.checkpoints import Checkpoint
from ..workspace.animation import Animation
from ..workspace.camera import Camera
from ..workspace.files import key_of, write_json
from ..workspace.head_track import HeadTrack
from ..workspace.store import Workspace
from .covers import cover_in
from .footage import Footage, output_size
from .from_footage import FromFootage, WithFootage
from .place import Place


@dataclass(frozen=True)
class Shot:
    """An animation with the head that plays it and the camera of the complete frame."""

    workspace: Workspace
    head: Checkpoint
    animation: Animation
    conditions: np.ndarray
    camera: Camera
    track: HeadTrack
    taken: FromFootage
    """What the head takes from the footage."""

    @classmethod
    def of(
        cls,
        workspace: Workspace,
        head: Checkpoint,
        animation: Animation,
        size: int | None,
        fixed_neck: bool = False,
        rendered_hair: bool = False,
    ) -> Shot:
        """The shot with `size` as the longer side of its frames; the source's size where it is None.

        Args:
            fixed_neck, rendered_hair: as `FromFootage.of` has them.

        Raises:
            WorkspaceError: the head's lips follow audio, and the animation has none.
        """
        conditions = head.lips.animation_conditions(workspace, animation)
        subject, side = workspace.subject, output_size(workspace.subject, size)
        camera = animation.camera.to_source(subject).scaled(*side)
        track = workspace.head_track(head=head.kind)
        taken = FromFootage.of(workspace, track, rendered_hair, fixed_neck)
        return cls(workspace, head, animation, conditions, camera, track, taken)

    @property
    def frames(self) -> int:
        return self.animation.frames

    def write_video(self, out: Path, audio: Path | None, reporter: Reporter, portrait: str = OURS) -> None:
        """A video over the footage, with `audio` in place of the animation's own; `portrait` is of `protocol.PORTRAITS`."""
        width, height = self.camera.width, self.camera.height
        footage = Footage(self.workspace, width, height, reporter)
        played = self.animation
        composing = open_portrait(portrait, footage, self.workspace, self.track)
        if portrait == OURS:  # else no body could be its own, or the frame's is there
            composing = WithFootage(composing, self.taken, self._place)
        rendered = self.head.renderer().render_batch(self.camera, played.head_to_camera, self.conditions)
        with (
            self._audio_blocks(audio, reporter) as samples,
            VideoWriter(out, width, height, fps=played.fps, audio=samples) as video,
        ):
            for index, image in enumerate(rendered):
                reporter.progress(Stage.RENDERING, index, self.frames)
                frame, pose = int(played.plate_frame[index]), played.head_to_camera[index]
                head = PlacedHead(image.rgba, frame, self.camera, pose, played.blendshapes[index])
                video.write(composing.compose(head))
        reporter.progress(Stage.RENDERING, self.frames, self.frames)

    def write_frames(self, out: Path, reporter: Reporter) -> None:
        """`%06d.png` with straight alpha; frames that an interrupted run of the same shot left are kept."""
        poses = self.animation.head_to_camera
        camera = (self.camera.width, self.camera.height, self.camera.focal_px)
        chosen = self.taken.hair is not None, self.taken.neck is not None, self.workspace.cover_path(0).parent.is_dir()
        beneath = [*chosen, self.animation.plate_frame.tolist() if any(chosen) else []]
        key = key_of(poses.tolist(), self.conditions.tolist(), camera, str(self.head.path), beneath)
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
                cover = cover_in(self.workspace, int(self.animation.plate_frame[index]), self._place, rgba.shape[:2])
                with self._with_footage(rgba, index) as head:
                    writer.write(index, to_straight_uint8(behind_cover(head, cover)))
            reporter.progress(Stage.RENDERING, index + 1, self.frames)

    def _with_footage(self, rgba: np.ndarray, index: int) -> AbstractContextManager[np.ndarray]:
        """Frame `index` of the head with what it takes from the footage."""
        frame, pose = int(self.animation.plate_frame[index]), self.animation.head_to_camera[index]
        return self.taken.put(rgba, frame, self.camera, pose, self.conditions[index], self._place)

    @property
    def _place(self) -> Place:
        return Place.in_source(self.workspace.subject, self.camera.width)

    @contextmanager
    def _audio_blocks(
        self, audio: Path | None, reporter: Reporter
    ) -> Iterator[tuple[Iterator[np.ndarray], int] | None]:
        """Blocks and rate for a video: of the file given, else of the animation's, if any; an unreadable one fails at once."""
        path = audio or self.animation.audio
        if path is None or not (audio or path.exists()):
            yield None
            return
        with tempfile.TemporaryDirectory(prefix="synctalk-audio-") as folder:
            readable = Path(folder) / "audio.wav"
            guarded(convert_audio, path, readable, DELIVERY_RATE, reporter=reporter, about=path)
            with contextlib.closing(wav_blocks(readable)) as blocks:  # Windows removes no open file
                yield blocks, DELIVERY_RATE
