"""Mattes: better than the network where the background is known, and true to the head's parts."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from backend.portrait_sync.foreground import foreground_colour
from backend.portrait_sync.frame import split_frame
from backend.portrait_sync.head_region import MAP_SHAPE, map_axes, smooth_landmarks
from backend.portrait_sync.learn import hanging_hair
from backend.portrait_sync.matting import close_doubts, person_alpha
from backend.portrait_sync.plate import BehindHead, ExtendedBody

SIZE = 128
FACE = 172.0  # pixels: bands of 6 and 15


def disc_matte(radius: float = 36.0, softness: float = 2.0) -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    distance = np.hypot(rows - SIZE / 2, columns - SIZE / 2)
    return np.clip((radius - distance) / (2 * softness) + 0.5, 0, 1).astype(np.float32)


def measured(foreground, background, truth: np.ndarray, shift: float = 0.0) -> np.ndarray:
    """The matte from a frame of known α and a network that is blurred and too small by `shift` pixels."""
    image = truth[..., None] * np.asarray(foreground, np.float32) + (1 - truth[..., None]) * background
    network = cv2.resize(cv2.GaussianBlur(disc_matte(36 - shift, 0.5), (0, 0), 3), (SIZE // 2, SIZE // 2))
    ones = np.ones((SIZE // 2, SIZE // 2), np.float32)
    known = np.broadcast_to(np.asarray(background, np.float32), (SIZE, SIZE, 3)).copy()
    return person_alpha(np.rint(image).astype(np.uint8), known, ones, network, ones, FACE)


@pytest.mark.parametrize("foreground", [(40, 35, 30), (210, 170, 140), (235, 225, 190)])
def test_alpha_is_measured_at_soft_edges_that_the_network_misses(foreground) -> None:
    truth = disc_matte()
    alpha = measured(foreground, (60, 120, 160), truth, shift=3)
    band = (truth > 0.02) & (truth < 0.98)
    assert np.abs(alpha - truth)[band].mean() < 0.06
    assert np.abs(alpha - truth)[~band].mean() < 0.005


def test_dark_strands_at_the_edge_of_lighter_hair_are_not_taken_for_solid() -> None:
    truth = disc_matte()
    image = np.full((SIZE, SIZE, 3), (120, 95, 70), np.float32)
    image[truth < 0.999] *= 0.4  # the rim is the same hair in shadow
    alpha = measured(image, (70, 130, 230), truth)
    band = (truth > 0.1) & (truth < 0.9)
    assert np.abs(alpha - truth)[band].mean() < 0.12


def test_a_dark_strand_inside_the_hair_is_no_slit_before_a_dark_background() -> None:
    image = np.full((SIZE, SIZE, 3), 20, np.float32)
    truth = disc_matte(36, 0.5)
    image += truth[..., None] * (np.array([190, 150, 110], np.float32) - image)
    image[40:88, 93:95] = 24  # five pixels inside the border
    network = cv2.resize(cv2.GaussianBlur(truth, (0, 0), 1.5), (SIZE // 2, SIZE // 2))
    ones = np.ones((SIZE // 2, SIZE // 2), np.float32)
    dark = np.full((SIZE, SIZE, 3), 20.0, np.float32)
    alpha = person_alpha(np.rint(image).astype(np.uint8), dark, ones, network, ones, 2 * FACE)
    assert alpha[55:73, 93:95].min() > 0.9
    assert alpha[55:73, 104:].max() < 0.05


@pytest.mark.parametrize("wall", [(34, 30, 28), (200, 205, 210)], ids=["as dark as its roots", "light"])
def test_dark_roots_that_the_network_doubts_are_a_clear_hole_only_before_a_light_wall(wall) -> None:
    """Before a wall of its own shadow's colour, which was never visible there, no colour tells what is hair."""
    image = np.empty((SIZE, SIZE, 3), np.float32)
    image[:] = wall
    truth = disc_matte(36, 0.5)
    image += truth[..., None] * (np.array([190, 150, 110], np.float32) - image)
    notch = (slice(60, 68), slice(92, 100))  # at the border
    image[notch] = wall
    network = cv2.GaussianBlur(truth, (0, 0), 1.5)
    network[notch] = 0.5
    half = np.ones((SIZE // 2, SIZE // 2), np.float32)
    background = np.full((SIZE, SIZE, 3), wall, np.float32)
    small = cv2.resize(network, (SIZE // 2, SIZE // 2), interpolation=cv2.INTER_AREA)
    alpha = person_alpha(np.rint(image).astype(np.uint8), background, 0 * half, small, half, 2 * FACE, half)
    inside = alpha[61:67, 93:98]
    assert inside.min() > 0.15 if wall[0] < 100 else inside.max() < 0.1
    assert alpha[40:50, 80:84].min() > 0.9 and alpha[55:73, 106:].max() < 0.05


def test_a_plain_wall_continues_behind_what_hides_it_and_a_patterned_one_does_not(model) -> None:
    side = len(model.seen)
    plain = replace(
        model, background=np.full_like(model.background, 90), noise=np.ones_like(model.noise), face_height=160.0
    )
    seen = np.ones((side, side), bool)
    seen[80:180, 80:180] = False
    checks = 60 * (np.indices((side, side)) // 8 % 2).sum(axis=0)
    patterned = replace(plain, background=(90 + checks[..., None]).repeat(3, 2).astype(np.uint8), seen=seen)
    _, continued, deviation = replace(plain, seen=seen).known
    assert continued[65, 43] > 0.9, "six pixels of a mask inside"
    assert deviation[65, 43] < 2.0
    assert continued[65, 65] == 0.0, "far inside"
    known, continued, deviation = patterned.known
    assert continued[65, 43] < 0.1
    assert known[65, 10] == pytest.approx(1.0), "where it was visible it is known"
    assert deviation[65, 10] == pytest.approx(1.0)


def test_what_looks_like_neither_hair_nor_background_is_foreground() -> None:
    truth = disc_matte()
    image = np.full((SIZE, SIZE, 3), (40, 30, 28), np.float32)
    ring = disc_matte() - disc_matte(31)
    image[ring > 0.5] = (235, 225, 120)  # an ornament at the edge: brighter than hair and than background
    alpha = measured(image, (70, 120, 180), truth)
    assert alpha[ring > 0.9].min() > 0.9


def test_without_a_known_background_the_network_decides() -> None:
    zeros, network = np.zeros((64, 64), np.float32), cv2.resize(disc_matte(), (64, 64))
    frame = np.full((SIZE, SIZE, 3), (60, 120, 20), np.uint8)
    frame[disc_matte() > 0.5] = (200, 150, 120)
    alpha = person_alpha(frame, np.full((SIZE, SIZE, 3), 20.0, np.float32), zeros, network, zeros + 1, FACE)
    assert np.abs(alpha - disc_matte()).mean() < 0.01


def test_an_ear_that_the_network_misses_is_found_before_a_background_that_was_never_seen() -> None:
    zeros, network = np.zeros((64, 64), np.float32), cv2.resize(disc_matte(), (64, 64))
    ear = np.hypot(*(np.mgrid[:SIZE, :SIZE] - np.array([64, 104])[:, None, None])) < 7
    frame = np.full((SIZE, SIZE, 3), (60, 120, 20), np.uint8)
    frame[(disc_matte() > 0.5) | ear] = (200, 150, 120)
    guessed = np.full((SIZE, SIZE, 3), (80, 110, 40), np.float32)
    alpha = person_alpha(frame, guessed, zeros, network, zeros + 1, FACE)
    assert alpha[ear].mean() > 0.9
    assert alpha[(disc_matte(40) == 0) & ~ear].max() < 0.1


def test_a_doubt_inside_the_person_is_closed_and_a_gap_is_not() -> None:
    network = disc_matte()
    network[60:68, 60:68] = 0.3
    network[60:68, 76:84] = 0.02
    closed = close_doubts(network)
    assert closed[60:68, 60:68].min() == 1.0
    assert np.array_equal(closed[:, 72:], network[:, 72:])
    assert np.array_equal(closed[network == 0], network[network == 0])


def test_the_head_matte_matches_the_truth_with_ears_and_without_neck(scene, model) -> None:
    for index in range(0, len(scene.frames), 3):
        mattes, _ = split_frame(scene.frames[index], model, scene.probability[index], scene.landmarks[index])
        mattes = mattes.astype(np.float32) / 255
        truth = scene.head[index]
        chin = int(scene.landmarks[index, 152, 1])
        above = slice(0, chin - 2)
        assert np.abs(mattes[above, :, 0] - truth[above]).mean() < 0.008
        ears = scene.ear[index] > 0.99
        assert mattes[ears, 0].mean() > 0.95, "the network misses the ears; the matte must not"
        assert mattes[chin + 11 :, :, 0].max() < 0.1, "the neck is no part of the head"
        assert np.abs(mattes[..., 3] - scene.person[index]).mean() < 0.01
        assert np.abs(mattes[..., 0] + mattes[..., 2] - mattes[..., 3]).max() < 0.02


def test_hair_is_separated_from_skin(scene, model) -> None:
    mattes, _ = split_frame(scene.frames[0], model, scene.probability[0], scene.landmarks[0])
    top, chin = (int(scene.landmarks[0, index, 1]) for index in (10, 152))
    column = int(scene.landmarks[0, 152, 0])
    assert mattes[top - 4, column, 1] > 200
    assert mattes[(top + 2 * chin) // 3, column, 1] < 20


def test_the_plate_has_neck_behind_the_chin_and_wall_behind_the_hair(scene, model) -> None:
    for index in (0, 5):
        mattes, plate = split_frame(scene.frames[index], model, scene.probability[index], scene.landmarks[index])
        chin, column = (int(scene.landmarks[index, 152, axis]) for axis in (1, 0))
        behind = plate[chin - 14 : chin + 6, column - 6 : column + 6].reshape(-1, 3).astype(int)
        assert np.abs(behind - (150, 112, 92)).max() < 40, "neck, never background, where the jaw may be shorter"
        hair = (mattes[..., 1] > 128) & (np.arange(256) < scene.landmarks[index, 168, 1] - 30)[:, None]
        error = np.abs(plate.astype(int) - scene.background).mean(-1)
        assert error[hair].mean() < 16, "no ghost of the head"
        far = cv2.dilate((mattes[..., 0] > 0).astype(np.uint8), np.ones((41, 41))) == 0
        assert np.array_equal(plate[far], scene.frames[index][far])


def test_matte_and_plate_explain_the_frame(scene, model) -> None:
    errors = []
    for index in range(0, len(scene.frames), 3):
        frame = scene.frames[index]
        mattes, plate = split_frame(frame, model, scene.probability[index], scene.landmarks[index])
        alpha = mattes[..., 0].astype(np.float32) / 255
        head = alpha[..., None] * foreground_colour(frame, mattes[..., 0], plate)
        again = head + (1 - alpha[..., None]) * plate
        band = (alpha > 0.02) & (alpha < 0.98)
        errors.append(np.abs(again - frame)[band].mean())
    assert np.mean(errors) < 3.0


@pytest.mark.parametrize("by", [BehindHead.cover_by_kernel, BehindHead.cover])
def test_what_the_head_half_covers_can_become_the_frame_again(by) -> None:
    """Dark hair and shadow below the ears: with a plate of the neck's colour there, no colour of the head makes them as dark."""
    shape = (8, 40)
    frame = np.full((*shape, 3), 12, np.uint8)
    head = np.broadcast_to(np.linspace(0, 1, shape[1], dtype=np.float32), shape).copy()
    neck = np.full((shape[1], 3), (150, 110, 90), np.float32)
    extended = ExtendedBody(neck, np.ones(shape, np.float32), np.full(shape[1], 8, np.float32), 10.0)
    window = (slice(0, shape[0]), slice(0, shape[1]))
    plate = frame.copy()
    by(BehindHead(frame, frame.astype(np.float32), head, 1 - head, window, extended, 0 * head, True), plate)
    left = frame.astype(np.float32) - (1 - head)[..., None] * plate
    assert left[:, head[0] < 0.5].min() > -1.0
    assert plate[:, head[0] > 0.95].min() > 60, "behind the head is the neck, of its own colour"
    steps = np.abs(np.diff(plate[4].astype(int), axis=0))
    assert steps.max() < 40


def test_a_frame_without_a_face_has_no_head_and_is_its_own_plate(scene, model) -> None:
    mattes, plate = split_frame(scene.frames[0], model, scene.probability[0], None)
    assert mattes[..., :2].max() == 0
    assert np.array_equal(plate, scene.frames[0])
    assert np.array_equal(mattes[..., 2], mattes[..., 3])


def test_the_foregrounds_own_colour_comes_back_from_a_soft_edge() -> None:
    truth = disc_matte(softness=5)
    colour, wall = np.array([200, 60, 40], np.float32), np.full((SIZE, SIZE, 3), (20, 160, 220), np.float32)
    frame = np.rint(truth[..., None] * colour + (1 - truth[..., None]) * wall).astype(np.uint8)
    alpha = np.rint(255 * truth).astype(np.uint8)
    found = foreground_colour(frame, alpha, np.rint(wall).astype(np.uint8))
    assert np.abs(found - colour)[truth > 0.25].max() < 8


def test_a_dark_jacket_is_no_hair_but_what_hangs_from_the_head_is() -> None:
    across, down = map_axes()
    hair, person = np.zeros(MAP_SHAPE, np.float32), np.zeros(MAP_SHAPE, np.float32)
    crown = (down[:, None] < -0.5) & (np.abs(across)[None] < 0.45)
    jacket = (down[:, None] > 0.2) & (np.abs(across)[None] < 1.2)
    strand = (down[:, None] < 0.4) & (np.abs(across[None] - 0.5) < 0.1)
    person[crown | jacket | strand] = 1
    none = np.zeros_like(hair)
    hair[crown | jacket] = 1
    assert hanging_hair(hair, none, none, np.where(strand & ~crown & ~jacket, 0, person))[jacket].max() == 0
    hair[strand] = 1
    found = hanging_hair(hair, none, none, person)
    column, row = int(np.searchsorted(across, 0.5)), int(np.searchsorted(down, 0.1))
    assert found[row, column] > 0.9


def test_short_gaps_without_a_face_are_bridged_and_long_ones_are_not() -> None:
    points = np.zeros((30, 478, 2), np.float32)
    points[..., 0] = np.arange(30, dtype=np.float32)[:, None]
    valid = np.ones(30, bool)
    valid[5:8] = valid[15:25] = False
    points[~valid] = np.nan
    smooth, usable = smooth_landmarks(points, valid)
    assert usable[5:8].all()
    assert not usable[15:25].any()
    assert np.allclose(smooth[6, 0, 0], 6, atol=0.1)
    assert np.isfinite(smooth[usable]).all()
