"""Where the person is, by the selfie segmentation network inside the mediapipe wheel, and where the hair, by a network that is
an optional download (both Apache-2.0)."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np

from ..errors import ModelError
from ..media.native_log import quiet_native_libraries
from ..models import find

NETWORK_SIZE = 256
HAIR_MODEL, HAIR_SIZE = "hair_segmentation", 512
MATTING_MODEL, MATTING_GRAPH = "matting", "matting_graph"
"""The two files of the matting network (`matting_network/`)."""


def matting_files() -> tuple[Path, Path] | None:
    """Manifest and values of the matting network; None where they were not fetched.

    Raises:
        ModelError: a file differs from the published one.
    """
    manifest, values = find(MATTING_GRAPH), find(MATTING_MODEL)
    return None if manifest is None or values is None else (manifest, values)


def installed_networks() -> list[str]:
    """The optional networks that mattes are made with."""
    there = {HAIR_MODEL: find(HAIR_MODEL), MATTING_MODEL: matting_files()}
    return [name for name, found in there.items() if found]


def probability_of(alpha: np.ndarray) -> np.ndarray:
    """The person probability of a clip with alpha (S, S) uint8: (256, 256) float32 in [0, 1]."""
    return cv2.resize(alpha, (NETWORK_SIZE, NETWORK_SIZE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0


class PersonSegmenter:
    """Person probability of single frames. It has no memory: frames may come in any order and from several threads."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._network()

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Person probability (256, 256) float32 in [0, 1] of a frame (S, S, 3) uint8 RGB."""
        small = cv2.resize(frame, (NETWORK_SIZE, NETWORK_SIZE), interpolation=cv2.INTER_AREA)
        return np.array(self._network().process(small).segmentation_mask, np.float32)

    def _network(self):
        # One graph a thread: a MediaPipe graph must not be entered twice at once.
        if not hasattr(self._local, "network"):
            try:
                from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation
            except ImportError as error:
                raise ModelError(
                    "The installed mediapipe has no selfie segmentation: "
                    "run `python3 install backend`, which installs mediapipe 0.10."
                ) from error
            with quiet_native_libraries():
                self._local.network = SelfieSegmentation(model_selection=0)
                self._local.network.process(np.zeros((NETWORK_SIZE, NETWORK_SIZE, 3), np.uint8))
        return self._local.network


class HairSegmenter:
    """Hair probability of single frames; one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Of the model file.

        Raises:
            ModelError: it is no network.
        """
        try:
            self._network = cv2.dnn.readNetFromTFLite(str(path))
        except cv2.error as error:
            raise ModelError(
                f"{path} cannot be read as a network ({error.err}): delete it and fetch it again."
            ) from error

    @classmethod
    def installed(cls) -> HairSegmenter | None:
        """None where its model was not fetched (`models fetch hair_segmentation`)."""
        path = find(HAIR_MODEL)
        return None if path is None else cls(path)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Hair probability (512, 512) float32 in [0, 1] of a frame (S, S, 3) uint8 RGB."""
        small = cv2.resize(frame, (HAIR_SIZE, HAIR_SIZE), interpolation=cv2.INTER_AREA)
        planes = np.zeros(
            (1, 4, HAIR_SIZE, HAIR_SIZE), np.float32
        )  # the fourth is the mask of the frame before, in a video
        planes[0, :3] = small.transpose(2, 0, 1) / 255.0
        self._network.setInput(planes)
        other, hair = self._network.forward()[0]
        return 1.0 / (1.0 + np.exp(other - hair))
