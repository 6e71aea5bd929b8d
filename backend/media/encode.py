"""Writes videos with audio, and folders of images with alpha; both carry the mark that the likeness is synthetic."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import soxr
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter

from ..errors import MediaError, SyncTalkError
from ..workspace.files import atomic_path
from ..workspace.subject import FPS
from .audio_rates import DELIVERY_RATE
from .source import ffmpeg_name

SYNTHETIC_MARK = "Synthetic likeness made with SyncTalk"
"""Metadata that marks every likeness as synthetic."""

_SUFFIXES = (".mp4", ".mov", ".mkv")
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_CONVERSION = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP


class VideoWriter:
    """Writes H.264 (4:2:0, BT.709) with AAC audio; a context manager; the video is complete or absent.

    Audio and video start together: the encoder's priming samples lie before time 0 and the file says so. A size with
    an odd side is made even by repeating the last row or column, which 4:2:0 needs.

    Args:
        path: ends in `.mp4`, `.mov` or `.mkv`.
        width, height: of the frames, pixels.
        fps: frames a second.
        audio: (samples in [-1, 1], rate), mono (N,) or (N, channels), or an iterator over blocks of mono samples, of which few are
            held at a time, at a rate that AAC has; None for a silent video.
        crf: 0 (lossless) to 51; 16 looks like its source.
        metadata: more entries beside the mark.
        preset: x264's; `superfast` takes about a fifth of the time of `medium`, for a file about a fifth larger.

    Raises:
        MediaError: a path or size that cannot be written.
        StorageError: the disk is full or the place is read-only.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        width: int,
        height: int,
        fps: float = FPS,
        audio: tuple[np.ndarray | Iterator[np.ndarray], int] | None = None,
        crf: float = 16,
        metadata: dict[str, str] | None = None,
        preset: str = "medium",
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in _SUFFIXES:
            raise MediaError(f"{self.path} is not a video file name: use .mp4, .mov or .mkv.")
        if min(width, height) < 2 or max(width, height) > 8192:
            raise MediaError(f"A video of {width} x {height} pixels cannot be written: choose sides from 2 to 8192.")
        self.width, self.height = width, height
        self.frames = 0
        self._fps = Fraction(fps).limit_denominator(1001)
        self._audio = None if audio is None else _AudioBlocks(*audio)
        self._crf, self._preset = crf, preset
        self._metadata = {"comment": SYNTHETIC_MARK} | (metadata or {})
        self._stack = contextlib.ExitStack()
        self._sent = 0

    def __enter__(self) -> VideoWriter:
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            options = {"movflags": "+faststart"} if self.path.suffix.lower() != ".mkv" else {}
            self._container = stack.enter_context(av.open(ffmpeg_name(temporary), "w", options=options))
            self._container.metadata.update(self._metadata)
            self._video = self._add_video()
            self._audio_stream = self._add_audio()
            self._reformatter = VideoReformatter()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind, error, trace) -> bool | None:
        if error is None:
            try:
                self._finish()
            except BaseException as failed:
                if not self._stack.__exit__(type(failed), failed, failed.__traceback__):
                    raise
                return None
        return self._stack.__exit__(kind, error, trace)

    def write(self, image: np.ndarray) -> None:
        """Append a frame: (height, width, 3) uint8, RGB.

        Raises:
            ValueError: another shape or type; a defect of the caller.
        """
        if image.shape != (self.height, self.width, 3) or image.dtype != np.uint8:
            raise ValueError(f"frame of {image.shape} {image.dtype}, wanted ({self.height}, {self.width}, 3) uint8")
        if self.height % 2 or self.width % 2:
            image = cv2.copyMakeBorder(image, 0, self.height % 2, 0, self.width % 2, cv2.BORDER_REPLICATE)
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            dst_color_trc=ColorTrc.BT709,
            dst_color_primaries=ColorPrimaries.BT709,
            interpolation=_CONVERSION,
            threads=1,
        )
        frame.colorspace, frame.color_range = Colorspace.ITU709, ColorRange.MPEG
        frame.pts, frame.time_base = self.frames, 1 / self._fps
        self._container.mux(self._video.encode(frame))
        self.frames += 1
        self._send_audio(until_s=float(self.frames / self._fps))

    def _add_video(self) -> av.VideoStream:
        options = {"crf": str(self._crf), "preset": self._preset}
        stream = self._container.add_stream("libx264", rate=self._fps, options=options)
        stream.width, stream.height = self.width + self.width % 2, self.height + self.height % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        return stream

    def _add_audio(self) -> av.AudioStream | None:
        if self._audio is None:
            return None
        rate, channels = self._audio.rate, self._audio.channels
        stream = self._container.add_stream("aac", rate=rate, layout="mono" if channels == 1 else "stereo")
        stream.bit_rate = min(160_000, 5 * rate) * channels
        return stream

    def _send_audio(self, until_s: float) -> None:
        """Encode the audio up to a time, so that video and audio lie side by side in the file."""
        if self._audio_stream is None or self._audio is None:
            return
        rate = self._audio.rate
        block = self._audio_stream.codec_context.frame_size or 1024
        while self._sent < until_s * rate:
            # Whole encoder frames; the last may be short.
            part = self._audio.take(block)
            if not part.size:
                return
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=self._audio_stream.codec_context.layout.name)
            frame.sample_rate, frame.pts, frame.time_base = rate, self._sent, Fraction(1, rate)
            self._container.mux(self._audio_stream.encode(frame))
            self._sent += part.shape[1]

    def _finish(self) -> None:
        if self.frames == 0:
            raise MediaError(
                f"{self.path} would have no frames because the audio is shorter than one: give longer audio."
            )
        self._send_audio(until_s=float("inf"))
        self._container.mux(self._video.encode(None))
        if self._audio_stream is not None:
            self._container.mux(self._audio_stream.encode(None))


