"""The footage's own hair and ears as a layer: put over a rendered head it brings each strand, where and how it hangs in that frame."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import cv2
import numpy as np

from ..compilation import has_numba
from ..workspace.shapes import UInt8
from .beyond_frame import CROWN_BAND, crown_above
from .fill import dilated, push_pull
from .head_region import BROW, FACE_OVAL, FaceFrame, face_frame, face_oval
from .matte_doubt import HairColours, no_doubt, with_least_alpha
from .pixels import HALVED_PX, halved, to_bytes

SPREAD = 0.05
"""How far about the hair the frame is taken, in face heights: loose strands, and what a rendered head shows beyond them."""
CLEAR = 0.15
"""How far about the hair the frame is taken where speech changes nothing, in face heights: there a rendered head may leave faint
strands."""
CLEAR_OF_FACE = 0.03
"""Standard deviation of the distance that this keeps from the face, which moves with the speech, in face heights."""
EARS = (0.14, 0.22)
"""How high above the chin all counts that is beside the face, in face heights: the ears, which speech does not move."""
EAR_WIDTH = 0.2
"""How far beside the face that is, with a border of `SPREAD`."""
CUT = 0.25
"""Where the image cuts hair off at its sides, it passes over into the rendered hair, as wide at most, in face heights."""
CROWN = 0.3
"""How far a crown that the image cuts off is continued at most, in face heights."""
DOUBT_MOVED = 0.05
"""Moved so far, in face heights, a layer's doubt counts in full."""
AROUND_PIECE = 0.06
"""How far about a piece of wall next to a cut the crown's colour is that of the hair nearby, in face heights."""
EDGE = 0.005
"""Standard deviation by which the outline of hair that is moved is softened, in face heights: else the steps of its matte are seen."""
SOFTNESS = 0.015
"""Standard deviation of its border, in face heights."""
OVAL_SOFTNESS = 0.02
"""The same where it meets the face (`paper_blend.SIGMA`)."""


@dataclass(frozen=True)
class HairLayer:
    """A window of one working frame.

    Attributes:
        x, y, width, height: of the window in the working frame, pixels.
        head: the frame's head, display-encoded colour times alpha, and alpha: over the plate it is the frame.
        weight: where it replaces a rendered head, 0 to 255.
        hair: how much of the head is hair, 0 to 255.
        face_height: from the top of the forehead to the chin, pixels.
        cut: at which edges of the window, left, top and right, the frame ends.
        colours: hair and what is behind it, of the same window.
        doubt: where holes in the head's alpha may be none, and where hair may be none, 0 to 255; (0, 0, 2) of a layer that is not
            moved.
    """

    x: int
    y: int
    head: UInt8[np.ndarray, "height width 4"]
    weight: UInt8[np.ndarray, "height width"]
    hair: UInt8[np.ndarray, "height width"]
    face_height: float
    cut: tuple[bool, bool, bool]
    colours: HairColours
    doubt: UInt8[np.ndarray, "height width 2"] = field(default_factory=no_doubt)

    @property
    def mattes(self) -> UInt8[np.ndarray, "height width 4"]:
        """What the layer's head is of mouth, hair and skin, and its alpha."""
        alpha = self.head[..., 3]
        hair = np.minimum(self.hair, alpha)
        return np.stack([np.zeros_like(alpha), hair, alpha - hair, alpha], -1)

    def moved(self, by_px: float) -> HairLayer:
        """The layer where it is moved so far: its crown is whole, and what the frame cuts off at its sides ends softly, as what
        follows is another image. What is doubted of its matte grows with the motion: where it is not moved, it shows the frame
        whatever its alpha."""
        layer, counts = self._doubted, min(1.0, by_px / (DOUBT_MOVED * self.face_height))
        if counts < 1:
            head = cv2.addWeighted(self._whole.head, 1 - counts, layer.head, counts, 0)
            layer = replace(layer, head=head, doubt=cv2.multiply(layer.doubt, (counts, counts, 0, 0), dtype=cv2.CV_8U))
        width = min(by_px, CUT * self.face_height)
        if width < 0.5 or not (self.cut[0] or self.cut[2]):
            return layer
        across = np.arange(self.width, dtype=np.float32) + 0.5
        left, right = (
            np.minimum(1.0, away / width) if is_cut else np.ones_like(away)
            for is_cut, away in zip(self.cut[::2], (across, across[::-1]), strict=True)
        )
        fading = np.broadcast_to(np.minimum(left, right), layer.weight.shape)
        return replace(layer, weight=cv2.multiply(layer.weight, fading, dtype=cv2.CV_8U))

    @cached_property
    def _whole(self) -> HairLayer:
        """The layer with what the frame's upper edge cuts off."""
        margin, band = self._crown_rows
        if not self.cut[1] or not (crown := crown_above(self._clean, margin, band)).any():
            return self
        hair = np.concatenate([crown[..., 3], self.hair])
        about = _grown(hair, CLEAR * self.face_height, self.face_height)[:margin]
        return replace(
            self,
            y=self.y - margin,
            head=np.concatenate([crown, self.head]),
            weight=np.concatenate([about, self.weight]),
            hair=hair,
            cut=(self.cut[0], False, self.cut[2]),
        )

    @cached_property
    def _doubted(self) -> HairLayer:
        """`_whole` with all that is doubted of its matte."""
        margin = self._whole.height - self.height
        head = np.concatenate([self._whole.head[:margin], self._clean])
        doubt = np.pad(self._doubt, ((margin, 0), (0, 0), (0, 0)))
        return replace(self._whole, head=_with_soft_edges(head, EDGE * self.face_height), doubt=doubt)

    @cached_property
    def _doubt(self) -> np.ndarray:
        return self.colours.doubt(self.weight.shape)

    @cached_property
    def _clean(self) -> np.ndarray:
        """The head, whose hair has the colour of that nearby where it is doubted next to the frame's upper edge: there a crown has no
        outline that would tell it from a wall."""
        if not self.cut[1]:
            return self.head
        near = slice(self._crown_rows[1])
        doubted = dilated(np.ascontiguousarray(self._doubt[near, :, 1]), AROUND_PIECE * self.face_height)[..., None]
        other, alpha = (part.astype(np.float32) / 255 for part in (doubted, self.head[near, :, 3:]))
        colour = self.head[near, :, :3].astype(np.float32)
        sure = alpha * (1.0 - other)
        nearby = push_pull(colour / np.maximum(alpha, 1e-3), sure[..., 0])
        result = self.head.copy()
        result[near, :, :3] = np.rint(np.clip(colour + other * (alpha * nearby - colour), 0, 255 * alpha))
        return result

    @property
    def _crown_rows(self) -> tuple[int, int]:
        """How many rows a crown has at most, and how many below the cut are mirrored for it."""
        return max(1, round(CROWN * self.face_height)), max(1, round(CROWN_BAND * self.face_height))

    @property
    def width(self) -> int:
        return self.weight.shape[1]

    @property
    def height(self) -> int:
        return self.weight.shape[0]


