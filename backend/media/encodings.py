"""How a clip's R'G'B' values encode light, and what becomes of them in BT.709 images and back (docs/delivery.md).

Heads are trained on ordinary BT.709 images. A clip with a wider range (HLG, PQ, LogC) is brought there by a matrix and one
shoulder; a rendered head goes the same way back, so that it meets the clip's own pixels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import MediaError
from ..workspace.arrays import decode_srgb, encode_srgb

REFERENCE_WHITE = 203.0
"""cd/m2 of diffuse white in HDR, BT.2408."""
_HLG_PEAK, _HLG_GAMMA = 1000.0, 1.2
"""Of the display that HLG is shown on, cd/m2, and its system gamma, BT.2100."""
KNEE = 0.7
"""Linear light up to which a clip's values stay as they are in BT.709; 1 is diffuse white."""
_ROWS = 32
"""Rows worked on at once: few enough to stay in the processor's cache."""
_LUMINANCE = np.array([[0.2627, 0.6780, 0.0593]], np.float32)
"""Of BT.2020's primaries."""

BT709, BT2020 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06), (0.708, 0.292, 0.170, 0.797, 0.131, 0.046)
_WIDE_GAMUT_3 = (0.6840, 0.3130, 0.2210, 0.8480, 0.0861, -0.1020)
_WIDE_GAMUT_4 = (0.7347, 0.2653, 0.1424, 0.8576, 0.0991, -0.0308)
"""x and y of red, green and blue: BT.709, BT.2020, ARRI Wide Gamut 3 and 4; white is D65 in all."""
D65 = (0.3127, 0.3290)


@dataclass(frozen=True)
class Encoding:
    """
    Attributes:
        name: of `--colour`.
        title: as people call it.
        decode, encode: signal in [0, 1], of video a little beyond, to linear light of each channel and back, arrays of any
            shape, (H, W, 3) of an OpenColorIO space. The light is that of the scene, but of PQ that of the display; 1 is diffuse
            white, 0.18 middle grey in LogC.
        primaries: x and y of red, green and blue.
        brightest: linear light, 1 as diffuse white, up to which highlights of a head come back: 8 bits hold few steps beyond.
        has_system_gamma: light is shown as HLG's is (BT.2100's OOTF).
    """

    name: str
    title: str
    decode: Callable[[np.ndarray], np.ndarray]
    encode: Callable[[np.ndarray], np.ndarray]
    primaries: tuple[float, ...]
    brightest: float
    has_system_gamma: bool = False

    @functools.cached_property
    def to_bt709(self) -> np.ndarray:
        """(3, 3) float32, of linear light."""
        return (np.linalg.inv(_to_xyz(BT709)) @ _to_xyz(self.primaries)).astype(np.float32)

    @functools.cached_property
    def _light_table(self) -> np.ndarray:
        """Linear light of each of 65,536 code values."""
        return self.decode(np.linspace(0, 1, 65536)).astype(np.float32)

    def _light(self, image: np.ndarray) -> np.ndarray:
        """Linear light of code values of 16 bits, (H, W, 3)."""
        return np.take(self._light_table, image)

    def to_working(self, image: np.ndarray) -> np.ndarray:
        """To BT.709: (H, W, 3) uint16, the signal over the full range, -> (H, W, 3) uint8."""
        shown = np.empty(image.shape, np.uint8)
        for top in range(0, len(image), _ROWS):
            light = self._shown(self._light(image[top : top + _ROWS]))
            codes = np.clip(_scaled(light, _shoulder), 0, 1)
            shown[top : top + _ROWS] = np.take(_display_table(), (codes * 65535 + 0.5).astype(np.uint16))
        return shown

    def from_working(self, image: np.ndarray) -> np.ndarray:
        """Back: (H, W, 3) float32 in [0, 1] as a BT.709 image shows it, -> the signal, (H, W, 3) float32 in [0, 1]."""
        signal = np.empty(image.shape, np.float32)
        for top in range(0, len(image), _ROWS):
            linear = decode_srgb(np.clip(image[top : top + _ROWS], 0, 1)).astype(np.float32)
            light = _scaled(linear, functools.partial(_inverse_shoulder, brightest=self.brightest))
            light = np.maximum(cv2.transform(light, np.linalg.inv(self.to_bt709)), 0)
            if self.has_system_gamma:
                light *= REFERENCE_WHITE / _HLG_PEAK
                luminance = np.maximum(cv2.transform(light, _LUMINANCE), 1e-9)
                light *= (luminance ** (1 / _HLG_GAMMA - 1))[..., None] / _HLG_WHITE
            signal[top : top + _ROWS] = np.clip(self.encode(light), 0, 1)
        return signal

    def _shown(self, light: np.ndarray) -> np.ndarray:
        """Linear light in BT.709's primaries, 1 as diffuse white; some may be negative."""
        if self.has_system_gamma:
            light = light * np.float32(_HLG_WHITE)
            luminance = cv2.transform(light, _LUMINANCE)
            gain = (_HLG_PEAK / REFERENCE_WHITE) * cv2.pow(np.maximum(luminance, 1e-9), _HLG_GAMMA - 1)
            light = light * gain[..., None]
        return cv2.transform(light, self.to_bt709)


