"""The mouth's blendshapes are measured again with the head: what landmarks say beyond the shapes, where images confirm it."""

from dataclasses import replace

import numpy as np
import pytest

from backend.protocol import BLENDSHAPE_NAMES
from backend.renderer.regions import LIP_INDICES
from backend.training import mouth_refinement
from backend.training.dataset import Frame
from backend.training.mouth_refinement import (
    CorrectionMap,
    MouthError,
    fitted_corrections,
    image_details,
    lip_details,
    mouth_error,
    validated_gain,
)
from backend.workspace.camera import Camera
from backend.workspace.landmarks import LIPS
from backend.workspace.pose_track import PoseTrack
from tests.backend.made_up_track import make_track

SHAPES = len(LIP_INDICES)
JAW = BLENDSHAPE_NAMES.index("jawOpen")


class Bars:
    """Draws a bar for each shape of the mouth, as bright as the shape is strong."""

    def render(self, camera, head_to_camera, blendshapes, crop=None, passes=False):
        image = np.zeros((camera.height, camera.width, 4), np.float32)
        image[..., 3] = 1
        for place, shape in enumerate(LIP_INDICES):
            image[place, :, :3] = 0.2 + 0.6 * blendshapes[shape]
        x, y, width, height = crop

        class Drawn:
            rgba = image[y : y + height, x : x + width]

        return Drawn


CAMERA = Camera(SHAPES, SHAPES, 100.0, (SHAPES / 2, SHAPES / 2))


def frame_of(blendshapes, covered=None):
    image = Bars().render(CAMERA, None, blendshapes, (0, 0, SHAPES, SHAPES)).rgba[..., :3]
    alpha = np.full((SHAPES, SHAPES), 255, np.uint8)
    whole = np.array([[0, 0, SHAPES, SHAPES]] * 4, float)
    return Frame(0, np.round(image * 255).astype(np.uint8), alpha, 0, 0, whole, covered)


def strengths(seed, **shapes):
    values = np.random.default_rng(seed).uniform(0.1, 0.6, len(BLENDSHAPE_NAMES)).astype(np.float32)
    for name, value in shapes.items():
        values[BLENDSHAPE_NAMES.index(name)] = value
    return values


def pose_track_of(track):
    rows = {
        "head_to_camera",
        "valid",
        "cuts",
        "face_head_m",
        "points_head_m",
        "points_px",
        "points_seen",
        "reprojection_px",
    }
    parts = {name: getattr(track, name) for name in rows}
    return PoseTrack(camera=track.camera, surface_head_m=np.zeros((0, 3)), focal_range_px=(400.0, 600.0), **parts)


def test_a_frame_asks_for_the_shapes_that_it_shows():
    tracked = strengths(1)
    true = tracked + np.float32(0.02) * np.sign(np.arange(52) % 3 - 1)
    error = mouth_error(Bars(), CAMERA, np.eye(4), tracked, frame_of(true))
    asked = np.linalg.solve(error.normal, error.gradient)
    np.testing.assert_allclose(asked, (true - tracked)[list(LIP_INDICES)], atol=0.005)  # frames have 8 bits
    assert error.gain(asked) == pytest.approx(error.squared, rel=0.05)


def test_the_prior_keeps_corrections_small():
    tracked = strengths(2)
    true = np.clip(tracked + np.float32(0.3), 0, 1)
    error = mouth_error(Bars(), CAMERA, np.eye(4), tracked, frame_of(true))
    assert 0 < fitted_corrections([error]).max() < 0.1


def test_what_covers_the_mouth_says_nothing():
    tracked = strengths(3)
    error = mouth_error(Bars(), CAMERA, np.eye(4), tracked, frame_of(tracked + 0.1, np.ones((SHAPES, SHAPES), bool)))
    assert error.values == 0 and not error.gradient.any()
    assert not fitted_corrections([error]).any()


def test_a_mouth_outside_of_the_frame_says_nothing():
    frame = replace(frame_of(strengths(4)), boxes=np.array([[-9.0, -9.0, -2.0, -2.0]] * 4))
    assert mouth_error(Bars(), CAMERA, np.eye(4), strengths(4), frame).values == 0


