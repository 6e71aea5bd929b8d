"""Measures or sets the offsets of a clip's audio, and reports them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..media.audio import write_wav
from ..media.audio_timeline import aligned, offsets_ms
from ..progress import Reporter
from ..workspace.store import Workspace
from ..workspace.subject import AudioPiece
from .audio_offset import NOTABLE_MS, OffsetEvidence
from .dead_audio import dead_intervals
from .offset_timeline import OffsetTimeline, measure

_IN_SYNC_MS = 5.0


def find_dead_audio(workspace: Workspace, audio: np.ndarray, opening: np.ndarray, reporter: Reporter) -> np.ndarray:
    """(S, 2) seconds of the audio's time in which it is silent though the lips move; warns of them."""
    found = dead_intervals(audio, opening, workspace.subject.fps)
    if found:
        places = ", ".join(f"{start:.1f} s to {end:.1f} s" for start, end in found[:8])
        reporter.warning(
            f"The audio of {_name(workspace)} is silent from {places}{' and later' if len(found) > 8 else ''} although the "
            "lips move: speech training ignores these frames."
        )
    return np.array(found).reshape(-1, 2)


def settle_offsets(
    workspace: Workspace,
    wanted: float | str | None,
    audio: np.ndarray,
    opening: np.ndarray,
    cuts: np.ndarray,
    reporter: Reporter,
) -> None:
    """Set the subject's `audio_offset_ms` and `audio_timeline` as wanted.

    Args:
        wanted: `audio_offset_ms` of the stage.
        audio: (samples,) 16 kHz mono. opening: (N,) of the lips, NaN where it is not known or the audio is dead.
        cuts: (N,) bool, frames at which a take begins.
    """
    subject, name = workspace.subject, _name(workspace)
    if wanted is None:
        wanted = "measure" if "face_sync" in subject.stages else "auto"
    if wanted not in ("auto", "measure"):
        subject.audio_offset_ms, subject.audio_timeline = float(wanted), []
        return
    found = measure(OffsetEvidence.of(audio, opening, subject.fps), cuts)
    if wanted == "measure":
        _report_difference(workspace, found, reporter)
        return
    if found.pieces:
        _report_pieces(name, found, subject.duration_s, reporter)
        frames = np.arange(subject.frames) / subject.fps
        subject.audio_timeline = found.pieces
        subject.audio_offset_ms = float(round(np.mean(offsets_ms(found.pieces, frames))))
        return
    subject.audio_timeline = []
    subject.audio_offset_ms = float(round(found.offset_ms)) if found.sure else 0.0
    if not found.sure:
        reporter.warning(f"The audio offset of {name} cannot be measured from the lips: the audio is not shifted.")
    elif abs(found.offset_ms) < _IN_SYNC_MS:
        reporter.info(f"The audio of {name} is in sync.")
    else:
        reporter.info(f"The audio of {name} is {_late(found.offset_ms)}: corrected.")
    if found.uneven_ms is not None:
        low, high = found.uneven_ms
        reporter.warning(
            f"The audio offset of {name} varies from {_late(low)} to {_late(high)} without a pattern: only "
            "the mean is corrected. Align the audio in an editor, or process the takes one by one."
        )


def write_corrected(workspace: Workspace, audio: np.ndarray) -> None:
    """Write `audio_corrected.wav` where the offsets vary along the clip; remove it where they do not."""
    if workspace.subject.audio_timeline:
        write_wav(workspace.corrected_audio_path, [aligned(audio, workspace.subject.audio_timeline)])
    else:
        workspace.corrected_audio_path.unlink(missing_ok=True)


def _report_pieces(name: str, found: OffsetTimeline, duration_s: float, reporter: Reporter) -> None:
    if found.pieces[0].drift_ms_per_s:
        (piece,) = found.pieces
        reporter.warning(
            f"The audio of {name} drifts by {60 * piece.drift_ms_per_s:+.0f} ms a minute, from {_late(piece.offset_ms)} at "
            f"the start to {_late(piece.offset_ms_at(duration_s))} at the end: corrected."
        )
        return
    parts = [f"{_late(piece.offset_ms)} from {piece.start_s:.1f} s" for piece in found.pieces]
    reporter.warning(f"The takes of {name} have different audio offsets, {', '.join(parts)}: corrected.")
    if found.unsure_s:
        places = ", ".join(f"{start:.1f} s to {end:.1f} s" for start, end in found.unsure_s)
        reporter.warning(
            f"The audio offset of {name} from {places} cannot be measured: the neighbouring take's is used. "
            "If the head speaks out of sync, cut these seconds out."
        )


def _report_difference(workspace: Workspace, found: OffsetTimeline, reporter: Reporter) -> None:
    """Warn if the measured offset differs from the one that the workspace corrects."""
    subject = workspace.subject
    if not found.sure:
        return
    at_s = np.arange(max(subject.frames, 1)) / subject.fps
    has = offsets_ms(subject.audio_timeline or [AudioPiece(0.0, subject.audio_offset_ms)], at_s)
    seen = offsets_ms(found.pieces or [AudioPiece(0.0, found.offset_ms)], at_s)
    if np.abs(seen - has).max() < NOTABLE_MS:
        return
    late = _late(float(seen[0]))
    if found.pieces:
        late = f"{late} at the start and {_late(float(seen[-1]))} at the end"
    reporter.warning(
        f"The audio of {_name(workspace)} is {late}, which makes the lips wrong: run process again with "
        "--audio-offset auto to correct it."
    )


def as_parts(pieces: Sequence[AudioPiece]) -> list[tuple[float, float, float]]:
    """Pieces as plain numbers, for a stage's key."""
    return [(piece.start_s, piece.offset_ms, piece.drift_ms_per_s) for piece in pieces]


def _late(offset_ms: float) -> str:
    if abs(offset_ms) < _IN_SYNC_MS:
        return "in sync"
    return f"about {abs(round(offset_ms, -1)):.0f} ms {'late' if offset_ms > 0 else 'early'}"


def _name(workspace: Workspace) -> str:
    return Path(workspace.subject.source or workspace.root).name
