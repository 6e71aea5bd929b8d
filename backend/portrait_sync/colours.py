"""Which colours are hair, skin and clothing on this subject, from histograms of the clip."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..workspace.arrays import smoothstep

BINS = 32


@dataclass(frozen=True)
class ColourTables:
    """Probabilities by colour bin, see `colour_bins`; each (32768) float32 in [0, 1]."""

    hair: np.ndarray
    """Hair rather than face, neck or clothing."""
    scalp: np.ndarray
    """Hair rather than face: for places where no clothing can be."""
    skin: np.ndarray
    """Of the face's hue, lit or in shadow."""
    clothing: np.ndarray
    """Clothing rather than hair or face."""


@dataclass(frozen=True)
class Neck:
    """What the neck below the chin looks like."""

    colour: np.ndarray
    """(3) float32, 0 to 255."""
    likeness: np.ndarray
    """(32768) float32 in [0, 1] by colour bin: skin of the neck's hue and about its brightness; a pink tie is not."""

    @classmethod
    def of(cls, colour: np.ndarray, skin: np.ndarray) -> Neck:
        """Of its colour and the table `ColourTables.skin`."""
        colours = bin_colours()
        colour = np.asarray(colour, np.float32)
        away = np.linalg.norm(chromaticity(colours) - chromaticity(colour), axis=1)
        ratio = (colours.sum(axis=1) + 12.0) / (colour.sum() + 12.0)
        likeness = smoothstep(0.05, 0.025, away) * smoothstep(0.3, 0.5, ratio) * smoothstep(2.2, 1.7, ratio)
        return cls(colour, (skin * likeness).astype(np.float32))


class SubjectColours:
    """Collects colour histograms (32³ bins) of hair, face, neck and clothing."""

    def __init__(self) -> None:
        self._counts = np.zeros((4, BINS**3), np.float64)

    def add(
        self, frame: np.ndarray, hair: np.ndarray, face: np.ndarray, neck: np.ndarray, clothing: np.ndarray
    ) -> None:
        """Count one frame (H, W, 3) uint8 with four (H, W) bool masks of what certainly is each."""
        index = colour_bins(frame)
        for row, mask in enumerate((hair, face, neck, clothing)):
            self._counts[row] += np.bincount(index[mask], minlength=BINS**3)

    def tables(self) -> ColourTables:
        """Bayes' rule with equal priors; zero everywhere for a class that was never seen."""
        hair, face, neck, clothing = (_density(count) for count in self._counts)
        floor = 1e-6  # unseen colours get no class
        return ColourTables(
            hair=(hair / (hair + np.maximum(np.maximum(face, neck), clothing) + floor)).astype(np.float32),
            scalp=(hair / (hair + face + floor)).astype(np.float32),
            skin=skin_hue(self._counts[1]),
            clothing=(clothing / (clothing + np.maximum(face, hair) + floor)).astype(np.float32),
        )


def colour_bins(frame: np.ndarray) -> np.ndarray:
    """(H, W) int32 index of each colour's bin in a 32³ histogram."""
    reduced = frame.astype(np.int32) >> 3
    return (reduced[..., 0] << 10) | (reduced[..., 1] << 5) | reduced[..., 2]


def bin_colours() -> np.ndarray:
    """(32768, 3) float32: the colour in the middle of each bin."""
    levels = (np.arange(BINS, dtype=np.float32) + 0.5) * (256 // BINS)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)


def chromaticity(colours: np.ndarray) -> np.ndarray:
    """(..., 3) colours, 0 to 255, as (..., 2) red and green over the sum; near black it tends to grey."""
    return (colours[..., :2] + 4.0) / (colours.sum(axis=-1, keepdims=True) + 12.0)


def skin_hue(face: np.ndarray) -> np.ndarray:
    """How skin-like each colour is: (32768) float32 in [0, 1].

    A Gaussian of chromaticity: the neck in the chin's shadow is skin too, colours far darker or lighter than the face
    are not.

    Args:
        face: (32768) histogram of the face's colours.
    """
    colours = bin_colours()
    if face.sum() < 1:
        return np.zeros(len(colours), np.float32)
    light = colours.sum(axis=1)
    order = np.argsort(light)
    share = np.empty_like(light)
    share[order] = np.cumsum(face[order]) / face.sum()
    weight = face * ((share > 0.3) & (share < 0.97))  # eyes, nostrils and lips lie below, glare above
    middle = light[order][np.searchsorted(share[order], 0.5)]
    chroma = chromaticity(colours)
    mean = weight @ chroma / weight.sum()
    away = chroma - mean
    covariance = (weight[:, None] * away).T @ away / weight.sum() + np.eye(2) * 0.012**2
    distance = np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away)
    ratio = light / middle
    bright = np.clip((ratio - 0.15) / 0.15, 0.0, 1.0) * np.clip((1.8 - ratio) / 0.3, 0.0, 1.0)
    return (bright * np.clip((12.0 - distance) / 8.0, 0.0, 1.0)).astype(np.float32)


def _density(count: np.ndarray) -> np.ndarray:
    histogram = (count / max(count.sum(), 1.0)).reshape(BINS, BINS, BINS)
    for axis in range(3):
        moved = np.moveaxis(histogram, axis, 0)
        flat = np.ascontiguousarray(moved).reshape(BINS, -1)
        flat = cv2.GaussianBlur(flat, (1, 7), sigmaX=0.1, sigmaY=1.2, borderType=cv2.BORDER_REPLICATE)
        histogram = np.moveaxis(flat.reshape(moved.shape), 0, axis)
    return histogram.ravel()
