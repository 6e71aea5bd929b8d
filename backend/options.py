"""What a user may choose for `process`; a sentence under each field is its help text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LANDMARKERS = ("auto", "task", "mesh")
KEYPOINTS = ("corners", "flow-most", "flow-least")
BUNDLE_ADJUSTMENTS = ("sparse", "adam")


@dataclass(frozen=True)
class ProcessOptions:
    """Options of the preprocessing stages. Each stage's `run(workspace, options, reporter)` takes them."""

    video: Path | None = None
    """The clip; None goes on with the one the workspace was begun with."""

    size: int = 512
    """Largest side of the square working frame in pixels; a smaller face crop keeps its own size."""

    landmarker: str = "auto"
    """`task` (face_landmarker.task must be present), `mesh` (the one inside the mediapipe package), or `auto`."""

    keypoints: str = "corners"
    """Head points: `corners` of the picture, or of those the third whose flow bends most (`flow-most`) or least
    (`flow-least`)."""

    bundle_adjustment: str = "sparse"
    """`sparse` (Levenberg-Marquardt on the problem's structure) or `adam` (as the paper does it)."""

    face_model: Path | None = None
    """A Basel Face Model file (.mat or .h5) to take the face's relief from, in place of MediaPipe's depth."""

    audio_offset_ms: float | str | None = None
    """How late the sound runs, in milliseconds; `auto` mends what is measured; `measure` tells only. None mends it the
    first time a clip is processed, and keeps what the workspace has from then on."""
