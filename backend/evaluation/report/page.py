"""`report.html`: what was made, from what, how well, and what may be wrong with it, in one self-contained file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...progress import format_duration
from ...protocol import SYNTHETIC_MARK
from ...workspace.checkpoint_index import FIELD, GAUSSIANS, training_config
from ...workspace.files import atomic_path
from ...workspace.frame_rate import as_text
from ...workspace.store import Workspace
from ...workspace.subject import STAGES
from ..evaluate import Evaluation
from ..speech_video import Speech
from ..template import render
from .comparison import AudioDriven, audio_driven_section, comparison_section
from .speech import speech_section
from .tracking import head_sync_section, tracking_section
from .training import training_log, training_section

_COMPARISON_MARK = "Comparison with a synthetic likeness"
"""Unlike the mark of SyncTalk's own videos: what is compared may come from another system."""

_DRAWN_BY = {GAUSSIANS: "the head's Gaussian twin", FIELD: "the tri-plane field"}

_TEMPLATE = Path(__file__).with_name("report.html.j2")


def write_report(
    workspace: Workspace,
    out_path: Path,
    evaluation: Evaluation | None = None,
    speeches: Sequence[Speech] = (),
    audio_driven: AudioDriven | None = None,
    head: str = "",
) -> Path:
    """Write the report of a workspace; a part whose input is missing is left out.

    Args:
        workspace: at least processed.
        out_path: of the HTML file.
        evaluation: held-out frames, from `evaluate`.
        speeches: videos that speak new words.
        audio_driven: the held-out frames once more, their lips driven by their audio.
        head: `gaussians` or `field`, which of them drew the held-out frames.

    Returns:
        `out_path`.

    Raises:
        StorageError: the disk is full or the place is read-only.
    """
    consent = _consent(workspace) or "No permission of the person shown is recorded."
    return _write_page(
        out_path,
        name=workspace.subject.name or workspace.root.name,
        mark=SYNTHETIC_MARK,
        lead=f"A talking head trained on one clip. {consent}",
        facts_title="What was made",
        facts=_facts(workspace, head),
        comparison=comparison_section(
            evaluation,
            "Held-out frames",
            "The last 1/11 of the clip was never trained on. Pose and expression are those tracked in it; every pixel "
            "of the head is predicted.",
            "the held-out last 1/11 of the clip, where a face was tracked",
        ),
        speeches=[section for speech in speeches if (section := speech_section(speech, out_path))],
        audio_driven=audio_driven_section(evaluation, audio_driven),
        head_sync=head_sync_section(workspace, out_path),
        tracking=tracking_section(workspace),
        training=training_section(workspace),
        warnings=_warnings(workspace, evaluation),
    )


def write_comparison(
    video: Path, reference: Path, out_path: Path, evaluation: Evaluation, mattes: Path | None = None
) -> Path:
    """Write the report of two videos or folders of frames: what a workspace's report shows of its held-out frames.

    Args:
        video, reference, mattes: what was compared, to be named.
        evaluation: from `evaluate_videos`.

    Returns:
        `out_path`.

    Raises:
        StorageError: the disk is full or the place is read-only.
    """
    facts = [("Predicted", str(video)), ("True", str(reference))]
    if mattes is not None:
        facts.append(("Mattes", str(mattes)))
    return _write_page(
        out_path,
        name=video.stem,
        mark=_COMPARISON_MARK,
        lead="Predicted frames beside the true ones.",
        facts_title="What was compared",
        facts=facts,
        comparison=comparison_section(
            evaluation, "Frames compared", "Predicted with true frames of the same moment.", "frames that both have"
        ),
        warnings=_face_warnings(evaluation, "frames compared"),
    )


def _write_page(
    out_path: Path,
    *,
    name: str,
    mark: str,
    lead: str,
    facts_title: str,
    facts: list[tuple[str, str]],
    comparison: dict[str, Any] | None,
    warnings: list[str],
    speeches: Sequence[dict[str, Any]] = (),
    audio_driven: dict[str, Any] | None = None,
    head_sync: dict[str, Any] | None = None,
    tracking: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
) -> Path:
    """Fill the template; a section that is None is left out."""
    page = render(
        _TEMPLATE,
        name=name,
        lead=lead,
        mark=mark,
        facts_title=facts_title,
        facts=facts,
        comparison=comparison,
        speeches=speeches,
        audio_driven=audio_driven,
        head_sync=head_sync,
        tracking=tracking,
        training=training,
        warnings=warnings,
    )
    with atomic_path(out_path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return out_path


# -- what was made ---------------------------------------------------------------------------------------------------


def _facts(workspace: Workspace, head: str) -> list[tuple[str, str]]:
    subject = workspace.subject
    crop = subject.crop
    facts = [
        ("Clip", Path(subject.source).name),
        ("Video", f"{subject.source_size[0]} × {subject.source_size[1]}, {subject.source_fps:.4g} frames a second"),
        (
            "Length",
            f"{format_duration(subject.duration_s)}, {subject.frames:,} frames at {as_text(subject.rate)} a second",
        ),
    ]
    if crop is not None:
        full = (crop.size, crop.size) == tuple(subject.source_size)
        place = "the full frame" if full else f"a square of {crop.size:g} px around the head"
        facts.append(("Working frame", f"{subject.size} × {subject.size}, {place}"))
    late = f"{subject.audio_offset_ms:.0f} ms late, corrected" if subject.audio_offset_ms else "as recorded"
    if subject.audio_timeline:
        late = f"{subject.audio_offset_ms:.0f} ms late on average, corrected along the clip"
    facts.append(("Audio", late))
    trained = training_config(workspace.checkpoints)
    if trained:
        minutes = training_log(workspace)[-1]["minutes"] if training_log(workspace) else None
        spent = f", {minutes:.1f} min of training" if minutes is not None else ""
        facts.append(("Head", f"preset {trained.get('preset', '?')}, step {int(trained.get('step', 0)):,}{spent}"))
    if head:
        facts.append(("Drawn by", _DRAWN_BY[head]))
    facts.append(("Fingerprint", f"sha256 {subject.source_sha256[:16]}…"))
    return facts


def _consent(workspace: Workspace) -> str | None:
    consent = workspace.subject.consent
    if not consent.get("given"):
        return None
    who, when = consent.get("by", "?"), str(consent.get("when", "?"))[:10]
    return f"Permission for a synthetic likeness was given by {who}, recorded {when}."


def _warnings(workspace: Workspace, evaluation: Evaluation | None) -> list[str]:
    """Warnings of `process`, and of the results."""
    warnings = [text for name in STAGES for text in workspace.subject.stages.get(name, {}).get("warnings", [])]
    if not workspace.subject.consent.get("given"):
        warnings.append("No permission of the person shown is recorded: ask for it before you train or show anything.")
    if workspace.tracking_path.exists() and not workspace.subject.stages.get("landmarks", {}).get("warnings"):
        valid = workspace.head_track().valid
        if not valid.all():
            first = int(np.argmin(valid))
            warnings.append(
                f"In {int((~valid).sum())} of {len(valid)} frames no face was tracked, first in frame {first} "
                f"({first / workspace.subject.fps:.1f} s): they are left out of training."
            )
    if evaluation is not None:
        warnings += _face_warnings(evaluation, "held-out frames")
    return warnings


def _face_warnings(evaluation: Evaluation, of_what: str) -> list[str]:
    missing = evaluation.figures["frames_without_face"]
    if not missing:
        return []
    return [f"In {missing} of {len(evaluation.index)} {of_what} no face was found in one of the two images."]
