"""Opening a clip or an audio file, and saying in one sentence why that fails."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.container

from ..errors import MediaError, SyncTalkError
from ..workspace.frame_rate import exact_rate
from .decoders import decoder_of
from .read_position import near, reading

if TYPE_CHECKING:
    from .timeline import Track

_COPY_AGAIN = "copy it again from where it was recorded"
_HEAD_BYTES = 4096


@contextlib.contextmanager
def open_media(path: str | os.PathLike) -> Iterator[av.container.InputContainer]:
    """Open a media file for reading.

    Raises:
        MediaError: missing, a folder, unreadable, empty, cut off before its index, or no media file at all; and any
            other exception of the block, as one sentence.
    """
    path = Path(path)
    check_file(path)
    name = ffmpeg_name(path)
    reading(name)
    try:
        container = av.open(name, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(_why_not_media(path)) from error
    with container:
        try:
            yield container
        except (SyncTalkError, GeneratorExit):
            raise
        except Exception as error:  # Odd files make PyAV, FFmpeg and NumPy raise a dozen kinds.
            raise MediaError(
                f"{path} cannot be read{near(name)} ({type(error).__name__}: {' '.join(str(error).split())}): convert it "
                "to H.264 and AAC in an MP4 file."
            ) from error


def ffmpeg_name(path: str | os.PathLike) -> str:
    """A path as FFmpeg takes it: of a relative one it would take what precedes a colon for a protocol."""
    return str(Path(path).absolute())


def check_file(path: Path) -> None:
    """Raise `MediaError` unless `path` is a readable file with something in it that is not text.

    A text file is refused before FFmpeg sees it: it would take some for audio, for subtitles, or for a playlist.
    """
    if not path.exists():
        raise MediaError(f"{path} does not exist: check the path.")
    if path.is_dir():
        raise MediaError(f"{path} is a folder: give the video or audio file itself.")
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise MediaError(f"{path} cannot be opened ({error.strerror}): check its permissions.") from error
    if not head:
        raise MediaError(f"{path} is empty (0 bytes): {_COPY_AGAIN}.")
    if _looks_like_text(head):
        raise MediaError(
            f"{path} is a text file, not a video or audio file, despite its name: choose a video or audio file."
        )


def video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The clip's first real video track (cover art is none), set up to decode on all cores.

    Raises:
        MediaError: there is none, or its codec is not known here.
    """
    if container.format.name.endswith("_pipe") or container.format.name == "image2":
        raise MediaError(f"{path} is a single image, not a video: give a video of the person speaking.")
    stream = main_video(container)
    if stream is None:
        raise MediaError(f"{path} has no video track: give a video of the person speaking.")
    if stream.codec_context is None:
        raise MediaError(f"The video codec of {path} cannot be decoded here: convert the clip to H.264 in an MP4 file.")
    stream.thread_type = "AUTO"
    return stream


def main_video(container: av.container.InputContainer) -> av.VideoStream | None:
    """The first video track that is no cover art, or None."""
    images = av.stream.Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & images), None)


def audio_stream(container: av.container.InputContainer) -> av.AudioStream | None:
    """The first audio track, or None."""
    return next((stream for stream in container.streams.audio if stream.codec_context is not None), None)


def rate_of(stream: av.VideoStream) -> Fraction:
    """Frames a second as the file states them, 25 where it states none; rounded rates are the exact ones they stand for."""
    return exact_rate(stream.average_rate or stream.guessed_rate or stream.base_rate or 25)


def packets(
    container: av.container.InputContainer, streams: Sequence[av.VideoStream | av.AudioStream]
) -> Iterator[av.Packet]:
    """The packets of some tracks from the container's position on, as they lie in the file.

    A file that ends in the middle of a packet ends the iteration: what came before is good, and whether that is all is
    for the caller to judge.
    """
    found = container.demux(list(streams)) if streams else iter(())
    start_s = (container.start_time or 0) / av.time_base
    while True:
        try:
            packet = next(found, None)
        except av.error.FFmpegError:
            return
        if packet is None:
            return
        if packet.dts is not None and packet.time_base is not None:
            reading(container.name, float(packet.dts * packet.time_base) - start_s)
        if packet.size:  # An empty one would end the decoding.
            yield packet


def decoded(
    container: av.container.InputContainer,
    stream: av.VideoStream | av.AudioStream,
    track: Track,
    damaged_s: list[float] | None = None,
    sought: bool = False,
) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Decoded frames of a track, from the beginning of a newly opened file, or from where a seek has led.

    Frames of audio have corrected times. A video frame's `pts` is the number of its packet: a `DisplayClock` knows its
    time. A damaged packet is passed over and its time added to `damaged_s`. After a seek to a place that `track` does
    not know there are no frames.
    """
    number, decoder = None if sought else 0, decoder_of(stream)
    for packet in itertools.chain(packets(container, [stream]), [None]):
        if packet is not None:
            if number is None:
                if not packet.is_keyframe:  # what is left of a packet in which the seek ended
                    continue
                number = track.number_of(packet.pts)
                if number is None:
                    return
            _set_stamps(packet, track, number, stream.type == "video")
            number += 1
        try:
            yield from decoder.decode(packet)
        except av.error.FFmpegError:
            if damaged_s is not None and packet is not None and number is not None:
                damaged_s.append(track.time_s(number - 1))


def _set_stamps(packet: av.Packet, track: Track, number: int, is_video: bool) -> None:
    if is_video:
        packet.pts = number
    elif number < len(track.shift) and packet.pts is not None:
        packet.pts += int(track.shift[number])


def _why_not_media(path: Path) -> str:
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    if head[4:8] in (b"ftyp", b"mdat", b"wide", b"free") and not _has_box(path, b"moov"):
        return (
            f"{path} is cut off: its index (moov) is missing, probably after an interrupted recording or "
            f"copy. {_COPY_AGAIN[0].upper()}{_COPY_AGAIN[1:]}, or record it again."
        )
    return f"{path} is not a readable video or audio file: convert it to H.264 in an MP4 file, or {_COPY_AGAIN}."


def _looks_like_text(head: bytes) -> bool:
    # A multi-byte character may be cut in two at the end of what was read.
    text = head.decode("utf-8", errors="ignore")
    printable = sum(character.isprintable() or character in "\r\n\t" for character in text)
    return b"\0" not in head and printable > 0.95 * max(len(head.decode("utf-8", errors="replace")), 1)


def _has_box(path: Path, name: bytes) -> bool:
    """Whether an MP4/MOV file has the complete top-level box `name`."""
    end = path.stat().st_size
    with open(path, "rb") as file:
        position = 0
        while position + 8 <= end:
            file.seek(position)
            header = file.read(16)
            length = int.from_bytes(header[:4], "big")
            if length == 1 and len(header) == 16:
                length = int.from_bytes(header[8:], "big")
            elif length == 0:
                length = end - position
            if header[4:8] == name:
                return position + length <= end
            if length < 8:
                return False
            position += length
    return False
