"""High dynamic range clips (phones record HLG and PQ) as ordinary BT.709 images."""

from __future__ import annotations

import functools

import av
import cv2
import numpy as np

from ..workspace.arrays import encode_srgb

_KINDS = {16: "pq", 18: "hlg"}
"""ITU-T H.273 transfer characteristics: SMPTE ST 2084 and ARIB STD-B67."""

_REFERENCE_WHITE = 203.0
"""cd/m2 of diffuse white in HDR, BT.2408."""

_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
"""BT.2087, for linear light."""

_LUMINANCE = np.array([[0.2627, 0.6780, 0.0593]], np.float32)

_ROWS = 32
"""Rows worked on at once: few enough to stay in the processor's cache."""


def kind_of(frame: av.VideoFrame) -> str:
    """`pq`, `hlg`, or an empty text for an ordinary image."""
    return _KINDS.get(int(frame.color_trc), "")


def to_sdr(image: np.ndarray, kind: str) -> np.ndarray:
    """Tone-map a BT.2020 image to BT.709.

    Args:
        image: (H, W, 3) uint16, the non-linear RGB signal over the full range.
        kind: `pq` or `hlg`.

    Returns:
        (H, W, 3) uint8.
    """
    shown = np.empty(image.shape, np.uint8)
    for top in range(0, len(image), _ROWS):
        shown[top : top + _ROWS] = _rows_to_sdr(image[top : top + _ROWS], kind)
    return shown


def _rows_to_sdr(image: np.ndarray, kind: str) -> np.ndarray:
    light = np.take(_light_table(kind), image)
    gain = 1.0
    if kind == "hlg":
        # BT.2100 OOTF of a 1000 cd/m2 display: scene light to shown light.
        luminance = cv2.transform(light, _LUMINANCE)
        gain = (1000.0 / _REFERENCE_WHITE) * cv2.pow(np.maximum(luminance, 1e-6), 0.2)
    light = cv2.transform(light, _BT2020_TO_BT709)
    # One gain for the three channels keeps the hue of skin; the shoulder leaves mid-tones as they are.
    red, green, blue = cv2.split(light)
    peak = np.maximum(cv2.max(cv2.max(red, green), blue) * gain, 1e-6)
    light *= (gain * _shoulder(peak) / peak)[..., None]
    codes = np.clip(light, 0, 1)
    return np.take(_display_table(), (codes * 4095 + 0.5).astype(np.uint16))


def _shoulder(value: np.ndarray, knee: float = 0.7) -> np.ndarray:
    """Identity up to `knee`, then a curve that nears 1, with no corner between."""
    over = np.maximum(value - knee, 0)
    return np.minimum(value, knee) + (1 - knee) * over / (over + 1 - knee)


@functools.cache
def _light_table(kind: str) -> np.ndarray:
    """Linear light of each of 65,536 code values: PQ with 1 as diffuse white, HLG as scene light in [0, 1]; BT.2100."""
    signal = np.linspace(0, 1, 65536)
    if kind == "pq":
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = signal ** (1 / m2)
        light = (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1) * 10000 / _REFERENCE_WHITE
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return light.astype(np.float32)


@functools.cache
def _display_table() -> np.ndarray:
    """Code value of linear light in steps of 1/4095: the inverse of the sRGB curve's decoding."""
    light = np.linspace(0, 1, 4096)
    return np.round(encode_srgb(light) * 255).astype(np.uint8)
