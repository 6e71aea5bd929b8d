"""Images of a workspace, read and written."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import SyncTalkError, WorkspaceError
from .files import atomic_path
from .png import encode_png


def read_image(path: Path, channels: int = 3, divisor: int = 1) -> np.ndarray:
    """An image as (H, W, channels) uint8, grey, RGB or RGBA.

    Args:
        divisor: 2, 4 or 8 read an RGB image at that part of its size, which for JPEG costs less than the whole.

    Raises:
        WorkspaceError: missing or damaged.
    """
    import cv2

    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread cannot open paths beyond ASCII on Windows
    except OSError as error:
        raise WorkspaceError(f"{path} is missing: run process on this workspace again.") from error
    colour = cv2.IMREAD_COLOR if divisor == 1 else getattr(cv2, f"IMREAD_REDUCED_COLOR_{divisor}")
    flag = {1: cv2.IMREAD_GRAYSCALE, 3: colour, 4: cv2.IMREAD_UNCHANGED}[channels]
    image = cv2.imdecode(data, flag) if data.size else None
    if image is not None and channels == 1:
        return image[..., None]
    if image is None or image.ndim != 3 or image.shape[2] != channels:
        raise WorkspaceError(f"{path} is damaged: delete it and run process on this workspace again.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGRA2RGBA)


def write_image(path: Path, image: np.ndarray) -> None:
    """Write (H, W, 1, 3 or 4) uint8 atomically, by the suffix: as JPEG (quality 95, 4:4:4) grey or RGB, as PNG also RGBA."""
    with atomic_path(path) as temporary:
        data = encode_png(image) if path.suffix == ".png" else _encode_jpeg(path, image)
        temporary.write_bytes(data)  # not tofile: its error does not separate a full disk from others


def _encode_jpeg(path: Path, image: np.ndarray) -> bytes:
    import cv2

    code = {1: None, 3: cv2.COLOR_RGB2BGR}[image.shape[2]]
    options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    done, data = cv2.imencode(path.suffix, image if code is None else cv2.cvtColor(image, code), options)
    if not done:
        raise SyncTalkError(f"{path} could not be encoded: report this with the image's size {image.shape}.")
    return data.tobytes()
