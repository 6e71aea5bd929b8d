"""Filling holes in images with copies of what is around them, so that lines and textures continue into them (Criminisi, Perez and
Toyama 2004, "Region filling and object removal by exemplar-based image inpainting").

Where to copy from is found at a small size, in cells; the pixels are those of the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

from ..compilation import has_numba
from ..workspace.arrays import smoothstep
from .fill import disc, push_pull

CELLS = 192
"""Cells along the side of a frame; not smaller than a pixel."""
RADIUS = 6
"""Of a patch, in cells: it is two of these and one wide."""
RIM = 2
"""Cells next to a hole that are not copied: they may have a trace of what hides it."""
REACH = 64
"""How far a patch is copied, in cells."""
BAND = (0.12, 0.2)
"""How deep a hole is filled with copies, in sides of the frame; from the first on they pass over into what is filled smoothly. Further
in, copies that come from two sides meet and do not fit."""
LIMIT = 8.0
"""A patch's colour is changed by up to this much, in 8-bit levels, where a wall gets darker."""
SEAM = 12.0
"""Differences at the border of two patches that are removed: about so many levels. Larger ones are edges."""
BREAK = 20.0
"""A copy breaks off where what follows it is so unlike what follows where it comes from, 8-bit levels."""
SOFT = 0.008
"""Around such a place it is filled smoothly, so far, in sides of the frame: an edge that nothing continues looks torn."""
WORST = 25.0
"""Root mean square of the differences, in 8-bit levels, of a patch that fits too badly to be copied: there, fronts from two sides
have met."""
_PRICES = np.array([0.3, 0.2, 0.03], np.float32)
"""Of a change of colour, squared; of a source `REACH` away, as a share; of what a patch brings that is unlike the smooth filling,
squared."""
_FLAT = 0.02
"""Priority of a border that no edge meets: one that an edge of 64 levels a cell meets has 1 more."""
_PULL = 1e-3
"""Changes of colour that nothing asks for die away within the square root of its inverse, in cells."""


