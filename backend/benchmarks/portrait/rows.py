"""The rows of `bench portrait`: ways to put one rendered head into its footage, and ours with each part off in turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...delivery.footage import WorkingFrames, resized
from ...delivery.from_footage import FromFootage, Taking, WithFootage
from ...delivery.place import Place
from ...portrait_sync.head_region import ear_lobes_px
from ...portrait_sync.model_file import finished_model
from ...portrait_sync.plate import PlateParts
from ...portrait_sync.portrait import OverPlate, PaperGenerator, Portrait, open_portrait
from ...portrait_sync.stage import FrameSplitter
from ...progress import Reporter
from ...protocol import NO_PORTRAIT, OURS, PAPER
from ...workspace.head_track import HeadTrack
from ...workspace.images import read_image, write_image
from ...workspace.store import Workspace

ALONE = "head alone"
PAPERS, OUR_PORTRAIT = "paper's", "ours"
GAP_LEFT = "paper's, gap not filled"
SOFT_SHARE = 0.003
"""Standard deviation of the softened edge, of the frame's side: 0.8 pixels at 256²."""
WITHOUT: dict[str, PlateParts] = {
    "ours, neck not extended": PlateParts(neck=False),
    "ours, one light of the background": PlateParts(light=False),
}
"""Ours with a part of the plate off."""
SOFT = "ours, edge softened"
FIXED_NECK = "ours, neck does not follow"
RENDERED_HAIR = "ours, hair rendered"


@dataclass
class OtherPlates:
    """A clip with other plates, by the number of the frame; made before they are shown."""

    images: WorkingFrames
    folder: Path
    side: int

    def frame(self, index: int) -> np.ndarray:
        return self.images.frame(index)

    def plate(self, index: int) -> np.ndarray:
        return resized(read_image(self.folder / f"{index:06d}.jpg"), (self.side, self.side))

    def background(self, index: int) -> np.ndarray:
        return self.images.background(index)

    def cover(self, index: int) -> np.ndarray | None:
        return self.images.cover(index)

    def to_image(self, points_px: np.ndarray) -> np.ndarray:
        return self.images.to_image(points_px)


@dataclass
class InMemory:
    """What another clip shows, kept, so that reading files is not timed."""

    of: WorkingFrames | OtherPlates
    _kept: dict[tuple[str, int], Any] = field(default_factory=dict)

    def frame(self, index: int) -> np.ndarray:
        return self._keep("frame", index)

    def plate(self, index: int) -> np.ndarray:
        return self._keep("plate", index)

    def background(self, index: int) -> np.ndarray:
        return self._keep("background", index)

    def cover(self, index: int) -> np.ndarray | None:
        return self._keep("cover", index)

    def to_image(self, points_px: np.ndarray) -> np.ndarray:
        return self.of.to_image(points_px)

    def _keep(self, kind: str, index: int) -> Any:
        if (kind, index) not in self._kept:
            self._kept[kind, index] = getattr(self.of, kind)(index)
        return self._kept[kind, index]


def make_plates(workspace: Workspace, frames: np.ndarray, work: Path, reporter: Reporter) -> dict[str, Path]:
    """Write the plates of some frames with each part off, compressed like the workspace's own; a folder by row.

    Raises:
        WorkspaceError: the workspace has no mattes and plates of its own.
    """
    track = workspace.head_track(refined=False)
    splitter, model = FrameSplitter(workspace, track), finished_model(workspace)
    lobes_px = ear_lobes_px(track.head_to_camera, track.focal_px, track.principal_px)
    folders = {name: work / f"plate-{number}" for number, name in enumerate(WITHOUT)}
    for done, index in enumerate(frames.tolist(), 1):
        for name, folder in folders.items():
            write_image(folder / f"{index:06d}.jpg", splitter.split(index, model, lobes_px[index], WITHOUT[name])[1])
        reporter.progress("plates", done, len(frames), workspace.root.name)
    return folders


def portraits(
    workspace: Workspace, track: HeadTrack, side: int, plates: Mapping[str, Path], in_memory: bool = False
) -> dict[str, Portrait]:
    """Every row's portrait, by its name.

    Args:
        track: of the head that is rendered.
        plates: from `make_plates`.
        in_memory: images are read once and kept.
    """
    images = WorkingFrames(workspace, side)
    surroundings = InMemory(images) if in_memory else images
    names = {ALONE: NO_PORTRAIT, OUR_PORTRAIT: OURS, PAPERS: PAPER}
    rows = {row: open_portrait(name, surroundings, workspace, track) for row, name in names.items()}
    rows[RENDERED_HAIR] = rows[OUR_PORTRAIT]
    place = Place(side / workspace.subject.size, 0.0, 0.0)
    hair = FromFootage.of(workspace, track, Taking(neck=False))
    rows[OUR_PORTRAIT] = WithFootage(rows[RENDERED_HAIR], hair, place)
    paper = rows[PAPERS]
    assert isinstance(paper, PaperGenerator)
    rows[GAP_LEFT] = dataclasses.replace(paper, fill_gap=False)
    for name, folder in plates.items():
        other = OtherPlates(images, folder, side)
        rows[name] = OverPlate(InMemory(other) if in_memory else other)
    return rows | {SOFT: OverPlate(surroundings, SOFT_SHARE)}


def spoken_portraits(
    workspace: Workspace, track: HeadTrack, side: int, portraits: Mapping[str, Portrait]
) -> dict[str, Portrait]:
    """The rows of a head whose jaw does not do what the frame's does: of ours, the neck follows.

    Args:
        portraits: from `portraits`.
    """
    ours, fixed = portraits[OUR_PORTRAIT], portraits[RENDERED_HAIR]
    assert isinstance(ours, WithFootage)
    neck = FromFootage.of(workspace, track, Taking(hair=False)).neck
    following = dataclasses.replace(ours, taken=dataclasses.replace(ours.taken, neck=neck))
    papers = {name: portraits[name] for name in (PAPERS, GAP_LEFT)}
    return {OUR_PORTRAIT: following, **papers, FIXED_NECK: ours, RENDERED_HAIR: fixed}
