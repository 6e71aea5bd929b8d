"""Writes videos with audio, marked as synthetic likenesses."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import soxr
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter

from ..errors import MediaError
from ..protocol import SYNTHETIC_MARK
from ..workspace.files import atomic_path
from ..workspace.frame_rate import exact_rate
from .alpha_edges import with_colour_beyond_edges
from .audio_rates import DELIVERY_RATE
from .codecs import H264, codec_for
from .samples import Planes, SampleFormat, StoredFormat
from .scheduling import kept_scheduling
from .source import ffmpeg_name

_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_CONVERSION = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP


class VideoWriter:
    """Writes video with audio, BT.709 as a rule; a context manager; the video is complete or absent.

    Audio and video start together: the encoder's priming samples lie before time 0 and the file says so. A size with
    an odd side is made even by repeating the last row or column, which shared colour (4:2:0, 4:2:2) needs.

    Args:
        path: ends in one of the codec's `containers`.
        width, height: of the frames, pixels.
        fps: frames a second.
        audio: (samples in [-1, 1], rate), mono (N,) or (N, channels), or an iterator over blocks of mono samples, of which few are
            held at a time, at a rate that AAC has: these become AAC; or the path of a WAV, whose samples a MOV takes as
            they are; None for a silent video.
        crf: of a codec that has one, in place of its own: of H.264 0 (lossless) to 51; 16 looks like its source.
        metadata: more entries beside the mark.
        preset: in place of the codec's; x264's `superfast` takes about a fifth of the time of `medium`, for a file about a
            fifth larger.
        codec: of `codecs.CODECS`.
        stored: of frames that are written as planes; its samples are the codec's. Else they are converted to BT.709.

    Raises:
        MediaError: a path or size that cannot be written.
        StorageError: the disk is full or the place is read-only.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        width: int,
        height: int,
        fps: float | Fraction = 25,
        audio: tuple[np.ndarray | Iterator[np.ndarray], int] | Path | None = None,
        crf: float | None = None,
        metadata: dict[str, str] | None = None,
        preset: str | None = None,
        codec: str = H264,
        stored: StoredFormat | None = None,
    ) -> None:
        self.path = Path(path)
        self.codec = codec_for(self.path, codec)
        least = self.codec.min_size
        if width < least[0] or height < least[1] or max(width, height) > 8192:
            sides = (
                "sides from 2 to 8192" if least == (2, 2) else f"at least {least[0]} x {least[1]}, at most 8192 x 8192"
            )
            raise MediaError(
                f"A video of {width} x {height} pixels cannot be written as {self.codec.title}: choose {sides}."
            )
        self.width, self.height = width, height
        self._pad = (0, 0) if self.codec.any_size else (width % 2, height % 2)
        self.frames = 0
        self._fps = exact_rate(fps)
        self._copied = audio if isinstance(audio, Path) else None
        self._audio = None if audio is None or isinstance(audio, Path) else _AudioBlocks(*audio)
        own = {"crf": None if crf is None else str(crf), "preset": preset}
        self._options = dict(self.codec.options) | {
            name: value for name, value in own.items() if value is not None and name in self.codec.options
        }
        self._stored = stored or StoredFormat(SampleFormat(), width, height)
        self._metadata = {"comment": SYNTHETIC_MARK} | (metadata or {})
        self._stack = contextlib.ExitStack()
        self._sent = self._packets = 0

    def __enter__(self) -> VideoWriter:
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            options = {"movflags": "+faststart"} if self.path.suffix.lower() != ".mkv" else {}
            self._container = stack.enter_context(av.open(ffmpeg_name(temporary), "w", options=options))
            self._container.metadata.update(self._metadata)
            self._video = self._add_video()
            self._audio_stream = self._add_audio()
            self._copy = (
                None if self._copied is None else stack.enter_context(_CopiedAudio(self._container, self._copied))
            )
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

    def write(self, image: np.ndarray | Planes) -> None:
        """Append a frame: planes in the format that was announced, or (height, width, 3) uint8, RGB; of a codec with alpha
        (height, width, 4) uint16, straight.

        Raises:
            ValueError: another shape or type; a defect of the caller.
        """
        frame = self._of_planes(image) if isinstance(image, tuple) else self._of_image(image)
        matrix, full_range = self._stored.samples.matrix, self._stored.samples.full_range
        frame.colorspace, frame.color_range = matrix, ColorRange.JPEG if full_range else ColorRange.MPEG
        # ProRes takes them from the frame, the file from the stream.
        frame.color_primaries, frame.color_trc = self._stored.primaries, self._stored.transfer
        frame.pts, frame.time_base = self.frames, 1 / self._fps
        with kept_scheduling() if self.frames == 0 else contextlib.nullcontext():  # the first frame opens the encoder
            packets = self._video.encode(frame)
        self._container.mux(packets)
        self._packets += len(packets)
        self.frames += 1
        self._send_audio(until_s=float(self.frames / self._fps))

    def _of_image(self, image: np.ndarray) -> av.VideoFrame:
        channels, kind = (4, np.uint16) if self.codec.has_alpha else (3, np.uint8)
        if image.shape != (self.height, self.width, channels) or image.dtype != kind:
            wanted = f"({self.height}, {self.width}, {channels}) {np.dtype(kind)}"
            raise ValueError(f"frame of {image.shape} {image.dtype}, wanted {wanted}")
        if any(self._pad):
            image = cv2.copyMakeBorder(image, 0, self._pad[1], 0, self._pad[0], cv2.BORDER_REPLICATE)
        if self.codec.has_alpha:
            image = with_colour_beyond_edges(image)
        return self._reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgba64le" if channels == 4 else "rgb24"),
            format=self.codec.pixels,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            dst_color_trc=ColorTrc.BT709,
            dst_color_primaries=ColorPrimaries.BT709,
            interpolation=_CONVERSION,
            threads=1,
        )

    def _of_planes(self, planes: Planes) -> av.VideoFrame:
        height, width = planes[0].shape
        if (width, height) != (self.width, self.height) or self._stored.samples.pixels != self.codec.pixels:
            raise ValueError(f"planes of {width} x {height}, wanted {self.width} x {self.height} {self.codec.pixels}")
        frame = av.VideoFrame(width + self._pad[0], height + self._pad[1], self.codec.pixels)
        for plane, values in zip(frame.planes, planes, strict=True):
            rows = np.empty((plane.height, plane.line_size // values.itemsize), values.dtype)
            beyond = ((0, plane.height - values.shape[0]), (0, rows.shape[1] - values.shape[1]))
            rows[...] = np.pad(values, beyond, "edge")
            plane.update(rows)
        return frame

    def _add_video(self) -> av.VideoStream:
        os.environ.setdefault("SVT_LOG", "1")  # errors alone: SVT-AV1 else describes itself on stderr
        stream = self._container.add_stream(self.codec.encoder, rate=self._fps, options=self._options)
        stream.width, stream.height = self.width + self._pad[0], self.height + self._pad[1]
        stream.pix_fmt = self.codec.pixels
        context = stream.codec_context
        if self.codec.tag and self.path.suffix.lower() != ".mkv":
            context.codec_tag = self.codec.tag
        samples = self._stored.samples
        context.colorspace, context.color_range = (
            samples.matrix,
            ColorRange.JPEG if samples.full_range else ColorRange.MPEG,
        )
        context.color_primaries, context.color_trc = self._stored.primaries, self._stored.transfer
        context.sample_aspect_ratio = self._stored.pixel_aspect
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
        if self._copy is not None:
            self._copy.send(until_s)
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
        packets = self._video.encode(None)
        if not self._packets:
            _set_decode_times(packets)
        self._container.mux(packets)
        if self._audio_stream is not None:
            self._container.mux(self._audio_stream.encode(None))


def _set_decode_times(packets: Sequence[av.Packet]) -> None:
    """Of all packets of a video, in the order of decoding: x265 leaves those of one or two frames uninitialised."""
    shown = [packet.pts for packet in packets if packet.pts is not None]
    if len(shown) < len(packets):
        return  # the encoder keeps no times
    delay = max((early - pts for early, pts in zip(sorted(shown), shown, strict=True)), default=0)
    for packet, early in zip(packets, sorted(shown), strict=True):
        packet.dts = early - delay


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


class _CopiedAudio:
    """The packets of a WAV on their way into a MOV; a context manager."""

    def __init__(self, container: av.container.OutputContainer, path: Path) -> None:
        self._container, self._path = container, path

    def __enter__(self) -> _CopiedAudio:
        self._source = av.open(ffmpeg_name(self._path))
        track = self._source.streams.audio[0]
        self._stream = self._container.add_stream(track.codec_context.name, rate=track.codec_context.sample_rate)
        self._stream.codec_context.layout = "mono" if track.codec_context.channels == 1 else "stereo"
        self._stream.codec_context.format = track.codec_context.format
        self._packets = (packet for packet in self._source.demux(track) if packet.size)
        self._until_s = 0.0
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._source.close()

    def send(self, until_s: float) -> None:
        while self._until_s < until_s and (packet := next(self._packets, None)) is not None:
            self._until_s = float((packet.pts + packet.duration) * packet.time_base)
            packet.stream = self._stream
            self._container.mux_one(packet)


def _for_aac(samples: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    """Samples as (channels, N) float32 at a rate that AAC supports."""
    samples = np.asarray(samples, np.float32)
    samples = samples[:, None] if samples.ndim == 1 else samples[:, :2]
    if rate not in _AAC_RATES:
        samples, rate = soxr.resample(samples, rate, DELIVERY_RATE), DELIVERY_RATE
    return np.clip(samples.T, -1, 1), rate
