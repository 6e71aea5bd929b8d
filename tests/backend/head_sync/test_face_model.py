"""A face model that the tests make up: a head-like surface with a nose and a few smooth modes, as a Basel file has it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from backend.errors import FaceError, ModelError
from backend.head_sync.face_geometry import head_frame
from backend.head_sync.face_model import FaceModel
from backend.head_sync.face_model_file import read_face_model
from backend.workspace.landmarks import RIGID
from backend.workspace.poses import similarity
from tests.backend.made_up_head import make_face

TRUE_COEFFICIENTS = np.array([1.3, -1.0, 0.9, 0.7, -1.2, 0.8])


def _bump(u, v, at_u, at_v, wide, high):
    return np.exp(-(((u - at_u) / wide) ** 2) - (((v - at_v) / high) ** 2))


def make_surface(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean face (M, 3) at places (u, v) of its skin, in our axes and metres, and its modes (M, 3, 6), one deviation
    each."""
    z = -0.1 * np.sqrt(np.maximum(1 - (u / 0.095) ** 2 - ((v + 0.02) / 0.15) ** 2, 0.002))
    z -= 0.025 * _bump(u, v, 0, -0.02, 0.012, 0.022)
    z += 0.008 * (_bump(u, v, 0.0315, -0.045, 0.014, 0.01) + _bump(u, v, -0.0315, -0.045, 0.014, 0.01))
    z -= 0.004 * (_bump(u, v, 0.03, -0.065, 0.025, 0.008) + _bump(u, v, -0.03, -0.065, 0.025, 0.008))
    z -= 0.005 * _bump(u, v, 0, 0.02, 0.02, 0.008)
    modes = np.zeros((len(u), 3, 6))
    modes[:, 0, 0] = 0.05 * u  # a broader face
    modes[:, 2, 1] = -0.004 * _bump(u, v, 0, -0.02, 0.014, 0.025)  # a longer nose
    modes[:, 2, 2] = 0.003 * _bump(u, v, 0, -0.1, 0.08, 0.03)  # a receding forehead
    modes[:, 2, 3] = -0.003 * (
        _bump(u, v, 0.045, -0.01, 0.02, 0.025) + _bump(u, v, -0.045, -0.01, 0.02, 0.025)
    )  # cheeks
    modes[:, 1, 4] = 0.05 * (v + 0.02)  # a taller face
    modes[:, 2, 5] = -0.003 * _bump(u, v, 0, -0.068, 0.05, 0.012)  # the brows' ridge
    return np.stack([u, v, z], 1), modes


def write_mat(path: Path, **changes) -> Path:
    """The surface as `01_MorphableModel.mat`: micrometres, y up and z to the viewer, vertices in no order."""
    rng = np.random.default_rng(3)
    u, v = (axis.ravel() for axis in np.meshgrid(np.linspace(-0.085, 0.085, 120), np.linspace(-0.125, 0.09, 150)))
    order = rng.permutation(len(u))
    mean, modes = make_surface(u[order], v[order])
    axes = np.array([1.0, -1.0, -1.0])
    mean = (mean + np.array([0.004, 0.013, 0.06])) * axes * 1e6
    flat = (modes * axes[:, None]).reshape(-1, 6) * 1e6
    deviations = np.linalg.norm(flat, axis=0)
    arrays = {
        "shapeMU": mean.reshape(-1, 1).astype(np.float32),
        "shapePC": (flat / deviations).astype(np.float32),
        "shapeEV": deviations[:, None].astype(np.float32),
        "texMU": np.zeros((3, 1)),
    }
    arrays.update(changes)
    savemat(path, {name: array for name, array in arrays.items() if array is not None})
    return path


@pytest.fixture(scope="module")
def mat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mat(tmp_path_factory.mktemp("face_model") / "01_MorphableModel.mat")


@pytest.fixture(scope="module")
def model(mat: Path) -> FaceModel:
    return read_face_model(mat)


@dataclass
class Subject:
    """True landmarks (478, 3), and as a landmarker without a sense of depth averages them: both 63 mm between the
    pupils."""

    truth: np.ndarray
    observed: np.ndarray


