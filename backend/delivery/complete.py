"""Complete frames: a rendered head over the clip's own frames, whose other pixels stay as they are stored (docs/delivery.md)."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import MediaError
from ..media.guard import guarded, guarded_items
from ..media.samples import RGB8, Planes, StoredFormat
from ..media.stored import image_frames, read_stored, stored_frames
from ..portrait_sync.pixels import opencv_on_one_thread
from ..portrait_sync.placed_head import PlacedHead
from ..portrait_sync.portrait import PaperGenerator, open_portrait
from ..progress import Reporter
from ..protocol import OURS, PAPER
from ..renderer.head import Moment
from ..workspace.camera import Camera
from ..workspace.store import Workspace
from .canvas import Canvas, Layer, codec_for_clip, sequence_canvas, video_canvas
from .footage import FootageWindow, Window
from .from_footage import Beneath, FromFootage
from .marking import FrameMarks
from .place import Place

if TYPE_CHECKING:
    from .shot import Shot

HEAD_RADIUS_M = 0.3
"""A head with its hair is within this of its own frame's origin."""


def clip_format(workspace: Workspace, reporter: Reporter) -> StoredFormat:
    """How the clip's frames are stored; of one that is no longer there, how its images in the workspace are.

    Raises:
        MediaError: it cannot be read.
    """
    subject, source = workspace.subject, Path(workspace.subject.source)
    if source.exists():
        return guarded(read_stored, source, subject.corrections, reporter=reporter, about=source)
    return StoredFormat(RGB8, *subject.source_size)


@dataclass(frozen=True)
class HeadLayers:
    """Makes of each rendered frame of a head the layer that is composited over the clip's frame."""

    workspace: Workspace
    portrait: str
    taken: FromFootage
    surroundings: FootageWindow
    place: Place
    window: Window
    paper: PaperGenerator | None

    @classmethod
    def of(cls, shot: Shot, portrait: str, window: Window) -> HeadLayers:
        """
        Args:
            portrait: of `protocol.PORTRAITS`.
            window: of the shot's image, that is rendered.

        Raises:
            WorkspaceError: files are missing or damaged.
        """
        place = Place.in_source(shot.workspace.subject, shot.camera.width, -window.x, -window.y)
        surroundings = FootageWindow(shot.workspace, place, window, shot.taken.images)
        paper = open_portrait(PAPER, surroundings, shot.workspace, shot.track) if portrait == PAPER else None
        assert paper is None or isinstance(paper, PaperGenerator)
        return cls(shot.workspace, portrait, shot.taken, surroundings, place, window, paper)

    def of_head(self, head: PlacedHead, conditions: np.ndarray) -> Layer:
        """The layer of a head that was rendered in the window, with `conditions`."""
        footage = self.surroundings
        if self.paper is not None:
            blended = self.paper.blended(head)
            share = blended.mask.astype(np.float32)
            rgba = np.dstack([blended.image * (share / np.float32(255))[..., None], share])
            return Layer(self.window.x, self.window.y, rgba)
        if self.portrait != OURS:
            return footage.over_background(head.rgba, head.frame)
        beneath = Beneath(self.workspace, self.taken, head.frame, self.place)
        with beneath.put(head.rgba, Moment(head.camera, head.head_to_camera, conditions)) as shown:
            return footage.over_plate(shown, head.frame)


def window_of(workspace: Workspace, camera: Camera, heads_to_camera: np.ndarray) -> Window:
    """The part of the image that a shot may change: the working frame, and wherever the head is.

    Args:
        camera: of the complete image.
        heads_to_camera: (N, 4, 4), metres.
    """
    place = Place.in_source(workspace.subject, camera.width)
    side = place.scale * workspace.subject.size
    low, high = np.array([place.x, place.y]), np.array([place.x + side, place.y + side])
    poses = heads_to_camera[np.isfinite(heads_to_camera).all((1, 2))]
    if len(poses):
        depth = np.maximum(poses[:, 2, 3], HEAD_RADIUS_M)
        centres = camera.focal_px * poses[:, :2, 3] / depth[:, None] + np.array(camera.principal_px)
        reach = (camera.focal_px * HEAD_RADIUS_M / depth)[:, None]
        low, high = np.minimum(low, (centres - reach).min(0)), np.maximum(high, (centres + reach).max(0))
    limit = np.array([camera.width, camera.height])
    first = np.clip(np.floor(low).astype(int), 0, limit - 1)
    last = np.clip(np.ceil(high).astype(int), first + 1, limit)
    return Window(int(first[0]), int(first[1]), int(last[0] - first[0]), int(last[1] - first[1]))


