"""The two heads of a workspace, loaded to be drawn at its held-out frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np

from ...errors import WorkspaceError
from ...progress import Reporter
from ...renderer.gaussians.renderer import GaussianRenderer
from ...renderer.head import HeadRenderer
from ...training import checkpoints
from ...workspace.checkpoint_index import FIELD, GAUSSIANS
from ...workspace.head_track import HeadTrack
from ...workspace.shapes import Float, Int
from ...workspace.store import Workspace

KINDS = (FIELD, GAUSSIANS)


@dataclass
class TrainedHead:
    """A head in its own poses.

    Attributes:
        conditions: of the clip's frames, as `HeadRenderer.render` takes them.
    """

    checkpoint: checkpoints.Checkpoint
    renderer: HeadRenderer
    track: HeadTrack
    conditions: Float[np.ndarray, "n conditions"]


@dataclass(frozen=True)
class Spread:
    """Of repeated measurements, milliseconds: the median and the 10th and 90th percentile."""

    ms: float
    p10: float
    p90: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Spread:
        low, middle, high = np.percentile(np.array(list(seconds)) * 1e3, (10, 50, 90))
        return cls(float(middle), float(low), float(high))

    def to_json(self) -> dict[str, float]:
        return asdict(self)


def open_heads(workspace: Workspace, reporter: Reporter) -> dict[str, TrainedHead]:
    """Both heads, by kind.

    Raises:
        WorkspaceError: one of them was not trained.
    """
    return {kind: open_head(workspace, kind, reporter) for kind in KINDS}


def open_head(workspace: Workspace, kind: str, reporter: Reporter) -> TrainedHead:
    """One of them, `gaussians` or `field`.

    Raises:
        WorkspaceError: it was not trained.
    """
    checkpoint = checkpoints.load_for_rendering(workspace, reporter, kind)
    track = workspace.head_track(head=kind)
    conditions = checkpoint.lips.clip_conditions(workspace, track.blendshapes)
    return TrainedHead(checkpoint, checkpoint.renderer(), track, conditions)


def gaussian_renderer(heads: dict[str, TrainedHead]) -> GaussianRenderer:
    renderer = heads[GAUSSIANS].renderer
    assert isinstance(renderer, GaussianRenderer)
    return renderer


def held_out(workspace: Workspace, track: HeadTrack, count: int) -> Int[np.ndarray, " frames"]:
    """Held-out frames, spread evenly.

    Raises:
        WorkspaceError: the face was tracked in none.
    """
    valid = np.flatnonzero(track.valid)
    valid = valid[valid >= workspace.subject.first_test_frame]
    if not len(valid):
        raise WorkspaceError(f"{workspace.root} has no held-out frame with a face: give a longer clip.")
    return valid[np.unique(np.linspace(0, len(valid) - 1, count).astype(int))]


def trained_on(workspace: Workspace, track: HeadTrack, count: int) -> Int[np.ndarray, " frames"]:
    """Frames that the heads were trained on, spread evenly."""
    valid = np.flatnonzero(track.valid)
    valid = valid[valid < workspace.subject.first_test_frame]
    return valid[np.unique(np.linspace(0, len(valid) - 1, count).astype(int))]