def continue_into(smooth: np.ndarray, known: np.ndarray, side: int) -> np.ndarray:
    """Replace what was filled smoothly by what continues from around it.

    Args:
        smooth: (H, W, 3) uint8, its holes filled smoothly.
        known: (H, W) bool, False in the holes.
        side: of a frame, pixels: the unit of `BAND` and of the cells.

    Returns:
        (H, W, 3) uint8, equal to `smooth` where `known`.
    """
    height, width = known.shape
    step = max(1.0, side / CELLS)
    size = max(1, round(width / step)), max(1, round(height / step))
    cells = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.999
    away = cv2.distanceTransform((~cells).astype(np.uint8), cv2.DIST_L2, 5)
    band = CELLS * min(1.0, side / CELLS) * np.array(BAND)
    small = cv2.resize(smooth, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    core = _eroded(cells, RIM, beyond=True)
    exemplars = Exemplars(small, core, ~core & (away < band[1]))
    exemplars.copy()
    if not exemplars.copied.any():
        return smooth
    change = seam_changes(small, cells, exemplars.copied, exemplars.offsets)
    copies, found = copied_pixels(smooth, known, exemplars.copied, exemplars.offsets, change)
    joined = np.where(known[..., None], smooth, copies).astype(np.float32)
    joined = push_pull(joined, (known | found).astype(np.float32))
    broken = breaks(smooth, known, joined, exemplars.offsets, change) & found
    found &= cv2.dilate(broken.astype(np.uint8), disc(SOFT * side)) == 0
    depth = cv2.resize(away, (width, height), interpolation=cv2.INTER_LINEAR)
    weight = np.where(known, 1.0, found * smoothstep(band[1], band[0], depth))
    filled = push_pull(np.where(known[..., None], smooth, copies).astype(np.float32), weight.astype(np.float32))
    return np.where(known[..., None], smooth, np.clip(np.rint(filled), 0, 255).astype(np.uint8))


@dataclass
class Exemplars:
    """An image whose holes are filled patch by patch, those first that are best known and that an edge runs into.

    Attributes:
        image: (h, w, 3) float32, 0 to 255, filled smoothly; holes are filled in it.
        core: (h, w) bool, what is copied.
        todo: (h, w) bool, what is to be filled.
    """

    image: np.ndarray
    core: np.ndarray
    todo: np.ndarray

    def __post_init__(self) -> None:
        self.image, self.todo = self.image.copy(), self.todo.copy()
        self.filled = self.core.copy()
        self.sources = _eroded(self.core, RADIUS)
        self.copied = np.zeros_like(self.core)
        """(h, w) bool: what was filled."""
        self.offsets = np.zeros((*self.core.shape, 2), np.int32)
        """(h, w, 2): rows and columns from a cell that was filled to where it was copied from."""
        self._confidence = self.core.astype(np.float32)
        self._priority = np.zeros(self.core.shape, np.float32)

    def copy(self) -> None:
        """Fill all that has a patch to copy within reach."""
        if not self.sources.any():
            return
        height, width = self.core.shape
        self._prioritise(0, height, 0, width)
        while True:
            row, column = divmod(int(np.argmax(self._priority)), width)
            if self._priority[row, column] <= 0.0:
                return
            source, change = self.best(row, column)
            if source is None:
                self.todo[row, column], self._priority[row, column] = False, 0.0
                continue
            rows, columns = _around(row, RADIUS, height), _around(column, RADIUS, width)
            part = rows, columns
            new = ~self.filled[part]
            offset = source[0] - row, source[1] - column
            there = tuple(slice(axis.start + by, axis.stop + by) for axis, by in zip(part, offset, strict=True))
            self.image[part][new] = self.image[there][new] + change
            self._confidence[part][new] = self._confidence[part][~new].sum() / (2 * RADIUS + 1) ** 2
            self.offsets[part][new] = offset
            self.copied[part] |= new
            self.filled[part], self.todo[part] = True, False
            rows, columns = _around(row, 2 * RADIUS + 2, height), _around(column, 2 * RADIUS + 2, width)
            self._prioritise(rows.start, rows.stop, columns.start, columns.stop)

    def best(self, row: int, column: int) -> tuple[tuple[int, int] | None, np.ndarray]:
        """The centre of the patch to copy to a place, None without one, and (3) float32, what is added to its colour."""
        if not has_numba():
            return self.best_by_numpy(row, column)
        from .exemplar_kernels import best_source

        change = np.zeros(3, np.float32)
        given = (row, column), RADIUS, REACH, np.float32(LIMIT), np.float32(3.0 * WORST**2), _PRICES
        source = best_source(self.image, self.sources, self.filled, *given, change)
        return (source if source[0] >= 0 else None), change

    def best_by_numpy(self, row: int, column: int) -> tuple[tuple[int, int] | None, np.ndarray]:
        """`best`'s oracle, and what runs without Numba."""
        height, width = self.core.shape
        rows, columns = _around(row, REACH, height), _around(column, REACH, width)
        centres = np.argwhere(self.sources[rows, columns]) + np.array((rows.start, columns.start))
        if not len(centres):
            return None, np.zeros(3, np.float32)
        rows, columns = _around(row, RADIUS, height), _around(column, RADIUS, width)
        known = self.filled[rows, columns]
        places = np.argwhere(np.ones_like(known)) + np.array((rows.start - row, columns.start - column))
        is_known = known.ravel()
        here = self.image[row + places[:, 0], column + places[:, 1]]
        flat = (centres @ (width, 1))[:, None] + places @ (width, 1)
        difference = here - self.image.reshape(-1, 3)[flat]
        square, count = (difference**2).sum(axis=2), is_known.sum()
        total = difference[:, is_known].sum(axis=1)
        change = np.clip(total / count, -LIMIT, LIMIT)
        cost = square[:, is_known].sum(axis=1) - 2.0 * (total * change).sum(axis=1)
        cost += (1.0 + _PRICES[0]) * count * (change**2).sum(axis=1) + _PRICES[2] * square[:, ~is_known].sum(axis=1)
        cost *= 1.0 + _PRICES[1] * np.linalg.norm(centres - (row, column), axis=1) / REACH
        best = int(np.argmin(cost))
        if cost[best] >= 3.0 * WORST**2 * count:
            return None, np.zeros(3, np.float32)
        return (int(centres[best, 0]), int(centres[best, 1])), change[best]

    def _prioritise(self, top: int, bottom: int, left: int, right: int) -> None:
        """Compute the priorities of these rows and columns: confidence times how strong an edge runs into the border."""
        margin = RADIUS + 3
        height, width = self.core.shape
        rows = slice(max(0, top - margin), min(height, bottom + margin))
        columns = slice(max(0, left - margin), min(width, right + margin))
        part = rows, columns
        filled = self.filled[part].astype(np.uint8)
        border = self.todo[part] & (cv2.dilate(filled, np.ones((3, 3), np.uint8)) > 0)
        border[: top - rows.start] = border[bottom - rows.start :] = False
        border[:, : left - columns.start] = border[:, right - columns.start :] = False
        grey = self.image[part].mean(axis=2)
        inside = _eroded(self.filled[part], 1)
        across, down = (inside * cv2.Sobel(grey, cv2.CV_32F, *axis, scale=0.125) for axis in ((1, 0), (0, 1)))
        strength = across**2 + down**2
        soft = cv2.GaussianBlur(filled.astype(np.float32), (0, 0), 1.5)
        normal_x, normal_y = (cv2.Sobel(soft, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1)))
        length = np.sqrt(normal_x**2 + normal_y**2) + 1e-6
        window = 2 * RADIUS + 1, 2 * RADIUS + 1
        confidence = cv2.boxFilter(self._confidence[part], -1, window, borderType=cv2.BORDER_CONSTANT)
        priority = np.zeros(filled.shape, np.float32)
        for row, column in np.argwhere(border):
            near = _around(row, RADIUS, filled.shape[0]), _around(column, RADIUS, filled.shape[1])
            strongest = np.unravel_index(np.argmax(strength[near]), strength[near].shape)
            x, y = across[near][strongest], down[near][strongest]
            edge = abs(x * normal_y[row, column] - y * normal_x[row, column]) / length[row, column]
            priority[row, column] = confidence[row, column] * (edge / 64.0 + _FLAT)
        inner = slice(top - rows.start, bottom - rows.start), slice(left - columns.start, right - columns.start)
        self._priority[top:bottom, left:right] = priority[inner]


