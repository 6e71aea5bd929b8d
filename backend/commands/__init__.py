"""The verbs of `python -m backend`, and what the server runs for Blender: one module a verb.

A module has `Options` (a frozen dataclass of `option`s), `run(options, reporter)` and, where a terminal shows something
else than the result's fields, `in_words(result)`; `exit_status(result)` where success has several. PyTorch and its like are
imported inside `run`, and the options of benchmarks are in a module of their own: `--help` waits for none.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Verb:
    """A verb: its help text and its module below `backend`, or the verbs below it."""

    help: str
    module: str = ""
    verbs: Mapping[str, Verb] = field(default_factory=dict)
    stops_at_once: bool = False
    """Ctrl-C stops it at once, as it has nothing to save."""
    options_class: str = ""
    """Module and name of its options below `backend`, where its own module imports what takes seconds."""

    @property
    def options(self) -> Any:
        """The class of its options."""
        if not self.options_class:
            return self.load().Options
        module, _, name = self.options_class.rpartition(".")
        return getattr(importlib.import_module(f"..{module}", __package__), name)

    def load(self) -> ModuleType:
        """The module, imported when it is needed."""
        return importlib.import_module(f"..{self.module}", __package__)


VERBS = {
    "process": Verb(
        "preprocess a video into a workspace, stage by stage; resumes where it stopped", "commands.process"
    ),
    "train": Verb("train the head; resumes from the last checkpoint", "commands.train"),
    "measure": Verb("measure whether mouth and eyes of the trained head move", "commands.measure"),
    "speak": Verb("turn speech into an animation of the head (docs/animation.md)", "commands.speak"),
    "render": Verb("render a video (OUT.mp4) or a folder of RGBA frames", "commands.render"),
    "stream": Verb(
        "the live head over WebRTC on a page, as a virtual camera, as a rig over OSC (docs/stream.md)",
        "commands.stream",
    ),
    "export": Verb("the head for other programs: 3DGS PLY, glTF or USD (docs/export.md)", "commands.export"),
    "footage": Verb("write the complete source frames, for a compositor", "commands.footage"),
    "mattes": Verb(
        "write head, hair, neck, torso and background as mattes of their own, for a compositor", "commands.mattes"
    ),
    "evaluate": Verb(
        "the paper's metrics, on the held-out last 1/11 of a clip or on any video and its reference",
        "commands.evaluate",
    ),
    "batch": Verb("many subjects, takes and deliveries from one TOML file (docs/batch.md)", "commands.batch"),
    "verify": Verb(
        "whether files are synthetic likenesses made with SyncTalk, and unaltered (docs/provenance.md)",
        "commands.verify",
        stops_at_once=True,
    ),
    "sign": Verb(
        "sign what Blender rendered with a head, as render signs its own (docs/provenance.md)", "commands.sign"
    ),
    "capture": Verb(
        "face data of any source becomes a take (docs/capture.md)",
        verbs={
            "import": Verb(
                "a file: Live Link Face, Audio2Face, USD, BVH, CSV or JSON of ARKit's names",
                "commands.capture.import_file",
            ),
            "live": Verb(
                "a face that is sent while it moves: OSC, Live Link Face, a webcam, a microphone",
                "commands.capture.live",
            ),
            "video": Verb(
                "another person's clip, by our own tracker; resumes where it stopped", "commands.capture.video"
            ),
        },
    ),
    "serve": Verb("JSON-RPC over stdin and stdout for Blender (docs/protocol.md)", "commands.serve"),
    "encoder": Verb(
        "the audio-visual encoder: prepare, pretrain, features, evaluate",
        verbs={
            "prepare": Verb("prepare talking clips for pretrain, on one machine or many", "commands.encoder.prepare"),
            "pretrain": Verb(
                "train an encoder on talking clips, or on speech that it generates", "commands.encoder.pretrain"
            ),
            "features": Verb("features of an audio file, a row a frame at 25 a second", "commands.encoder.features"),
            "evaluate": Verb(
                "how well an encoder's features predict the lips of processed clips", "commands.encoder.evaluate"
            ),
        },
    ),
    "models": Verb(
        "weights: list, fetch, path",
        verbs={
            "list": Verb("all models, their purpose, and which are on this machine", "commands.models.list"),
            "fetch": Verb("download missing models", "commands.models.fetch"),
            "path": Verb("the file of a model, or the folders that are searched", "commands.models.path"),
        },
    ),
    "bench": Verb(
        "a benchmark: figures, and their ratio to a reference of the same run",
        verbs={
            "capture": Verb(
                "heads driven by each other's clips: the driver's lips, the own face",
                "benchmarks.capture",
                stops_at_once=True,
                options_class="benchmarks.options.Capture",
            ),
            "delivery": Verb(
                "videos of new speech over the footage: frames a second and memory, beside the clip's frames without a head",
                "benchmarks.delivery",
                stops_at_once=True,
                options_class="benchmarks.options.Delivery",
            ),
            "face-sync": Verb(
                "Face-Sync: lip space, sync, speech to lips, capture, disentanglement, cost",
                "benchmarks.face_sync",
                stops_at_once=True,
                options_class="benchmarks.options.FaceSync",
            ),
            "gaussians": Verb(
                "the Gaussian head beside the field: time by part and its floor, memory, faults, quality by minutes",
                "benchmarks.gaussians",
                stops_at_once=True,
                options_class="benchmarks.options.Gaussians",
            ),
            "gpu": Verb(
                "an NVIDIA GPU in eight minutes: its rates, frames and steps by kernel, a training",
                "benchmarks.gpu",
                stops_at_once=True,
                options_class="benchmarks.options.Gpu",
            ),
            "head-sync": Verb(
                "Head-Sync: exactness, shake, stillness and cost of poses, by method",
                "benchmarks.head_sync.benchmark",
                stops_at_once=True,
                options_class="benchmarks.options.HeadSync",
            ),
            "live": Verb(
                "a live face: milliseconds from packet to image, images a second, ten minutes with rubbish",
                "benchmarks.live",
                stops_at_once=True,
                options_class="benchmarks.options.Live",
            ),
            "portrait": Verb(
                "a head put into its footage in several ways: fidelity, seam, steadiness, cost, ours with each part off",
                "benchmarks.portrait",
                stops_at_once=True,
                options_class="benchmarks.options.Portrait",
            ),
            "process": Verb(
                "preprocessing: frames a second, memory, and the seconds of each stage",
                "benchmarks.process",
                stops_at_once=True,
                options_class="benchmarks.options.Process",
            ),
            "readiness": Verb(
                "a head's grades against new speech and the blink sliders, rendered and tracked again",
                "benchmarks.readiness",
                stops_at_once=True,
                options_class="benchmarks.options.Readiness",
            ),
            "renderer": Verb(
                "milliseconds a frame by kernel and part, compared with plain PyTorch and the machine's own rate",
                "benchmarks.renderer",
                stops_at_once=True,
                options_class="benchmarks.options.Renderer",
            ),
            "training": Verb(
                "held-out PSNR by minutes, steps a second, memory, cost by length, gap with and without gates",
                "benchmarks.training",
                stops_at_once=True,
                options_class="benchmarks.options.Training",
            ),
            "watermark": Verb(
                "the watermark: pieces read after each change, false ones, distance and cost",
                "benchmarks.watermark",
                stops_at_once=True,
                options_class="benchmarks.options.Watermark",
            ),
        },
    ),
    "actor": Verb("make the synthetic speaker: clip, audio and truth", "commands.actor", stops_at_once=True),
}
