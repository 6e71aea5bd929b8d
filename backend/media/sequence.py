"""Writes sequences of images with alpha, each marked as synthetic: PNG of 8 and of 16 bits, OpenEXR."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import SyncTalkError
from ..protocol import SYNTHETIC_MARK
from ..workspace.arrays import decode_srgb
from ..workspace.files import atomic_path, write_json
from ..workspace.frame_rate import Timecode, exact_rate
from .codecs import EXR, FORMATS, PNG, PNG16
from .encodings import BT709, BT2020, D65, encoding_of
from .exr import openexr
from .samples import StoredFormat

_TYPES = {PNG: np.uint8, PNG16: np.uint16, EXR: np.float32}


class SequenceWriter:
    """Writes a folder of frames, `%06d.png` or `.exr`, each complete or absent.

    PNG has straight alpha. EXR is premultiplied, scene-linear, half float, ZIP.

    Args:
        folder: made when it is missing.
        kind: of `codecs.FORMATS`.
        fps: frames a second, which EXR files state.
        timecode: of frame 0, which EXR files state.
        stored: of complete frames, which have no alpha: their values are those of its encoding and primaries, full range. None for a
            head alone: sRGB, and BT.709's primaries.

    Raises:
        SyncTalkError: the package that writes EXR is missing.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        kind: str = PNG,
        fps: float | Fraction = 25,
        timecode: Timecode | None = None,
        stored: StoredFormat | None = None,
    ) -> None:
        self.folder, self.kind, self.suffix = Path(folder), kind, FORMATS[kind]
        self._fps, self._timecode, self._stored = exact_rate(fps), timecode, stored
        if kind == EXR:
            openexr()

    def path(self, index: int) -> Path:
        """Where frame `index` lies."""
        return self.folder / f"{index:06d}{self.suffix}"

    def resume(self, key: str, frames: int) -> None:
        """Keep the frames that an interrupted run of the same `key` left, and remove those of another.

        Args:
            frames: how many there will be.

        Raises:
            StorageError: the place is read-only.
        """
        marker = self.folder / "frames.json"
        known = marker.read_text(encoding="utf-8") if marker.exists() else ""
        if key not in known:
            for old in self.folder.glob("[0-9]" * 6 + self.suffix):
                old.unlink()
            write_json(marker, {"key": key, "frames": frames, "note": SYNTHETIC_MARK})
        for unfinished in self.folder.glob(".*" + "[0-9]" * 6 + ".tmp-*"):  # of a run that was killed
            unfinished.unlink()

    def write(
        self,
        index: int,
        image: np.ndarray,
        passes: Mapping[str, np.ndarray] | None = None,
        finish: Callable[[Path, str], None] | None = None,
    ) -> Path:
        """Write frame `index`.

        Args:
            image: (H, W, 4): of PNG uint8 or uint16, RGB as seen and alpha, not multiplied; of EXR float32, linear RGB
                multiplied by alpha. Of complete frames (H, W, 3), R'G'B' as they are stored.
            passes: of EXR alone, by their channels' names, `Depth.Z`: (H, W) float32, stored so. With them the image is
                `Head.Combined`, and each is of the layer `Head` too, as Blender and Nuke read several images from a file.
            finish: changes the file before it has its name: called with the temporary path and that name.

        Raises:
            StorageError: the disk is full or the place is read-only.
        """
        kind = _TYPES[self.kind]
        channels = 4 if self._stored is None else 3
        if image.ndim != 3 or image.shape[2] != channels or image.dtype != kind:
            raise ValueError(f"frame of {image.shape} {image.dtype}, wanted (H, W, {channels}) {np.dtype(kind)}")
        with atomic_path(self.path(index)) as temporary:
            if self.kind == EXR:
                self._write_exr(temporary, index, image, passes or {})
            else:
                self._write_png(temporary, image)
            if finish is not None:
                finish(temporary, self.path(index).name)
        return self.path(index)

    def _write_png(self, path: Path, image: np.ndarray) -> None:
        order = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
        done, data = cv2.imencode(".png", cv2.cvtColor(image, order), [cv2.IMWRITE_PNG_COMPRESSION, 3])
        if not done:
            raise SyncTalkError(f"{path} could not be encoded: report this with the size {image.shape}.")
        chunks = [(b"tEXt", b"Comment\0" + SYNTHETIC_MARK.encode("latin-1"))]
        if self._stored is not None:
            chunks = [*_colour_chunks(self._stored), *chunks]
        path.write_bytes(_with_chunks(data.tobytes(), chunks))

    def _write_exr(self, path: Path, index: int, image: np.ndarray, passes: Mapping[str, np.ndarray]) -> None:
        package = openexr()
        header = {
            "compression": package.ZIP_COMPRESSION,
            "type": package.scanlineimage,
            "comments": SYNTHETIC_MARK,
            "framesPerSecond": self._fps,
            **_light_of(self._stored),
        }
        if self._timecode is not None:
            header["timeCode"] = _exr_timecode(package, self._timecode.later(index))
        if self._stored is not None:
            encoding = encoding_of(self._stored.encoding)
            image = encoding.decode(image) if encoding else decode_srgb(image)
        # A contiguous plane for each: strides are not regarded, and a slice would be written scrambled (OpenEXR 3.5.3).
        planes = np.ascontiguousarray(np.moveaxis(image, 2, 0), np.float16)
        prefix = f"{_LAYER}.Combined." if passes else ""
        channels = {f"{prefix}{name}": plane for name, plane in zip("RGBA", planes, strict=False)}
        channels |= {f"{_LAYER}.{name}": np.ascontiguousarray(plane, np.float32) for name, plane in passes.items()}
        package.File(header, channels).write(str(path))