def encoding_of(name: str) -> Encoding | None:
    """The encoding of a name in `ENCODINGS`, or of an `ocio.OcioSpace`; None for one that needs no transform.

    Raises:
        MediaError: there is none, or what it needs is missing.
    """
    if name in ("", SDR):
        return None
    if name.startswith(f"{OCIO} "):
        from .ocio import ocio_encoding

        return ocio_encoding(name)
    if name not in ENCODINGS:
        raise MediaError(f"The colour encoding {name} is not known here: choose one of {', '.join((SDR, *ENCODINGS))}.")
    return ENCODINGS[name]


def tagged_encoding(transfer: int) -> str:
    """The encoding that a transfer characteristic of ITU-T H.273 states: `pq`, `hlg`, or an empty text for an ordinary image."""
    return {16: PQ.name, 18: HLG.name}.get(transfer, "")


def _scaled(light: np.ndarray, curve: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """(H, W, 3) with its brightest channel through a curve: one gain for the three channels keeps the hue of skin."""
    red, green, blue = cv2.split(light)
    peak = np.maximum(cv2.max(cv2.max(red, green), blue), 1e-6)
    return light * (curve(peak) / peak)[..., None]


def _shoulder(value: np.ndarray) -> np.ndarray:
    """Identity up to `KNEE`, then a curve that nears 1, with no corner between."""
    over = np.maximum(value - KNEE, 0)
    return np.minimum(value, KNEE) + (1 - KNEE) * over / (over + 1 - KNEE)


def _inverse_shoulder(value: np.ndarray, brightest: float) -> np.ndarray:
    over, room = np.clip(value - KNEE, 0, None), 1 - KNEE
    return np.minimum(np.minimum(value, KNEE) + over * room / np.maximum(room - over, 1e-6), brightest)


def _to_xyz(primaries: tuple[float, ...]) -> np.ndarray:
    """(3, 3) from linear RGB, its white D65 (SMPTE RP 177)."""
    x, y = np.array(primaries[::2]), np.array(primaries[1::2])
    columns = np.stack([x / y, np.ones(3), (1 - x - y) / y])
    white = np.array([D65[0] / D65[1], 1.0, (1 - sum(D65)) / D65[1]])
    return columns * np.linalg.solve(columns, white)


@functools.cache
def _display_table() -> np.ndarray:
    """8-bit code of linear light in steps of 1/65535: the inverse of the sRGB curve's decoding."""
    return np.round(encode_srgb(np.linspace(0, 1, 65536)) * 255).astype(np.uint8)


# -- PQ: SMPTE ST 2084, BT.2100 ---------------------------------------------------------------------------------------

_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128


def _decode_pq(signal: np.ndarray) -> np.ndarray:
    root = np.clip(signal, 0, 1) ** (1 / _M2)
    return (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1) * (10000 / REFERENCE_WHITE)


def _encode_pq(light: np.ndarray) -> np.ndarray:
    power = (np.asarray(light) * (REFERENCE_WHITE / 10000)) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


# -- HLG: ARIB STD-B67, BT.2100 ---------------------------------------------------------------------------------------

_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_HLG_WHITE = (np.exp((0.75 - _C) / _A) + _B) / 12
"""Scene light of diffuse white, whose signal is 0.75 (BT.2408), where the brightest is 1."""


def _decode_hlg(signal: np.ndarray) -> np.ndarray:
    size = np.abs(signal)
    scene = np.where(size <= 0.5, size**2 / 3, (np.exp((size - _C) / _A) + _B) / 12)
    return np.copysign(scene, signal) / _HLG_WHITE


def _encode_hlg(light: np.ndarray) -> np.ndarray:
    scene = np.asarray(light) * _HLG_WHITE
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), _A * np.log(np.maximum(12 * scene - _B, 1e-9)) + _C)


