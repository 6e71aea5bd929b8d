"""`python3 install demo`: a clip becomes a talking head composited in Blender, with what `python3 install` made."""

from __future__ import annotations

import getpass
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import checkout
from .errors import DiskError, InstallError
from .process import Run, call, child_environment
from .terminal import duration

SAMPLE_VIDEO = "backend/actor/sample/speaker.mp4"
SAMPLE_AUDIO = "backend/actor/sample/drive.wav"
SAMPLE_MINUTES = 2.0
CLIP_MINUTES = 6.0

RESULTS = ("talking_head.mp4", "composite.mp4", "scene.blend", "report.html")
_STEPS = 7

_BLENDERS_LOG = re.compile(r"\d\d:\d\d\.\d+\s+\w+\s+\|")


class DemoError(InstallError):
    """A step of the demo failed; its output is above."""

    kind = "demo"


@dataclass(frozen=True)
class Job:
    """What the demo works on.

    Attributes:
        video, audio: the clip of one person, and the words to be spoken.
        consent: who agreed to a synthetic likeness of the person, as it is recorded in the workspace.
        minutes: training time.
        out: folder of the results.
    """

    video: Path
    audio: Path
    consent: str
    minutes: float
    out: Path

    @property
    def workspace(self) -> Path:
        """The subject's folder: one for each clip, so a second demo in the same folder does not mix them."""
        return self.out / f"workspace-{self.video.stem}"


def job(
    root: Path,
    video: Path | None,
    audio: Path | None,
    out: Path,
    consent: str | None = None,
    minutes: float | None = None,
) -> Job:
    """The demo's inputs with what was not given filled in.

    Raises:
        DemoError: a file is missing.
    """
    audio = audio or root / SAMPLE_AUDIO
    if video is None:
        filled = Job(root / SAMPLE_VIDEO, audio, "a synthetic speaker, no person", minutes or SAMPLE_MINUTES, out)
    else:
        consent = consent or _ask_consent(video)
        filled = Job(video, audio, consent, minutes or CLIP_MINUTES, out)
    for path in (filled.video, filled.audio):
        if not path.is_file():
            raise DemoError(f"{path} does not exist: give another file.")
    return filled


def _ask_consent(video: Path) -> str:
    """Who agreed to a likeness of the person in `video`: asked on a terminal; elsewhere it is the user who runs this.

    Raises:
        DemoError: the answer was empty.
    """
    statement = f"The person shown in {video.name} agrees that a synthetic likeness of them is made and used."
    if not sys.stdin.isatty():
        print(f"{statement} Recorded as confirmed by the user who runs this; --consent NAME records another.")
        return f"{getpass.getuser()}, who ran the demo on this clip"
    name = input(f"{statement}\nType your name to confirm, or nothing to stop: ").strip()
    if not name:
        raise DemoError("Consent is needed: run the demo again with --consent NAME.")
    return name


def run(root: Path, environments: Path, job: Job, device: str | None = None, python: Path | None = None) -> int:
    """Make the environments, then process, train, render, evaluate and composite; print where the results are.

    Everything resumes: a second run redoes only what is not finished.

    Raises:
        InstallError: an environment could not be made, a step failed, or `job.out` cannot be written to.
    """
    started = time.monotonic()
    out, workspace = job.out.resolve(), job.workspace.resolve()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(f"{out} cannot be written to ({error.strerror}): choose another folder with --out.") from error
    with _step(1, "Backend environment"):
        backend = checkout.make_backend(environments, device, python)
    with _step(2, "Blender environment"):
        blender = checkout.make_blender(environments)
    # The working folder makes `-m backend` the checkout's, so paths are made absolute before.
    video, audio, spoken = job.video.resolve(), job.audio.resolve(), out / "talking_head.mp4"

    def backend_verb(verb: str, *arguments: str | Path, capture: bool = False) -> str:
        pipe = subprocess.PIPE if capture else None
        done = call([backend, "-m", "backend", verb, *arguments], cwd=root, stdout=pipe)
        _check(verb, done.returncode)
        return done.stdout

    with _step(3, f"Process {job.video.name}"):
        backend_verb("process", video, "--workspace", workspace, "--consent", job.consent)
    with _step(4, f"Train, {job.minutes:g} minutes"):
        backend_verb("train", workspace, "--preset", "preview", "--minutes", str(job.minutes))
    with _step(5, f"Speak {job.audio.name}"):
        backend_verb("render", workspace, "--audio", audio, "--out", spoken)
    with _step(6, "Evaluate"):
        figures = json.loads(backend_verb("evaluate", workspace, "--rendered", spoken, "--json", capture=True))
        for name, value in figures.items():
            if isinstance(value, int | float):
                print(f"  {name}: {value:.4g}")
        shutil.copyfile(workspace / "reports" / "report.html", out / "report.html")
    with _step(7, "Composite in Blender"):
        arguments = ["--workspace", workspace, "--audio", audio, "--out", out]
        _call_blender([blender, root / "examples" / "console.py", *arguments], root, backend)
    missing = [name for name in RESULTS if not (out / name).is_file()]
    if missing:
        raise DemoError(f"The demo ended without {', '.join(missing)} in {out}: see the output above.")
    print(f"\nFinished in {duration(time.monotonic() - started)}:", *(out / name for name in RESULTS), sep="\n  ")
    return 0


@contextmanager
def _step(number: int, title: str) -> Iterator[None]:
    """A numbered heading before, and the time it took after."""
    heading = f"[{number}/{_STEPS}] {title}"
    print(f"\n{heading}", flush=True)
    started = time.monotonic()
    yield
    print(f"{heading}: {duration(time.monotonic() - started)}", flush=True)


def _call_blender(command: Iterable[object], root: Path, backend: Path) -> None:
    """Run a script in Blender's Python, without Blender's own line for each frame it renders."""
    run = Run(command, cwd=root, environment=child_environment({"SYNCTALK_BACKEND_PYTHON": str(backend)}))
    for line in run:
        if line is not None and not _BLENDERS_LOG.match(line):
            print(line, flush=True)
    _check("the composite", run.status)


def _check(step: str, status: int) -> None:
    if status:
        raise DemoError(f"The demo stopped at {step} (status {status}): correct the error above and run it again.")
