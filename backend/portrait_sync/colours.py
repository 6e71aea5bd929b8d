"""Which colours are hair and which are skin on this subject: learnt from the clip itself, no network needed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

BINS = 32
SHADES = (1.0, 0.8, 0.64, 0.5, 0.4)  # the neck is the face's colour in the shadow of the chin


@dataclass(frozen=True)
class ColourTables:
    """Probabilities by colour bin, see `colour_bins`."""

    hair: np.ndarray
    """(32768) float32: hair rather than face, neck or clothing."""
    skin: np.ndarray
    """(32768) float32: skin, lit or in shadow, rather than hair or clothing."""


class SubjectColours:
    """Collects smoothed colour histograms of hair, face, neck and clothing; Bayes' rule with equal priors."""

    def __init__(self) -> None:
        self._counts = np.zeros((4, BINS**3), np.float64)
        self._shaded_skin = np.zeros(BINS**3, np.float64)

    def add(
        self, frame: np.ndarray, hair: np.ndarray, face: np.ndarray, neck: np.ndarray, clothing: np.ndarray
    ) -> None:
        """Count one frame (H, W, 3) uint8 with four (H, W) bool masks of what certainly is each."""
        index = colour_bins(frame)
        for row, mask in enumerate((hair, face, neck, clothing)):
            self._counts[row] += np.bincount(index[mask], minlength=BINS**3)
        skin = frame[face][None].astype(np.float32)
        for shade in SHADES:
            self._shaded_skin += np.bincount(colour_bins((shade * skin).astype(np.uint8))[0], minlength=BINS**3)

    def tables(self) -> ColourTables:
        """What was learnt; zero everywhere for a class that was never seen."""
        hair, face, neck, clothing = (_density(count) for count in self._counts)
        skin = _density(self._shaded_skin)
        floor = 1e-6  # a colour that was never seen is nobody's
        return ColourTables(
            hair=(hair / (hair + face + np.maximum(neck, clothing) + floor)).astype(np.float32),
            skin=(skin / (skin + hair + clothing + floor)).astype(np.float32),
        )


def colour_bins(frame: np.ndarray) -> np.ndarray:
    """(H, W) int32 index of each colour's bin in a 32³ histogram."""
    reduced = frame.astype(np.int32) >> 3
    return (reduced[..., 0] << 10) | (reduced[..., 1] << 5) | reduced[..., 2]


def _density(count: np.ndarray) -> np.ndarray:
    histogram = (count / max(count.sum(), 1.0)).reshape(BINS, BINS, BINS)
    for axis in range(3):
        moved = np.moveaxis(histogram, axis, 0)
        flat = np.ascontiguousarray(moved).reshape(BINS, -1)
        flat = cv2.GaussianBlur(flat, (1, 7), sigmaX=0.1, sigmaY=1.2, borderType=cv2.BORDER_REPLICATE)
        histogram = np.moveaxis(flat.reshape(moved.shape), 0, axis)
    return histogram.ravel()
