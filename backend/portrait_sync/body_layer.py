"""The body of a plate as a layer of its own: neck, collar and hanging hair to be moved, and what they uncover."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

from ..compilation import has_numba
from ..workspace.arrays import smoothstep
from .blend import resample, resampled_bytes
from .fill import disc, push_pull
from .head_region import INTO_JAW, JAW, face_frame, under_jaw
from .pixels import low_frequencies, mixed, to_bytes
from .plate import REACH as NECK_REACH
from .plate import SHADOW, STRIP, neck_coverage

REACH = 0.5
"""How far from the head the body follows it, in face heights."""
LARGEST_MOTION = 0.35
"""By how much it is displaced at most, in face heights: the layer is that much wider."""
STEP = 4
"""Pixels of the working frame for one of `BodyLayer.distance_px`."""
_TEXTURE_LEVELS = 12.0
"""The neck's texture is within this many 8-bit levels of its low frequencies; what is beyond is an edge."""
_FINEST = 2
"""The body is kept at up to this many times its size: sampled there by linear interpolation it stays as sharp as by cubic."""


@dataclass(frozen=True)
class BodyLayer:
    """A window of one working frame of S pixels a side. Colours are display-encoded, 0 to 255.

    Attributes:
        x, y, width, height: of the window in the working frame, pixels.
        body: (height, width, 4) uint8: colour times alpha, and alpha, of neck, torso and hanging hair, with the neck's
            extension behind the head.
        behind: (height, width, 4) uint8: the plate with its body replaced by background, and how much of a pixel is of the
            body or next to it.
        distance_px: (S / STEP, S / STEP) float32: how far a place of the working frame is from the head.
        face_height: from the top of the forehead to the chin, pixels.
    """

    x: int
    y: int
    body: np.ndarray
    behind: np.ndarray
    distance_px: np.ndarray
    face_height: float
    _levels: dict[float, np.ndarray] = field(default_factory=dict)
    _occupied: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    _placed: dict[tuple[float, ...], tuple[slice, slice, np.ndarray]] = field(default_factory=dict)

    @property
    def width(self) -> int:
        return self.body.shape[1]

    @property
    def height(self) -> int:
        return self.body.shape[0]

    def body_for(self, scale: float) -> np.ndarray:
        """`body`, to be sampled by linear interpolation into an image `scale` times the working frame's size."""
        level = _FINEST * min(1.0, 2.0 ** np.ceil(np.log2(scale)))
        if level not in self._levels:
            size = (max(2, round(self.width * level)), max(2, round(self.height * level)))
            if level >= 1.0 and has_numba():
                steps = self.width / size[0], self.height / size[1]
                body = resampled_bytes(self.body, (0.0, 0.0), steps, size, is_premultiplied=True)
            else:
                kind = cv2.INTER_AREA if level < 1.0 else cv2.INTER_CUBIC
                body = cv2.resize(self.body, size, interpolation=kind)
                np.minimum(body[..., :3], body[..., 3:], out=body[..., :3])  # cubic interpolation overshoots
            self._levels[level] = body
        return self._levels[level]

    def occupied(self, shape: tuple[int, int]) -> np.ndarray:
        """(rows, columns) bool: in which of as many cells of the window there is a body, or within two cells of one."""
        if shape not in self._occupied:
            found = (
                cv2.resize((self.behind[..., 3] > 0).astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA) > 0
            )
            self._occupied[shape] = cv2.dilate(found.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        return self._occupied[shape]

    def behind_in(
        self, scale: float, x: float, y: float, shape: tuple[int, int]
    ) -> tuple[slice, slice, np.ndarray] | None:
        """`behind` at the pixels of an image: its rows, columns and (rows, columns, 4) uint8; None where it is not in it.

        Args:
            scale, x, y: a point p of the working frame is at (x, y) + scale · p of the image.
            shape: rows and columns of the image.
        """
        key = (scale, x, y, *shape)
        if key not in self._placed:
            ends = []
            for origin, start, length, limit in ((y, self.y, self.height, shape[0]), (x, self.x, self.width, shape[1])):
                first, last = origin + scale * start, origin + scale * (start + length)
                ends.append(slice(max(0, math.ceil(first - 0.5)), min(limit, math.floor(last + 0.5))))
            rows, columns = ends
            if rows.stop <= rows.start or columns.stop <= columns.start:
                return None
            step, size = 1.0 / scale, (columns.stop - columns.start, rows.stop - rows.start)
            origin_px = ((columns.start - x) * step - self.x, (rows.start - y) * step - self.y)
            self._placed.clear()  # a viewport that is resized passes many
            self._placed[key] = rows, columns, resample(self.behind, origin_px, step, size)
        return self._placed[key]


def body_layer(
    plate: np.ndarray,
    mattes: np.ndarray,
    background: np.ndarray,
    face_height: float,
    bridge_px: np.ndarray,
    strip: UnderJaw | None = None,
) -> BodyLayer | None:
    """Take the body of a plate apart from what is behind it; None where none is near a head.

    Args:
        plate: (S, S, 3) uint8.
        mattes: (S, S, 4) uint8 of the same frame.
        background: (S, S, 3) uint8 of the clip.
        face_height, bridge_px: of the face, as `make_plate` has them.
        strip: belongs to the body as well.
    """
    side = plate.shape[0]
    head, body = np.ascontiguousarray(mattes[..., 0]), np.ascontiguousarray(mattes[..., 2])
    small = (max(1, side // STEP), max(1, side // STEP))
    small_head, small_body = (cv2.resize(part, small, interpolation=cv2.INTER_AREA) for part in (head, body))
    far = small_head < 64
    if far.all():
        return None
    distance = STEP * cv2.distanceTransform(far.astype(np.uint8), cv2.DIST_L2, 5)
    distance = cv2.GaussianBlur(distance, (0, 0), 0.02 * face_height / STEP + 0.5)

    ears = max(0, round((bridge_px[1] + min(NECK_REACH) * face_height) / STEP))  # the neck is extended up to there
    small_body[ears:] = np.maximum(small_body[ears:], small_head[ears:])
    near = (distance < REACH * face_height) & (small_body > 2)
    if not near.any():
        return None
    window = _window(near, round(LARGEST_MOTION * face_height), side)
    textured = np.zeros(head.shape, np.float32)
    if strip is not None:
        plate, body = strip.added_to(plate, head, body)
        textured[strip.window] = strip.strip
    plate, head, body, background, textured = (part[window] for part in (plate, head, body, background, textured))
    alpha, lowest = _alpha(head, body, face_height, bridge_px - (window[1].start, window[0].start))
    # Nothing of the body is where it is 0.
    rest = smoothstep(0.0, 0.05, cv2.dilate(alpha, disc(2.0))).astype(np.float32)
    apart = Apart(plate, background, alpha, rest, textured, lowest, face_height)
    layer, behind = apart.by_kernel() if has_numba() else apart.by_numpy()
    return BodyLayer(window[1].start, window[0].start, layer, behind, distance, face_height)


@dataclass(frozen=True)
class UnderJaw:
    """The strip where a frame's chin turns into its neck, with its shadow: a plate has a smooth neck there, behind the head.

    Attributes:
        frame: (S, S, 3) uint8.
        window: rows and columns (h, w) of it.
        strip: (h, w) float32 in [0, 1], see `head_region.under_jaw`.
    """

    frame: np.ndarray
    window: tuple[slice, slice]
    strip: np.ndarray

    @classmethod
    def of(cls, frame: np.ndarray, landmarks_px: np.ndarray) -> UnderJaw | None:
        """Of the landmarks (478, 2) of a frame (S, S, 3) uint8; None where its edge cuts the face off above the jaw."""
        jaw, height = landmarks_px[list(JAW)], face_frame(landmarks_px).height
        found = under_jaw(jaw, height, frame.shape[:2], INTO_JAW)
        return None if found is None else cls(frame, *found)

    def added_to(self, plate: np.ndarray, head: np.ndarray, body: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A plate (S, S, 3) and its body's matte (S, S), uint8 both, with it; head: (S, S) uint8, the head's matte."""
        plate, body = plate.copy(), body.copy()
        plate[self.window] = to_bytes(mixed(plate[self.window], self.frame[self.window], self.strip))
        more = cv2.multiply(head[self.window], self.strip, dtype=cv2.CV_8U)
        body[self.window] = cv2.add(body[self.window], more)
        return plate, body


@dataclass(frozen=True)
class Apart:
    """A plate to be taken apart.

    Attributes:
        plate, background: (H, W, 3) uint8.
        alpha: (H, W) float32, how much of the plate is body; rest: (H, W) float32, or next to it.
        textured: (H, W) float32, how much of it has its own texture.
        lowest: (W) float32, each column's lowest row of the head.
        face_height: pixels.
    """

    plate: np.ndarray
    background: np.ndarray
    alpha: np.ndarray
    rest: np.ndarray
    textured: np.ndarray
    lowest: np.ndarray
    face_height: float

    def by_kernel(self) -> tuple[np.ndarray, np.ndarray]:
        """As `by_numpy`, compiled."""
        from .layer_kernels import neck_texture, premultiply, take_apart

        texture, light = self._texture(), self._light()
        start, left, table = np.empty(0, np.float32), 0, np.empty((0, 0, 3), np.float32)
        if texture is not None:
            plate, alpha = self.plate[texture.part], self.alpha[texture.part]
            blurred = np.empty((*alpha.shape, 4), np.float32)
            premultiply(plate, alpha, blurred)
            blurred = low_frequencies(blurred, texture.sigma)
            start, left = texture.start, texture.part[1].start
            table = np.empty((texture.strip + 1, len(start), 3), np.float32)
            first = start - np.float32(texture.part[0].start)
            neck_texture(plate, blurred, alpha, first, np.float32(_TEXTURE_LEVELS), table)
        body, behind = (np.empty((*self.alpha.shape, 4), np.uint8) for _ in range(2))
        take_apart(
            self.plate, self.background, light, self.alpha, self.rest, self.textured, start, table, left, body, behind,
        )  # fmt: skip
        return body, behind

    def by_numpy(self) -> tuple[np.ndarray, np.ndarray]:
        """`body` and `behind` of a `BodyLayer`; the kernels' oracle, and what runs without Numba."""
        plate, alpha, rest = self.plate, self.alpha, self.rest
        clean = cv2.add(self.background, self._light(), dtype=cv2.CV_32F)
        behind = cv2.merge([*cv2.split(plate + rest[..., None] * (clean - plate)), 255.0 * rest])
        colour = plate - (1.0 - alpha)[..., None] * clean
        if (texture := self._texture()) is not None:
            texture.add_to(colour, plate, alpha, self.textured)
        opaque = 255.0 * alpha
        layer = cv2.merge([*(cv2.min(plane, opaque) for plane in cv2.split(colour)), opaque])
        layer, behind = (cv2.convertScaleAbs(np.maximum(part, 0.0)) for part in (layer, behind))
        return layer, behind

    def _light(self) -> np.ndarray:
        """(H, W, 3) float32: the difference between plate and background where nothing of the body is, extended smoothly."""
        known = 1.0 - self.rest
        size = known.shape[::-1]
        small = (max(1, size[0] // 8), max(1, size[1] // 8))
        plate_small, background_small, weight = (
            cv2.resize(part, small, interpolation=cv2.INTER_AREA) for part in (self.plate, self.background, known)
        )
        difference = cv2.subtract(plate_small, background_small, dtype=cv2.CV_32F)
        light = push_pull(difference, smoothstep(0.8, 1.0, weight).astype(np.float32))
        return cv2.resize(light, size, interpolation=cv2.INTER_LINEAR)

    def _texture(self) -> Texture | None:
        """Of the neck; None where none is below the head."""
        height = len(self.alpha)
        shadow, strip = max(1, round(SHADOW * self.face_height)), max(4, round(1.5 * STRIP * self.face_height))
        start = self.lowest + shadow + 1
        below = np.flatnonzero(self.lowest < height - strip)
        if not below.size:
            return None
        band = slice(max(0, int(start[below].min()) - 2 * strip), min(height, int(start[below].max()) + strip + 1))
        part = band, slice(below[0], below[-1] + 1)
        return Texture(part, start[part[1]].astype(np.float32), strip, 0.015 * self.face_height)


@dataclass(frozen=True)
class Texture:
    """The high frequencies of the visible neck, which its smooth extension behind the head gets as well: mirrored about its upper
    end, column by column.

    Attributes:
        part: rows and columns (h, w) of a plate that it comes from and goes to.
        start: (w) float32, the row where the neck is visible below the head and its shadow.
        strip: so many rows from there are taken.
        sigma: of the low frequencies, pixels.
    """

    part: tuple[slice, slice]
    start: np.ndarray
    strip: int
    sigma: float

    def add_to(self, colour: np.ndarray, plate: np.ndarray, alpha: np.ndarray, textured: np.ndarray) -> None:
        """Add it to (H, W, 3) float32, the plate's colour times alpha, where that has none."""
        (band, _), strip, start = self.part, self.strip, self.start
        plate, alpha = plate[self.part], alpha[self.part]
        weighted, weight = (low_frequencies(part, self.sigma) for part in (plate * alpha[..., None], alpha))
        high = plate - weighted / (weight[..., None] + 1e-3)
        # An edge of the collar or a strand of hair is no texture.
        calm = smoothstep(
            _TEXTURE_LEVELS, 0.5 * _TEXTURE_LEVELS, cv2.blur(np.maximum.reduce(cv2.split(np.abs(high))), (5, 5))
        )
        high *= (calm * smoothstep(0.9, 1.0, alpha))[..., None]
        rows = np.arange(band.start, band.stop, dtype=np.float32)[:, None]
        above = np.maximum(start - rows, 0.0)
        mirrored = start + strip - np.abs(strip - np.mod(above, 2 * strip)) - band.start
        columns = np.broadcast_to(np.arange(alpha.shape[1], dtype=np.float32), alpha.shape)
        moved = cv2.remap(
            high.astype(np.float32), np.ascontiguousarray(columns), mirrored.astype(np.float32), cv2.INTER_NEAREST
        )
        # Mirrored twice it would be seen as a pattern.
        fade = (above > 0) * smoothstep(2 * strip, strip, above) * smoothstep(0.3, 0.8, alpha)
        fade = fade * (1.0 - textured[self.part])
        colour[self.part] += moved * fade[..., None].astype(np.float32)


def _alpha(
    head: np.ndarray, body: np.ndarray, face_height: float, bridge_px: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How much of the plate is body, (H, W) float32, its extension behind the head included; and each column's lowest
    row of the head."""
    head, body = head * np.float32(1 / 255), body * np.float32(1 / 255)
    coverage, lowest = neck_coverage(head > 0.02, body, face_height, bridge_px)
    return np.maximum(body, coverage * smoothstep(0.5, 1.0, head + body)).astype(np.float32), lowest


def _window(near: np.ndarray, margin: int, side: int) -> tuple[slice, slice]:
    """The bounding box of what is true in (S / STEP, S / STEP), with a margin, in pixels of the working frame."""
    parts = []
    for axis in (1, 0):
        found = np.flatnonzero(near.any(axis=axis)) * STEP
        parts.append(slice(max(0, found[0] - margin), min(side, found[-1] + STEP + margin)))
    return parts[0], parts[1]