@dataclass(frozen=True)
class CompleteFrames:
    """The frames of a shot over its clip.

    Attributes:
        codec: of a video.
    """

    shot: Shot
    portrait: str
    canvas: Canvas
    codec: str = ""

    @classmethod
    def of_video(cls, shot: Shot, portrait: str, codec: str | None, reporter: Reporter) -> CompleteFrames:
        """For a codec, or for the one that suits the clip.

        Raises:
            MediaError: the clip cannot be read.
        """
        clip = clip_format(shot.workspace, reporter)
        codec = codec or codec_for_clip(clip)
        return cls(shot, portrait, video_canvas(clip, codec, *_size_of(shot)), codec)

    @classmethod
    def of_sequence(cls, shot: Shot, portrait: str, kind: str, reporter: Reporter) -> CompleteFrames:
        """For a format of `codecs.FORMATS`; likewise."""
        return cls(shot, portrait, sequence_canvas(clip_format(shot.workspace, reporter), kind, *_size_of(shot)))

    def frames(self, indices: Sequence[int], marks: FrameMarks, reporter: Reporter) -> Iterator[Planes]:
        """Some frames of the shot, one by one.

        Raises:
            MediaError: the clip cannot be read.
        """
        shot, played = self.shot, self.shot.animation
        window = window_of(shot.workspace, shot.camera, played.head_to_camera)
        camera = shot.camera.cropped(window.x, window.y, window.width, window.height)
        layers = HeadLayers.of(shot, self.portrait, window)
        poses, conditions = (values[list(indices)] for values in (played.head_to_camera, shot.conditions))
        rendered = shot.head.renderer().render_batch(camera, poses, conditions)
        with opencv_on_one_thread(), self._clip_frames(indices, reporter) as clip:
            for index, planes, image in zip(indices, clip, rendered, strict=True):
                frame, pose = int(played.plate_frame[index]), played.head_to_camera[index]
                head = PlacedHead(image.rgba, frame, camera, pose, played.blendshapes[index])
                self.canvas.composite(planes, layers.of_head(head, shot.conditions[index]))
                marks.on_canvas(planes, self.canvas)
                yield planes

    def _clip_frames(
        self, indices: Sequence[int], reporter: Reporter
    ) -> contextlib.closing[Generator[Planes, None, None]]:
        """The clip's frames beneath some of the shot's, ready to be changed."""
        subject, pattern = self.shot.workspace.subject, self.shot.workspace.footage
        source = Path(subject.source)
        plan = [min(max(int(self.shot.animation.plate_frame[index]), 0), subject.frames - 1) for index in indices]
        if source.exists():
            job = source, subject.corrections, subject.rate, self.canvas.wanted, plan
            return contextlib.closing(guarded_items(stored_frames, *job, reporter=reporter, about=source))
        if pattern is None:
            raise MediaError(f"{source} is missing: restore it to that place.")
        reporter.warning(f"{source} is missing: frames are the workspace's own copies, of 8 bits and with some loss.")
        return contextlib.closing(image_frames(pattern, self.canvas.wanted, plan))


def _size_of(shot: Shot) -> tuple[tuple[int, int], bool]:
    """Width and height of a shot's frames with square pixels, and whether they are the clip's."""
    size = shot.camera.width, shot.camera.height
    return size, size == tuple(shot.workspace.subject.source_size)
