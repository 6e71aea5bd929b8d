"""The training frames of a workspace: foreground colour, alpha and feature boxes of a pool of frames in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..errors import WorkspaceError
from ..portrait_sync.foreground import foreground_colour
from ..progress import Reporter
from ..protocol import Stage
from ..workspace.head_track import HeadTrack
from ..workspace.store import Workspace

MINIMUM_FRAMES = 25
FIRST_FRAMES = 160
"""Frames read before training begins; then one more is read each step."""
POOL_BYTES = 400 << 20
"""Of pixels in memory. Of a longer clip, the oldest frame is dropped when the next one is read."""
EXCHANGE_STEPS = 6
"""Steps between two such exchanges."""

COVER_MARGIN = 0.008
"""Of the frame's side, by which a cover is grown."""

# Landmarks (MediaPipe's indices) around which rays are denser.
_MOUTH = (61, 291, 0, 17, 37, 267, 84, 314)
_EYES = ((33, 133, 159, 145), (263, 362, 386, 374))

HEAD_BOX, MOUTH_BOX, *_EYE_BOXES = range(4)
"""Rows of `Frame.boxes`."""
FEATURE_BOXES = (MOUTH_BOX, MOUTH_BOX, *_EYE_BOXES)
"""To draw from: the mouth as often as both eyes."""


@dataclass(frozen=True)
class Frame:
    """One frame, reduced to the training size and cropped to its head.

    Attributes:
        index: in the clip.
        colour: (H, W, 3) uint8, the foreground's colour, not mixed with the background.
        alpha: (H, W) uint8, the head matte.
        x0, y0: corner of the crop in the reduced frame, pixels.
        boxes: (4, 4) x0, y0, x1, y1 in the crop: the head, the mouth, the two eyes.
        covered: (H, W) bool, where something is before the head, which no loss sees; None where nothing is.
    """

    index: int
    colour: np.ndarray
    alpha: np.ndarray
    x0: int
    y0: int
    boxes: np.ndarray
    covered: np.ndarray | None = None

    @property
    def bytes(self) -> int:
        return self.colour.nbytes + self.alpha.nbytes


@dataclass(frozen=True)
class Rays:
    """Pixels of some frames, frame after frame.

    Attributes:
        frames: (I) indices in the clip.
        counts: (I) rays of each.
        u, v: (R) pixel centres in the reduced frame.
        colour: (R, 3) float32 in [0, 1], the foreground's own; alpha: (R, 1) float32.
        at_mouth: (R) bool, pixels in the box of the mouth.
        covered: (R, 1) bool, pixels that show something before the head.
    """

    frames: np.ndarray
    counts: np.ndarray
    u: np.ndarray
    v: np.ndarray
    colour: np.ndarray
    alpha: np.ndarray
    at_mouth: np.ndarray
    covered: np.ndarray


def read_frame(workspace: Workspace, tracking: HeadTrack, index: int, size: int) -> Frame:
    """One frame as training sees it."""
    alpha = np.ascontiguousarray(workspace.read_matte(index)[..., 0])
    colour = foreground_colour(workspace.read_frame(index), alpha, workspace.read_plate(index))
    if size < alpha.shape[0]:
        # Averaged premultiplied: what is outside the matte must not bleed in.
        weight = cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB).astype(np.float32) * np.float32(1 / 255)
        small = cv2.resize(colour * weight, (size, size), interpolation=cv2.INTER_AREA)
        weight = cv2.resize(weight, (size, size), interpolation=cv2.INTER_AREA)
        alpha = (weight[..., 0] * 255 + 0.5).astype(np.uint8)
        colour = np.clip(small / np.maximum(weight, 1e-3) + 0.5, 0, 255).astype(np.uint8)
    margin = max(4, size // 40)
    rows, columns = np.flatnonzero((alpha > 2).any(1)), np.flatnonzero((alpha > 2).any(0))
    if not len(rows):
        rows, columns = np.array([0, size - 1]), np.array([0, size - 1])
    y0, y1 = max(rows[0] - margin, 0), min(rows[-1] + 1 + margin, size)
    x0, x1 = max(columns[0] - margin, 0), min(columns[-1] + 1 + margin, size)
    landmarks = tracking.landmarks_px[index] * (size / workspace.subject.size) - (x0, y0)
    colour, alpha = colour[y0:y1, x0:x1].copy(), alpha[y0:y1, x0:x1].copy()
    covered = _covered(workspace, index, size)
    covered = None if covered is None else covered[y0:y1, x0:x1].copy()
    return Frame(index, colour, alpha, int(x0), int(y0), _boxes(alpha.shape, landmarks), covered)


def _covered(workspace: Workspace, index: int, size: int) -> np.ndarray | None:
    """(size, size) bool, with a margin for the cover's blur and its shadow; None where nothing is covered."""
    cover = workspace.read_cover(index)
    if cover is None:
        return None
    margin = 2 * max(1, round(COVER_MARGIN * workspace.subject.size)) + 1
    grown = cv2.dilate(cover, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (margin, margin)))
    return cv2.resize(grown, (size, size), interpolation=cv2.INTER_AREA) > 25


