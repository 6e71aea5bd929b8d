"""Holes of the background: lines and textures continue into them, and nothing else changes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backend.portrait_sync import exemplar
from backend.portrait_sync.background import fill_unseen
from backend.portrait_sync.exemplar import Exemplars, breaks, continue_into

SIDE = 256
HOLE = cv2.ellipse(np.zeros((SIDE, SIDE), np.uint8), (130, 120), (40, 60), 0, 0, 360, 1, -1) > 0


def shelf(step: int = 1) -> np.ndarray:
    """A wall above a slanted edge, upright stripes of 8 pixels below it; `step` times as large."""
    rows, columns = np.mgrid[: step * SIDE, : step * SIDE] // step
    below = rows > edge(columns)
    stripes = np.where(columns // 8 % 2, 200, 60)
    return np.where(below[..., None], stripes[..., None], (90, 110, 130)).astype(np.uint8)


def edge(columns: np.ndarray) -> np.ndarray:
    return 110 + 0.1 * columns


def filled(image: np.ndarray, hole: np.ndarray = HOLE) -> tuple[np.ndarray, np.ndarray]:
    """By copies and smoothly; beneath the hole is what must not be copied."""
    given = np.where(hole[..., None], (255, 0, 255), image).astype(np.uint8)
    smooth = fill_unseen(given, ~hole)
    return continue_into(smooth, ~hole, len(image)), smooth


def error(image: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    return float(np.sqrt(((image.astype(float) - truth)[where] ** 2).mean()))


@pytest.mark.parametrize("step", [1, 2])
def test_an_edge_and_stripes_continue_into_a_hole(step) -> None:
    truth, hole = shelf(step), HOLE.repeat(step, 0).repeat(step, 1)
    image, smooth = filled(truth, hole)
    assert error(image, truth, hole) < 0.6 * error(smooth, truth, hole)
    near = hole & (cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 5) < 0.08 * len(truth))
    assert error(image, truth, near) < 0.5 * error(smooth, truth, near)
    grey = image.mean(axis=2)
    for column in (100, 108, 156, 164):  # in the middle of stripes
        expected = edge(np.array(column))
        window = grey[step * int(expected - 20) : step * int(expected + 20), step * column + step // 2]
        found = np.argmax(np.abs(np.diff(window))) / step + int(expected - 20)
        assert abs(found - expected) <= 2.0


def test_nothing_known_changes_and_the_same_comes_out_again() -> None:
    truth = shelf()
    image, smooth = filled(truth)
    assert np.array_equal(image[~HOLE], truth[~HOLE])
    assert (image != smooth)[HOLE].any()
    assert np.array_equal(image, filled(truth)[0])


def test_a_flat_wall_stays_flat_and_a_shaded_one_has_no_seams() -> None:
    flat = np.full((SIDE, SIDE, 3), (70, 120, 160), np.uint8)
    assert np.array_equal(filled(flat)[0], flat)
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(float)
    shaded = np.rint(80 + 0.3 * columns + 0.2 * rows)[..., None].repeat(3, 2).astype(np.uint8)
    image, _ = filled(shaded)
    steps = [np.abs(np.diff(image[..., 0].astype(int), axis=axis)).max() for axis in (0, 1)]
    assert max(steps) <= 5
    assert error(image, shaded, HOLE) < 6.0


def test_what_hides_the_background_is_never_copied() -> None:
    image, _ = filled(shelf())
    assert image[..., 1].min() >= 50, "the hole's magenta has none of green"


def test_a_rim_with_traces_of_what_hides_the_background_is_not_continued() -> None:
    truth = np.full((SIDE, SIDE, 3), (90, 110, 130), np.uint8)
    truth[::16] = 60
    rim = cv2.dilate(HOLE.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ~HOLE
    traced = truth.copy()
    traced[rim] = (200, 110, 130)
    image, smooth = filled(traced)
    assert error(image, truth, HOLE) < 0.4 * error(smooth, truth, HOLE)


def test_where_nothing_can_be_copied_the_smooth_filling_stays() -> None:
    smooth = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    for known in (np.zeros((64, 64), bool), np.ones((64, 64), bool), np.eye(64) > 0):
        assert np.array_equal(continue_into(smooth, known, 64), smooth)


def test_a_mosaic_is_filled_in_the_cells_of_a_frame() -> None:
    truth = np.concatenate([shelf(), shelf()[:, ::-1]], axis=1)
    hole = np.concatenate([HOLE, np.zeros_like(HOLE)], axis=1)
    smooth = fill_unseen(truth, ~hole)
    image = continue_into(smooth, ~hole, SIDE)
    assert error(image, truth, hole) < 0.6 * error(smooth, truth, hole)


def test_the_compiled_search_finds_what_plain_operations_find() -> None:
    pytest.importorskip("numba")
    random = np.random.default_rng(0)
    small = cv2.resize(random.uniform(0, 60, (24, 24, 3)).astype(np.float32), (96, 96), interpolation=cv2.INTER_CUBIC)
    small += random.normal(0, 3, small.shape).astype(np.float32)
    todo = cv2.resize(HOLE.astype(np.uint8), (96, 96), interpolation=cv2.INTER_NEAREST) > 0
    exemplars = Exemplars(small, ~todo, todo)
    found = 0
    for row, column in np.argwhere(todo & (cv2.erode(todo.astype(np.uint8), np.ones((3, 3))) == 0))[::7]:
        source, change = exemplars.best(row, column)
        expected, its_change = exemplars.best_by_numpy(row, column)
        assert source == expected
        assert np.allclose(change, its_change, atol=1e-3)
        found += source is not None
    assert found >= 3


def test_a_hole_is_filled_without_compiled_kernels_too(monkeypatch) -> None:
    truth, hole = shelf()[50:160, 50:210], HOLE[50:160, 50:210]
    monkeypatch.setattr(exemplar, "has_numba", lambda: False)
    smooth = fill_unseen(truth, ~hole)
    image = continue_into(smooth, ~hole, 160)
    assert error(image, truth, hole) < 0.7 * error(smooth, truth, hole)
    assert np.array_equal(image[~hole], truth[~hole])


def test_a_copy_breaks_off_where_another_colour_follows_than_where_it_comes_from() -> None:
    image = np.where(np.arange(64)[None, :, None] < 32, 100, 200).astype(np.uint8).repeat(64, 0).repeat(3, 2)
    known = np.abs(np.arange(64) - 35.5) > 8
    known = np.broadcast_to(known, (64, 64))
    offsets = np.zeros((64, 64, 2), int)
    offsets[:, :36, 1], offsets[:, 36:, 1] = -16, 16  # the edge is copied to where it is not: at 36 in place of 32
    joined = np.where(np.arange(64)[None, :, None] < 36, 100.0, 200.0).repeat(64, 0).repeat(3, 2).astype(np.float32)
    found = breaks(image, known, joined, offsets, np.zeros((64, 64, 3)))
    assert found[:, 34:38].any(axis=1).all()
    assert not found[known].any()
    offsets[:, :, 1], joined[:] = -20, 100.0  # one front, which meets a wall of another colour on its right
    found = breaks(image, known, np.where(known[..., None], image, joined), offsets, np.zeros((64, 64, 3)))
    assert found[:, 40:44].any(axis=1).all() and not found[:, 28:36].any()
