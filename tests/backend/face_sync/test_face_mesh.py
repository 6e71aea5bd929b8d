from collections import Counter

import numpy as np

from backend.face_sync import face_mesh
from backend.workspace.arrays import vertex_normals
from backend.workspace.landmarks import HALVES, LEFT, RIGHT
from tests.backend.face_sync.mirror import mirror_indices


def _directed_edges(triangles):
    return Counter((int(t[k]), int(t[(k + 1) % 3])) for t in triangles for k in range(3))


def test_skin_is_one_surface_with_openings_for_mouth_and_eyes_only():
    skin = face_mesh.triangles()[:852]
    edges = _directed_edges(skin)
    assert max(edges.values()) == 1, "two triangles run along an edge in the same direction"
    rim = [edge for edge in edges if edge[::-1] not in edges]
    assert len(rim) == 36 + 20 + 16 + 16  # outline of the face, inner lips, two eyes
    assert set(skin.ravel()) == set(range(468))


def test_triangles_face_outwards(face):
    normals = vertex_normals(face, face_mesh.triangles())
    assert (normals[[1, 4, 9, 152, 50, 280], 2] < -0.5).all()
    assert normals[LEFT.ear, 0] > 0.5
    assert normals[RIGHT.ear, 0] < -0.5
    a, b, c = (face[face_mesh.triangles()[852:, k]] for k in range(3))
    assert (np.cross(b - a, c - a)[:, 2] < 0).all(), "irises face the camera"


def test_nothing_spans_the_lips():
    upper = {arc[k] for half in HALVES for arc in half.upper_lip for k in range(5)}
    lower = {arc[k] for half in HALVES for arc in half.lower_lip for k in range(5)}
    for triangle in face_mesh.triangles():
        corners = set(map(int, triangle))
        assert not (corners & upper and corners & lower), triangle


def test_named_landmarks_mirror_each_other(face):
    mirror = mirror_indices()
    named = np.flatnonzero(mirror >= 0)
    distance = np.linalg.norm(face[named] * [-1, 1, 1] - face[mirror[named]], axis=1)
    assert distance.max() < 0.01
    assert (mirror[mirror[named]] == named).all()
