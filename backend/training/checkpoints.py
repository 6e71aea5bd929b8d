"""Checkpoints: safetensors with a head, its optimiser and the refined poses; `config.json` describes the newest."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from ..errors import WorkspaceError
from ..progress import Reporter
from ..renderer import devices
from ..renderer.field.field import Field, FieldConfig
from ..renderer.field.renderer import FieldRenderer
from ..renderer.gaussians.head import GaussianConfig, GaussianHead
from ..renderer.gaussians.renderer import GaussianRenderer
from ..renderer.head import HeadRenderer
from ..renderer.regions import Region
from ..workspace.checkpoint_index import AUTO, FIELD, GAUSSIANS, checkpoint_paths, head_paths, kind_of
from ..workspace.files import atomic_path, write_json
from ..workspace.store import Workspace
from .conditions import SHAPE, LipSource

KEEP = 2
"""Checkpoints kept: the newest and, should it be damaged, the one before."""


_PREFIXES = {FIELD: "step", GAUSSIANS: "gaussians"}


@dataclass
class Checkpoint:
    """A training state as read back."""

    path: Path
    tensors: dict[str, torch.Tensor]
    state: dict

    @property
    def head_to_camera(self) -> np.ndarray:
        """(N, 4, 4), the refined poses."""
        return self.tensors["poses"].numpy()

    @property
    def focal_px(self) -> float:
        return float(self.state["focal_px"])

    @property
    def lips(self) -> LipSource:
        """What drives the head's lips."""
        stored = self.state.get("lips", {})
        return LipSource(stored.get("name", SHAPE), tuple(stored.get("mean", ())), tuple(stored.get("scale", ())))

    @property
    def kind(self) -> str:
        """`gaussians` or `field`."""
        return kind_of(self.path)

    def gaussians(self) -> GaussianHead:
        """The Gaussian head this checkpoint holds.

        Raises:
            WorkspaceError: another version made it.
        """
        try:
            return GaussianHead.from_tensors(GaussianConfig.from_json(self.state["config"]), self.tensors)
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            raise WorkspaceError(
                f"{self.path} was made by another version: make the Gaussians again with train --head gaussians, or choose the field "
                "(--head field)."
            ) from error

    def regions(self) -> tuple[Region, Region]:
        """Where lips and where expression move the head."""
        kind = GaussianConfig if self.kind == GAUSSIANS else FieldConfig
        config = kind.from_json(self.state["config"])
        return config.lip_region, config.expression_region

    def renderer(self) -> HeadRenderer:
        """Of the head that this checkpoint holds."""
        return (
            GaussianRenderer(self.gaussians())
            if self.kind == GAUSSIANS
            else FieldRenderer(self.field(devices.current()))
        )

    def field(self, device: str = "cpu") -> Field:
        """The head this checkpoint holds."""
        field = Field(FieldConfig.from_json(self.state["config"]))
        field.load_state_dict({name[6:]: value for name, value in self.tensors.items() if name.startswith("field.")})
        field.set_occupied(field.occupied)
        return field.to(device)


def save(
    workspace: Workspace,
    field: Field,
    optimiser: torch.optim.Optimizer,
    poses: np.ndarray,
    focal_px: float,
    step: int,
    state: dict,
    extra: dict[str, torch.Tensor],
) -> Path:
    """Write `checkpoints/step_*.safetensors` and config.json; older ones beyond `KEEP` go."""
    tensors = {f"field.{name}": value.contiguous() for name, value in field.state_dict().items()}
    for index, parameter in enumerate(field.parameters()):
        for name, value in optimiser.state.get(parameter, {}).items():
            tensors[f"optimiser.{index}.{name}"] = torch.as_tensor(value).contiguous()
    return write(workspace, FIELD, tensors | extra, poses, focal_px, step, {**state, "config": field.config.to_json()})


def write(
    workspace: Workspace,
    kind: str,
    tensors: dict[str, torch.Tensor],
    poses: np.ndarray,
    focal_px: float,
    step: int,
    state: dict,
) -> Path:
    """Write a checkpoint of a kind of head and config.json; older ones of its kind beyond `KEEP` go."""
    tensors = {name: value.detach().cpu() for name, value in tensors.items()}
    tensors["poses"] = torch.from_numpy(np.ascontiguousarray(poses, np.float64))
    state = {**state, "step": step, "focal_px": focal_px, "head": kind}
    path = workspace.checkpoints / f"{_PREFIXES[kind]}_{step:07d}.safetensors"
    with atomic_path(path) as temporary:
        # Not save_file: it does not raise OSError for a full disk, and a kill leaves its temporary file behind.
        temporary.write_bytes(to_bytes(tensors, {"state": json.dumps(state)}))
    write_json(workspace.checkpoints / "config.json", state)
    for old in head_paths(workspace.checkpoints, kind)[KEEP:]:
        old.unlink(missing_ok=True)
    return path


def newest_path(workspace: Workspace) -> Path | None:
    """The newest checkpoint's file, unread."""
    return next(iter(checkpoint_paths(workspace.checkpoints)), None)


def load_newest(workspace: Workspace, reporter: Reporter | None = None, kind: str = FIELD) -> Checkpoint | None:
    """The newest checkpoint of a kind of head that can be read; None when there is none. A damaged one is reported and
    skipped."""
    paths = head_paths(workspace.checkpoints, kind)
    for path, before in itertools.zip_longest(paths, paths[1:]):
        try:
            with safe_open(path, "pt") as file:
                state = json.loads(file.metadata()["state"])
                return Checkpoint(path, {name: file.get_tensor(name) for name in file.keys()}, state)  # noqa: SIM118
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            if reporter:
                instead = (
                    f"{before.name} is used instead"
                    if before
                    else "no older checkpoint exists, so training starts again"
                )
                reporter.warning(f"{path} is damaged ({error}): {instead}.")
    return None


def load_for_rendering(workspace: Workspace, reporter: Reporter | None = None, kind: str = AUTO) -> Checkpoint:
    """The newest checkpoint of a kind of head.

    Raises:
        WorkspaceError: nothing was trained.
    """
    checkpoint = load_newest(workspace, reporter, kind)
    if checkpoint is None and kind == GAUSSIANS and checkpoint_paths(workspace.checkpoints):
        raise WorkspaceError(f"{workspace.root} has no Gaussian head yet: run train --head gaussians on it first.")
    if checkpoint is None:
        raise WorkspaceError(f"{workspace.root} has no trained head yet: run train on it first.")
    return checkpoint


def restore_optimiser(checkpoint: Checkpoint, field: Field, optimiser: torch.optim.Optimizer) -> None:
    """Give the optimiser its state back."""
    for index, parameter in enumerate(field.parameters()):
        prefix = f"optimiser.{index}."
        found = {name[len(prefix) :]: value for name, value in checkpoint.tensors.items() if name.startswith(prefix)}
        if found:
            optimiser.state[parameter] = found
