"""The seam measure: 1 for the true frame itself, larger for a pasted edge, smaller for a blurred one, and where it is."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from backend.evaluation.seam import Contour, Seam, seam
from tests.backend.portrait_sync.conftest import draw, ellipse

SIDE = 256


@pytest.fixture(scope="module")
def person() -> dict[str, np.ndarray]:
    """A drawn person: frame, and mattes of head, hair and body."""
    scene = draw(count=1, size=SIDE, noise=2.0)
    head = scene.head[0]
    hair = head * (np.arange(SIDE)[:, None] < 0.3 * SIDE)
    mattes = {"head": head, "hair": hair, "body": scene.person[0] * (1 - head)}
    return {"frame": scene.frames[0]} | {name: np.rint(255 * matte).astype(np.uint8) for name, matte in mattes.items()}


def measured(person: dict[str, np.ndarray], image: np.ndarray) -> Seam:
    return seam(image, person["frame"], Contour.of(person["head"]), person["hair"], person["body"])


def lighter(person: dict[str, np.ndarray], where: np.ndarray, levels: int = 60) -> np.ndarray:
    """The frame with a cast inside `where`, as of a head pasted without blending."""
    image = person["frame"].astype(int) + levels * (where > 0)[..., None]
    return np.clip(image, 0, 255).astype(np.uint8)


def test_the_true_frame_has_the_seam_of_the_true_frame(person):
    found = measured(person, person["frame"])
    assert (found.ratio, found.hair, found.jaw, found.worst) == (1, 1, 1, 1)


def test_a_pasted_edge_is_more_and_a_blurred_one_less(person):
    pasted = lighter(person, (person["head"] > 127) & (np.arange(SIDE)[:, None] > 0.45 * SIDE))
    assert measured(person, pasted).jaw > 1.3
    blurred = measured(person, cv2.GaussianBlur(person["frame"], (0, 0), 4))
    assert max(blurred.ratio, blurred.hair, blurred.jaw, blurred.worst) < 0.8


def test_an_edge_is_found_where_it_is(person):
    chin = (person["head"] > 127) & (np.arange(SIDE)[:, None] > 0.57 * SIDE)
    found = measured(person, lighter(person, chin))
    assert (
        found.worst_part == "jaw" and found.worst > max(found.ratio, 1.2) and found.hair == pytest.approx(1, abs=0.02)
    )
    assert found.worst_px[1] > 0.55 * SIDE
    cut = (person["head"] > 127) & (np.arange(SIDE)[:, None] < 0.25 * SIDE)
    found = measured(person, lighter(person, cut, -45))
    assert found.worst_part == "hair" and found.worst_px[1] < 0.3 * SIDE


def test_a_border_a_pixel_further_out_is_no_seam(person):
    moved = np.roll(person["frame"], 1, axis=1)
    assert measured(person, moved).ratio == pytest.approx(1, abs=0.06)


def test_a_contour_is_the_line_where_the_matte_is_half_with_normals_out_of_the_head():
    matte = np.rint(255 * ellipse(SIDE, 120.0, 100.0, 60, 60)).astype(np.uint8)
    contour = Contour.of(matte)
    away = contour.points_px - (120.125, 100.125)  # OpenCV fills from pixel centre to pixel centre of a 4 x image
    radius = np.linalg.norm(away, axis=1)
    assert np.abs(radius - 60.1).max() < 0.3
    assert ((away / radius[:, None]) * contour.normals).sum(1).min() > 0.98


def test_the_image_border_is_no_contour_and_without_one_there_is_no_seam(person):
    matte = np.zeros((SIDE, SIDE), np.uint8)
    matte[:100] = 255
    assert np.abs(Contour.of(matte).points_px[:, 1] - 100).max() < 1
    blank = {**person, "head": np.zeros((SIDE, SIDE), np.uint8)}
    found = measured(blank, person["frame"])
    assert math.isnan(found.ratio) and math.isnan(found.worst) and found.worst_part == ""
