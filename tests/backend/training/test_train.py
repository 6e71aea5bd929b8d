"""Training resumes where it stopped, begins from the tracker's poses, is repeatable, and survives NaN."""

import json
import shutil

import numpy as np
import pytest
import torch

from backend.commands import process, speak
from backend.commands.verify import verify
from backend.errors import SyncTalkError, WorkspaceError
from backend.progress import Reporter
from backend.training import checkpoints, objective
from backend.training.field_trainer import FieldTrainer
from backend.training.presets import PRESETS
from backend.training.schedule import ANNEAL
from backend.training.train import train
from backend.workspace.files import read_arrays
from backend.workspace.store import Workspace


def trainer(root, steps: int, seed: int = 0, reporter: Reporter | None = None) -> FieldTrainer:
    return FieldTrainer(Workspace.open(root), PRESETS["preview"], reporter or Reporter(), 1.0, seed, "cpu", steps)


@pytest.fixture
def untrained(processed_once, tmp_path):
    shutil.copytree(processed_once, tmp_path / "untrained")
    return tmp_path / "untrained"


def test_refined_poses_are_the_rigs_but_a_new_training_begins_from_the_trackers(trained):
    tracked = read_arrays(trained / "head_sync.npz")["head_to_camera"]
    refined = Workspace.open(trained).head_track().head_to_camera
    assert np.abs(refined - tracked).max() > 1e-4
    for path in (trained / "checkpoints").glob("step_*"):
        path.unlink()
    with trainer(trained, 10) as made:
        np.testing.assert_array_equal(made.poses, tracked)
    np.testing.assert_array_equal(Workspace.open(trained).head_track().head_to_camera, tracked)


def test_another_audio_offset_leaves_the_head_its_refined_poses(trained):
    """The stages write tracking.npz again, with the tracker's poses; the head was trained on refined ones."""
    process.run(process.Options(workspace=trained, audio_offset_ms=80.0), Reporter())
    workspace = Workspace.open(trained)
    checkpoint = checkpoints.load_newest(workspace)
    track = workspace.head_track()
    np.testing.assert_array_equal(track.head_to_camera, checkpoint.head_to_camera)
    assert track.camera.focal_px == checkpoint.focal_px
    tracked = read_arrays(trained / "head_sync.npz")
    np.testing.assert_array_equal(workspace.head_track(refined=False).head_to_camera, tracked["head_to_camera"])
    spoken = speak.run(speak.Options(workspace=trained), Reporter())
    assert workspace.animation(spoken.animation).is_on_track(track)
    assert verify(spoken.audio, workspace).clip == workspace.subject.source, "the audio is signed"


def test_training_leaves_the_trackers_file_alone(trained):
    tracked, written = read_arrays(trained / "head_sync.npz"), read_arrays(trained / "tracking.npz")
    for name in ("head_to_camera", "focal_px", "valid"):
        np.testing.assert_array_equal(written[name], tracked[name])
    assert checkpoints.load_newest(Workspace.open(trained)).state["head_sync"]


def test_a_resumed_training_has_everything_it_had(trained):
    state = json.loads((trained / "checkpoints" / "config.json").read_text("utf-8"))
    with trainer(trained, 400) as first:
        assert first.step == state["step"] and first.refined == len(PRESETS["preview"].refinements)
        assert first.monitor.records[-1].step == state["step"]
        first.train_step()
        first.save()
        with trainer(trained, 400) as again:
            assert again.step == first.step
            assert torch.equal(again.occupancy.hull, first.occupancy.hull)
            hull, occupied = again.occupancy.hull.float().mean(), again.field.occupied.float().mean()
            assert hull > occupied, "pruned cells may come back"
            torch.testing.assert_close(again.occupancy.used, first.occupancy.used, atol=1e-3, rtol=1e-3)
            np.testing.assert_array_equal(again.poses, first.poses)
            for a, b in zip(again.field.parameters(), first.field.parameters(), strict=True):
                assert torch.equal(a, b)
                assert torch.equal(again.optimiser.state[a]["exp_avg"], first.optimiser.state[b]["exp_avg"])


def test_another_recipe_begins_again(trained):
    preset = PRESETS["preview"].changed(["levels=8", "refinements="])
    with FieldTrainer(Workspace.open(trained), preset, Reporter(), 1.0, 0, "cpu", 10) as made:
        assert made.step == 0 and made.field.config.layout.levels == 8


def test_fields_of_a_preset_are_set_by_name():
    changed = PRESETS["preview"].changed(["levels=9", "gated=false", "refinements=0.2,0.5", "fine_weight=0.01"])
    assert (changed.levels, changed.gated, changed.refinements, changed.fine_weight) == (9, False, (0.2, 0.5), 0.01)
    for wrong in ("colour=3", "levels=many", "gated=perhaps"):
        with pytest.raises(WorkspaceError):
            PRESETS["preview"].changed([wrong])


