"""What covers the face, found in all frames of a workspace: `covers/`, and the plate that keeps it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...workspace.arrays import smoothstep
from ...workspace.frame_rate import frames_of
from ...workspace.images import read_image, write_image
from ...workspace.store import Workspace
from ..fill import push_pull
from ..pixels import mixed, to_bytes
from .head_map import SIDE
from .search import CARRIED_S, LEAST_FRAMES, CoverFinder, bridged, runs_of, within

Each = Callable[[Callable[[int], None], list[int], Callable[[int], None]], None]


def write_covers(
    workspace: Workspace,
    landmarks_px: np.ndarray,
    usable: np.ndarray,
    each: Each,
    progress: Callable[[int, int], None],
) -> str | None:
    """Write a matte for every frame in which something covers the face.

    Args:
        landmarks_px, usable: (N, 478, 2) and (N), smooth.
        each: does work for all frames given on all cores, and calls back with how many are done.
        progress: takes how many frames are done, and of how many.

    Returns:
        A sentence about what was found; None where nothing was.
    """
    frames = np.flatnonzero(usable).tolist()
    if len(frames) < LEAST_FRAMES:
        return None
    finder = CoverFinder(landmarks_px, usable)

    def read(index: int) -> np.ndarray:
        return read_image(workspace.frame_path(index), divisor=finder.divisor)

    finder.fit([read(index) for index in finder.samples])
    found: dict[int, np.ndarray] = {}

    def search(index: int) -> None:
        seeds = finder.seeds(index, read(index))
        if seeds is not None:
            found[index] = np.packbits(seeds)  # long clips have many frames

    # A cover is there for longer than a frame: every second one is searched, and what is near those that show it.
    even = [index for index in frames if index % 2 == 0]
    each(search, even, lambda done: progress(done, len(even)))
    rate, unsearched = workspace.subject.rate, {index for index in frames if index % 2}
    while near_found := unsearched & within(found, bridged(rate)):
        each(search, sorted(near_found), lambda done: progress(len(even), len(even)))
        unsearched -= near_found
    runs, allowed, carried = runs_of(found, rate), set(frames), frames_of(CARRIED_S, rate)
    near: dict[int, int] = {}
    for run in runs:  # frames at the ends and in gaps take their neighbour's
        members = set(run)
        for index in range(run[0] - carried, run[-1] + carried + 1):
            if index in allowed:
                near[index] = index if index in members else min(run, key=lambda other: abs(other - index))
    shares: dict[int, float] = {}

    def draw(index: int) -> None:
        frame = read(index)
        seeds = np.unpackbits(found[near[index]]).reshape(SIDE, SIDE) > 0
        if near[index] != index:
            seeds = finder.carried(index, frame, seeds)
        if seeds.any():
            matte, shares[index] = finder.matte(index, frame, seeds, workspace.subject.size)
            write_image(workspace.cover_path(index), matte[..., None])

    each(draw, sorted(near), lambda done: progress(len(frames), len(frames)))
    return _describe(workspace, runs, shares) if shares else None


def with_cover(plate: np.ndarray, frame: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """The plate with what is before the head in it.

    Where the cover's border is soft the plate has the cover's own colour, without the face in it: the head is cut out by the
    same matte, so the two together are cover over head.

    Args:
        plate, frame: (S, S, 3) uint8.
        cover: (S, S) uint8.
    """
    rows, columns = np.flatnonzero((cover > 2).any(1)), np.flatnonzero((cover > 2).any(0))
    if not rows.size:
        return plate
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    matte, part = cover[window].astype(np.float32) / 255.0, frame[window].astype(np.float32)
    pure = smoothstep(0.9, 1.0, matte)
    if pure.max() <= 0:
        return plate
    own = mixed(push_pull(part, pure), part, pure)
    result = plate.copy()
    result[window] = to_bytes(mixed(plate[window], np.clip(own, 0, 255), smoothstep(0.0, 0.4, matte)))
    return result


def _describe(workspace: Workspace, runs: list[list[int]], shares: dict[int, float]) -> str:
    rate = workspace.subject.fps
    times = [f"{run[0] / rate:.1f} to {(run[-1] + 1) / rate:.1f} s" for run in runs]
    shown = ", ".join(times[:4]) + (f" and {len(times) - 4} times more" if len(times) > 4 else "")
    return (
        f"Something covers the face in {len(shares)} of {workspace.subject.frames} frames ({shown}; up to "
        f"{100 * max(shares.values()):.0f} % of the face): it is not trained on and stays over the rendered head. If that is "
        "wrong, process again with --no-covers."
    )
