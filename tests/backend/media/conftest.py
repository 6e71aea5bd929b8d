"""Clips made on the spot, so that a test holds its own input: numbered images, real faces, every odd container."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

SIDE = 64
_BITS = 8


def numbered(number: int) -> np.ndarray:
    """A (64, 64, 3) image that carries its number in blocks no codec can blur."""
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    for bit in range(_BITS):
        row, column = divmod(bit, 4)
        image[row * 32 : row * 32 + 32, column * 16 : column * 16 + 16] = 230 if number >> bit & 1 else 20
    return image


def number_of(image: np.ndarray) -> int:
    """The number in an image made by `numbered`."""
    blocks = image.reshape(2, SIDE // 2, 4, SIDE // 4, 3).mean(axis=(1, 3, 4)).ravel()
    return sum(1 << bit for bit, level in enumerate(blocks) if level > 128)


def make_clip(
    path: Path,
    images: Iterable[np.ndarray],
    fps: float | Fraction = 25,
    times_s: Iterable[float] | None = None,
    audio: tuple[np.ndarray, int] | None = None,
    audio_start_s: float = 0.0,
    audio_codec: str = "aac",
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    rotation: tuple[float, bool, bool] | None = None,
    aspect: Fraction | None = None,
    tags: dict[str, int] | None = None,
    metadata: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    convert: Callable[[np.ndarray], av.VideoFrame] | None = None,
) -> Path:
    """Write a clip with PyAV: any rate or time stamps, codec, display matrix, pixel aspect and colour tags."""
    rate = Fraction(fps).limit_denominator(1001)
    counts = path.suffix in (".avi", ".mxf", ".h264") or codec.startswith("mpeg")
    clock = rate if counts else Fraction(90000)
    with av.open(str(path), "w", options=container_options or {}) as container:
        container.metadata.update(metadata or {})
        images = iter(images)
        first = next(images)
        stream = container.add_stream(codec, rate=rate, options=options or ({"crf": "10"} if "264" in codec else {}))
        stream.width, stream.height, stream.pix_fmt = first.shape[1], first.shape[0], pix_fmt
        stream.time_base = stream.codec_context.time_base = 1 / clock
        if rotation is not None:
            stream.set_display_rotation(rotation[0], hflip=rotation[1], vflip=rotation[2])
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        track = container.add_stream(audio_codec, rate=audio[1], layout="mono") if audio is not None else None
        if audio_codec.startswith("wma") and track is not None:
            track.bit_rate = 96000  # it has no default
        stamps = iter(times_s) if times_s is not None else (index / rate for index in itertools.count())
        for image, time_s in zip(itertools.chain([first], images), stamps, strict=False):
            frame = convert(image) if convert else av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(time_s * clock), 1 / clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track is not None and audio is not None:
            samples = np.asarray(audio[0], np.float32)[None]
            mux_audio(container, track, samples, audio[1], "fltp", "mono", round(audio_start_s * audio[1]))
    return path


def mux_audio(
    container: av.container.OutputContainer,
    track: av.AudioStream,
    samples: np.ndarray,
    rate: int,
    kind: str = "fltp",
    layout: str = "mono",
    start: int = 0,
    block: int | None = 1024,
    last: bool = True,
) -> None:
    """Encode (channels, N) samples in blocks, the first at sample `start`; packed where `kind` is a packed format."""
    block = block or samples.shape[1]
    for first in range(0, samples.shape[1], block):
        part = samples[:, first : first + block]
        part = part if kind.endswith("p") else part.T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), kind, layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), start + first
        container.mux(track.encode(frame))
    if last:
        container.mux(track.encode(None))


def clicks(times_s: Iterable[float], duration_s: float, rate: int = 16000) -> np.ndarray:
    """Silence with a 10 ms tone of 1 kHz at each of the times; (samples,) float32."""
    samples = np.zeros(round(duration_s * rate), np.float32)
    tone = 0.8 * np.sin(2 * np.pi * 1000 * np.arange(rate // 100) / rate)
    for time_s in times_s:
        start = round(time_s * rate)
        samples[start : start + len(tone)] = tone[: len(samples) - start]
    return samples


def click_times(samples: np.ndarray, rate: int = 16000) -> list[float]:
    """Where the tones of `clicks` begin, seconds."""
    loud = np.abs(samples) > 0.25
    starts = [int(index) for index in np.flatnonzero(loud)]
    return [index / rate for before, index in itertools.pairwise([-rate, *starts]) if index - before > rate // 20]


def speech_like(duration_s: float, rate: int = 16000) -> np.ndarray:
    """Noise that swells four times a second: audio without words; (samples,) float32."""
    generator = np.random.default_rng(0)
    time_s = np.arange(round(duration_s * rate)) / rate
    return (0.2 * generator.standard_normal(len(time_s)) * np.sin(np.pi * 4 * time_s) ** 2).astype(np.float32)


class Clips:
    """The helpers above as one fixture: pytest's importlib mode lets test files import nothing from each other."""

    numbered = staticmethod(numbered)
    number_of = staticmethod(number_of)
    make = staticmethod(make_clip)
    mux_audio = staticmethod(mux_audio)
    clicks = staticmethod(clicks)
    click_times = staticmethod(click_times)
    speech_like = staticmethod(speech_like)


@pytest.fixture(scope="session")
def clips() -> type[Clips]:
    return Clips