# -- LogC3 at EI 800: ARRI, ALEXA LogC curve, usage in VFX (2017) -------------------------------------------------------

_CUT3, _A3, _B3, _C3_, _D3, _E3, _F3 = 0.010591, 5.555556, 0.052272, 0.247190, 0.385537, 5.367655, 0.092809


def _decode_logc3(signal: np.ndarray) -> np.ndarray:
    toe = _E3 * _CUT3 + _F3
    return np.where(signal > toe, (10 ** ((signal - _D3) / _C3_) - _B3) / _A3, (signal - _F3) / _E3)


def _encode_logc3(light: np.ndarray) -> np.ndarray:
    light = np.asarray(light)
    return np.where(light > _CUT3, _C3_ * np.log10(np.maximum(_A3 * light + _B3, 1e-9)) + _D3, _E3 * light + _F3)


# -- LogC4: ARRI, LogC4 logarithmic color space, specification (2022) ---------------------------------------------------

_A4, _B4, _C4 = (2**18 - 16) / 117.45, (1023 - 95) / 1023, 95 / 1023
_S4 = 7 * np.log(2) * 2 ** (7 - 14 * _C4 / _B4) / (_A4 * _B4)
_T4 = (2 ** (14 * (-_C4 / _B4) + 6) - 64) / _A4


def _decode_logc4(signal: np.ndarray) -> np.ndarray:
    log = (2 ** (14 * (signal - _C4) / _B4 + 6) - 64) / _A4
    return np.where(signal >= 0, log, signal * _S4 + _T4)


def _encode_logc4(light: np.ndarray) -> np.ndarray:
    light = np.asarray(light)
    log = (np.log2(np.maximum(_A4 * light + 64, 1e-9)) - 6) / 14 * _B4 + _C4
    return np.where(light >= _T4, log, (light - _T4) / _S4)


SDR, BY_TAGS, OCIO = "bt709", "auto", "ocio"
PQ = Encoding("pq", "PQ", _decode_pq, _encode_pq, BT2020, 2.0)
HLG = Encoding("hlg", "HLG", _decode_hlg, _encode_hlg, BT2020, 2.0, has_system_gamma=True)
LOGC3 = Encoding("logc3", "LogC3 at EI 800", _decode_logc3, _encode_logc3, _WIDE_GAMUT_3, 4.0)
LOGC4 = Encoding("logc4", "LogC4", _decode_logc4, _encode_logc4, _WIDE_GAMUT_4, 4.0)
ENCODINGS = {encoding.name: encoding for encoding in (HLG, PQ, LOGC3, LOGC4)}
"""By the names of `process --colour`."""
