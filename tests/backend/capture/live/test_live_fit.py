"""A live face on a subject: what the retargeting of a take gives, found out as it goes, without a jump."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from backend.capture.face_capture import FaceCapture
from backend.capture.live.live_fit import LiveFit
from backend.capture.live.sample import LiveFace, LiveSample
from backend.capture.person import PersonRange
from backend.capture.retarget import Fit, retargeted_shapes
from backend.protocol import BLENDSHAPE_NAMES, CAPTURE_PARTS
from backend.workspace.camera import Camera
from backend.workspace.head_track import HeadTrack
from backend.workspace.poses import make_poses, rotation_exp, rotation_log

RATE = 60
JAW, BLINK, BROW = (BLENDSHAPE_NAMES.index(name) for name in ("jawOpen", "eyeBlinkLeft", "browInnerUp"))


@pytest.fixture(scope="module")
def track():
    """A subject whose every shape moves from 0.05 to 0.45 and whose head turns up to 8°."""
    t = np.arange(500) / 25
    shapes = 0.25 + 0.2 * np.sin(t[:, None] * np.linspace(1, 4, 52) + np.arange(52))
    turns = rotation_exp(np.radians(8) * np.stack([np.zeros_like(t), np.sin(t), np.zeros_like(t)], 1))
    poses = make_poses(turns, np.tile([0.0, 0.0, 0.6], (500, 1)))
    valid = np.ones(500, bool)
    landmarks = np.zeros((500, 478, 2), np.float32)
    return HeadTrack(Camera(256, 256, 300.0, (128.0, 128.0)), poses, valid, landmarks, shapes.astype(np.float32))


def take(seconds, scale=1.0, base=0.0):
    """(n, 52): another person's face, each shape with a motion of its own."""
    t = np.arange(round(seconds * RATE)) / RATE
    return base + scale * (0.5 + 0.5 * np.sin(t[:, None] * np.linspace(2, 5, 52) + 2 * np.arange(52)))


def driven(track, shapes, turns=None):
    """The subject's values for each sample, as they come."""
    live, found, heads = LiveFit(track, Fit(CAPTURE_PARTS)), [], []
    for number, row in enumerate(shapes, 1):
        turn = None if turns is None else turns[number - 1]
        face = LiveFace(row.astype(np.float32), np.ones(52, bool), turn)
        sample = LiveSample(face, number, number / RATE, 0.0)
        live.add(sample)
        found.append(live.shapes(sample)[0])
        heads.append(live.head_turn(face))
    return np.array(found), heads


def test_after_half_a_minute_it_is_the_retargeting_of_the_take(track):
    shapes = take(30, 0.6)
    found, _ = driven(track, shapes)
    person = PersonRange.of(track.blendshapes)
    capture = FaceCapture(np.arange(len(shapes)) / RATE, shapes, np.ones(52, bool), Fraction(RATE))
    fit = Fit(CAPTURE_PARTS)
    whole = retargeted_shapes(capture, person, np.zeros((len(shapes), 52), np.float32), Fraction(RATE), fit)
    last = slice(-5 * RATE, None)
    assert np.abs(found[last] - whole[last]).max() < 0.03
    assert found.min() >= 0 and found.max() <= 1


def test_no_better_estimate_makes_the_face_jump(track):
    shapes = take(20, 0.6)
    found, _ = driven(track, shapes)
    steps = np.abs(np.diff(found, axis=0)).max(1)
    own = np.abs(np.diff(shapes, axis=0)).max()
    assert steps[RATE // 4 :].max() < 2.5 * own  # gains are at most 2


def test_after_its_first_minute_the_same_face_gives_the_same_values(track):
    face = take(1, 0.6)[:1]
    found, _ = driven(track, np.concatenate([take(65, 0.6), face, take(30, 0.9, 0.1), face]))
    np.testing.assert_allclose(found[-1], found[65 * RATE], atol=1e-3)


def test_only_what_is_taken_is_driven(track):
    live = LiveFit(track, Fit(("mouth",)))
    face = LiveFace(np.full(52, 0.5, np.float32), np.ones(52, bool), np.eye(3))
    sample = LiveSample(face, 1, 0.0, 0.0)
    live.add(sample)
    _, parts = live.shapes(sample)
    assert parts[JAW] and not parts[BLINK] and not parts[BROW]
    assert live.head_turn(face) is None


def test_a_part_that_the_sender_sends_as_zeros_is_the_footages(track):
    shapes = take(3, 0.6)
    shapes[:, [i for i, name in enumerate(BLENDSHAPE_NAMES) if name.startswith(("eye", "cheekSquint"))]] = 0
    live = LiveFit(track, Fit(CAPTURE_PARTS))
    for number, row in enumerate(shapes, 1):
        sample = LiveSample(LiveFace(row.astype(np.float32), np.ones(52, bool)), number, number / RATE, 0.0)
        live.add(sample)
    _, parts = live.shapes(sample)
    assert parts[JAW] and parts[BROW] and not parts[BLINK]


def test_the_head_turns_about_where_the_sender_holds_it_and_no_further_than_it_should(track):
    t = np.arange(20 * RATE) / RATE
    held = rotation_exp(np.array([[0.3, 0.0, 0.0]]))[0]  # a phone held low
    turns = held @ rotation_exp(np.stack([np.zeros_like(t), np.radians(5) * np.sin(3 * t), np.zeros_like(t)], 1))
    _, heads = driven(track, take(20, 0.6), turns=turns)
    about = np.degrees(rotation_log(np.array(heads[-10 * RATE :])))
    assert np.abs(about[:, [0, 2]]).max() < 0.7
    assert 4.3 < about[:, 1].max() < 5.5 and -5.5 < about[:, 1].min() < -4.3
    _, heads = driven(track, take(20, 0.6), turns=held @ rotation_exp(np.radians(6) * rotation_log(turns) / 0.1))
    assert np.degrees(np.linalg.norm(rotation_log(np.array(heads)), axis=1)).max() < 22
