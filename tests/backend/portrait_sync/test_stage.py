"""The stage on a workspace: whole files, resumed after a kill, cancelled cleanly, stale when the tracking changes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from backend.errors import Cancelled, WorkspaceError
from backend.portrait_sync import stage
from backend.progress import Reporter
from backend.workspace.images import write_image
from backend.workspace.store import Workspace
from tests.backend.made_up_track import make_track


@pytest.fixture
def workspace(scene, tmp_path: Path) -> Workspace:
    """The drawn clip as the earlier stages leave it; frame 4 has no face, and nor have the last six."""
    result = Workspace.create(tmp_path / "subject")
    count = len(scene.frames)
    result.subject.frames, result.subject.size = count, scene.frames.shape[1]
    for name in ("media", "face_sync"):
        result.subject.stages[name] = {"state": "done", "key": name}
    result.save()
    for index, frame in enumerate(scene.frames):
        write_image(result.frame_path(index), frame)
    write_tracking(result, scene, valid=[index != 4 and index < count - 6 for index in range(count)])
    return result


def write_tracking(workspace: Workspace, scene, valid, shift: float = 0.0) -> None:
    poses = np.tile(np.eye(4), (len(valid), 1, 1))
    poses[:, 2, 3] = 0.8
    landmarks = (scene.landmarks[: len(valid)] + shift).astype(np.float32)
    track = make_track(
        len(valid), size=scene.frames.shape[1], valid=np.array(valid), head_to_camera=poses, landmarks_px=landmarks
    )
    track.write(workspace.tracking_path, 25.0)


def results(workspace: Workspace) -> dict[str, str]:
    paths = [*workspace.root.glob("mattes/*"), *workspace.root.glob("plate/*"), workspace.background_path]
    return {str(path.relative_to(workspace.root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_every_frame_gets_mattes_and_a_plate_and_faceless_ones_are_their_own_plate(workspace: Workspace) -> None:
    stage.run(workspace, Reporter())
    assert workspace.stage_state("portrait_sync") == "done"
    assert len(results(workspace)) == 2 * workspace.subject.frames + 1
    assert workspace.read_matte(0)[..., 0].max() == 255
    assert workspace.read_matte(4)[..., 0].max() == 255, "a short gap is bridged"
    last = workspace.subject.frames - 1
    assert workspace.read_matte(last)[..., 0].max() == 0
    assert np.abs(workspace.read_plate(last).astype(int) - workspace.read_frame(last)).mean() < 2


def test_an_interrupted_run_resumes_and_ends_as_an_undisturbed_one(workspace: Workspace) -> None:
    stage.run(workspace, Reporter())
    whole = results(workspace)

    key = workspace.subject.stages["portrait_sync"]["key"]
    workspace.subject.stages["portrait_sync"] = {"state": "partial", "key": key}
    workspace.save()
    for index in (2, 7):  # killed between the two files of a frame, and before a frame
        workspace.matte_path(index).unlink()
    workspace.plate_path(7).unlink()
    kept = workspace.matte_path(0).stat().st_mtime_ns
    stage.run(Workspace.open(workspace.root), Reporter())
    assert results(workspace) == whole
    assert workspace.matte_path(0).stat().st_mtime_ns == kept, "finished frames are not made again"


def test_a_cancelled_run_keeps_whole_frames_and_the_next_one_finishes(workspace: Workspace) -> None:
    events = []
    cancelling = Reporter(events.append, cancelled=lambda: any(event.done >= 2 for event in events), interval_s=0)
    with pytest.raises(Cancelled):
        stage.run(workspace, cancelling)
    made = list(workspace.root.glob("mattes/*.png"))
    assert 0 < len(made) < workspace.subject.frames
    for path in made:
        workspace.read_matte(int(path.stem))
    stage.run(workspace, Reporter())
    assert len(results(workspace)) == 2 * workspace.subject.frames + 1


def test_new_landmarks_make_the_results_stale_and_nothing_else_does(workspace: Workspace, scene) -> None:
    stage.run(workspace, Reporter())
    before = results(workspace)
    stage.run(workspace, Reporter())
    assert results(workspace) == before
    write_tracking(workspace, scene, [True] * len(scene.frames), shift=3.0)
    stage.run(workspace, Reporter())
    assert results(workspace) != before


def test_a_clip_without_any_face_passes_without_a_head(workspace: Workspace, scene) -> None:
    write_tracking(workspace, scene, [False] * len(scene.frames))
    stage.run(workspace, Reporter())
    assert max(workspace.read_matte(index)[..., 0].max() for index in range(workspace.subject.frames)) == 0


def test_tracking_of_another_clip_is_refused(workspace: Workspace, scene) -> None:
    write_tracking(workspace, scene, [True] * 5)
    with pytest.raises(WorkspaceError, match=r"5 frames and the clip 12"):
        stage.run(workspace, Reporter())
