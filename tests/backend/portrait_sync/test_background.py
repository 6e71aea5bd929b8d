"""The static background: no ghost of the person, light changes followed."""

from __future__ import annotations

import numpy as np

from backend.portrait_sync.background import (
    disagreeing,
    fill_unseen,
    masked_median,
    match_to_frame,
    still_background,
    without_specks,
)
from backend.portrait_sync.fill import push_pull
from backend.portrait_sync.head_region import FACE_OVAL, NOSE_BRIDGE
from backend.portrait_sync.learn import SAMPLES, closed_crown, sampled_frames, still_beside_person


def test_a_person_who_hides_a_place_most_of_the_time_leaves_no_ghost() -> None:
    random = np.random.default_rng(0)
    wall = random.integers(60, 120, (48, 64, 3)).astype(np.uint8)
    frames = np.repeat(wall[None], 11, 0)
    hidden = np.zeros(frames.shape[:3], bool)
    hidden[:9, 10:30, 20:40] = True  # 9 of 11 frames
    frames[hidden] = (200, 150, 130)
    median, count = masked_median(frames, hidden)
    assert np.array_equal(median, wall)
    assert count[15, 25] == 2
    assert count[0, 0] == 11


def test_never_seen_places_are_filled_smoothly_from_their_surroundings() -> None:
    ramp = np.repeat(np.linspace(50, 200, 64)[None, :, None], 64, 0).repeat(3, 2).astype(np.uint8)
    seen = np.ones((64, 64), bool)
    seen[20:44, 20:44] = False
    filled = fill_unseen(np.where(seen[..., None], ramp, 0).astype(np.uint8), seen)
    assert np.array_equal(filled[seen], ramp[seen])
    assert np.abs(filled.astype(int) - ramp)[~seen].max() < 25


def test_islands_and_spikes_of_what_is_seen_are_not_background_and_all_else_stays() -> None:
    seen = np.ones((64, 64), bool)
    seen[10:50, 10:50] = False
    speckled = seen.copy()
    speckled[20:22, 20:23] = True
    speckled[30, 10:20] = True
    assert np.array_equal(without_specks(speckled, 2.0), without_specks(seen, 2.0))
    assert (without_specks(seen, 2.0) != seen).sum() <= 12, "corners"


def test_push_pull_keeps_what_is_known_and_survives_knowing_nothing() -> None:
    values = np.random.default_rng(0).uniform(0, 255, (33, 47, 3)).astype(np.float32)
    assert np.allclose(push_pull(values, np.ones((33, 47), np.float32)), values, atol=1e-3)
    assert np.isfinite(push_pull(values, np.zeros((33, 47), np.float32))).all()


def test_a_change_of_light_is_carried_in_behind_the_person_but_a_moved_thing_is_not() -> None:
    wall = np.full((96, 96, 3), 100, np.uint8)
    visible = np.ones((96, 96), np.float32)
    visible[30:66, 30:66] = 0
    frame = (wall + 6).astype(np.uint8)
    frame[30:66, 30:66] = 220
    frame[:8, :8] = 250
    matched = match_to_frame(wall, frame, visible)
    assert np.abs(matched[30:66, 30:66] - 106).max() < 1.0


