import numpy as np
import pytest

from backend.errors import Cancelled, WorkspaceError
from backend.face_sync import stage
from backend.progress import Reporter
from backend.protocol import BLENDSHAPE_NAMES
from backend.workspace.files import read_arrays, write_arrays
from backend.workspace.store import Workspace

from .conftest import index, make_subject

pytestmark = pytest.mark.usefixtures("brief_adaptation")


class Ears(Reporter):
    """Keeps what the user would read."""

    def __init__(self, **options):
        self.heard: list[tuple[str, str]] = []
        super().__init__(on_log=lambda level, text: self.heard.append((level, text)), **options)


def test_files_hold_what_the_format_states(subject):
    workspace = Workspace.open(subject.root)
    stage.run(workspace, Reporter())
    frames = workspace.subject.frames
    tracking = read_arrays(subject.root / "tracking.npz")
    expected = {
        "frame_time_s": (frames,),
        "valid": (frames,),
        "landmarks_px": (frames, 478, 2),
        "focal_px": (),
        "principal_px": (2,),
        "head_to_camera": (frames, 4, 4),
        "points_head_m": (0, 3),
        "points_px": (frames, 0, 2),
        "points_seen": (frames, 0),
        "blendshapes": (frames, 52),
        "blendshape_names": (52,),
        "reprojection_px": (frames,),
        "cuts": (frames,),
        "face_head_m": (478, 3),
        "head_sync": (),
    }
    assert {name: array.shape for name, array in tracking.items()} == expected
    assert tuple(tracking["blendshape_names"]) == BLENDSHAPE_NAMES
    assert tracking["head_sync"] == workspace.subject.stages["head_sync"]["key"]
    mesh = read_arrays(subject.root / "face_mesh.npz")
    assert mesh["vertices_m"].shape == (478, 3)
    assert mesh["triangles"].dtype == np.int32
    assert mesh["shape_keys"].shape == (52, 478, 3)
    assert mesh["shape_keys"].dtype == np.float32
    features = read_arrays(subject.root / "audio_features.npz")
    assert len(features["features"]) == frames
    assert float(features["fps"]) == 25
    assert workspace.stage_state("face_sync") == "done"


def test_tracked_coefficients_are_the_ones_that_made_the_landmarks(subject):
    workspace = Workspace.open(subject.root)
    stage.run(workspace, Reporter())
    found = read_arrays(workspace.tracking_path)["blendshapes"]
    for name in ("jawOpen", "mouthSmileLeft", "eyeBlinkLeft"):
        k = index(name)
        assert np.corrcoef(found[:, k], subject.coefficients[:, k])[0, 1] > 0.9, name


def test_a_finished_stage_is_not_done_again(subject):
    workspace = Workspace.open(subject.root)
    stage.run(workspace, Reporter())
    before = {name: (subject.root / name).stat().st_mtime_ns for name in stage.FILES}
    stage.run(Workspace.open(subject.root), Reporter())
    assert {name: (subject.root / name).stat().st_mtime_ns for name in stage.FILES} == before
    (subject.root / "face_mesh.npz").unlink()
    stage.run(Workspace.open(subject.root), Reporter())
    assert (subject.root / "face_mesh.npz").exists()


def test_late_audio_is_reported_and_corrected(tmp_path, face, shapes):
    subject = make_subject(tmp_path / "late", face, shapes, late_ms=200)
    ears = Ears()
    stage.run(Workspace.open(subject.root), ears, audio_offset_ms="measure")
    (warning,) = ears.warnings
    assert "late" in warning
    assert "--audio-offset auto" in warning
    assert Workspace.open(subject.root).subject.audio_offset_ms == 0
    deaf = read_arrays(subject.root / "audio_features.npz")["features"]

    ears = Ears()
    stage.run(Workspace.open(subject.root), ears, audio_offset_ms="auto")
    assert not ears.warnings
    assert abs(Workspace.open(subject.root).subject.audio_offset_ms - 200) <= 40
    assert not np.allclose(read_arrays(subject.root / "audio_features.npz")["features"], deaf)

    ears = Ears()
    stage.run(Workspace.open(subject.root), ears)
    assert abs(Workspace.open(subject.root).subject.audio_offset_ms - 200) <= 40, "resuming keeps the correction"

    first = make_subject(tmp_path / "first", face, shapes, late_ms=200)
    ears = Ears()
    stage.run(Workspace.open(first.root), ears)
    assert any("late: corrected" in text for _, text in ears.heard)
    assert abs(Workspace.open(first.root).subject.audio_offset_ms - 200) <= 40, "corrected without being asked"
    workspace = Workspace.open(first.root)
    stage.run(workspace, Reporter(), audio_offset_ms=60)
    stage.run(Workspace.open(first.root), Reporter())
    assert Workspace.open(first.root).subject.audio_offset_ms == 60, "what was set by hand is kept"


def test_a_given_offset_is_kept(subject):
    stage.run(Workspace.open(subject.root), Reporter(), audio_offset_ms=-40)
    assert Workspace.open(subject.root).subject.audio_offset_ms == -40


def test_cancelling_leaves_complete_files_and_the_next_run_finishes(subject):
    for calls in (1, 3, 5, 12, 20):
        polled = iter([False] * calls)
        with pytest.raises(Cancelled):
            stage.run(Workspace.open(subject.root), Reporter(cancelled=lambda polled=polled: next(polled, True)))
        for name in stage.FILES:
            if (subject.root / name).exists() and name.endswith(".npz"):
                read_arrays(subject.root / name)
        assert Workspace.open(subject.root).stage_state("face_sync") != "done"
    stage.run(Workspace.open(subject.root), Reporter())
    assert Workspace.open(subject.root).stage_state("face_sync") == "done"


def test_held_out_frames_teach_the_speech_model_nothing(tmp_path, face, shapes):
    models = []
    for name in ("plain", "changed"):
        subject = make_subject(tmp_path / name, face, shapes, seconds=12)
        workspace = Workspace.open(subject.root)
        if name == "changed":
            data = read_arrays(subject.root / "landmarks.npz")
            first = workspace.subject.first_test_frame
            data["landmarks_px"][first + 3 :] = data["landmarks_px"][first - 40]  # three frames of filter reach back
            write_arrays(subject.root / "landmarks.npz", **data)
        stage.run(workspace, Reporter())
        models.append((subject.root / "speech.safetensors").read_bytes())
    assert models[0] == models[1]


def test_an_unfinished_earlier_stage_is_named(subject):
    workspace = Workspace.open(subject.root)
    del workspace.subject.stages["head_sync"]
    with pytest.raises(WorkspaceError, match="head_sync"):
        stage.run(workspace, Reporter())
