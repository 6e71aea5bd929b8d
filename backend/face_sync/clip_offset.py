"""The offsets that a clip's audio shall have, measured or given, and what the user is told of them."""

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

_IN_TIME_MS = 5.0


def find_dead_audio(workspace: Workspace, audio: np.ndarray, opening: np.ndarray, reporter: Reporter) -> np.ndarray:
    """(S, 2) seconds of the audio's time in which it is silent though the lips move; warns of them."""
    found = dead_intervals(audio, opening, workspace.subject.fps)
    if found:
        places = ", ".join(f"{start:.1f} s to {end:.1f} s" for start, end in found[:8])
        reporter.warning(
            f"The audio of {_name(workspace)} is silent from {places}{' and later' if len(found) > 8 else ''} though the "
            "lips move: these frames are left out of what speech learns."
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
        audio: (samples,) 16 kHz mono. opening: (N,) of the lips, NaN where it or the audio says nothing.
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
        reporter.warning(f"How late the sound of {name} runs cannot be told from its lips: it is taken to be in time.")
    elif abs(found.offset_ms) < _IN_TIME_MS:
        reporter.info(f"The sound of {name} runs in time.")
    else:
        reporter.info(f"The sound of {name} runs {_late(found.offset_ms)}: mended.")
    if found.uneven_ms is not None:
        low, high = found.uneven_ms
        reporter.warning(
            f"The audio of {name} runs from {_late(low)} to {_late(high)} along the clip, neither by takes nor evenly: "
            "only the mean is corrected, so align the audio in an editor, or process the takes one by one."
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
            f"The audio of {name} drifts against its video by {60 * piece.drift_ms_per_s:+.0f} ms a minute, from "
            f"{_late(piece.offset_ms)} at its beginning to {_late(piece.offset_ms_at(duration_s))} at its end: corrected."
        )
        return
    parts = [f"{_late(piece.offset_ms)} from {piece.start_s:.1f} s" for piece in found.pieces]
    reporter.warning(f"The takes of {name} have audio offsets of their own, {', '.join(parts)}: corrected.")
    if found.unsure_s:
        places = ", ".join(f"{start:.1f} s to {end:.1f} s" for start, end in found.unsure_s)
        reporter.warning(
            f"The audio offset of {name} from {places} cannot be measured: the one of the take beside it is taken, so "
            "lips learnt there may be wrong; cut these seconds out if the head's speech is off."
        )


def _report_difference(workspace: Workspace, found: OffsetTimeline, reporter: Reporter) -> None:
    """Warn where what is measured is not what the workspace corrects."""
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
        late = f"{late} at its beginning and {_late(float(seen[-1]))} at its end"
    reporter.warning(
        f"The sound of {_name(workspace)} runs {late}: run process again with --audio-offset auto to mend it, as "
        "lips learnt from shifted sound are wrong."
    )


def as_parts(pieces: Sequence[AudioPiece]) -> list[tuple[float, float, float]]:
    """Pieces as plain numbers, for a stage's key."""
    return [(piece.start_s, piece.offset_ms, piece.drift_ms_per_s) for piece in pieces]


def _late(offset_ms: float) -> str:
    if abs(offset_ms) < _IN_TIME_MS:
        return "in time"
    return f"about {abs(round(offset_ms, -1)):.0f} ms {'late' if offset_ms > 0 else 'early'}"


def _name(workspace: Workspace) -> str:
    return Path(workspace.subject.source or workspace.root).name
