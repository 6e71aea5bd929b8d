"""Writes sequences of images with alpha, each marked as synthetic: PNG of 8 and of 16 bits, OpenEXR."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from ..errors import SyncTalkError
from ..workspace.files import atomic_path
from ..workspace.frame_rate import Timecode, exact_rate
from .codecs import EXR, FORMATS, PNG, PNG16
from .encode import SYNTHETIC_MARK

_TYPES = {PNG: np.uint8, PNG16: np.uint16, EXR: np.float32}


class SequenceWriter:
    """Writes a folder of frames, `%06d.png` or `.exr`, each complete or absent.

    PNG has straight alpha. EXR is premultiplied, scene-linear with BT.709's primaries, half float, ZIP.

    Args:
        folder: made when it is missing.
        kind: of `codecs.FORMATS`.
        fps: frames a second, which EXR files state.
        timecode: of frame 0, which EXR files state.

    Raises:
        SyncTalkError: the package that writes EXR is missing.
    """

    def __init__(
        self, folder: str | os.PathLike, kind: str = PNG, fps: float | Fraction = 25, timecode: Timecode | None = None
    ) -> None:
        self.folder, self.kind, self.suffix = Path(folder), kind, FORMATS[kind]
        self._fps, self._timecode = exact_rate(fps), timecode
        if kind == EXR:
            _openexr()

    def path(self, index: int) -> Path:
        """Where frame `index` lies."""
        return self.folder / f"{index:06d}{self.suffix}"

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
                multiplied by alpha.
            passes: of EXR alone, by their channels' names, `Depth.Z`: (H, W) float32, stored so. With them the image is
                `Head.Combined`, and each is of the layer `Head` too, as Blender and Nuke read several images from a file.
            finish: changes the file before it has its name: called with the temporary path and that name.

        Raises:
            StorageError: the disk is full or the place is read-only.
        """
        kind = _TYPES[self.kind]
        if image.ndim != 3 or image.shape[2] != 4 or image.dtype != kind:
            raise ValueError(f"frame of {image.shape} {image.dtype}, wanted (H, W, 4) {np.dtype(kind)}")
        with atomic_path(self.path(index)) as temporary:
            if self.kind == EXR:
                self._write_exr(temporary, index, image, passes or {})
            else:
                self._write_png(temporary, image)
            if finish is not None:
                finish(temporary, self.path(index).name)
        return self.path(index)

    def _write_png(self, path: Path, image: np.ndarray) -> None:
        done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA), [cv2.IMWRITE_PNG_COMPRESSION, 3])
        if not done:
            raise SyncTalkError(f"{path} could not be encoded: report this with the size {image.shape}.")
        path.write_bytes(_with_comment(data.tobytes(), SYNTHETIC_MARK))

    def _write_exr(self, path: Path, index: int, image: np.ndarray, passes: Mapping[str, np.ndarray]) -> None:
        openexr = _openexr()
        header = {
            "compression": openexr.ZIP_COMPRESSION,
            "type": openexr.scanlineimage,
            "comments": SYNTHETIC_MARK,
            "framesPerSecond": self._fps,
            "chromaticities": _BT709,
            "colorInteropID": "lin_rec709_scene",
        }
        if self._timecode is not None:
            header["timeCode"] = _exr_timecode(openexr, self._timecode.later(index))
        # A contiguous plane for each: strides are not regarded, and a slice would be written scrambled (OpenEXR 3.5.3).
        planes = np.ascontiguousarray(np.moveaxis(image, 2, 0), np.float16)
        prefix = f"{_LAYER}.Combined." if passes else ""
        channels = {f"{prefix}{name}": plane for name, plane in zip("RGBA", planes, strict=True)}
        channels |= {f"{_LAYER}.{name}": np.ascontiguousarray(plane, np.float32) for name, plane in passes.items()}
        openexr.File(header, channels).write(str(path))


_LAYER = "Head"

_BT709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
"""x and y of red, green, blue and white."""


def _exr_timecode(openexr, code: Timecode):
    """As SMPTE ST 12-1 packs it: beyond 30 frames a second it counts pairs, and a bit marks the second of a pair."""
    hours, minutes, seconds, frames = code.parts
    pairs = round(code.rate) > 30
    frame, second = divmod(frames, 2) if pairs else (frames, 0)
    return openexr.TimeCode(hours, minutes, seconds, frame, code.drops, False, second, *[0] * 11)


def _openexr():
    try:
        import OpenEXR
    except ImportError as error:
        raise SyncTalkError(
            "EXR files need the package OpenEXR, which this environment lacks: run python3 install."
        ) from error
    return OpenEXR


def _with_comment(png: bytes, text: str) -> bytes:
    """A PNG with a `Comment` after its header (PNG specification, 11.3.4.3)."""
    header_end = 8 + 25  # signature, IHDR
    content = b"tEXt" + b"Comment\0" + text.encode("latin-1")
    chunk = (len(content) - 4).to_bytes(4, "big") + content + zlib.crc32(content).to_bytes(4, "big")
    return png[:header_end] + chunk + png[header_end:]
