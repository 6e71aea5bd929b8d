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

STUDIO = Path(__file__).with_name("studio.py")


class BlenderError(SyncTalkError):
    """Blender's Python is not found, or the render failed in it."""

    kind = "blender"


def find_blender_python(given: str | None = None) -> str:
    """A Python that can import `bpy`: the one given, that of `SYNCTALK_BLENDER`, or the project's Blender environment.

    Raises:
        BlenderError: none of them is there.
    """
    root = Path(__file__).resolve().parents[2] / ".venvs" / "blender"
    places = (
        [given] if given else [os.environ.get("SYNCTALK_BLENDER"), root / "bin/python", root / "Scripts/python.exe"]
    )
    for place in filter(None, places):
        found = shutil.which(str(place))
        if found:
            return found
    where = given or "the Blender environment (.venvs/blender)"
    raise BlenderError(
        f"No Python with bpy is found at {where}: run `python3 install demo` once, or name it with --blender PYTHON."
    )


def fingerprint(*paths: Path, **settings: object) -> str:
    """What a frame depends on, as a hash: frames made from anything else must not be mixed with it."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for path in paths:
        with np.load(path) as archive:
            for name in sorted(archive.files):
                digest.update(name.encode() + archive[name].tobytes())
    digest.update(STUDIO.read_bytes())
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
    """Render frames 0…count-1 as PNG into `folder` and return their paths; frames that are there already are kept.

    Raises:
        BlenderError: Blender failed; its last words are in the message.
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
    environment["BLENDER_USER_RESOURCES"] = str(job.parent)  # the user's own settings and add-ons stay out of it
    words: deque[str] = deque(maxlen=12)
    reporter.progress("actor", done, count, message="starting Blender")
    process = subprocess.Popen(
        [blender, str(STUDIO), str(job)],
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
            # Blender answers a polite request only between frames; a frame half made is not a file yet.
            process.kill()
            process.wait()
    if status:
        told = [word for word in words if word]
        print("\n".join(told), file=sys.stderr)
        raise BlenderError(
            f"Blender stopped at frame {done} of {count} ({told[-1] if told else f'exit status {status}'}): "
            "see its words above; the frames made so far are kept and the same command goes on from there."
        )