def hair_layer(
    frame: np.ndarray, plate: np.ndarray, mattes: np.ndarray, landmarks_px: np.ndarray, seen: np.ndarray
) -> HairLayer | None:
    """The hair and ears of a frame; None where it shows no hair.

    With the frame C, the plate P and the head's matte α, the layer is (C − (1 − α)·P, α). It counts on the hair and `SPREAD`
    about it, but not on the face: that moves with the speech. Above the brows hair counts inside the face's oval as well, from
    `EARS` on all beside it as far as `EAR_WIDTH`, and what speech does not change as far as `CLEAR`.

    Args:
        frame, plate: (S, S, 3) uint8.
        mattes: (S, S, 4) uint8, of `Workspace.read_matte`.
        landmarks_px: (478, 2).
        seen: (S, S) bool, where the background is known.
    """
    axes = face_frame(landmarks_px)
    hair = cv2.extractChannel(mattes, 1)
    strong = cv2.compare(hair, 127, cv2.CMP_GT)
    if cv2.countNonZero(strong) < (0.02 * axes.height) ** 2:
        return None
    margin = (CLEAR + 4 * SOFTNESS) * axes.height + 1
    x, y, width, height = cv2.boundingRect(strong)
    face, reach = landmarks_px[list(FACE_OVAL)], (EAR_WIDTH + SPREAD) * axes.height
    first = np.minimum((x - margin, y - margin), face.min(0) - reach)
    last = np.maximum((x + width + margin, y + height + margin), (face[:, 0].max() + reach, axes.chin[1]))
    window = tuple(
        slice(max(0, round(begin)), min(limit, round(end)))
        for begin, end, limit in zip(first[::-1], last[::-1], hair.shape, strict=True)
    )
    shown, behind, known = frame[window], plate[window], seen[window]
    opaque = with_least_alpha(mattes[window], shown, behind, known)
    taken = Taken(shown, behind, opaque, landmarks_px - np.array([window[1].start, window[0].start]))
    head, weight = taken.by_kernel() if has_numba() else taken.by_numpy()
    rows, columns = window
    cut = columns.start == 0, rows.start == 0, columns.stop == hair.shape[1]
    own = np.ascontiguousarray(hair[window])
    colours = HairColours.of(shown, behind, opaque, known, taken.landmarks_px)
    return HairLayer(columns.start, rows.start, head, weight, own, axes.height, cut, colours)


