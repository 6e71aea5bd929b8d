"""A shot: an animation of a trained head, rendered to a video or to RGBA frames."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..media.ahead import made_ahead
from ..media.audio import convert_audio, wav_blocks
from ..media.audio_rates import DELIVERY_RATE
from ..media.codecs import CODECS, EXR, PNG, PNG16
from ..media.encode import VideoWriter
from ..media.guard import guarded
from ..media.sequence import SequenceWriter
from ..media.uncompressed import write_uncompressed
from ..progress import Reporter
from ..protocol import OURS, PASSES, Stage
from ..renderer.colour import to_scene_linear, to_straight_uint8, to_straight_uint16
from ..renderer.head import Moment, RenderedHead
from ..training.checkpoints import Checkpoint
from ..workspace.animation import Animation
from ..workspace.camera import Camera
from ..workspace.files import key_of
from ..workspace.frame_rate import Timecode
from ..workspace.head_track import HeadTrack
from ..workspace.store import Workspace
from .complete import CompleteFrames
from .footage import output_size
from .from_footage import EVERYTHING, Beneath, FromFootage, Taking
from .marking import UNMARKED, FrameMarks, Marking
from .passes import PassMaker, Times
from .place import Place

_CONVERSIONS = {PNG: to_straight_uint8, PNG16: to_straight_uint16, EXR: to_scene_linear}
"""From the rendered, premultiplied image to what a format stores."""

_AHEAD = 2
"""Complete frames that are made while those before them are encoded."""


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
        taking: Taking = EVERYTHING,
    ) -> Shot:
        """The shot with `size` as the longer side of its frames; the source's size where it is None.

        Raises:
            WorkspaceError: the head's lips follow audio, and the animation has none.
        """
        conditions = head.lips.animation_conditions(workspace, animation)
        subject, side = workspace.subject, output_size(workspace.subject, size)
        camera = animation.camera.to_source(subject).scaled(*side)
        track = workspace.head_track(head=head.kind)
        taken = FromFootage.of(workspace, track, taking)
        return cls(workspace, head, animation, conditions, camera, track, taken)

    @property
    def frames(self) -> int:
        return self.animation.frames

    def write_video(
        self,
        out: Path,
        audio: Path | None,
        reporter: Reporter,
        portrait: str = OURS,
        codec: str | None = None,
        marking: Marking = UNMARKED,
    ) -> None:
        """A video over the footage, or of the head alone where the codec has alpha, with `audio` in place of the animation's own.

        Args:
            portrait: of `protocol.PORTRAITS`.
            codec: of `codecs.CODECS`; None for H.264, or HEVC where the clip has more than 8 bits. Uncompressed audio goes into a
                MOV sample for sample.

        Raises:
            ProvenanceError: the video is complete, but could not be signed.
        """
        shown = stored = (self.camera.width, self.camera.height)
        complete = None
        if codec is None or not CODECS[codec].has_alpha:
            complete = CompleteFrames.of_video(self, portrait, codec, reporter)
            codec, stored = complete.codec, complete.canvas.size
        canvas = complete.canvas.stored if complete else None
        with (
            self._audio(audio, out.suffix.lower() == ".mov", reporter) as samples,
            VideoWriter(
                out,
                *stored,
                fps=self.animation.rate,
                audio=samples,
                metadata=self._timecodes,
                codec=codec,
                stored=canvas,
            ) as video,
        ):
            marks = marking.of_frames(shown, stored)
            frames = complete.frames(range(self.frames), marks, reporter) if complete else self._straight_heads(marks)
            reporter.progress(Stage.RENDERING, 0, self.frames)
            with contextlib.closing(made_ahead(frames, _AHEAD)) as ahead:
                for index, frame in enumerate(ahead):
                    video.write(frame)
                    reporter.progress(Stage.RENDERING, index + 1, self.frames)
        marking.sign(out)  # after the rename: a failure must not cost the video

    def write_complete_frames(
        self, out: Path, reporter: Reporter, kind: str = PNG, portrait: str = OURS, marking: Marking = UNMARKED
    ) -> None:
        """The frames over the footage, `%06d.png` or `.exr`; as `write_frames`.

        Args:
            kind: of `codecs.FORMATS`.
            portrait: of `protocol.PORTRAITS`.

        Raises:
            MediaError: the clip cannot be read.
            StorageError: the disk is full or the place is read-only.
            ProvenanceError: a frame could not be signed; those before it are complete.
        """
        complete = CompleteFrames.of_sequence(self, portrait, kind, reporter)
        canvas = complete.canvas
        code = self._timecode
        writer = SequenceWriter(out, kind, self.animation.rate, code, canvas.stored)
        played, taken = self.animation, (self.taken.hair is not None, self.taken.neck is not None)
        shown = self.conditions.tolist(), played.head_to_camera.tolist(), played.plate_frame.tolist(), taken, portrait
        stored = str(canvas.stored), str(self.head.path), kind, str(played.rate), str(code)
        writer.resume(key_of("complete", *shown, *stored, *marking.key), self.frames)
        missing = [index for index in range(self.frames) if not writer.path(index).exists()]
        marks, done = marking.of_frames(canvas.shown, canvas.size), self.frames - len(missing)
        reporter.progress(Stage.RENDERING, done, self.frames)
        frames = made_ahead(complete.frames(missing, marks, reporter), _AHEAD)
        with contextlib.closing(frames):
            for index, planes in zip(missing, frames, strict=True):
                writer.write(index, cv2.merge(planes), finish=marking.sign)
                done += 1
                reporter.progress(Stage.RENDERING, done, self.frames)

    def _straight_heads(self, marks: FrameMarks) -> Iterator[np.ndarray]:
        """(height, width, 4) uint16 with straight alpha: the head alone, frame by frame."""
        renderer = self.head.renderer()
        for index in range(self.frames):
            now = self._at(index)
            rendered = renderer.render(now.camera, now.head_to_camera, now.blendshapes)
            with self._beneath(index).put(rendered.rgba, now) as rgba:
                yield to_straight_uint16(marks.alone(rgba))

    def _beneath(self, index: int) -> Beneath:
        """What is beneath frame `index`."""
        return Beneath(self.workspace, self.taken, int(self.animation.plate_frame[index]), self._place)

    def _at(self, index: int) -> Moment:
        """The head in frame `index`, or in the first or the last one."""
        index = min(max(index, 0), self.frames - 1)
        return Moment(self.camera, self.animation.head_to_camera[index], self.conditions[index])

    def _passes(
        self, maker: PassMaker, rendered: RenderedHead, shown_alpha: np.ndarray, index: int
    ) -> dict[str, np.ndarray]:
        """The passes of frame `index`, (height, width) float32 by the names of their channels."""
        times = Times(*(self._at(index + step) for step in (0, -1, 1)))
        found = maker.passes(tuple(PASSES), rendered, shown_alpha, times, self._beneath(index))
        return {
            f"{name}.{letter}": values[..., channel]
            for name, values in found.items()
            for channel, letter in enumerate(PASSES[name])
        }

    def write_frames(
        self, out: Path, reporter: Reporter, kind: str = PNG, passes: bool = False, marking: Marking = UNMARKED
    ) -> None:
        """The head alone, `%06d.png` or `.exr`; frames that an interrupted run of the same shot left are kept.

        Args:
            kind: of `codecs.FORMATS`.
            passes: in EXR files also those of `protocol.PASSES` that the head has.

        Raises:
            StorageError: the disk is full or the place is read-only.
            ProvenanceError: a frame could not be signed; those before it are complete.
        """
        poses = self.animation.head_to_camera
        camera = (self.camera.width, self.camera.height, self.camera.focal_px)
        chosen = self.taken.hair is not None, self.taken.neck is not None, self.workspace.cover_path(0).parent.is_dir()
        beneath = [*chosen, self.animation.plate_frame.tolist() if any(chosen) else []]
        code = self._timecode
        writer = SequenceWriter(out, kind, self.animation.rate, code)
        written = [] if kind == PNG else [kind, self.animation.fps, list(PASSES) if passes else False]
        written += [str(code)] if code and kind == EXR else []
        written += marking.key
        key = key_of(poses.tolist(), self.conditions.tolist(), camera, str(self.head.path), beneath, *written)
        writer.resume(key, self.frames)
        renderer, marks = self.head.renderer(), marking.of_frames((self.camera.width, self.camera.height))
        maker = PassMaker(renderer, self.workspace.face_mesh()) if passes else None
        for index in range(self.frames):
            if not writer.path(index).exists():
                rendered = renderer.render(self.camera, poses[index], self.conditions[index], passes=passes)
                kept = rendered.copy() if maker is not None else None
                with self._beneath(index).put(rendered.rgba, self._at(index)) as head:
                    image, alpha = _CONVERSIONS[kind](marks.alone(head)), head[..., 3].copy()
                beside = {} if maker is None or kept is None else self._passes(maker, kept, alpha, index)
                writer.write(index, image, beside, marking.sign)
            reporter.progress(Stage.RENDERING, index + 1, self.frames)

    @property
    def _timecode(self) -> Timecode | None:
        """The source's time code of what lies beneath the first frame, so that a cut finds its place."""
        subject = self.workspace.subject
        return subject.timecode_at(int(self.animation.plate_frame[0])) if self.animation.rate == subject.rate else None

    @property
    def _timecodes(self) -> dict[str, str]:
        """What makes a container write a time code track, or tag."""
        return {} if self._timecode is None else {"timecode": str(self._timecode)}

    @property
    def _place(self) -> Place:
        return Place.in_source(self.workspace.subject, self.camera.width)

    @contextmanager
    def _audio(
        self, audio: Path | None, untouched: bool, reporter: Reporter
    ) -> Iterator[tuple[Iterator[np.ndarray], int] | Path | None]:
        """Audio for a video: of the file given, else of the animation's, if any; an unreadable one fails at once.

        Args:
            untouched: as a WAV with the file's own samples, else as blocks of mono ones and their rate.
        """
        path = audio or self.animation.audio
        if path is None or not (audio or path.exists()):
            yield None
            return
        with tempfile.TemporaryDirectory(prefix="synctalk-audio-") as folder:
            readable = Path(folder) / "audio.wav"
            if untouched:
                guarded(write_uncompressed, path, readable, reporter=reporter, about=path)
                yield readable
                return
            guarded(convert_audio, path, readable, DELIVERY_RATE, reporter=reporter, about=path)
            with contextlib.closing(wav_blocks(readable)) as blocks:  # Windows removes no open file
                yield blocks, DELIVERY_RATE
