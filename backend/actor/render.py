"""Runs the studio in Blender's Python and watches it: the backend's side of the process boundary."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import deque
from pathlib import Path

import numpy as np

from ..errors import SyncTalkError, storage_error
from ..progress import Reporter
from ..workspace.files import write_json
from .frames import focal_px
from .performance import GAZE_RANGE_DEG

STUDIO = Path(__file__).with_name("studio")
ROOT = Path(__file__).resolve().parents[2]


class BlenderError(SyncTalkError):
    """Blender's Python is not found, or the render failed in it."""

    kind = "blender"


def find_blender_python(given: str | None = None) -> str:
    """A Python that can import `bpy`: the one given, that of `SYNCTALK_BLENDER`, or the project's Blender environment.

    Raises:
        BlenderError: none of them is there.
    """
    root = ROOT / ".venvs" / "blender"
    places = (
        [given] if given else [os.environ.get("SYNCTALK_BLENDER"), root / "bin/python", root / "Scripts/python.exe"]
    )
    for place in filter(None, places):
        found = shutil.which(str(place))
        if found:
            return str(Path(found).absolute())  # the studio runs in another folder
    where = given or "the Blender environment (.venvs/blender)"
    raise BlenderError(
        f"No Python with bpy is in {where}: run `python3 install demo` once, or name one with --blender PYTHON."
    )


def fingerprint(*paths: Path, **settings: object) -> str:
    """A hash of all that a frame depends on."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for path in paths:
        with np.load(path) as archive:
            for name in sorted(archive.files):
                digest.update(name.encode() + archive[name].tobytes())
    for path in sorted(STUDIO.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def render_frames(
    character: Path,
    performance: Path,
    folder: Path,
    count: int,
    size: int,
    samples: int,
    blender: str,
    reporter: Reporter,
    threads: int | None = None,
) -> list[Path]:
    """Render frames 0…count-1 as PNG into `folder` and return their paths; existing frames are kept.

    Raises:
        BlenderError: Blender failed; the last line of its output is in the message.
        Cancelled: the user asked to stop; finished frames stay.
    """
    job = {
        "character": str(character.resolve()),
        "performance": str(performance.resolve()),
        "folder": str(folder.resolve()),
        "size": size,
        "samples": samples,
        "threads": threads or os.cpu_count() or 1,
        "focal_px": focal_px(size),
        "gaze_range_deg": GAZE_RANGE_DEG,
    }
    mark = {"fingerprint": fingerprint(character, performance, size=size, samples=samples)}
    mark_path = folder / "made_from.json"
    if folder.exists() and not (mark_path.exists() and json.loads(mark_path.read_text()) == mark):
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, folder) from error
    write_json(mark_path, mark)
    frames = [folder / f"{k:05d}.png" for k in range(count)]
    left = [k for k, path in enumerate(frames) if not path.exists()]
    if left:
        write_json(folder / "job.json", job | {"frames": left})
        _run(blender, folder / "job.json", count, count - len(left), reporter)
    return frames


def _run(blender: str, job: Path, count: int, done: int, reporter: Reporter) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["BLENDER_USER_RESOURCES"] = str(job.parent)  # without the user's settings and add-ons
    words: deque[str] = deque(maxlen=12)
    reporter.progress("actor", done, count, message="starting Blender")
    process = subprocess.Popen(
        [blender, "-m", "backend.actor.studio", str(job)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        env=environment,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("frame "):
                done += 1
                reporter.progress("actor", done, count, message="rendering")
            else:
                words.append(line.strip())
                reporter.check_cancelled("actor")
        status = process.wait()
    finally:
        if process.poll() is None:
            # Blender reacts to signals only between frames; an unfinished frame is not a file yet.
            process.kill()
            process.wait()
    if status:
        lines = [line for line in words if line]
        print("\n".join(lines), file=sys.stderr)
        raise BlenderError(
            f"Blender stopped at frame {done} of {count} "
            f"({lines[-1] if lines else f'exit status {status}'}): see its output above. Finished frames "
            "are kept; run the same command to continue."
        )
