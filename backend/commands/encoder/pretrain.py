"""`encoder pretrain`: train an encoder on talking clips, or on speech that it generates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...progress import Reporter
from ..option import option


@dataclass(frozen=True)
class Options:
    clips: Path | None = option(
        "a folder of talking clips, searched recursively (LRS2 too)", None, positional=True, metavar="DIR"
    )
    generate: float = option("hours of speech to generate and train on", 0.0, metavar="HOURS")
    out: Path = option("the weights; a report beside them", metavar="F.safetensors")
    prepared: Path | None = option("cache folder of prepared clips (default: OUT's name with .prepared)", None)
    jobs: int = option("processes of this machine that prepare clips", 1)
    ray: str | None = option(
        "a Ray cluster that prepares the clips: HOST:PORT, auto, or local (docs/batch.md)", None, metavar="ADDRESS"
    )
    initial: str | None = option("begin with the embedded encoder (boxed) or a file, not with random weights", None)
    steps: int = option("training steps, over all processes", 4000)
    batch: int = option("windows a step and process", 24)
    seed: int = option("random seed of weights and batches", 0)


def run(options: Options, reporter: Reporter) -> dict[str, Any] | None:
    """Train the encoder; None in a process that only helps another.

    Raises:
        SyncTalkError: there is nothing to train on, or the saved state is of another training.
    """
    from ...face_sync.research.pretraining.preparation import Workers
    from ...face_sync.research.pretraining.run import pretrain
    from ...face_sync.research.pretraining.training import Recipe

    workers = Workers(options.jobs, options.ray) if options.ray or options.jobs > 1 else None
    recipe = Recipe(steps=options.steps, batch=options.batch, seed=options.seed)
    out, prepared = options.out, options.prepared
    return pretrain(options.clips, options.generate, out, recipe, reporter, prepared, options.initial, workers)
