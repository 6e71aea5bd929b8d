"""Reads the image of an EXR file as it was encoded before it became linear light."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MediaError, SyncTalkError
from ..workspace.arrays import encode_srgb
from .encodings import BT709, ENCODINGS

_SAME = 1e-3
"""Of two chromaticities."""
_FAINT = 1e-4
"""Alpha below which a pixel has no colour."""


def openexr() -> Any:
    """The package.

    Raises:
        SyncTalkError: it is missing.
    """
    try:
        import OpenEXR
    except ImportError as error:
        raise SyncTalkError(
            "EXR files need the package OpenEXR, which this environment lacks: run python3 install."
        ) from error
    return OpenEXR


def encoded_images(path: Path) -> list[np.ndarray]:
    """Its R, G and B by each curve that its light can come from, the likeliest first: (H, W, 3) float32 in levels of 255, times alpha.

    The header names the primaries: a camera's own stand for its curve, those of BT.2020 for HLG, PQ or an ordinary image, others for
    sRGB's curve, which is that of a head alone too.

    Raises:
        MediaError: it has no R, G and B, or cannot be read.
        SyncTalkError: the package OpenEXR is missing.
    """
    package = openexr()
    try:
        file = package.File(str(path), separate_channels=True)
        header, channels = file.header(), file.channels()
    except Exception as error:
        raise MediaError(f"{path} cannot be read as EXR ({' '.join(str(error).split())}).") from error
    found = [
        next((item.pixels for name, item in channels.items() if name in (letter, f"Head.Combined.{letter}")), None)
        for letter in "RGBA"
    ]
    if any(plane is None for plane in found[:3]):
        raise MediaError(f"{path} has no channels R, G and B.")
    light, alpha = np.dstack(found[:3]).astype(np.float32), found[3]
    if alpha is not None:
        alpha = np.asarray(alpha, np.float32)[..., None]
        light = np.where(alpha > _FAINT, light / np.maximum(alpha, _FAINT), 0)
    light = np.nan_to_num(np.maximum(light, 0), posinf=0.0)
    primaries = np.array(header.get("chromaticities", BT709)[:6])
    curves = [item.encode for item in ENCODINGS.values() if np.abs(primaries - item.primaries).max() < _SAME]
    share = 255 if alpha is None else 255 * alpha
    return [np.asarray(share * curve(light), np.float32) for curve in (*curves, encode_srgb)]