def _boxes(shape: tuple[int, ...], landmarks: np.ndarray) -> np.ndarray:
    height, width = shape
    boxes = [[0, 0, width, height]]
    for group in (_MOUTH, *_EYES):
        points = landmarks[list(group)]
        pad = 0.25 * np.ptp(points[:, 0])
        boxes.append([*(points.min(0) - pad), *(points.max(0) + pad)])
    result = np.array(boxes, np.float32)
    result[:, 0::2] = result[:, 0::2].clip(0, width)
    result[:, 1::2] = result[:, 1::2].clip(0, height)
    empty = (result[:, 2] - result[:, 0] < 2) | (result[:, 3] - result[:, 1] < 2)
    result[empty] = result[0]
    return result


class FramePool:
    """The frames that training draws from: as many as memory allows, exchanged in turn.

    Attributes:
        size: side of the reduced frames, pixels.
        held: the frames in memory, the oldest first.
        on_read: gets each frame when it has been read, in its own colour.
    """

    def __init__(self, workspace: Workspace, tracking: HeadTrack, frames: np.ndarray, size: int) -> None:
        """
        Raises:
            WorkspaceError: too few frames to train on.
        """
        if len(frames) < MINIMUM_FRAMES:
            raise WorkspaceError(
                f"{workspace.root}: only {len(frames)} frames show the face well enough to train on, at "
                f"least {MINIMUM_FRAMES} are needed. Give a longer clip in which the face stays in view."
            )
        self.size = min(size, workspace.subject.size)
        self.held: deque[Frame] = deque()
        self._workspace, self._tracking = workspace, tracking
        # Evenly spread, however many have been read.
        self._order = frames[_spread(len(frames))]
        self._next, self._bytes, self._full = 0, 0, False
        self._reader = ThreadPoolExecutor(2)
        self._coming: deque[Future[Frame]] = deque()
        self._recolour: Callable[[Frame], np.ndarray] | None = None
        self.on_read: Callable[[Frame], None] | None = None

    def __enter__(self) -> FramePool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading ahead."""
        self._reader.shutdown(wait=True, cancel_futures=True)

    def begin(self, reporter: Reporter, step: int = 0) -> None:
        """Read the first frames; in a resumed training, roughly those that were read by `step`.

        Raises:
            WorkspaceError: files missing, or no matte shows a head.
        """
        first = min(FIRST_FRAMES, len(self._order))
        self._next = (step // EXCHANGE_STEPS) % len(self._order)
        for done in range(1, first + 1):
            self._take()
            reporter.progress(Stage.LOADING, done, first)
        if not any((frame.alpha > 2).any() for frame in self.held):
            raise WorkspaceError(
                f"{self._workspace.root}: the head mattes are empty: run process on this workspace again."
            )

    def advance(self, step: int, wait: bool = True) -> None:
        """Read the next frame: each step until all are there or memory is full, then every few steps.

        Args:
            wait: for a frame that is still being read; else it comes with a later step.
        """
        if len(self.held) >= len(self._order) or not (wait or (self._coming and self._coming[0].done())):
            return
        if not self._full or step % EXCHANGE_STEPS == 0:
            self._take()

    def recolour(self, colour: Callable[[Frame], np.ndarray] | None) -> None:
        """Give all frames, those in memory and those that are read from here on, the colour that is made of their own; None for
        their own."""
        for _ in range(len(self.held)):  # one by one: there is no memory for all of them twice
            frame = self.held.popleft()
            if self._recolour is not None:
                frame = self.read(frame.index)
            self.held.append(frame if colour is None else replace(frame, colour=colour(frame)))
        self._recolour = colour

    def read(self, index: int) -> Frame:
        """A frame of its own colour."""
        return read_frame(self._workspace, self._tracking, index, self.size)

    def _take(self) -> None:
        while len(self._coming) < 3:
            index = int(self._order[self._next])
            self._next = (self._next + 1) % len(self._order)
            self._coming.append(self._reader.submit(self.read, index))
        frame = self._coming.popleft().result()
        if self.on_read is not None:
            self.on_read(frame)
        if self._recolour is not None:
            frame = replace(frame, colour=self._recolour(frame))
        self._bytes += frame.bytes
        while self.held and self._bytes > POOL_BYTES:
            self._full = True
            self._bytes -= self.held.popleft().bytes
        self.held.append(frame)

    def sample(
        self,
        rng: np.random.Generator,
        images: int,
        rays_per_image: int,
        feature_share: float,
        patches: int = 0,
        patch_side: int = 32,
    ) -> Rays:
        """Random pixels of `images` random frames, then square patches of `patches` more.

        Args:
            feature_share: share of the rays, and of the patches, at the mouth and the eyes, half of them at the mouth.
        """
        chosen = [self.held[i] for i in rng.integers(0, len(self.held), images + patches)]
        frames = [frame.index for frame in chosen]
        counts = [rays_per_image] * images + [patch_side**2] * patches
        columns, rows, colour, alpha, at_mouth, covered = [], [], [], [], [], []
        for number, frame in enumerate(chosen):
            height, width = frame.alpha.shape
            if number < images:
                kind = np.where(
                    rng.random(rays_per_image) < feature_share, rng.choice(FEATURE_BOXES, rays_per_image), HEAD_BOX
                )
                box = frame.boxes[kind]
                x = (box[:, 0] + rng.random(rays_per_image) * (box[:, 2] - box[:, 0])).astype(int)
                y = (box[:, 1] + rng.random(rays_per_image) * (box[:, 3] - box[:, 1])).astype(int)
                x, y = np.minimum(x, width - 1), np.minimum(y, height - 1)
            else:
                kind = rng.choice(FEATURE_BOXES) if rng.random() < feature_share else HEAD_BOX
                box = frame.boxes[kind]
                centre = box[:2] + rng.random(2) * (box[2:] - box[:2])
                corner = np.clip(centre - patch_side / 2, 0, np.maximum((width - patch_side, height - patch_side), 0))
                y, x = np.divmod(np.arange(patch_side**2), patch_side)
                x, y = np.minimum(x + int(corner[0]), width - 1), np.minimum(y + int(corner[1]), height - 1)
            columns.append(x + (frame.x0 + 0.5))
            rows.append(y + (frame.y0 + 0.5))
            colour.append(frame.colour[y, x])
            alpha.append(frame.alpha[y, x])
            covered.append(np.zeros(len(y), bool) if frame.covered is None else frame.covered[y, x])
            x0, y0, x1, y1 = frame.boxes[MOUTH_BOX]
            at_mouth.append((x >= x0) & (x < x1) & (y >= y0) & (y < y1))
        return Rays(
            np.array(frames),
            np.array(counts),
            np.concatenate(columns),
            np.concatenate(rows),
            np.concatenate(colour).astype(np.float32) / 255,
            np.concatenate(alpha).astype(np.float32)[:, None] / 255,
            np.concatenate(at_mouth),
            np.concatenate(covered)[:, None],
        )


def _spread(count: int) -> np.ndarray:
    """0 to count - 1 in bit-reversed order: any first part of it is spread evenly."""
    bits = max(1, int(count - 1).bit_length())
    places = np.arange(1 << bits)
    reversed_ = np.zeros_like(places)
    for bit in range(bits):
        reversed_ |= ((places >> bit) & 1) << (bits - 1 - bit)
    return reversed_[reversed_ < count]