@dataclass(frozen=True)
class Taken:
    """The window of a frame that a hair layer is taken from.

    Attributes:
        frame, plate: (H, W, 3) uint8.
        mattes: (H, W, 4) uint8.
        landmarks_px: (478, 2) in the window.
    """

    frame: np.ndarray
    plate: np.ndarray
    mattes: np.ndarray
    landmarks_px: np.ndarray

    def by_kernel(self) -> tuple[np.ndarray, np.ndarray]:
        """As `by_numpy`, compiled."""
        from .layer_kernels import take_hair

        axes, shape = face_frame(self.landmarks_px), self.frame.shape[:2]
        head, weight = np.empty((*shape, 4), np.uint8), np.empty(shape, np.uint8)
        face = axes.chin.astype(np.float32), axes.down.astype(np.float32), np.float32(axes.height)
        ends = np.array(
            [_brow(self.landmarks_px, axes) - 0.05, *EARS, *_sides(self.landmarks_px, axes), SPREAD], np.float32
        )
        take_hair(self.frame, self.plate, self.mattes, self._blurs(axes), *face, ends, head, weight)
        return head, weight

    def by_numpy(self) -> tuple[np.ndarray, np.ndarray]:
        """`head` and `weight` of a `HairLayer`; the kernel's oracle, and what runs without Numba."""
        axes = face_frame(self.landmarks_px)
        face, near, spread, clear = (part.astype(np.float32) / 255 for part in self._blurs(axes))
        across, down = axes.coordinates(face.shape, 1.0)
        above = np.clip((_brow(self.landmarks_px, axes) - 0.05 - down) / 0.05, 0.0, 1.0)
        weight = np.maximum(spread * (1.0 - face), self.mattes[..., 1].astype(np.float32) / 255 * above)
        left, right = _sides(self.landmarks_px, axes)
        ears = np.clip((-EARS[0] - down) / (EARS[1] - EARS[0]), 0.0, 1.0)
        ears = ears * np.clip(np.minimum(across - left, right - across) / SPREAD, 0.0, 1.0)
        weight = np.maximum(weight, ears * (1.0 - face))
        # Speech changes nothing beside the face and the jaw; below the chin, which may open, only where the frame shows the background.
        beside = np.clip((-0.05 - down) / 0.1, 0.0, 1.0)
        still = np.maximum(1.0 - self.mattes[..., 3].astype(np.float32) / 255, beside)
        still = still * (1.0 - np.minimum(2.0 * near, 1.0))
        weight = np.maximum(weight, still * clear)
        alpha = self.mattes[..., :1]
        colour = self.frame.astype(np.float32) - (1.0 - alpha.astype(np.float32) / 255) * self.plate
        head = np.concatenate([np.clip(colour + 0.5, 0, alpha).astype(np.uint8), alpha], 2)
        return head, cv2.convertScaleAbs(255 * weight)

    def _blurs(self, axes: FaceFrame) -> tuple[np.ndarray, ...]:
        """(H, W) uint8 each: the face's oval and its surroundings, which speech moves; what is on the hair and up to `SPREAD` and
        `CLEAR` about it. Borders this soft are drawn at half the size where the face is large."""
        hair = cv2.extractChannel(self.mattes, 1)
        shape, scale = hair.shape, 0.5 if SOFTNESS * axes.height > HALVED_PX else 1.0
        if scale < 1:
            hair = halved(hair)
        height, sigma = scale * axes.height, CLEAR_OF_FACE * scale * axes.height
        oval = to_bytes(face_oval(self.landmarks_px, hair.shape, scale), 255.0)
        face = cv2.GaussianBlur(oval, (0, 0), OVAL_SOFTNESS * height)
        near = cv2.GaussianBlur(dilated(oval, 0.5 * sigma), (0, 0), sigma)
        blurs = face, near, _grown(hair, SPREAD * height, height), _grown(hair, CLEAR * height, height)
        return blurs if scale == 1 else tuple(_doubled(blur, shape) for blur in blurs)


def _with_soft_edges(head: np.ndarray, sigma: float) -> np.ndarray:
    """A premultiplied image whose outline has no steps."""
    alpha, near = np.ascontiguousarray(head[..., 3]), np.ones((3, 3), np.uint8)
    is_edge = cv2.absdiff(cv2.dilate(alpha, near), cv2.erode(alpha, near)) > 0
    return np.where(is_edge[..., None], cv2.GaussianBlur(head, (0, 0), sigma), head)


def _doubled(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) of one of half the size, whose last row and column may lie half outside."""
    height, width = image.shape
    return np.ascontiguousarray(
        cv2.resize(image, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)[: shape[0], : shape[1]]
    )


def _grown(hair: np.ndarray, reach_px: float, face_height: float) -> np.ndarray:
    """(H, W) uint8: 255 on the hair and up to `reach_px` about it, with a soft border."""
    return cv2.GaussianBlur(dilated(hair, reach_px), (0, 0), SOFTNESS * face_height)


def _sides(landmarks_px: np.ndarray, axes: FaceFrame) -> tuple[float, float]:
    """How far across from the chin the ears reach at most, in face heights."""
    across = (landmarks_px[list(FACE_OVAL)] - axes.chin) @ axes.across / axes.height
    return float(across.min()) - EAR_WIDTH - SPREAD, float(across.max()) + EAR_WIDTH + SPREAD


def _brow(landmarks_px: np.ndarray, axes: FaceFrame) -> float:
    """How far the brow is down from the chin, in face heights: above it, with a tenth of those between, hair counts in the face."""
    return float((landmarks_px[BROW] - axes.chin) @ axes.down) / axes.height
