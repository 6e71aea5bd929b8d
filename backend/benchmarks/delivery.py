"""`bench delivery`: frames a second and memory of `render`, beside decoding and encoding the same clip without a head."""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from ..commands import render
from ..media.codecs import CODECS
from ..progress import Progress, Reporter
from ..protocol import Stage
from ..workspace.store import Workspace
from . import pages
from .apart import run_apart
from .markdown import table
from .options import Delivery as Options


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """A row for each workspace, codec and speech, each delivered by a process of its own.

    Raises:
        SyncTalkError: a sentence on what is wrong with a workspace or the speech.
    """
    wanted = list(itertools.product(options.workspace, options.codec, options.audio))
    rows = []
    for done, (workspace, codec, audio) in enumerate(wanted):
        reporter.progress("bench delivery", done, len(wanted), "videos", f"{workspace.name}, {codec}")
        rows.append(measured(workspace, codec, audio))
    return pages.kept("delivery", options, {"rows": rows}, in_words({"rows": rows}))


def measured(workspace: Path, codec: str, audio: Path) -> dict[str, Any]:
    """What the delivery of a speech takes, and what the clip's frames take without a head."""
    clip = Path(Workspace.open(workspace).subject.source)
    with tempfile.TemporaryDirectory(prefix="bench-delivery-") as folder:
        arguments = str(workspace.absolute()), codec, str(audio.absolute())
        done = run_apart(__name__, *arguments, str(Path(folder, "delivery.mov")))
        plain = run_apart(__name__, str(clip.absolute()), codec, "", str(Path(folder, "plain.mov")))
    found, alone = (json.loads(process.out.splitlines()[-1]) for process in (done, plain))
    return {
        "clip": clip.stem,
        "codec": codec,
        "audio": audio.stem,
        **found,
        "cpu_ms": 1e3 * done.cpu_s / found["frames"],
        "memory_mb": done.memory_mb,
        "other_cores": done.other_cores,
        "without_head": {**alone, "other_cores": plain.other_cores},
    }


def deliver(workspace: Path, codec: str, audio: Path, out: Path) -> dict[str, Any]:
    """Render a video; its frames, and how many a second from the first to the last one."""
    seen: list[tuple[float, float]] = []

    def note(progress: Progress) -> None:
        if progress.stage == Stage.RENDERING:
            seen.append((time.monotonic(), progress.done))

    options = render.Options(workspace=workspace, out=out, audio=audio, codec=codec, unsigned=True)
    render.run(options, Reporter(on_progress=note, interval_s=0.0))
    (begun, first), (ended, last) = seen[0], seen[-1]
    with av.open(str(out)) as video:
        stream = video.streams.video[0]
        size = stream.width, stream.height
    return {"frames": int(last), "size": size, "frames_per_s": (last - first) / (ended - begun)}


def without_head(clip: Path, codec: str, out: Path) -> dict[str, Any]:
    """Decode a clip and encode its frames as a delivery is."""
    chosen, count, begun = CODECS[codec], 0, time.monotonic()
    with av.open(str(clip)) as source, av.open(str(out), "w") as video:
        read = source.streams.video[0]
        read.thread_type = "AUTO"
        stream = video.add_stream(chosen.encoder, rate=read.average_rate, options=dict(chosen.options))
        stream.width, stream.height, stream.pix_fmt = read.width, read.height, chosen.pixels
        for count, frame in enumerate(source.decode(read), 1):
            frame = frame.reformat(format=chosen.pixels)
            frame.pts, frame.time_base = count - 1, 1 / Fraction(read.average_rate)
            video.mux(stream.encode(frame))
        video.mux(stream.encode(None))
    return {"frames": count, "frames_per_s": count / (time.monotonic() - begun)}


def in_words(result: dict[str, Any]) -> str:
    """A row for each video."""
    rows = []
    for row in result["rows"]:
        alone, (width, height) = row["without_head"], row["size"]
        times = alone["frames_per_s"] / row["frames_per_s"]
        rates = f"{row['frames_per_s']:.1f}", f"{alone['frames_per_s']:.1f}", f"{times:.2f}"
        spent = f"{row['cpu_ms']:.0f} ms", f"{row['memory_mb']:,.0f} MB", f"{row['other_cores']:.1f} cores"
        video = row["clip"], row["codec"], row["audio"], f"{width} x {height}", f"{row['frames']:,}"
        rows.append([*video, *rates, *spent])
    heading = ["clip", "codec", "speech", "size", "frames", "frames/s", "without a head", "times as long"]
    return "\n".join(
        [
            *table([*heading, "processor", "memory", "others"], rows),
            "",
            "“frames/s”: from the first frame to the last one, with watermark, hair and neck of the footage. “without a head”: "
            "the clip's frames, decoded and encoded by the same codec. “processor”: of a frame, starting and reading the head "
            "too. “others”: cores that other processes kept busy meanwhile.",
        ]
    )


if __name__ == "__main__":
    _given, _codec, _audio, _out = sys.argv[1:]
    _done = (
        deliver(Path(_given), _codec, Path(_audio), Path(_out))
        if _audio
        else without_head(Path(_given), _codec, Path(_out))
    )
    print(json.dumps(_done))