def test_details_are_what_blendshapes_do_not_say():
    track = make_track(120)
    rng = np.random.default_rng(5)
    own = rng.normal(0, 1, (120, 2))
    seen = np.stack([track.camera.project(pose, track.face_head_m)[0] for pose in track.head_to_camera])
    directions = rng.normal(0, 1, (2, len(LIPS), 2))
    moved = track.blendshapes[:, JAW, None, None] * rng.normal(0, 3, (len(LIPS), 2)) + np.tensordot(own, directions, 1)
    seen[:, list(LIPS)] += moved
    track = replace(track, landmarks_px=seen.astype(np.float32))
    valid = track.valid.copy()
    valid[7] = False
    track = replace(track, valid=valid)
    used = np.flatnonzero(valid[:100])
    details = lip_details(track, pose_track_of(track), used, 2)
    assert not details[7].any()
    known = np.concatenate([track.blendshapes[used][:, LIP_INDICES], np.ones((len(used), 1))], 1)
    assert np.abs(known.T @ details[used]).max() < 1e-2 * len(used)  # of them nothing is left
    explained = own[used] - known @ np.linalg.lstsq(known, own[used], rcond=None)[0]
    solved = np.linalg.lstsq(details[used], explained, rcond=None)[0]
    left = explained - details[used] @ solved
    assert (left**2).mean() < 0.02 * (explained**2).mean()  # poses are seen in perspective
    np.testing.assert_allclose(details[used].std(0)[0], 1, atol=0.05)
    assert details[used].std(0)[1] < 1  # as small as it is


class Footage:
    """Grey frames with a spot on the lips that moves with the head and is as bright as `own` says; white where `covered` says so."""

    class subject:  # noqa: N801
        size = 512

    def __init__(self, track, own, covered=(), covers_known=True):
        self.track, self.own, self.covered, self.covers_known = track, own, covered, covers_known

    def read_frame(self, index):
        (centre,) = self.track.camera.project(
            self.track.head_to_camera[index], self.track.face_head_m[list(LIPS)].mean(0)[None]
        )[0]
        rows, columns = np.mgrid[:512, :512] + 0.5
        spot = np.exp(-((columns - centre[0]) ** 2 + (rows - centre[1]) ** 2) / (2 * 9.0**2))
        grey = np.full((512, 512), 255.0) if index in self.covered else 100 + 40 * self.own[index] * spot
        return np.repeat(grey.astype(np.uint8)[..., None], 3, 2)

    def read_cover(self, index):
        return np.full((512, 512), 255, np.uint8) if self.covers_known and index in self.covered else None


def test_what_the_image_of_the_mouth_shows_is_seen_from_the_head():
    track = make_track(120, size=512)
    face = track.face_head_m.copy()
    face[list(LIPS)] *= 0.1  # else the lips' middle is anywhere
    valid = track.valid.copy()
    valid[11] = False
    track = replace(track, face_head_m=face, valid=valid)
    jaw = track.blendshapes[:, JAW]
    own = np.random.default_rng(9).uniform(0, 1, 120)
    footage, used = Footage(track, own + jaw), np.flatnonzero(valid[:100])
    details = image_details(footage, track, pose_track_of(track), used, 3, None)
    assert details.shape == (120, 3) and not details[11].any()
    known = np.concatenate([track.blendshapes[:, LIP_INDICES], np.ones((120, 1))], 1)
    unsaid = own - known @ np.linalg.lstsq(known[used], own[used], rcond=None)[0]
    held_out = np.arange(100, 120)
    for frames in (used, held_out):  # the head moves by centimetres
        assert abs(np.corrcoef(details[frames, 0], unsaid[frames])[0, 1]) > 0.98


def test_what_is_before_the_mouth_is_no_detail_of_it():
    track = make_track(120, size=512)
    own, used = np.random.default_rng(10).uniform(0, 1, 120), np.arange(100)
    known, unknown = (
        image_details(Footage(track, own, (110,), covers_known), track, pose_track_of(track), used, 3, None)
        for covers_known in (True, False)
    )
    assert np.abs(unknown[110]).max() == mouth_refinement.MAX_DETAIL
    assert np.abs(known[110]).max() < 2
    np.testing.assert_array_equal(np.delete(known, 110, 0), np.delete(unknown, 110, 0))


