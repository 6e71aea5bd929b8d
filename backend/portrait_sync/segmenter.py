"""Where the person is: the selfie segmentation network inside the mediapipe wheel (Apache-2.0)."""

from __future__ import annotations

import threading

import cv2
import numpy as np

from ..errors import ModelError
from ..media.native_log import quiet_native_libraries

NETWORK_SIZE = 256


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
