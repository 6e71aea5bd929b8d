"""What raised brows take along, on a made-up face."""

from __future__ import annotations

import numpy as np

from backend.head_sync.skin_slide import BROWS, EYE_CORNERS, brow_raise, slide_share
from backend.workspace.poses import project
from tests.backend.made_up_head import FOCAL, PRINCIPAL, make_face, make_motion


def upright_face() -> np.ndarray:
    """The made-up face with brows above the corners of its eyes."""
    face = make_face()
    for which, height in ((BROWS, -0.062), (EYE_CORNERS, -0.045)):
        face[which, 1], face[which, 2] = height, -0.09
        face[which, 0] = np.linspace(-0.05, 0.05, len(which))
    return face


def test_a_raise_is_measured_whatever_the_head_does():
    face, poses = upright_face(), make_motion(80)
    landmarks = project(poses, face, FOCAL, PRINCIPAL)
    raised = face.copy()
    raised[BROWS, 1] -= 0.005
    landmarks[40:60] = project(poses[40:60], raised, FOCAL, PRINCIPAL)
    known = np.ones(80, bool)
    known[:10] = False
    landmarks[:10] = 0
    found = brow_raise(landmarks, known, poses, face, FOCAL, PRINCIPAL)
    assert np.abs(found[~known]).max() == 0
    assert np.abs(found[12:30]).max() < 0.0005
    assert np.abs(found[48:52] - 0.005).max() < 0.0005


def test_the_forehead_slides_and_nose_ears_and_crown_do_not():
    face = upright_face()
    forehead, brow, nose, ear = [0, -0.075, -0.1], [0.03, -0.062, -0.09], [0, -0.02, -0.11], [0.085, -0.05, 0]
    share = slide_share(np.array([forehead, brow, nose, ear]), face)
    assert share[0] > 0.9
    assert share[1] > 0.9
    assert share[2] == 0
    assert share[3] < 0.05
