"""The clip that all variations are made of: the embedded sample with its frame numbers in blocks at the bottom."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from backend.media.audio import RATE, read_audio
from backend.media.decode import frames

SAMPLE = Path(__file__).parents[2] / "backend" / "actor" / "sample" / "speaker.mp4"
FPS = 25
SECONDS = 6.0
SIDE = 256
BITS = 8
STRIP = 8
"""The strip with the number takes an eighth of the image's height."""


def write_master(path: Path) -> np.ndarray:
    """Write the clip without loss; its audio, (samples,) float32 at 16 kHz."""
    audio = read_audio(SAMPLE)[: round(SECONDS * RATE)]
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=FPS)
        video.width, video.height, video.pix_fmt = SIDE, SIDE, "yuv444p"
        track = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for number, (_, image) in zip(range(round(SECONDS * FPS)), frames(SAMPLE), strict=False):
            image = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            _number(image, number)
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start in range(0, len(audio), 640):  # small packets, or seeking in it finds no audio
            block = (audio[None, start : start + 640] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return audio


def _number(image: np.ndarray, number: int) -> None:
    height, width = image.shape[:2]
    code = number ^ number >> 1  # Gray code: two blended neighbours read as one of them
    for bit in range(BITS):
        left, right = bit * width // BITS, (bit + 1) * width // BITS
        image[height - height // STRIP :, left:right] = 230 if code >> bit & 1 else 20


def number_of(image: np.ndarray) -> int | None:
    """The frame number in an image of any size; None where it cannot be read."""
    height, width = image.shape[:2]
    strip = image[height - height // STRIP // 4 * 3 : height - height // STRIP // 4].mean(axis=(0, 2))
    levels = [
        strip[round((bit + 0.3) * width / BITS) : round((bit + 0.7) * width / BITS)].mean() for bit in range(BITS)
    ]
    if any(90 < level < 160 for level in levels):
        return None
    code = sum(1 << bit for bit, level in enumerate(levels) if level >= 125)
    number = 0
    while code:
        number ^= code
        code >>= 1
    return number
