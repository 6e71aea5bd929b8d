"""Training of the audio-visual encoder: on the CPU, one GPU, or several processes that `torchrun` starts."""

from __future__ import annotations

import json
import math
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from torch import distributed, nn

from ....errors import WorkspaceError
from ....progress import Reporter
from ....workspace.files import atomic_path, write_json
from ...encoders.speech_encoder import load_weights, opening_tensors
from .batches import draw, spread_of
from .network import AudioVisualEncoder
from .prepared import Item

EVALUATE_EVERY = 100
"""Steps between evaluations on held-out recordings; the state is saved at each."""

EVALUATION_BATCHES = 6


@dataclass(frozen=True)
class Recipe:
    """How an encoder is trained.

    Attributes:
        steps: of AdamW, over all processes.
        batch: windows of four seconds a step and process.
        rate: AdamW's rate after the first 50 steps; it falls to 0 along a half cosine.
        sync, reconstruction, visemes: weights of the losses.
        seed: of the weights and the batches.
    """

    steps: int = 4000
    batch: int = 24
    rate: float = 2e-3
    sync: float = 1.0
    reconstruction: float = 1.0
    visemes: float = 1.0
    seed: int = 0


History = list[dict[str, float]]
"""Evaluations on held-out recordings, one row each."""


@dataclass(frozen=True)
class Processes:
    """This process among those that train together."""

    rank: int = 0
    count: int = 1
    device: str = "cpu"

    def wait(self) -> None:
        """Until all of them are here."""
        if self.count > 1:
            distributed.barrier()


@contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that `torchrun` started, or be alone; on GPUs where there are any."""
    cuda = torch.cuda.is_available()
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes(device="cuda" if cuda else "cpu")
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if cuda:
        torch.cuda.set_device(local)
    # The others wait while the first prepares a data set, which may take a day.
    distributed.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(days=7))
    try:
        device = f"cuda:{local}" if cuda else "cpu"
        yield Processes(distributed.get_rank(), distributed.get_world_size(), device)
    finally:
        distributed.destroy_process_group()


def train(
    training: list[Item],
    held_out: list[Item],
    recipe: Recipe,
    state: Path,
    reporter: Reporter,
    processes: Processes,
    initial: Path | None = None,
) -> tuple[AudioVisualEncoder, History]:
    """Train for `recipe.steps`, resuming from `state` if it exists; saved there at every evaluation.

    Args:
        training, held_out: from `prepared.read_items`; clips and generated speech may be mixed and alternate.
        initial: weights of a speech encoder to begin with; None begins with random ones.

    Raises:
        WorkspaceError: the state is of another recipe, or damaged.
        Cancelled: the user asked to stop; the saved state can be resumed.
    """
    torch.manual_seed(recipe.seed)
    model = AudioVisualEncoder()
    if initial is not None:
        model.encoder.load_state_dict(load_weights(initial).state_dict())
    model.to(processes.device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=0.01)
    history, done = _resume(state, recipe, model, optimiser)
    groups = [[item for item in training if (item.faces is None) == generated] for generated in (False, True)]
    spread = spread_of(groups[1]) if groups[1] else None
    kinds = [kind for kind in (0, 1) if groups[kind]]
    wrapped: nn.Module = model
    if processes.count > 1:
        wrapped = nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)
    if done == 0:
        _evaluate(model, held_out, spread, 0, history)
    while done < recipe.steps:
        reporter.progress("encoder", done, recipe.steps, "steps", _summary(history))
        kind = kinds[done % len(kinds)]
        rng = np.random.default_rng((recipe.seed, done, processes.rank))
        torch.manual_seed(int(rng.integers(2**31)))  # for the dropout: a resumed training repeats exactly
        for group in optimiser.param_groups:
            group["lr"] = _rate(recipe, done)
        batch = _to(draw(groups[kind], recipe.batch, spread if kind else None, rng), processes.device)
        losses = wrapped(batch)
        loss = sum(weight * losses[name] for name, weight in _weights(recipe).items() if name in losses)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        done += 1
        if done % EVALUATE_EVERY == 0 or done == recipe.steps:
            _evaluate(model, held_out, spread, done, history)
            if processes.rank == 0:
                _save_state(state, recipe, model, optimiser, history, done)
    reporter.progress("encoder", recipe.steps, recipe.steps, "steps", _summary(history))
    return model.eval(), history


def save_weights(model: AudioVisualEncoder, path: Path, source: str) -> None:
    """The speech encoder alone, in half precision, which is exact enough."""
    from safetensors.torch import save as to_bytes

    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {**model.encoder.state_dict(), **opening_tensors(model.opening_weights())}
    tensors = {name: tensor.detach().half().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        temporary.write_bytes(to_bytes(tensors, {"source": source}))  # save_file's own files are closed to others


def _rate(recipe: Recipe, step: int) -> float:
    falling = 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
    return recipe.rate * min(1.0, (step + 1) / 50) * falling


def _weights(recipe: Recipe) -> dict[str, float]:
    return {"sync": recipe.sync, "reconstruction": recipe.reconstruction, "visemes": recipe.visemes}


def _summary(history: History) -> str:
    return f"held-out sync loss {history[-1]['sync']:.3f}" if history else ""


def _to(batch: dict[str, torch.Tensor], device: str) -> dict[str, torch.Tensor]:
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


@torch.no_grad()
def _evaluate(
    model: AudioVisualEncoder, held_out: list[Item], spread: np.ndarray | None, step: int, history: History
) -> None:
    """Losses on held-out recordings; the same batches at every evaluation."""
    model.eval()
    device = str(model.scale.device)
    rows: list[dict[str, float]] = []
    for generated in (False, True):
        items = [item for item in held_out if (item.faces is None) == generated]
        for index in range(EVALUATION_BATCHES if items else 0):
            rng = np.random.default_rng((1, index))
            batch = draw(items, 16, spread if generated else None, rng, augment=False)
            rows.append({name: float(value) for name, value in model(_to(batch, device)).items()})
    model.train()
    names = {name for row in rows for name in row}
    means = {name: float(np.mean([row[name] for row in rows if name in row])) for name in sorted(names)}
    history.append({"step": step, **means})


def _save_state(state: Path, recipe: Recipe, model: nn.Module, optimiser, history: History, done: int) -> None:
    state.parent.mkdir(parents=True, exist_ok=True)
    saved = {
        "recipe": json.dumps(asdict(recipe)),
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "course": json.dumps(history),
        "done": done,
    }
    with atomic_path(state) as temporary:
        torch.save(saved, temporary)
    write_json(state.with_suffix(".json"), {"done": done, "course": history})


def _resume(state: Path, recipe: Recipe, model: nn.Module, optimiser) -> tuple[History, int]:
    if not state.exists():
        return [], 0
    try:
        saved = torch.load(state, weights_only=True, map_location="cpu")
        of_this = json.loads(saved["recipe"]) == asdict(recipe)
        if of_this:
            model.load_state_dict(saved["model"])
            optimiser.load_state_dict(saved["optimiser"])
            return json.loads(saved["course"]), int(saved["done"])
    except (OSError, RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
        # The library's own text runs over several lines and advises to run the code in the file.
        raise WorkspaceError(f"{state} is damaged: delete it to start again.") from error
    raise WorkspaceError(
        f"{state} is from a training with other settings: resume with those, or delete it to start again."
    )
