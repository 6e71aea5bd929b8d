"""Sends a subject's own face over UDP as Live Link Face does, from a process of its own: `python -m backend.benchmarks.live.sender`.

A packet's time is this computer's `time.monotonic`, so that its way can be measured.
"""

from __future__ import annotations

import argparse
import random
import socket
import time
from pathlib import Path

import numpy as np

from ...capture.live import livelink
from ...workspace.files import read_arrays

RATE = 60
_TICKS = 1000
"""Frames a second that packets state: their time in milliseconds."""

_TURN_RAD, _TURN_S = 0.1, 3.0
"""How far the head turns, and how long it takes."""


def packet(blendshapes: np.ndarray, now_s: float) -> bytes:
    """A face, now."""
    yaw = _TURN_RAD * float(np.sin(2 * np.pi * now_s / _TURN_S))
    return livelink.write("benchmark", "benchmark", now_s * _TICKS, (_TICKS, 1), blendshapes, (yaw, 0.0, 0.0))


def rubbish(chance: random.Random, last: bytes) -> bytes:
    """Something that is no packet: noise, a half, a huge one, an old one, or another program's."""
    kind = chance.randrange(5)
    if kind == 0:
        return chance.randbytes(chance.randrange(1, 1500))
    if kind == 1:
        return last[: chance.randrange(1, len(last))]
    if kind == 2:
        return last * 200
    return last if kind == 3 else b"#bundle\0" + chance.randbytes(64)


def main() -> None:
    """Send until the time is over."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("tracking", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--rubbish", type=float, default=0.0, help="packets of it for each of a face")
    options = parser.parse_args()
    shapes = read_arrays(options.tracking)["blendshapes"].astype(np.float32)
    chance, debt, place = random.Random(0), 0.0, ("127.0.0.1", options.port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        began, sent = time.monotonic(), 0
        while (now := time.monotonic()) - began < options.seconds:
            if (wait_s := began + sent / RATE - now) > 0:
                time.sleep(wait_s)
            face = packet(shapes[sent * 25 // RATE % len(shapes)], time.monotonic())
            out.sendto(face, place)
            sent, debt = sent + 1, debt + options.rubbish
            while debt >= 1:
                out.sendto(rubbish(chance, face), place)
                debt -= 1


if __name__ == "__main__":
    main()