_LAYER = "Head"
_UNSTATED = 2

_PRIMARIES: dict[int, tuple[float, ...]] = {
    1: BT709,
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: BT2020,
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
"""x and y of red, green and blue, by ITU-T H.273; all of white D65."""
_INTEROP: dict[tuple[float, ...], str] = {
    BT709: "lin_rec709_scene",
    BT2020: "lin_rec2020_scene",
    _PRIMARIES[12]: "lin_p3d65_scene",
}


def _light_of(stored: StoredFormat | None) -> dict[str, Any]:
    """What an EXR header says of its linear light."""
    primaries: tuple[float, ...] = BT709
    if stored is not None:
        encoding = encoding_of(stored.encoding)
        primaries = encoding.primaries if encoding else _PRIMARIES.get(stored.primaries, BT709)
    header: dict[str, Any] = {"chromaticities": (*primaries, *D65)}
    if primaries in _INTEROP:
        header["colorInteropID"] = _INTEROP[primaries]
    if stored is not None and stored.pixel_aspect != 1:
        header["pixelAspectRatio"] = float(stored.pixel_aspect)
    return header


def _colour_chunks(stored: StoredFormat) -> list[tuple[bytes, bytes]]:
    """Of a PNG: primaries and transfer (cICP, third edition, 11.3.2.6), and the shape of a pixel (pHYs, 11.3.4.3)."""
    chunks = []
    if _UNSTATED not in (stored.primaries, stored.transfer):
        chunks.append((b"cICP", bytes((stored.primaries, stored.transfer, 0, 1))))
    if (aspect := stored.pixel_aspect) != 1:  # pixels for a unit of length, across and down; the unit is not stated
        chunks.append((b"pHYs", struct.pack(">IIB", aspect.denominator, aspect.numerator, 0)))
    return chunks


def _exr_timecode(openexr, code: Timecode):
    """As SMPTE ST 12-1 packs it: beyond 30 frames a second it counts pairs, and a bit marks the second of a pair."""
    hours, minutes, seconds, frames = code.parts
    pairs = round(code.rate) > 30
    frame, second = divmod(frames, 2) if pairs else (frames, 0)
    return openexr.TimeCode(hours, minutes, seconds, frame, code.drops, False, second, *[0] * 11)


def _with_chunks(png: bytes, chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG with more chunks after its header."""
    header_end = 8 + 25  # signature, IHDR
    made = b""
    for name, data in chunks:
        made += len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
    return png[:header_end] + made + png[header_end:]
