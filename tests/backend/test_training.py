"""Training goes on where it stopped, and begins from the tracker's poses whatever was trained before."""

import json

import numpy as np
import torch

from backend.progress import Reporter
from backend.training import checkpoints
from backend.training.presets import PRESETS
from backend.training.train import Trainer, _without_gaps
from backend.workspace import Workspace, read_arrays


def trainer(root, steps: int, seed: int = 0) -> Trainer:
    made = Trainer(Workspace.open(root), PRESETS["preview"], Reporter(), 1.0, seed, "cpu", steps)
    made.validation_psnr = 0.0
    return made


def test_refined_poses_are_the_rigs_but_a_new_training_begins_from_the_trackers(trained):
    tracked = read_arrays(trained / "head_sync.npz")["head_to_camera"]
    refined = read_arrays(trained / "tracking.npz")["head_to_camera"]
    assert np.abs(refined - tracked).max() > 1e-4
    for path in (trained / "checkpoints").glob("step_*"):
        path.unlink()
    np.testing.assert_array_equal(trainer(trained, 10).poses, tracked)


def test_a_resumed_training_has_everything_it_had(trained):
    state = json.loads((trained / "checkpoints" / "config.json").read_text("utf-8"))
    first = trainer(trained, 400)
    assert first.step == state["step"] and first.refined == 2
    first._train_step()
    first._save()
    again = trainer(trained, 400)
    assert again.step == first.step
    assert torch.equal(again.hull, first.hull)
    assert again.hull.float().mean() > again.field.occupied.float().mean(), "pruned cells may come back"
    torch.testing.assert_close(again.used, first.used, atol=1e-3, rtol=1e-3)
    np.testing.assert_array_equal(again.poses, first.poses)
    for a, b in zip(again.field.parameters(), first.field.parameters(), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(again.optimiser.state[a]["exp_avg"], first.optimiser.state[b]["exp_avg"])


def test_every_refinement_of_poses_is_followed_by_a_checkpoint(trained):
    found = checkpoints.load_newest(Workspace.open(trained))
    assert found is not None and found.state["refined"] == 2
    np.testing.assert_array_equal(found.head_to_camera, read_arrays(trained / "tracking.npz")["head_to_camera"])


def test_occupied_surfaces_are_closed_and_two_cells_deep():
    cells = torch.zeros(9, 9, 9, dtype=torch.bool)
    cells[:, :, 4] = True
    cells[4, 4, 4] = False
    closed = _without_gaps(cells)
    assert closed[2:7, 2:7, 4:6].all()
    assert not closed[:, :, :4].any() and not closed[:, :, 6:].any()
