"""Mattes for a compositor: five that sum to one, each where its part is, steady, resumed, renewed when stale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.commands import mattes as command
from backend.commands.verify import verify
from backend.errors import Cancelled, SyncTalkError, WorkspaceError
from backend.portrait_sync import stage
from backend.portrait_sync.parts import PARTS, bare_neck, decided, guided_filter
from backend.portrait_sync.segmenter import HairSegmenter
from backend.progress import Reporter
from backend.workspace.images import read_image, write_image
from backend.workspace.store import Workspace
from backend.workspace.subject import Crop
from tests.backend.made_up_track import make_track
from tests.backend.portrait_sync.conftest import Scene, draw


@pytest.fixture(scope="module")
def drawn() -> Scene:
    return draw(8)


@pytest.fixture
def workspace(drawn: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The drawn clip, processed, with its true matte as the clip's alpha: no network knows a drawn face."""
    monkeypatch.setattr(HairSegmenter, "installed", classmethod(lambda cls: None))
    made = Workspace.create(tmp_path / "subject")
    subject, count = made.subject, len(drawn.frames)
    subject.frames, subject.size, subject.alpha = count, drawn.frames.shape[1], True
    subject.crop, subject.source_size = Crop(0, 0, subject.size), (subject.size, subject.size)
    for name in ("media", "face_sync"):
        subject.stages[name] = {"state": "done", "key": name}
    made.save()
    for index, (frame, person) in enumerate(zip(drawn.frames, drawn.person, strict=True)):
        write_image(made.frame_path(index), frame)
        write_image(made.alpha_path(index), np.rint(255 * person[..., None]).astype(np.uint8))
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, 2, 3] = 0.8
    make_track(count, size=subject.size, head_to_camera=poses, landmarks_px=drawn.landmarks).write(
        made.tracking_path, 25.0
    )
    stage.run(made, Reporter())
    return made


def read_parts(out: Path, index: int) -> dict[str, np.ndarray]:
    """(S, S) float32 in [0, 1] by the part's name."""
    return {part: read_image(out / part / f"{index:06d}.png", 1)[..., 0].astype(np.float32) / 255 for part in PARTS}


def test_the_parts_sum_to_one_and_each_is_where_it_is_drawn(workspace: Workspace, drawn: Scene) -> None:
    result = command.run(command.Options(workspace=workspace.root), Reporter())
    assert result.out == workspace.root / "exports" / "mattes"
    found = verify(result.out / "hair" / "000003.png", workspace)
    assert (found.status, found.manifest, found.made["content"]) == (0, "untrusted", "matte")
    size = drawn.frames.shape[1]
    for index in (0, 5):
        parts = read_parts(result.out, index)
        assert np.abs(sum(parts.values()) * 255 - 255).max() < 0.01
        assert np.abs(parts["background"] - (1 - drawn.person[index])).max() < 0.02
        chin, bridge = drawn.landmarks[index, 152], drawn.landmarks[index, 168]
        column = round(float(chin[0]))
        assert parts["hair"][round(float(bridge[1] - 0.12 * size)), column] > 0.9
        assert parts["head"][round(float(bridge[1] + 0.05 * size)), column] > 0.95
        assert parts["neck"][round(float(chin[1] + 0.03 * size)), size // 2] > 0.8
        assert parts["torso"][-4, size // 4 : -size // 4].min() > 0.95
        solid = (drawn.person[index] > 0.99) & (parts["head"] + parts["hair"] > 0.02)
        assert (drawn.head[index][solid] > 0).mean() > 0.9, "head and hair are where the head is drawn"


def test_an_edge_between_skin_and_hair_is_the_images_own(workspace: Workspace, drawn: Scene) -> None:
    """The map of the hair is soft; the drawn fringe is not."""
    out = command.run(command.Options(workspace=workspace.root), Reporter()).out
    x, y = (round(float(value)) for value in drawn.landmarks[5, 168])
    column = read_parts(out, 5)["hair"][:y, x]
    grey = drawn.frames[5][:y, x].mean(axis=1)
    edge = int(np.argmax(np.abs(np.diff(grey[y // 2 :])))) + y // 2
    assert column[edge - 6] > 0.9
    assert column[edge + 7] < 0.1


def test_a_stopped_run_resumes_and_other_inputs_replace_what_is_there(workspace: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "given"
    options = command.Options(workspace=workspace.root, out=out)
    stop = Reporter(cancelled=lambda: (out / "torso" / "000003.png").exists())
    with pytest.raises(Cancelled):
        command.run(options, stop)
    first = out / "head" / "000000.png"
    written = first.stat().st_mtime_ns
    command.run(options, Reporter())
    assert first.stat().st_mtime_ns == written
    assert all((out / part / f"{workspace.subject.frames - 1:06d}.png").exists() for part in PARTS)
    command.run(options, Reporter())
    assert first.stat().st_mtime_ns == written
    workspace.subject.source_sha256 = "another"
    workspace.save()
    command.run(options, Reporter())
    assert first.stat().st_mtime_ns > written


def test_a_frame_without_a_face_is_torso_and_background(workspace: Workspace, drawn: Scene) -> None:
    from dataclasses import replace

    track = workspace.head_track(refined=False)
    valid = track.valid.copy()
    valid[:7] = False
    replace(track, valid=valid).write(workspace.tracking_path, 25.0)
    stage.run(workspace, Reporter())
    parts = read_parts(command.run(command.Options(workspace=workspace.root), Reporter()).out, 0)
    assert not (parts["head"] + parts["hair"] + parts["neck"]).any()
    assert np.abs(parts["torso"] - drawn.person[0]).max() < 0.02


def test_what_is_not_processed_says_so(tmp_path: Path) -> None:
    made = Workspace.create(tmp_path / "empty")
    with pytest.raises(WorkspaceError, match="run process"):
        command.run(command.Options(workspace=made.root), Reporter())


def test_a_place_that_cannot_be_written_to_says_so(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SyncTalkError, match="file"):
        command.run(command.Options(workspace=workspace.root, out=tmp_path / "file"), Reporter())


def test_the_chins_shadow_is_neck_and_a_hand_before_the_torso_is_none() -> None:
    head, body, skin = np.zeros((3, 104, 128), np.float32)
    head[:40, 50:78] = 1
    body[40:, 30:98] = 1
    skin[40:55, 56:72] = 1
    skin[80:95, 60:70] = 1
    skin[40:45, 60:66] = 0  # the chin's shadow
    neck = bare_neck(head, body, skin)
    assert neck[42:53, 58:70].min() > 0.9
    assert neck[70:].max() < 0.01


def test_colour_decides_only_where_the_place_is_open() -> None:
    place = np.array([0.0, 0.5, 1.0], np.float32)
    assert decided(place, np.ones(3, np.float32)) == pytest.approx([0.0, 0.9, 1.0])
    assert decided(place, np.zeros(3, np.float32)) == pytest.approx([0.0, 0.1, 1.0])


def test_the_guided_filter_keeps_the_guides_edge_and_flattens_the_rest() -> None:
    guide = np.zeros((40, 40), np.float32)
    guide[:, 20:] = 1.0
    noise = np.random.default_rng(0).normal(0, 0.05, guide.shape).astype(np.float32)
    result = guided_filter(guide, 0.2 + 0.6 * guide + noise, 4)
    assert result[:, :20].std() < 0.02
    assert result[:, 20].mean() - result[:, 19].mean() > 0.55