class _AudioBlocks:
    """Audio for the encoder, in parts of any length."""

    def __init__(self, audio: np.ndarray | Iterator[np.ndarray], rate: int) -> None:
        if isinstance(audio, np.ndarray):
            audio, rate = _for_aac(audio, rate)
            self._waiting, self._blocks = audio, iter(())
        else:
            self._waiting, self._blocks = np.empty((1, 0), np.float32), audio
        self.rate, self.channels = rate, len(self._waiting)

    def take(self, count: int) -> np.ndarray:
        """(channels, n) float32: the next `count` samples, fewer at the end, in the end none."""
        while self._waiting.shape[1] < count and (block := next(self._blocks, None)) is not None:
            self._waiting = np.concatenate([self._waiting, np.clip(block[None], -1, 1)], 1)
        part, self._waiting = np.split(self._waiting, [count], 1)
        return np.ascontiguousarray(part)


class FrameWriter:
    """Writes a folder of PNG frames with straight alpha, `%06d.png`, each complete or absent.

    Args:
        folder: made when it is missing.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)

    def path(self, index: int) -> Path:
        """Where frame `index` lies."""
        return self.folder / f"{index:06d}.png"

    def write(self, index: int, image: np.ndarray) -> Path:
        """Write frame `index`: (H, W, 4) uint8, RGB as seen and alpha, not multiplied.

        Raises:
            StorageError: the disk is full or the place is read-only.
        """
        if image.ndim != 3 or image.shape[2] != 4 or image.dtype != np.uint8:
            raise ValueError(f"frame of {image.shape} {image.dtype}, wanted (H, W, 4) uint8")
        done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA), [cv2.IMWRITE_PNG_COMPRESSION, 3])
        if not done:
            raise SyncTalkError(f"{self.path(index)} could not be encoded: report this with the size {image.shape}.")
        with atomic_path(self.path(index)) as temporary:
            temporary.write_bytes(_with_comment(data.tobytes(), SYNTHETIC_MARK))
        return self.path(index)


def _for_aac(samples: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    """Samples as (channels, N) float32 at a rate that AAC supports."""
    samples = np.asarray(samples, np.float32)
    samples = samples[:, None] if samples.ndim == 1 else samples[:, :2]
    if rate not in _AAC_RATES:
        samples, rate = soxr.resample(samples, rate, DELIVERY_RATE), DELIVERY_RATE
    return np.clip(samples.T, -1, 1), rate


def _with_comment(png: bytes, text: str) -> bytes:
    """A PNG with a `Comment` after its header (PNG specification, 11.3.4.3)."""
    header_end = 8 + 25  # signature, IHDR
    content = b"tEXt" + b"Comment\0" + text.encode("latin-1")
    chunk = (len(content) - 4).to_bytes(4, "big") + content + zlib.crc32(content).to_bytes(4, "big")
    return png[:header_end] + chunk + png[header_end:]
