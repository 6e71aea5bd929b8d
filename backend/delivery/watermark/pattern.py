"""The keyed tile: which frequencies carry which coded bit, and which are known in advance and find the tile again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .message import CODED_BITS

PUBLIC_KEY = b"SyncTalk for Blender, watermark 3"
"""The key of every delivery: it is published, so that anyone can look for the mark."""

TILES = 8 / 3
"""Tiles in the shorter side of a frame."""
TILE_PX = 192
"""Side of a tile in a frame of 512 pixels."""
MIN_TILE_PX = 128
"""Side of a tile at least, in frames below 342 pixels."""
MIN_CYCLES, MAX_CYCLES = 6.0, 14.0
"""Frequencies used, cycles in a tile, waves of 14 to 32 pixels at 512: slower ones are mostly the frame's own, of faster ones
H.264 at CRF 28 keeps less than half, at half the size less than a quarter."""
SYNC_SHARE = 0.16
"""Part of the values that is known in advance."""


def tile_side(width: int, height: int) -> int:
    """Side of the tile in a frame of this size, pixels."""
    return max(MIN_TILE_PX, round(min(width, height) / TILES))


@dataclass(frozen=True)
class Pattern:
    """The spectrum of a tile: `n` frequencies (half of the plane), each with a cosine and a sine, so 2n values."""

    fx: np.ndarray
    """(n,) int, cycles in a tile's width."""
    fy: np.ndarray
    """(n,) int, cycles in its height; above 0, or 0 with fx above 0."""
    signs: np.ndarray
    """(2n,) -1 and 1: each value's keyed sign; the cosines first."""
    bit: np.ndarray
    """(2n,) int: the coded bit that a value carries; -1 where it is known in advance."""

    def values(self, coded: np.ndarray) -> np.ndarray:
        """The (2n,) values, -1 and 1, for (CODED_BITS,) coded bits of -1 and 1."""
        return self.signs * np.where(self.bit < 0, 1, coded[self.bit])

    def tile(self, coded: np.ndarray, side: int) -> np.ndarray:
        """(side, side) float32 of mean 0 and RMS 1."""
        n, values = len(self.fx), self.values(coded)
        spectrum = np.zeros((side, side), np.complex128)
        spectrum[self.fy, self.fx] = values[:n] - 1j * values[n:]
        tile = np.fft.ifft2(spectrum).real
        return (tile / tile.std()).astype(np.float32)


@lru_cache(maxsize=8)
def pattern_of(key: bytes) -> Pattern:
    """The pattern of a key, by the counter-based generator Philox (Salmon et al. 2011), whose raw output never changes."""
    limit = int(MAX_CYCLES)
    fy, fx = np.mgrid[0 : limit + 1, -limit : limit + 1].reshape(2, -1)
    radius = np.hypot(fx, fy)
    used = (radius >= MIN_CYCLES) & (radius <= MAX_CYCLES) & ((fy > 0) | (fx > 0))
    fx, fy, radius = fx[used], fy[used], radius[used]
    source = np.random.Philox(key=int.from_bytes(hashlib.sha256(key).digest()[:16], "big"))
    signs = (source.random_raw(2 * len(fx)) & 1).astype(np.int64) * 2 - 1
    # Bits take turns from slow to fast frequencies, so that each has its share of both.
    order = np.argsort(np.tile(radius, 2) + 2 * (source.random_raw(2 * len(fx)) / 2**64), kind="stable")
    bit = np.full(2 * len(fx), -1)
    chance = np.arange(len(order))
    carries = np.floor((chance + 1) * (1 - SYNC_SHARE)) > np.floor(chance * (1 - SYNC_SHARE))
    carriers = order[carries]
    turns = [np.argsort(source.random_raw(CODED_BITS)) for _ in range(len(carriers) // CODED_BITS + 1)]
    bit[carriers] = np.concatenate(turns)[: len(carriers)]
    return Pattern(fx, fy, signs, bit)
