"""`encoder pretrain|features|evaluate`: the audio-visual encoder's verbs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from ...media.audio import picture_time_audio, sound_blocks
from ...media.guard import guarded_items
from ...progress import Reporter, terminal_reporter
from ...workspace.files import write_arrays
from ...workspace.store import Workspace
from ...workspace.subject import FPS
from ..encoders import NAMES, open_encoder, present
from .pretraining.training import Recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments on `parser`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    sub = actions.add_parser("pretrain", help="train an encoder on talking clips, or on speech that it generates")
    sub.add_argument(
        "clips",
        type=Path,
        nargs="?",
        metavar="DIR",
        help="a folder of talking clips, searched to its depths (LRS2 too)",
    )
    sub.add_argument("--generate", type=float, default=0.0, metavar="HOURS", help="speech to generate and learn from")
    sub.add_argument(
        "--out", type=Path, required=True, metavar="F.safetensors", help="the weights; a report beside them"
    )
    sub.add_argument("--prepared", type=Path, help="folder of what is prepared once (OUT's name with .prepared)")
    sub.add_argument("--initial", help="begin with the encoder in the box (boxed) or a file, not with nothing")
    recipe = Recipe()
    sub.add_argument("--steps", type=int, default=recipe.steps, help="of training, over all processes (%(default)s)")
    sub.add_argument("--batch", type=int, default=recipe.batch, help="windows a step and process (%(default)s)")
    sub.add_argument("--seed", type=int, default=recipe.seed)
    sub = actions.add_parser("features", help="features of a sound, a row a frame at 25 a second")
    sub.add_argument("source", type=Path, metavar="AUDIO_OR_VIDEO")
    sub.add_argument("--out", type=Path, required=True, metavar="F.npz", help="features (N, D) and fps")
    sub.add_argument("--encoder", default="boxed", help=f"{', '.join(NAMES)} or a .safetensors file (%(default)s)")
    sub.add_argument("--offset-ms", type=float, default=0.0, help="how late the sound runs (%(default)s)")
    sub = actions.add_parser("evaluate", help="how much an encoder's features tell of the lips of processed clips")
    sub.add_argument("workspaces", type=Path, nargs="+", metavar="WS")
    sub.add_argument("--encoder", action="append", metavar="NAME", help="as of features; may be given again (all here)")
    for sub in actions.choices.values():
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")


def run(args: argparse.Namespace) -> int:
    """Do what `add_arguments` declared.

    Raises:
        SyncTalkError: a sentence for the user.
    """
    reporter = terminal_reporter(cancelled=args.cancelled)
    result = {"pretrain": _pretrain, "features": _features, "evaluate": _evaluate}[args.action](args, reporter)
    if result is not None:
        print(json.dumps(result, indent=1) if args.json else _in_words(result))
    return 0


def _features(args: argparse.Namespace, reporter: Reporter) -> dict[str, Any]:
    encoder = open_encoder(args.encoder)
    reporter.progress("features", 0, 1, "sounds")
    sound = guarded_items(picture_time_audio, args.source, reporter=reporter, about=args.source)
    features = encoder.features(sound, offset_ms=args.offset_ms)
    write_arrays(args.out, features=features, fps=np.float64(FPS))
    reporter.progress("features", 1, 1, "sounds")
    return {"out": str(args.out), "encoder": encoder.name, "frames": len(features), "size": features.shape[1]}


def _evaluate(args: argparse.Namespace, reporter: Reporter) -> dict[str, Any]:
    from . import lip_probe

    clips = [lip_probe.ProbeClip.of(Workspace.open(root)) for root in args.workspaces]
    names = args.encoder or present()
    tables = {}
    for done, name in enumerate(names):
        reporter.progress("encoders", done, len(names), "encoders", name)
        tables[name] = encoder_table(name, clips)
    reporter.progress("encoders", len(names), len(names), "encoders")
    return {"clips": [clip.name for clip in clips], "encoders": tables}


def encoder_table(name: str, clips: list) -> dict[str, Any]:
    """Probe of one encoder: by measure and `same` or `across`, the mean of long clips and every clip's own figures."""
    from . import lip_probe

    encoder = open_encoder(name)
    features = []
    for clip in clips:
        path, offset_ms = clip.workspace.aligned_audio
        features.append(encoder.features(sound_blocks(path), len(clip.lips["opening"]), offset_ms))
    table: dict[str, Any] = {}
    for measure, ways in lip_probe.probe(clips, features).items():
        for way, values in ways.items():
            if values:
                table.setdefault(measure, {})[way] = lip_probe.told(clips, values)
    return table


def _pretrain(args: argparse.Namespace, reporter: Reporter) -> dict[str, Any] | None:
    from .pretraining.run import pretrain

    recipe = Recipe(steps=args.steps, batch=args.batch, seed=args.seed)
    return pretrain(args.clips, args.generate, args.out, recipe, reporter, args.prepared, args.initial)


def _in_words(result: dict[str, Any]) -> str:
    from . import lip_probe

    if "encoders" not in result:
        return "\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in result.items())
    lines = [f"clips: {', '.join(result['clips'])}", "correlation (CCC), means of clips of at least 10 s"]
    for encoder, table in result["encoders"].items():
        for measure, ways in table.items():
            figures = ", ".join(f"{way} {lip_probe.in_words(row)}" for way, row in ways.items())
            lines.append(f"{encoder:>12} {measure:>8}: {figures}")
    return "\n".join(lines)
