"""Frames of a person who speaks."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="session")
def images(speaker_frames: list[np.ndarray]) -> list[np.ndarray]:
    """40 frames, (256, 256, 3) uint8, of the embedded sample."""
    return speaker_frames[:40]
