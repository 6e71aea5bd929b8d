"""The frames of a stream: the head over the footage, the person over a colour, or beside its alpha; marked as all that leaves is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...delivery.body import Body
from ...delivery.canvas import Canvas, Layer
from ...delivery.complete import HeadLayers, window_of
from ...delivery.from_footage import Beneath, Taking
from ...delivery.layers import FootageTrack
from ...delivery.marking import FrameMarks, Marking
from ...delivery.place import Place
from ...delivery.shot import Shot
from ...delivery.watermark import Kind, Message
from ...media.footage import write_footage
from ...media.samples import RGB8, Planes, SampleFormat, StoredFormat, converted
from ...media.stored import image_frames
from ...progress import Reporter
from ...protocol import OURS
from ...renderer.head import Moment
from .names import ALPHA, FOOTAGE, colour_of
from .program import Played

SAMPLES = SampleFormat(8, (1, 1), 6)
"""8 bits, 4:2:0, BT.601, limited range: what browsers take VP8 for, which states no matrix."""

_KEPT_BYTES = 256 * 2**20


class Composer:
    """Makes the frames of one size; those of a loop once, as many as fit into the memory set aside.

    Args:
        background: `FOOTAGE`, `ALPHA` or a colour.
        label: draw the visible mark AI as well.

    Raises:
        MediaError: the complete frames of the clip are needed, and it is no longer there.
    """

    def __init__(self, shot: Shot, background: str, label: bool, reporter: Reporter) -> None:
        self._composition = (
            OverFootage.of(shot, label, reporter) if background == FOOTAGE else WithoutFootage(shot, background, label)
        )
        self._made = _Kept(self.size)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a frame, even; with alpha the width is that of both halves."""
        return self._composition.canvas.size

    @property
    def room(self) -> int:
        """How many frames of a loop are kept."""
        return self._made.room

    def make(self, played: Played) -> Planes:
        """Y', Cb, Cr as `SAMPLES` has them; not to be changed."""
        return self._made.get(played.loop_frame, lambda: self._composition.frame(played))


class _Kept:
    """The first frames of one size that are asked for, each by a number."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.room = _KEPT_BYTES * 2 // (3 * size[0] * size[1])
        self._frames: dict[int, Planes] = {}

    def get(self, number: int | None, make: Callable[[], Planes]) -> Planes:
        """Made where it was not; None is never kept."""
        found = None if number is None else self._frames.get(number)
        if found is None:
            found = make()
            if number is not None and len(self._frames) < self.room:
                self._frames[number] = found
        return found


class OverFootage:
    """The head over the clip's own frames, as `render` composites it; from the workspace's images, which are read at random."""

    def __init__(self, shot: Shot, pattern: Path, label: bool) -> None:
        size = shot.camera.width, shot.camera.height
        self.canvas = Canvas(StoredFormat(SAMPLES, *size), size)
        self._window = window = window_of(shot.workspace, shot.camera, shot.animation.head_to_camera)
        self._pattern = pattern
        self._camera = shot.camera.cropped(window.x, window.y, window.width, window.height)
        self._layers = HeadLayers.of(shot, OURS, window)
        self._renderer = shot.head.renderer()
        self._marks = _marks(shot, label, Kind.VIDEO, size)
        self._grounds = _Kept(size)

    @classmethod
    def of(cls, shot: Shot, label: bool, reporter: Reporter) -> OverFootage:
        """
        Raises:
            MediaError: the complete frames of the clip are needed, and it is no longer there.
        """
        if shot.workspace.footage is None:
            reporter.info("The complete frames of the clip are written once, into the workspace.")
            with shot.workspace.locked():
                return cls(shot, write_footage(shot.workspace, reporter), label)
        return cls(shot, shot.workspace.footage, label)

    def frame(self, played: Played) -> Planes:
        """Y', Cb, Cr."""
        again = played.plate_frame if played.loop_frame is None else None
        planes = _copy(self._grounds.get(again, lambda: self._ground(played.plate_frame)))
        now = Moment(self._camera, played.head_to_camera, played.conditions)
        image = self._renderer.render(now.camera, now.head_to_camera, now.blendshapes)
        layers = self._layers
        beneath = Beneath(layers.workspace, layers.taken, played.plate_frame, layers.place)
        with beneath.put(image.rgba, now) as head:
            self.canvas.composite(planes, Layer(self._window.x, self._window.y, head))
        self._marks.on_canvas(planes, self.canvas)
        return planes

    def _ground(self, index: int) -> Planes:
        """The clip's frame, with the plate where it shows something else."""
        (planes,) = image_frames(self._pattern, self.canvas.wanted, [index])
        nothing = np.zeros((self._window.height, self._window.width, 4), np.float32)
        self.canvas.composite(planes, self._layers.surroundings.over_plate(nothing, index))
        return planes


class WithoutFootage:
    """The person over a colour, or its colours over black beside its alpha; of the working frame, where its mattes are."""

    def __init__(self, shot: Shot, background: str, label: bool) -> None:
        width, height = size = shot.camera.width, shot.camera.height
        self._beside = background == ALPHA
        stored = StoredFormat(SAMPLES, width * (2 if self._beside else 1), height)
        self.canvas = Canvas(stored, (stored.width, height))
        self._shot, self._place = shot, Place(width / shot.workspace.subject.size, 0.0, 0.0)
        # The neck is the body's: what else is taken is put over the footage, which is not there.
        self._taken = shot.taken.only(Taking(neck=False))
        self._body = Body(shot.workspace, FootageTrack.of(shot.track))
        self._renderer = shot.head.renderer()
        self._marks = _marks(shot, label, Kind.FRAMES if self._beside else Kind.VIDEO, size)
        red, green, blue = (
            np.full((height, stored.width), value, np.uint8) for value in colour_of(background) or (0, 0, 0)
        )
        self._ground = converted((red, green, blue), RGB8, SAMPLES)

    def frame(self, played: Played) -> Planes:
        """Y', Cb, Cr."""
        camera, planes = self._shot.camera, _copy(self._ground)
        now = Moment(camera, played.head_to_camera, played.conditions)
        image = self._renderer.render(now.camera, now.head_to_camera, now.blendshapes)
        beneath = Beneath(self._shot.workspace, self._taken, played.plate_frame, self._place)
        with beneath.put(image.rgba, now) as head:
            person = self._body.under(head, played.plate_frame, self._place)
        if not self._beside:
            self.canvas.composite(planes, Layer(0, 0, person))
            self._marks.on_canvas(planes, self.canvas)
            return planes
        person = self._marks.alone(person)
        alpha = person[..., 3]
        self.canvas.composite(planes, Layer(0, 0, person))
        self.canvas.composite(planes, Layer(camera.width, 0, np.dstack([alpha] * 3 + [np.ones_like(alpha)])))
        return planes


def _marks(shot: Shot, label: bool, kind: Kind, size: tuple[int, int]) -> FrameMarks:
    message = Message.of_clip(shot.workspace.subject.source_sha256, kind)
    return Marking(label, None, message).of_frames(size)


def _copy(planes: Planes) -> Planes:
    return planes[0].copy(), planes[1].copy(), planes[2].copy()
