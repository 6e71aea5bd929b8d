"""Images of a person who speaks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backend.media.decode import frames


@pytest.fixture(scope="session")
def images(root, request) -> list[np.ndarray]:
    """40 images, (256, 256, 3) uint8, from the embedded sample, else from a shared clip."""
    path = root / "backend" / "actor" / "sample" / "speaker.mp4"
    if not path.exists():
        path = request.getfixturevalue("shared") / "clips" / "speech-en-8s-long-hair.mp4"
    found = [image for _, (_, image) in zip(range(40), frames(path), strict=False)]
    return [cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA) for image in found]
