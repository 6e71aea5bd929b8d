"""The images of the README, from a finished demo: footage over composite, and a strip of open mouths.

    .venvs/backend/bin/python examples/demo_images.py demo docs/images

Writes DIR/demo.jpg, and DIR/demo-mouths.jpg: the 20 widest mouths of the clip, real above, rendered in the same frames below.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from backend.evaluation.contact_sheet import mouth_strip, open_mouths
from backend.evaluation.evaluate import FramePair
from backend.evaluation.reenactment import Reenactment, self_reenactment
from backend.evaluation.strip import keeping
from backend.media.decode import frames, probe
from backend.progress import Reporter
from backend.workspace.files import atomic_path
from backend.workspace.store import Workspace

COLUMNS, SIDE, GAP = 4, 400, 4
FACES_WIDE = 2.0
QUALITY = 90


def main(demo: Path, out: Path) -> None:
    """Write both images of the demo in `demo` into `out`; raises the errors of the workspace."""
    workspace = Workspace.open(next(demo.glob("workspace-*")))
    out.mkdir(parents=True, exist_ok=True)
    _write(out / "demo.jpg", footage_and_composite(workspace, demo / "composite.mp4"))
    _write(out / "demo-mouths.jpg", mouths(workspace))


def footage_and_composite(workspace: Workspace, composite: Path) -> np.ndarray:
    """Evenly spaced frames of both, (H, W, 3) uint8, all cut about the face of the footage."""
    face = workspace.head_track().landmarks_px
    side = FACES_WIDE * float(np.nanmedian(np.ptp(face[..., 0], axis=1)))
    centre = np.nanmedian(face.mean(1), axis=0) - [0, 0.06 * side]
    scale = SIDE / side
    matrix = np.array([[scale, 0, SIDE / 2 - scale * centre[0]], [0, scale, SIDE / 2 - scale * centre[1]]])
    lines = []
    for video in (Path(workspace.subject.source), composite):
        at = np.linspace(0, probe(video).frames - 1, COLUMNS + 2).astype(int)[1:-1].tolist()
        line = np.full((SIDE, COLUMNS * (SIDE + GAP) - GAP, 3), 255, np.uint8)
        for k, (_, image) in enumerate(frames(video)):
            if k in at:
                cut = cv2.warpAffine(
                    image, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
                )
                line[:, at.index(k) * (SIDE + GAP) :][:, :SIDE] = cut
        lines.append(line)
    return np.concatenate([lines[0], np.full_like(lines[0][:GAP], 255), lines[1]])


def mouths(workspace: Workspace) -> np.ndarray:
    """The strip of open mouths, (H, W, 3) uint8. Most of its frames were trained on."""
    landmarks = workspace.head_track().landmarks_px
    wide = open_mouths(landmarks)
    kept: dict[int, FramePair] = {}
    for _ in keeping(self_reenactment(workspace, wide, Reenactment(), Reporter()), wide.tolist(), kept):
        pass
    shown = sorted(kept)
    rows = {"real": [kept[k].truth for k in shown], "rendered": [kept[k].predicted for k in shown]}
    return mouth_strip(rows, landmarks[shown])


def _write(path: Path, image: np.ndarray) -> None:
    _, coded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    with atomic_path(path) as temporary:
        Path(temporary).write_bytes(coded.tobytes())
    print(path)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
