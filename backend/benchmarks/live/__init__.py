"""`bench live`: how long a face takes from its packet to the image, how many images a second, and whether that lasts.

The packets come from a process of their own, the images from a `serve` that is asked as Blender asks it: `live.state`, then `frame`.
"""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import SyncTalkError
from ...progress import Reporter
from ...protocol import FIELD, GAUSSIANS
from ...workspace.head_track import HeadTrack
from ...workspace.store import Workspace
from .. import pages
from ..apart import CHECKOUT
from ..cold_start import frame_params
from ..markdown import table
from ..options import Live as Options
from ..served import Served, image_memory

CASES = ((GAUSSIANS, 256), (FIELD, 256), (GAUSSIANS, 512))
_WARM_IMAGES = 10
"""Before anything is measured: the sender begins, and kernels and frames are read."""

_SOAK_SIZE, _SOAK_EVERY_S, _SENDER_MINUTES = 256, 0.2, 3


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """The figures of docs/benchmarks.md; milliseconds."""
    workspace = Workspace.open(options.workspace)
    with _served(workspace) as live:
        rows = [live.latency(head, size, options.seconds) for head, size in CASES]
        rows.append(live.latency(GAUSSIANS, 512, options.seconds, footage=True))
    result: dict[str, Any] = {"latency": rows}
    if options.minutes > 0:
        with _served(workspace) as live:
            result["endurance"] = live.endurance(options.minutes, reporter)
    return pages.kept("live", options, result, in_words(result))


class _Live:
    """A backend that listens, and what a client does with it."""

    def __init__(self, backend: Served, workspace: Workspace, memory: Path) -> None:
        self._backend, self._workspace, self._memory = backend, workspace, memory
        self._track: HeadTrack = workspace.head_track()
        self._frame = int(np.flatnonzero(self._track.valid)[0])
        place = backend.call("live.start", workspace=str(workspace.root), source="livelink", port=0)["place"]
        self._port = int(place.split()[2])
        self._last = 0

    def latency(self, head: str, size: int, seconds: float, footage: bool = False) -> dict[str, Any]:
        """From the packet's being sent to the image's being there."""
        params = self._params(head, size, footage)
        with self._sender(seconds + 120):
            self._images(params, math.inf, 0.0, _WARM_IMAGES)
            began = time.monotonic()
            ways = np.array(self._images(params, seconds, 0.0))
            fps = len(ways) / (time.monotonic() - began)
        parts = {name: _spread(column) for name, column in zip(("packet", "answer", "image"), ways.T, strict=True)}
        return {"head": head, "size": size, "footage": footage, "frames_per_s": fps, **parts}

    def endurance(self, minutes: float, reporter: Reporter) -> dict[str, Any]:
        """Delay and memory by the minute, with rubbish among the packets and a sender that is killed now and then."""
        rows, state, senders = [], {}, 0
        params = self._params(GAUSSIANS, _SOAK_SIZE, False)
        ends = time.monotonic() + 60 * minutes
        while (left_s := ends - time.monotonic()) > 1:
            senders += 1
            with self._sender(left_s + 120, rubbish=0.5):
                self._images(params, math.inf, _SOAK_EVERY_S, _WARM_IMAGES)
                for _ in range(_SENDER_MINUTES):
                    left_s = max(ends - time.monotonic(), 1.0)
                    reporter.progress("bench live", 60 * minutes - left_s, 60 * minutes, "s", "endurance")
                    ways = np.array(self._images(params, min(60.0, left_s), _SOAK_EVERY_S))
                    state = self._backend.call("live.state", after=self._last)
                    rows.append(self._minute(ways, state))
                    if left_s < 60.0:
                        break
            time.sleep(1.0)
        return {"minutes": rows, "killed": senders - 1, "refused": state["refused"], "note": state["note"]}

    def _minute(self, ways: np.ndarray, state: dict[str, Any]) -> dict[str, Any]:
        return {
            "packet": _spread(ways[:, 0]),
            "image": _spread(ways[:, 2]),
            "memory_mb": self._backend.memory_mb,
            "rate": state["rate"],
            "samples": state["samples"],
            "refused": sum(state["refused"].values()),
        }

    def _images(
        self, params: dict[str, Any], seconds: float, every_s: float, most: float = math.inf
    ) -> list[tuple[float, float, float]]:
        """For each image the milliseconds from its packet's being sent: until it was received, until the client had its values, and
        until the image was there.

        Raises:
            SyncTalkError: none was made in the time.
        """
        found: list[tuple[float, float, float]] = []
        ends = time.monotonic() + seconds
        turn = np.eye(4)
        while time.monotonic() < ends and len(found) < most:
            face = self._backend.call("live.state", after=self._last)["face"]
            if face is None:
                time.sleep(0.001)
                continue
            answered_s, self._last = time.monotonic(), face["number"]
            turn[:3, :3] = np.array(face["head_turn"]).reshape(3, 3)
            own = self._track.blendshapes[self._frame]
            shapes = [float(own[k]) if value is None else value for k, value in enumerate(face["blendshapes"])]
            pose = (self._track.head_to_camera[self._frame] @ turn).ravel().tolist()
            self._backend.call("frame", **params | {"blendshapes": shapes, "head_to_camera": pose})
            times = (answered_s - face["age_ms"] / 1e3, answered_s, time.monotonic())
            received, answered, shown = ((at - face["sent_s"]) * 1e3 for at in times)
            found.append((received, answered, shown))
            time.sleep(every_s)
        if not found:
            raise SyncTalkError(f"No image was made in {seconds:g} s: the machine is too busy, or give more --seconds.")
        return found

    def _params(self, head: str, size: int, footage: bool) -> dict[str, Any]:
        params = frame_params(self._workspace, self._track, self._frame, size, self._memory) | {"head": head}
        if footage:
            crop, side = self._workspace.subject.crop, size / self._workspace.subject.size
            assert crop is not None
            scale = side * self._workspace.subject.size / crop.size
            params |= {"footage_frame": self._frame, "footage_px": [-crop.x * scale, -crop.y * scale, scale]}
        return params

    @contextlib.contextmanager
    def _sender(self, seconds: float, rubbish: float = 0.0) -> Iterator[None]:
        module, tracking = f"{__package__}.sender", str(self._workspace.tracking_path)
        command = [sys.executable, "-m", module, str(self._port), tracking, str(seconds), "--rubbish", str(rubbish)]
        with subprocess.Popen(command, cwd=CHECKOUT) as process:
            try:
                yield
            finally:
                process.kill()