def test_images_that_take_too_long_to_read_are_left_out():
    track = make_track(120)
    used = np.arange(100)
    details = image_details(Footage(track, np.zeros(120)), track, pose_track_of(track), used, 3, 0.0)
    assert details.shape == (120, 0)


def linear_errors(corrections, noise, seed):
    """Errors of frames that ask for corrections, with some noise of the image."""
    rng = np.random.default_rng(seed)
    result = []
    for correction in corrections:
        jacobian = rng.normal(0, 1, (SHAPES, 4000))
        error = correction @ jacobian + noise * rng.normal(0, 1, 4000)
        result.append(MouthError(jacobian @ jacobian.T, jacobian @ error, float(error @ error), 4000))
    return result


def test_what_details_explain_is_gained_in_frames_that_were_left_out():
    rng = np.random.default_rng(6)
    details, weights = rng.normal(0, 1, (160, 10)), rng.normal(0, 0.01, (10, SHAPES))
    mouths = rng.uniform(0, 1, (160, SHAPES))
    errors = linear_errors(details @ weights, 0.01, 6)
    corrections = fitted_corrections(errors)
    assert validated_gain(details, mouths, corrections, errors) > 0.5
    others = rng.normal(0, 1, (40, 10))
    found = CorrectionMap.fit(details, mouths, corrections)(others, rng.uniform(0, 1, (40, SHAPES)))
    assert np.corrcoef(found.ravel(), (others @ weights).ravel())[0, 1] > 0.97
    assert (found**2).sum() < ((others @ weights) ** 2).sum()


def test_a_detail_may_say_the_opposite_of_another_mouth(monkeypatch):
    rng = np.random.default_rng(11)
    details, weights = rng.normal(0, 1, (200, 4)), rng.normal(0, 0.01, (4, SHAPES))
    mouths = np.repeat(rng.uniform(0, 1, (200, 1)), SHAPES, 1)
    corrections = details @ weights * np.cos(np.pi * mouths[:, :1])
    errors = linear_errors(corrections, 0.01, 11)
    assert validated_gain(details, mouths, corrections, errors) > 0.5
    monkeypatch.setattr(mouth_refinement, "ALIKE", 0.0)
    assert validated_gain(details, mouths, corrections, errors) < 0.1


def test_details_that_explain_nothing_gain_nothing():
    rng = np.random.default_rng(7)
    errors = linear_errors(rng.normal(0, 0.02, (160, SHAPES)), 0.01, 7)
    details, mouths = rng.normal(0, 1, (160, 10)), rng.uniform(0, 1, (160, SHAPES))
    assert validated_gain(details, mouths, fitted_corrections(errors), errors) < 0


def test_a_mouth_at_rest_stays_where_it_is():
    rng = np.random.default_rng(8)
    details, mouths = rng.normal(0, 1, (100, 5)), rng.uniform(0, 1, (100, SHAPES))
    same = np.tile(np.linspace(-0.02, 0.02, SHAPES), (100, 1))
    assert np.abs(CorrectionMap.fit(details, mouths, same)(details, mouths)).max() < 1e-12


def test_speech_and_sliders_give_no_correction():
    rng = np.random.default_rng(12)
    details, mouths = rng.normal(0, 1, (100, 5)), rng.uniform(0, 1, (100, SHAPES))
    corrections = rng.normal(0, 0.02, (100, SHAPES)) + details[:, :1] * 0.02
    assert not CorrectionMap.fit(details, mouths, corrections)(np.zeros_like(details), mouths).any()


def test_the_trained_twin_measures_the_mouth_of_every_frame(twin_once, monkeypatch):
    from backend.training import checkpoints
    from backend.workspace.checkpoint_index import GAUSSIANS
    from backend.workspace.store import Workspace

    workspace = Workspace.open(twin_once)
    kept = checkpoints.load_for_rendering(workspace, kind=GAUSSIANS).tensors["blendshapes"].numpy()
    tracked, refined = workspace.head_track(refined=False), workspace.head_track(head=GAUSSIANS)
    np.testing.assert_array_equal(refined.blendshapes, kept)
    assert kept.shape == tracked.blendshapes.shape and kept.min() >= 0 and kept.max() <= 1
    others = [index for index in range(52) if index not in LIP_INDICES]
    np.testing.assert_array_equal(kept[:, others], tracked.blendshapes[:, others])