def make_subject(relief: float, noise_m: float = 0.0) -> Subject:
    places = make_face()[:, :2]
    mean, modes = make_surface(*places.T)
    truth = mean + modes @ TRUE_COEFFICIENTS
    seen = truth * [1, 1, relief] + np.random.default_rng(5).normal(0, 1, truth.shape) * noise_m
    scale, rotation, _ = head_frame(seen)
    seen = scale * seen @ rotation.T
    return Subject(truth, seen - seen[RIGID].mean(0))


def shape_error_m(face: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square distance of rigid landmarks after alignment to the true ones."""
    scale, rotation, shift = similarity(face[RIGID], truth[RIGID])
    off = scale * face[RIGID] @ rotation.T + shift - truth[RIGID]
    return float(np.sqrt((off**2).sum(1).mean()))


def test_a_model_is_read_in_metres_and_our_axes(model):
    assert model.mean.shape == (18000, 3)
    assert model.basis.shape == (18000, 3, 6)
    tip = model.mean[model.mean[:, 2].argmin()]
    np.testing.assert_allclose(tip[:2], [0.004, -0.007], atol=0.003)  # the nose is nearest to the camera
    assert np.ptp(model.mean[:, 1]) == pytest.approx(0.215, abs=1e-4)
    np.testing.assert_allclose(np.linalg.norm(model.basis, axis=(0, 1)), 1, atol=1e-4)


@pytest.mark.parametrize("relief", [0.9, 1.0, 1.1])
def test_coefficients_and_relief_are_found_whatever_the_landmarks_depth(model, relief):
    fitted = model.fit(make_subject(relief).observed)
    np.testing.assert_allclose(fitted.coefficients, TRUE_COEFFICIENTS, atol=0.5)
    # The belief that faces are neither flattened nor deepened holds a part back.
    assert fitted.relief == pytest.approx(relief, abs=0.055)


@pytest.mark.parametrize(("noise_m", "part"), [(0.0, 0.3), (0.0007, 0.75)])
def test_the_relief_of_a_flattened_face_is_nearer_the_truth(model, noise_m, part):
    subject = make_subject(0.9, noise_m)
    fitted = model.fit(subject.observed)
    assert fitted.relief < 0.94
    # Noise across stays as it was observed, so less can be gained where there is some.
    assert shape_error_m(fitted.face, subject.truth) < part * shape_error_m(subject.observed, subject.truth)


def test_landmarks_keep_their_place_in_the_image(model):
    observed = make_subject(0.9).observed
    fitted = model.fit(observed)
    np.testing.assert_allclose(fitted.face[:, :2], observed[:, :2], atol=1e-12)
    np.testing.assert_allclose(fitted.face[RIGID].mean(0), 0, atol=1e-12)


def test_a_landmark_far_from_the_skin_has_no_vertex_and_a_wide_sigma(model):
    observed = make_subject(0.9).observed
    outlier = RIGID[30]
    observed[outlier, 2] -= 0.05
    fitted = model.fit(observed)
    assert fitted.vertices[30] == -1
    assert fitted.sigma_m[outlier] >= 0.006
    assert np.median(fitted.sigma_m) < 0.002
    assert (fitted.vertices >= 0).mean() > 0.9
    np.testing.assert_allclose(fitted.coefficients, TRUE_COEFFICIENTS, atol=0.5)


def test_sigma_covers_the_error_of_depth(model):
    subject = make_subject(0.9)
    fitted = model.fit(subject.observed)
    scale, rotation, shift = similarity(subject.truth[RIGID], fitted.face[RIGID])
    off = (scale * subject.truth @ rotation.T + shift - fitted.face)[RIGID, 2] / fitted.sigma_m[RIGID]
    assert np.sqrt((off**2).mean()) < 1.5


def test_what_is_no_face_is_refused(model):
    blob = np.random.default_rng(2).normal(0, 0.05, (478, 3))
    with pytest.raises(FaceError, match="does not fit this face"):
        model.fit(blob)
    with pytest.raises(ValueError, match="478"):
        model.fit(blob[:468])


def _said(path: Path) -> str:
    """The refusal of a file, which must be one sentence that names it."""
    with pytest.raises(ModelError) as refused:
        read_face_model(path)
    text = str(refused.value)
    assert str(path) in text
    assert "\n" not in text
    return text


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_anywhere_is_refused_or_harmless(mat, tmp_path, compressed):
    """Every second damage is in the headers."""
    intact = tmp_path / "intact.mat"
    savemat(intact, {name: array for name, array in loadmat(mat).items() if name[0] != "_"}, do_compression=compressed)
    rng, good, refused = np.random.default_rng(0), intact.read_bytes(), 0
    for turn in range(60):
        bad = np.frombuffer(good, np.uint8).copy()
        bad[rng.integers(0, 400 if turn % 2 else len(bad), 3)] = rng.integers(0, 256, 3)
        path = tmp_path / "bad.mat"
        path.write_bytes(bad.tobytes())
        try:
            assert np.isfinite(read_face_model(path).mean).all()
        except ModelError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 5


def test_a_compressed_file_reads_like_a_plain_one(mat, model, tmp_path):
    packed = tmp_path / "packed.mat"
    savemat(packed, {name: array for name, array in loadmat(mat).items() if name[0] != "_"}, do_compression=True)
    np.testing.assert_array_equal(read_face_model(packed).basis, model.basis)


def test_a_file_of_matlab_7_3_says_how_to_save_it(tmp_path):
    path = tmp_path / "new.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400))
    assert "-v7" in _said(path)


def test_a_missing_file_is_named(tmp_path):
    assert "check the path" in _said(tmp_path / "01_MorphableModel.mat")


@pytest.mark.parametrize("kept", [0, 5, 100, 200, 5000, 60_000])
def test_a_truncated_file_is_refused(mat, tmp_path, kept):
    short = tmp_path / "short.mat"
    short.write_bytes(mat.read_bytes()[:kept])
    assert "Basel Face Model" in _said(short)


def test_foreign_files_are_refused(tmp_path):
    text = tmp_path / "letter.mat"
    text.write_text("Dear University of Basel, " * 50)
    assert "not a valid Basel Face Model 2009 file" in _said(text)
    other = tmp_path / "other.mat"
    savemat(other, {"x": np.zeros(3)})
    assert "has no shapeMU, shapePC, shapeEV" in _said(other)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"shapeEV": None}, "has no shapeEV"),
        ({"shapeEV": np.ones((7, 1))}, "disagree"),
        ({"shapeEV": np.array([["a"]])}, "has no shapeEV"),
        ({"shapeEV": np.full((6, 1), np.nan)}, "not finite"),
        ({"shapeEV": np.full((6, 1), 1e12)}, "strongest component"),
        ({"shapeMU": np.zeros((54000, 1))}, "0 m high"),
        ({"shapeMU": np.zeros((30, 1)), "shapePC": np.zeros((30, 6))}, "too few"),
    ],
)
def test_arrays_that_are_no_face_are_refused(tmp_path, changes, why):
    assert why in _said(write_mat(tmp_path / "wrong.mat", **changes))


def test_without_h5py_a_newer_model_asks_for_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    path = tmp_path / "model2017-1_bfm_nomouth.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    assert "install it" in _said(path)


def test_a_newer_model_reads_like_the_older(model, tmp_path):
    h5py = pytest.importorskip("h5py")
    path, axes = tmp_path / "model2017-1_bfm_nomouth.h5", np.array([1.0, -1.0, -1.0])
    with h5py.File(path, "w") as file:
        file["shape/model/mean"] = (1e3 * model.mean * axes).ravel()
        file["shape/model/pcaBasis"] = (model.basis * axes[:, None]).reshape(-1, 6)
        file["shape/model/pcaVariance"] = (1e3 * model.deviations) ** 2
    read = read_face_model(path)
    np.testing.assert_allclose(read.mean, model.mean, atol=1e-7)
    np.testing.assert_allclose(read.basis, model.basis, atol=1e-6)
    np.testing.assert_allclose(read.deviations, model.deviations, rtol=1e-5)
    path.write_bytes(path.read_bytes()[:3000])
    assert "damaged" in _said(path)
