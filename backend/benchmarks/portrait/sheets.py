"""Images of `bench portrait`: truth and portraits side by side at full size where they are worst, and open mouths."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...delivery.from_footage import EVERYTHING
from ...evaluation.contact_sheet import image_sheet, mouth_strip, open_mouths
from ...evaluation.evaluate import Evaluation
from ...evaluation.reenactment import Reenactment, self_reenactment
from ...face_sync.speech import MOUTH_INDEX
from ...progress import Reporter
from ...protocol import OURS, PAPER
from ...workspace.images import write_image
from ...workspace.landmarks import lip_opening
from ...workspace.store import Workspace
from .comparison import Composed
from .rows import OUR_PORTRAIT, PAPERS

SHOWN = {PAPERS: PAPER, OUR_PORTRAIT: OURS}
"""Rows whose images are shown, and their names in `protocol.PORTRAITS`."""

SHUT = 4
"""Frames shown with the mouth shut."""


def write(
    folder: Path, workspace: Workspace, kind: str, composed: Mapping[str, Composed], found: Mapping[str, Evaluation]
) -> None:
    """Sheets of images of one head.

    `CLIP-HEAD.png` has the frames in which each row is worst, `CLIP-HEAD-mouths.png` the widest mouths, and `CLIP-HEAD-shut.png`
    the same frames with the rendered mouth shut: there the frame's own jaw hangs lower than the rendered one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{workspace.subject.name}-{kind}"
    worst = _worst(composed, found)
    images = _images(workspace, kind, list(worst.values()))
    sheet = {f"{label}: frame {index}": images[index] for label, index in worst.items()}
    write_image(folder / f"{name}.png", image_sheet(sheet))

    frames = found[OUR_PORTRAIT].index
    landmarks = workspace.head_track().landmarks_px[frames]
    wide = open_mouths(landmarks)
    if len(wide):
        images = _images(workspace, kind, frames[wide].tolist())
        rows = {row: [images[index][row] for index in frames[wide].tolist()] for row in ("truth", *SHOWN)}
        write_image(folder / f"{name}-mouths.png", mouth_strip(rows, landmarks[wide]))
        widest = frames[wide[np.argsort(-lip_opening(landmarks[wide]))[:SHUT]]]
        shut = workspace.head_track(head=kind).blendshapes.copy()
        shut[:, MOUTH_INDEX] = 0
        images = _images(workspace, kind, widest.tolist(), shut)
        sheet = {f"mouth shut over frame {index}": images[index] for index in sorted(images)}
        write_image(folder / f"{name}-shut.png", image_sheet(sheet))


def _worst(composed: Mapping[str, Composed], found: Mapping[str, Evaluation]) -> dict[str, int]:
    """The frames with the most visible seam and with the least PSNR of each row that is shown."""
    frames: dict[str, int] = {}
    for row in SHOWN:
        seams = composed[row].seams
        worst = max(seams, key=lambda index: np.nan_to_num(seams[index].worst))
        frames[f"most visible seam of {row}, {seams[worst].worst_part}"] = worst
        decibels = found[row].psnr_head
        frames[f"least PSNR of the head, {row}"] = int(found[row].index[np.argmin(np.nan_to_num(decibels, nan=np.inf))])
    return frames


def _images(
    workspace: Workspace, kind: str, frames: list[int], blendshapes: np.ndarray | None = None
) -> dict[int, dict[str, np.ndarray]]:
    """Truth and rows of some frames at the working frame's own size."""
    chosen, images = np.unique(frames), dict[int, dict[str, np.ndarray]]()
    for row, portrait in SHOWN.items():
        how = Reenactment(None, kind, portrait, EVERYTHING)
        for pair in self_reenactment(workspace, chosen, how, Reporter(), blendshapes):
            images.setdefault(pair.index, {"truth": pair.truth})[row] = pair.predicted
    return images