def seam_changes(small: np.ndarray, known: np.ndarray, copied: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """What is added to copies so that small differences vanish between neighbours, and to what is known (a Poisson equation whose
    couplings are weak where the difference is large: an edge).

    Args:
        small: (h, w, 3) float32, 0 to 255.
        known, copied: (h, w) bool.
        offsets: (h, w, 2) int, see `Exemplars`; not read where nothing was copied.

    Returns:
        (h, w, 3) float32, zero where it is known.
    """
    height, width = known.shape
    free = copied & ~known
    offsets = np.where(free[..., None], offsets, 0)
    number = np.where(free, np.cumsum(free).reshape(free.shape) - 1, -1)
    places = np.stack(np.mgrid[:height, :width], axis=-1)
    count = int(free.sum())
    diagonal, right_side = np.full(count, _PULL), np.zeros((count, 3))
    first, second, coupling = [], [], []
    for ahead, behind in (
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
    ):
        joined = (free[ahead] | free[behind]) & (free | known)[ahead] & (free | known)[behind]
        one, other = (number[part][joined] for part in (ahead, behind))
        jump, times = np.zeros((len(one), 3)), np.zeros(len(one))
        for at in (places[ahead][joined], places[behind][joined]):
            values, both = np.zeros((len(one), 3)), np.ones(len(one), bool)
            for offset, sign in ((offsets[behind][joined], 1.0), (offsets[ahead][joined], -1.0)):
                row, column = np.clip(at + offset, 0, (height - 1, width - 1)).T
                values += sign * small[row, column]
                both &= known[row, column]
            jump += both[:, None] * values
            times += both
        jump /= np.maximum(times, 1.0)[:, None]
        weight = (times > 0) * np.exp(-((np.abs(jump).max(axis=1) / SEAM) ** 2))
        for index, sign in ((one, 1.0), (other, -1.0)):
            mine = index >= 0
            np.add.at(diagonal, index[mine], weight[mine])
            np.add.at(right_side, index[mine], sign * (weight[:, None] * jump)[mine])
        pair = (one >= 0) & (other >= 0)
        first += [one[pair], other[pair]]
        second += [other[pair], one[pair]]
        coupling += [-weight[pair]] * 2
    rows, columns = (np.concatenate([*parts, np.arange(count)]) for parts in (first, second))
    matrix = sparse.csc_matrix((np.concatenate([*coupling, diagonal]), (rows, columns)), shape=(count, count))
    change = np.zeros((height, width, 3), np.float32)
    change[free] = spsolve(matrix, right_side)
    return change


def copied_pixels(
    image: np.ndarray, known: np.ndarray, copied: np.ndarray, offsets: np.ndarray, change: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of holes as their cells say; between cells of two patches that nearly agree they are mixed.

    Args:
        image: (H, W, 3) uint8; known: (H, W) bool.
        copied, offsets, change: of (h, w) cells, see `seam_changes`.

    Returns:
        (H, W, 3) float32, and (H, W) bool, where there are copies.
    """
    height, width = known.shape
    ratio = np.array([height / len(copied), width / copied.shape[1]])
    pixels = np.argwhere(~known)
    at = (pixels + 0.5) / ratio - 0.5
    corner = np.floor(at).astype(int)
    shares = (at - corner).astype(np.float32)
    own = _nearest_cells(at, copied.shape)

    def copies(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        row, column = cells.T
        sources = pixels + np.rint(offsets[row, column] * ratio).astype(int)
        is_inside = ((sources >= 0) & (sources < (height, width))).all(axis=1) & copied[row, column]
        source_row, source_column = np.where(is_inside[:, None], sources, 0).T
        found = is_inside & known[source_row, source_column]
        return image[source_row, source_column] + change[row, column], found

    colour, found = copies(own)
    total, weight = np.zeros_like(colour), np.zeros(len(pixels), np.float32)
    for y in (0, 1):
        for x in (0, 1):
            other, valid = copies(np.clip(corner + np.array((y, x)), 0, np.array(copied.shape) - 1))
            share = np.abs(1 - y - shares[:, 0]) * np.abs(1 - x - shares[:, 1])
            alike = np.exp(-(((other - colour) / SEAM) ** 2).sum(axis=1))
            share *= valid * alike
            total += share[:, None] * other
            weight += share
    values, where = np.zeros(image.shape, np.float32), np.zeros(known.shape, bool)
    row, column = pixels.T
    values[row, column] = np.where(found[:, None], total / np.maximum(weight, 1e-6)[:, None], 0.0)
    where[row, column] = found
    return values, where


def breaks(
    image: np.ndarray, known: np.ndarray, joined: np.ndarray, offsets: np.ndarray, change: np.ndarray
) -> np.ndarray:
    """Where a pixel is followed by another than where it was copied from: by another copy next to it, or beyond a gap or a rim.

    Args:
        image: (H, W, 3) uint8; known: (H, W) bool.
        joined: (H, W, 3) float32, the image with its copies.
        offsets, change: of (h, w) cells, see `seam_changes`.

    Returns:
        (H, W) bool; False where it is known.
    """
    shape = np.array(known.shape)
    ratio = shape / offsets.shape[:2]
    places = np.argwhere(~known)
    row, column = _nearest_cells((places + 0.5) / ratio - 0.5, offsets.shape[:2]).T
    source, changed = places + np.rint(offsets[row, column] * ratio).astype(int), change[row, column]
    found = np.zeros(len(places), bool)
    # An edge may be off by a cell.
    near = np.ones((2 * round(float(ratio.max())) + 1,) * 2, np.uint8)
    least, most = cv2.erode(joined, near), cv2.dilate(joined, near)
    for steps in (1, max(2, round((RIM + 1) * float(ratio.max())))):
        for step in ((0, steps), (0, -steps), (steps, 0), (-steps, 0)):
            here, there = (np.clip(at + step, 0, shape - 1).T for at in (places, source))
            expected = image[there[0], there[1]] + changed
            apart = np.maximum(expected - most[here[0], here[1]], least[here[0], here[1]] - expected).max(axis=1)
            is_rim = known[here[0], here[1]] & (steps == 1)
            found |= known[there[0], there[1]] & (apart > BREAK) & ~is_rim
    result = np.zeros(known.shape, bool)
    result[tuple(places.T)] = found
    return result


def _nearest_cells(at: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(n, 2) int: the cells next to (n, 2) places, in cells."""
    return np.clip(np.rint(at).astype(int), 0, np.array(shape) - 1)


def _around(centre: int, radius: int, length: int) -> slice:
    return slice(max(0, centre - radius), min(length, centre + radius + 1))


def _eroded(mask: np.ndarray, radius: int, beyond: bool = False) -> np.ndarray:
    """What is True in all of the square around; `beyond` is the value beyond the image's edge."""
    element = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    return cv2.erode(mask.astype(np.uint8), element, borderType=cv2.BORDER_CONSTANT, borderValue=int(beyond)) > 0