@contextlib.contextmanager
def _served(workspace: Workspace) -> Iterator[_Live]:
    with image_memory(512) as memory, Served() as backend:
        yield _Live(backend, workspace, memory)


def _spread(values: np.ndarray) -> dict[str, float]:
    names = {"p5": 5, "p50": 50, "p95": 95, "p99": 99, "most": 100}
    return {name: float(np.percentile(values, share)) for name, share in names.items()}


def in_words(result: dict[str, Any]) -> str:
    """Latency by head and size; delay and memory by the minute."""
    rows = [
        [
            f"{row['head']}{' over the footage' if row['footage'] else ''}, {row['size']}²",
            f"{row['packet']['p50']:.1f}",
            f"{row['answer']['p50']:.1f}",
            *(f"{row['image'][name]:.1f}" for name in ("p50", "p95", "p99", "most")),
            f"{row['frames_per_s']:.1f}",
        ]
        for row in result["latency"]
    ]
    heading = ["from the packet, ms", "received", "answered", "image: median", "p95", "p99", "most", "images a second"]
    lines = table(heading, rows)
    if endurance := result.get("endurance"):
        minutes = [
            [
                str(number),
                *(f"{row['packet'][name]:.1f}" for name in ("p50", "p95")),
                *(f"{row['image'][name]:.1f}" for name in ("p50", "p95")),
                f"{row['memory_mb']:.1f}",
                f"{row['rate']:.1f}",
                f"{row['refused']:,}",
            ]
            for number, row in enumerate(endurance["minutes"], 1)
        ]
        heading = ["minute", "received: median", "p95", "image: median", "p95", "memory, MB", "rate", "refused so far"]
        lines += [
            "",
            *table(heading, minutes),
            "",
            f"The sender was killed {endurance['killed']} times. {endurance['note']}",
        ]
    return "\n".join(lines)