def swaying(count: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A wall, a textured head that sways before it: frames, the head's mask (N, H, W), its place (N, 2) in its own size."""
    random = np.random.default_rng(0)
    wall = random.integers(60, 120, (48, 64, 3)).astype(np.uint8)
    hair = random.integers(0, 255, (20, 20, 3)).astype(np.uint8)
    frames, masks = np.repeat(wall[None], count, 0), np.zeros((count, 48, 64), bool)
    left = np.rint(22 + 4 * np.sin(np.arange(count))).astype(int)
    for frame, mask, x in zip(frames, masks, left, strict=True):
        frame[14:34, x : x + 20] = hair
        mask[14:34, x : x + 20] = True
    return frames, masks, np.stack([left / 20.0, np.zeros(count)], axis=1)


def test_what_keeps_its_colour_beside_a_head_that_moves_is_background_and_wisps_are_not() -> None:
    frames, masks, heads = swaying()
    hidden = np.zeros_like(masks)  # a network that misses a rim of two pixels, and the wisps in it
    hidden[..., :-2] |= masks[..., 2:]
    hidden &= masks
    everywhere = np.ones(masks.shape[1:], bool)
    colours, found = still_background(frames, hidden, everywhere, heads, 1.0)
    rim = masks.any(axis=0) & ~hidden.all(axis=0)
    assert found[~masks.any(axis=0)].all()
    assert np.array_equal(colours[~masks.any(axis=0)], frames[0][~masks.any(axis=0)])
    wall = np.random.default_rng(0).integers(60, 120, (48, 64, 3))
    assert (found & rim).any(), "what the head uncovers at times"
    assert np.abs(colours.astype(int) - wall)[found].max() == 0, "never hair"


def test_strands_before_a_wall_in_some_frames_do_not_hide_it_and_what_has_no_colour_of_its_own_is_not_found() -> None:
    frames, masks, heads = swaying()
    wall = frames[0, :8].copy()
    random = np.random.default_rng(1)
    frames[::3, 2:6, 4:12] = random.integers(0, 40, (len(frames[::3]), 4, 8, 3))
    frames[:, 2:6, 40:48] = random.integers(0, 255, (len(frames), 4, 8, 3))
    colours, found = still_background(frames, masks, np.ones(masks.shape[1:], bool), heads, 1.0)
    assert found[2:6, 4:12].all()
    assert np.array_equal(colours[2:6, 4:12], wall[2:6, 4:12])
    assert not found[2:6, 40:48].any()


def test_what_a_wide_margin_leaves_free_in_few_frames_is_looked_at_again() -> None:
    frames, masks, heads = swaying()
    frames, masks = (np.pad(part, [(0, 0), (0, 16), (0, 0), (0, 0)][: part.ndim]) for part in (frames, masks))
    wall = frames[0, :8].copy()
    frames[:8, 2:6, 4:12] = 200  # a backdrop that has moved since: the wide margin leaves it free in these frames alone
    seen = np.full(masks.shape[1:], len(frames))
    seen[2:6, 4:12] = 8
    points = np.zeros((len(frames), 478, 2))
    points[:, NOSE_BRIDGE] = 20 * heads
    colours, found = still_beside_person(
        frames, list(masks.astype(np.float32)), seen, points, np.ones(len(frames), bool), np.ones(masks.shape[1:]), 20.0
    )
    assert found[2:6, 4:12].all()
    assert np.array_equal(colours[2:6, 4:12], wall[2:6, 4:12]), "what most frames show"
    found[2:6, 4:12] = False
    assert not found.any(), "the rest is known"


def test_beside_a_head_that_does_not_move_nothing_is_taken_for_background() -> None:
    frames, masks, heads = swaying()
    _, found = still_background(frames, masks, np.ones(masks.shape[1:], bool), np.zeros_like(heads), 1.0)
    assert not found.any()
    _, found = still_background(frames, masks, np.ones(masks.shape[1:], bool), np.full_like(heads, np.nan), 1.0)
    assert not found.any()


def test_a_notch_in_a_crown_is_not_background_and_what_is_below_the_brows_stays() -> None:
    """Dark roots before a dark wall are a notch in the person's mask, and would become part of that wall."""
    rows, columns = np.mgrid[0:128, 0:128]
    person = np.hypot(rows - 40, columns - 64) < 45  # the image's upper edge cuts it off
    slot = (abs(columns - 64) < 4) & (rows < 20)
    beside = (abs(columns - 100) < 3) & (rows > 50)
    found = closed_crown(person & ~slot & ~beside, 48.0, 6.0)
    assert found[slot].all() and (found[:48] != person[:48]).mean() < 0.002
    np.testing.assert_array_equal(found[48:], (person & ~beside)[48:])
    wide = person & ~((abs(columns - 64) < 20) & (rows < 20))
    np.testing.assert_array_equal(closed_crown(wide, 48.0, 6.0)[:10, 50:78], False)
    np.testing.assert_array_equal(closed_crown(person & ~slot, 0.0, 6.0), person & ~slot)


def test_frames_that_show_most_beside_the_head_are_sampled_however_short_they_are():
    """A head that leans aside for a moment shows a window post that no other frame shows."""
    count, random = 1500, np.random.default_rng(0)
    landmarks = random.normal(128, 0.5, (count, 478, 2))
    angles = np.arange(len(FACE_OVAL)) * 2 * np.pi / len(FACE_OVAL)
    landmarks[:, list(FACE_OVAL)] += 40 * np.stack([np.cos(angles), np.sin(angles)], -1)
    landmarks[708:711, :, 0] -= 9
    landmarks[1201:1204, :, 1] += 9
    usable = np.ones(count, bool)
    usable[50:60] = False
    landmarks[50:60] = 0
    found = sampled_frames(landmarks, usable)
    assert {708, 709, 710, 1201, 1202, 1203} <= set(found)
    assert found == sorted(found) and SAMPLES <= len(found) <= SAMPLES + 36
    assert np.diff(found).max() <= np.ceil(count / (SAMPLES - 1)), "and all of the clip"
    assert sampled_frames(landmarks[:20], usable[:20]) == list(range(20))
    assert len(sampled_frames(landmarks, np.zeros(count, bool))) == SAMPLES


def test_where_the_few_frames_that_show_a_place_show_different_things_it_is_not_known() -> None:
    """Skin below the hair that a mask has missed moves from frame to frame; a wall does not, and a backdrop that moves is seen often."""
    random = np.random.default_rng(0)
    frames = np.clip(90 + random.normal(0, 2, (40, 20, 60, 3)), 0, 255).astype(np.uint8)
    hidden = np.zeros(frames.shape[:3], bool)
    hidden[5:, :, 10:30] = True  # seldom seen
    frames[:5, :, 20:30] = random.integers(60, 200, (5, 20, 10, 3))
    frames[:, :, 40:43] = random.integers(60, 200, (40, 20, 3, 3))
    median, _ = masked_median(frames, hidden)
    found = disagreeing(frames, hidden, median)
    assert found[:, 20:30].mean() > 0.95
    assert not np.delete(found, range(20, 30), axis=1).any()
    assert not disagreeing(frames, np.ones_like(hidden), median).any(), "what no frame shows is no question"
