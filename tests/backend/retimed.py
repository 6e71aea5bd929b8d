"""The embedded speaker at another frame rate, each frame with its number in blocks; and what a video holds of it.

Runs in the backend's environment: `python -m tests.backend.retimed make OUT RATE SECONDS TIMECODE` and `… read VIDEO`, which
prints JSON.
"""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2

from backend.media.audio import read_audio
from backend.media.decode import frames
from backend.media.encode import VideoWriter

SAMPLE = Path(__file__).parents[2] / "backend" / "actor" / "sample" / "speaker.mp4"
SIDE, BLOCK, BITS = 256, 10, 9
AUDIO_RATE = 48000


def make(path: Path, rate: Fraction, seconds: float, timecode: str) -> int:
    """Write the clip; returns how many frames it has. Each shows what the sample shows at its time."""
    audio = read_audio(SAMPLE, AUDIO_RATE)[: round(seconds * AUDIO_RATE)]
    count = round(seconds * rate)
    with VideoWriter(path, SIDE, SIDE, rate, (audio, AUDIO_RATE), crf=12, metadata={"timecode": timecode}) as video:
        for (_, image), number in zip(frames(SAMPLE, rate=rate), range(count), strict=False):
            small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            for bit in range(BITS):
                small[-BLOCK - 2 : -2, _columns(bit)] = 235 if number >> bit & 1 else 20
            video.write(small)
    return count


def read(path: Path) -> dict:
    """Rate, numbers of its frames, their times, where its audio ends, seconds, and its time code."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found, times = [], []
        for frame in container.decode(video=0):
            grey = frame.to_ndarray(format="rgb24").mean(2)
            found.append(sum(int(grey[-BLOCK:-4, _columns(bit)][:, 2:-2].mean() > 128) << bit for bit in range(BITS)))
            times.append(float(frame.pts * frame.time_base))
        rate = stream.average_rate
        code = next((part.metadata["timecode"] for part in container.streams.data if "timecode" in part.metadata), "")
    return {
        "rate": [rate.numerator, rate.denominator],
        "numbers": found,
        "times_s": times,
        "audio_s": len(read_audio(path, AUDIO_RATE)) / AUDIO_RATE,
        "timecode": code,
    }


def _columns(bit: int) -> slice:
    return slice(4 + (BLOCK + 2) * bit, 4 + (BLOCK + 2) * bit + BLOCK)


if __name__ == "__main__":
    if sys.argv[1] == "make":
        made = make(Path(sys.argv[2]), Fraction(sys.argv[3]), float(sys.argv[4]), sys.argv[5])
        print(json.dumps({"frames": made}))
    else:
        print(json.dumps(read(Path(sys.argv[2]))))
