"""`encoder pretrain`: prepare, train, write the weights and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ....errors import WorkspaceError
from ....progress import Reporter
from ...encoders.speech_encoder import WEIGHTS
from . import face_windows, preparation
from .generated_speech import generate
from .prepared import read_items
from .training import Recipe, joined, save_weights, train


def pretrain(
    clips: Path | None,
    hours: float,
    out: Path,
    recipe: Recipe,
    reporter: Reporter,
    prepared: Path | None = None,
    initial: str | None = None,
    workers: preparation.Workers | None = None,
) -> dict[str, Any] | None:
    """Train a speech encoder; resumes where it stopped.

    Args:
        clips: folder of talking clips, or None.
        hours: of speech to generate.
        out: the weights, `.safetensors`; the report is `out` with the suffix `.html`, its figures `.json`.
        prepared: folder of prepared clips and speech.
        workers: who prepares the clips; None for this process.
        initial: `boxed`, a file of weights, or None for random ones.

    Returns:
        The figures of the report; None in all but the first process.

    Raises:
        WorkspaceError: there is no training data, or the saved state is of another training.
        MediaError, SynthesizerError: the folder is missing; the speech programs are.
    """
    from .report import write_report  # imports the charts

    if clips is None and hours <= 0:
        raise WorkspaceError("Give a folder of talking clips, or --generate HOURS for speech made here, or both.")
    prepared = prepared or out.with_suffix(".prepared")
    start = WEIGHTS if initial == "boxed" else Path(initial) if initial else None
    with joined() as processes:
        if processes.rank == 0:
            if hours > 0:
                generate(prepared, hours, reporter, recipe.seed)
            if clips is not None:
                preparation.prepare(face_windows.find_clips(clips), prepared, reporter, workers)
        processes.wait()
        if processes.rank:
            reporter = Reporter()
        names = face_windows.held_out_of_lists(clips) if clips else None
        training, held_out = read_items(prepared, names)
        state = out.with_suffix(".state.pt")
        model, history = train(training, held_out, recipe, state, reporter, processes, start)
    if processes.rank:
        return None
    made_of = [f"{hours:g} h of generated speech (flite, espeak-ng)"] if hours > 0 else []
    made_of += [f"the clips in {clips.name}"] if clips else []
    save_weights(model, out, " and ".join(made_of))
    report = out.with_suffix(".html")
    figures = write_report(report, model, history, training, held_out, made_of)
    for path in (state, state.with_suffix(".json")):
        path.unlink(missing_ok=True)
    return {"weights": str(out), "report": str(report), "processes": processes.count, **figures}
