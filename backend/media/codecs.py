"""What videos and sequences are written as: which codec goes into which container, what it stores, with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import MediaError

H264 = "h264"
PNG, PNG16, EXR = "png", "png16", "exr"
FORMATS = {PNG: ".png", PNG16: ".png", EXR: ".exr"}
"""Suffixes of a sequence's files, by the names of `render --format`."""


@dataclass(frozen=True)
class Codec:
    """
    Attributes:
        title: as people call it.
        encoder: FFmpeg's.
        pixels: FFmpeg's pixel format.
        containers: suffixes of the files that it goes into, the usual one first.
        options: of the encoder.
        tag: the four characters in MP4 and MOV where FFmpeg's own choice does not play everywhere.
        min_size: width and height that the encoder takes.
        has_alpha: of frames with alpha, which are not composed over footage.
        any_size: odd sides too; else a side is made even.
        has_full_range: of Y'CbCr, beside limited range.
    """

    title: str
    encoder: str
    pixels: str
    containers: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    tag: str = ""
    min_size: tuple[int, int] = (2, 2)
    has_alpha: bool = False
    any_size: bool = False
    has_full_range: bool = False


_PRORES = {"vendor": "apl0"}  # some programs refuse ProRes of an unknown vendor
_WEB = (".mp4", ".mov", ".mkv")

CODECS = {
    H264: Codec("H.264", "libx264", "yuv420p", _WEB, {"crf": "16", "preset": "faster"}, has_full_range=True),
    # hvc1: Apple's players take no hev1.
    "hevc": Codec(
        "HEVC",
        "libx265",
        "yuv420p10le",
        _WEB,
        {"crf": "17", "preset": "medium", "x265-params": "log-level=error"},
        tag="hvc1",
        min_size=(64, 64),
        has_full_range=True,
    ),
    "av1": Codec(
        "AV1",
        "libsvtav1",
        "yuv420p10le",
        (".mp4", ".mkv"),
        {"crf": "20", "preset": "6"},
        min_size=(64, 64),
        has_full_range=True,
    ),
    "prores422hq": Codec("ProRes 422 HQ", "prores_ks", "yuv422p10le", (".mov",), {"profile": "hq"} | _PRORES),
    "prores4444": Codec(
        "ProRes 4444",
        "prores_ks",
        "yuva444p10le",
        (".mov",),
        {"profile": "4444", "alpha_bits": "16"} | _PRORES,
        has_alpha=True,
        any_size=True,
    ),
    "dnxhr": Codec("DNxHR HQX", "dnxhd", "yuv422p10le", (".mov",), {"profile": "dnxhr_hqx"}, min_size=(256, 120)),
}
"""By the names of `render --codec`."""

VIDEO_SUFFIXES = (".mp4", ".mov")
"""Paths that `render` takes for a video."""

_KNOWN_SUFFIXES = (*VIDEO_SUFFIXES, ".mkv", ".avi", ".webm", ".mxf", ".m4v", ".wmv")


def codec_for(path: Path, name: str) -> Codec:
    """The codec `name`, if files like `path` hold it.

    Raises:
        MediaError: they do not, or are no videos.
    """
    codec, suffix = CODECS[name], path.suffix.lower()
    if suffix not in _WEB:
        raise MediaError(f"{path} is not a video file name: use .mp4, .mov or .mkv.")
    if suffix not in codec.containers:
        raise MediaError(f"{codec.title} does not go into {suffix} files: use {' or '.join(codec.containers)}.")
    return codec


def is_video(path: Path) -> bool:
    """Whether `render` makes a video of it; else it is a folder.

    Raises:
        MediaError: a video of a kind that is not written.
    """
    suffix = path.suffix.lower()
    if suffix in _KNOWN_SUFFIXES and suffix not in VIDEO_SUFFIXES:
        raise MediaError(f"{path}: {suffix} files are not written: use .mp4, .mov, or a folder for a sequence.")
    return suffix in VIDEO_SUFFIXES