def test_every_refinement_of_poses_is_followed_by_a_checkpoint(trained):
    found = checkpoints.load_newest(Workspace.open(trained))
    assert found is not None and found.state["refined"] == len(PRESETS["preview"].refinements)
    np.testing.assert_array_equal(found.head_to_camera, Workspace.open(trained).head_track().head_to_camera)


def _weights(root, seed: int, steps: int = 12) -> torch.Tensor:
    with trainer(root, 400, seed) as made:
        for _ in range(steps):
            made.train_step()
        return torch.cat([parameter.detach().flatten() for parameter in made.field.parameters()])


def test_a_seed_makes_a_run_repeatable_exactly_with_one_thread(untrained):
    import numba

    threads = numba.get_num_threads()
    torch_threads = torch.get_num_threads()
    try:
        numba.set_num_threads(1)
        torch.set_num_threads(1)
        first, again, other = _weights(untrained, 3), _weights(untrained, 3), _weights(untrained, 4)
    finally:
        numba.set_num_threads(threads)
        torch.set_num_threads(torch_threads)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_number_that_is_none_sends_training_back_to_its_checkpoint_at_half_the_rate(untrained):
    logged: list[str] = []
    with trainer(untrained, 30, reporter=Reporter(on_log=lambda level, text: logged.append(text))) as made:
        for _ in range(10):
            made.train_step()
        made.save()
        with torch.no_grad():
            made.field.colour_out.bias.fill_(float("nan"))
        made.run()
    assert made.step == 30 and np.isfinite(made.psnr)
    assert any("diverged at step 10" in text and "half the learning rate" in text for text in logged)
    assert made.rate_scale == 0.5


def test_without_a_checkpoint_to_go_back_to_it_is_an_error(untrained):
    with trainer(untrained, 30) as made:
        with torch.no_grad():
            made.field.colour_out.bias.fill_(float("nan"))
        with pytest.raises(SyncTalkError, match="diverged at step 0"):
            made.run()


def test_training_ends_early_when_the_validation_frames_gain_nothing(untrained, monkeypatch):
    logged: list[str] = []
    monkeypatch.setattr("backend.training.monitor.Monitor.has_plateaued", lambda self, since: True)
    monkeypatch.setattr("backend.training.schedule.EVALUATION_SECONDS", 0.0)
    with trainer(untrained, 100, reporter=Reporter(on_log=lambda level, text: logged.append(text))) as made:
        made.refined = len(made.preset.refinements)
        made.run()
        assert 1 - ANNEAL <= made.step / 100 < 0.3
    assert any("ends early" in text for text in logged)


def test_the_fine_stage_draws_patches_and_lowers_its_own_loss(untrained):
    preset = PRESETS["preview"].changed(["fine=0", "fine_weight=0.1"])
    with FieldTrainer(Workspace.open(untrained), preset, Reporter(), 1.0, 0, "cpu", 400) as made:
        made.objective.lpips = None
        losses = []
        perceptual = made.objective._perceptual
        made.objective._perceptual = lambda one, other: losses.append(perceptual(one, other)) or losses[-1]
        for _ in range(120):
            made.train_step()
    values = [float(value.detach()) for value in losses]
    assert len(values) == 120 and np.mean(values[-20:]) < 0.9 * np.mean(values[:20])


def test_a_step_weighs_the_mouth_as_its_preset_says_and_less_in_a_short_clip(untrained, monkeypatch):
    given = []
    loss = objective.colour_loss
    monkeypatch.setattr(objective, "colour_loss", lambda *arguments: given.append(arguments) or loss(*arguments))
    for changes in ([], ["mouth_weight=3"]):
        preset = PRESETS["preview"].changed(changes)
        with FieldTrainer(Workspace.open(untrained), preset, Reporter(), 1.0, 0, "cpu", 400) as made:
            made.train_step()
    short = len(made.training_frames) / objective.FULL_MOUTH_WEIGHT_FRAMES
    assert [weight for *_, weight in given] == [1 + (PRESETS["preview"].mouth_weight - 1) * short, 1 + 2 * short]
    assert all(0.05 < at_mouth.float().mean() < 0.5 for *_, at_mouth, _ in given)


def test_too_few_frames_with_a_face_are_reported(untrained):
    path = untrained / "tracking.npz"
    arrays = read_arrays(path)
    arrays["valid"] = np.arange(len(arrays["valid"])) < 3
    np.savez(path, **arrays)
    with pytest.raises(WorkspaceError, match="only 0 frames|only 3 frames|only [0-9] frames"):
        train(Workspace.open(untrained), PRESETS["preview"], Reporter(), steps=5)
    arrays["valid"][:] = False
    np.savez(path, **arrays)
    with pytest.raises(WorkspaceError, match="only 0 frames"):
        train(Workspace.open(untrained), PRESETS["preview"], Reporter(), steps=5)
