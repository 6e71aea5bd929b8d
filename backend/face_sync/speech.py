"""From audio to this subject's mouth: the model that `adaptation.fit` makes, saved as `speech.safetensors`.

The speech encoder and a linear map predict the subject's mouth blendshapes; a monotone curve for each coefficient then
restores the subject's own distribution, because least squares damps what it is unsure of.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from ..errors import ModelError
from ..protocol import BLENDSHAPE_NAMES, MOUTH_NAMES
from ..workspace.files import atomic_path
from ..workspace.intervals import intervals
from .audio_features import DECIBEL, StepFeatures, step_loudness
from .encoders.speech_encoder import SpeechEncoder, encode

MOUTH_INDEX = np.array([BLENDSHAPE_NAMES.index(name) for name in MOUTH_NAMES])
"""Indices of the mouth's blendshapes among all 52."""

SILENCE_DB, LEAST_SILENCE_DB = 38.0, 20.0
"""Moments more than 38 dB below the loud ones are pauses, those less than 20 dB below never; in between the clip's
background level decides."""

JITTER_STEPS = 0.6
"""Standard deviation of the filter against jitter: symmetric, so it adds no delay."""

CLOSING_STEPS, OPENING_STEPS = 4, 3
"""Of 40 ms, in which the lips shut at a pause and part after it."""
FORMAT = "synctalk-speech-3"


@dataclass
class SpeechModel:
    """A subject's map from audio to mouth.

    Attributes:
        encoder: adapted to the subject.
        weights: (SIZE, M) and `bias` (M): from the encoder's features to coefficients.
        knots_in, knots_out: (M, K) gain curve of each coefficient, increasing.
        rest: (M,) the mouth in a pause.
        closed: (M,) the mouth with its lips shut.
        correlation: (M,) between prediction and tracking on held-out parts of the clip; NaN where the mouth was still.
    """

    encoder: SpeechEncoder
    weights: np.ndarray
    bias: np.ndarray
    knots_in: np.ndarray
    knots_out: np.ndarray
    rest: np.ndarray
    closed: np.ndarray
    correlation: np.ndarray
    names: tuple[str, ...] = MOUTH_NAMES

    def save(self, path: Path) -> None:
        """Write as safetensors, settings in the metadata, atomically."""
        from safetensors.numpy import save_file

        arrays = {name: np.ascontiguousarray(getattr(self, name), np.float32) for name in _ARRAYS}
        state = self.encoder.state_dict()
        arrays |= {f"encoder.{name}": tensor.numpy().astype(np.float16) for name, tensor in state.items()}
        metadata = {"settings": json.dumps({"format": FORMAT, "names": self.names})}
        with atomic_path(path) as temporary:
            save_file(arrays, temporary, metadata)

    @classmethod
    def load(cls, path: Path) -> SpeechModel:
        """Read what `save` wrote.

        Raises:
            ModelError: missing, damaged, or of another format.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy") as file:
                settings = json.loads((file.metadata() or {}).get("settings", "{}"))
                if settings.get("format") != FORMAT:
                    raise ModelError(f"{path} is from another version: run process on this workspace again.")
                arrays = {name: file.get_tensor(name) for name in _ARRAYS}
                encoder = SpeechEncoder()
                state = {name: torch.from_numpy(file.get_tensor(f"encoder.{name}")) for name in encoder.state_dict()}
                encoder.load_state_dict({name: tensor.float() for name, tensor in state.items()})
        except FileNotFoundError as error:
            raise ModelError(f"{path} is missing: run process on this workspace first.") from error
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"{path} is damaged ({error}): delete it and run process on this workspace again."
            ) from error
        return cls(encoder.eval(), **arrays, names=tuple(settings["names"]))


_ARRAYS = ("weights", "bias", "knots_in", "knots_out", "rest", "closed", "correlation")


def predict(model: SpeechModel, features: np.ndarray | StepFeatures, strength: float = 1.0) -> np.ndarray:
    """The mouth that speaks the audio.

    Pauses need no special case: the adapted encoder was fitted on the subject's own, and predicts a breath, or a mouth
    that opens before it speaks, better than one resting pose does (docs/benchmarks.md).

    Args:
        features: (N, PER_STEP * COLUMNS) of the new audio.
        strength: of the motion about the resting mouth; 1 is the subject's own.

    Returns:
        (N, M) float32 in [0, 1], in the order of `model.names`; rows are steps, as those of `features`.
    """
    raw = encode(model.encoder, features) @ model.weights + model.bias
    mouth = np.empty_like(raw)
    for k, (knots_in, knots_out) in enumerate(zip(model.knots_in, model.knots_out, strict=True)):
        mouth[:, k] = _curve(raw[:, k], knots_in, knots_out)
    return strengthened(model, gaussian_filter1d(mouth, JITTER_STEPS, axis=0), strength)


def strengthened(model: SpeechModel, mouth: np.ndarray, strength: float) -> np.ndarray:
    """(N, M) float32 in [0, 1]: the motion about the resting mouth times `strength`."""
    if strength != 1.0:  # at 1 the tracked mouth stays the same to the last bit
        mouth = model.rest + strength * (mouth - model.rest)
    return np.clip(mouth, 0, 1).astype(np.float32)


def closed_in_pauses(model: SpeechModel, mouth: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(N, M) float32: the mouth with its lips shut as far as `share` (N) says, see `shut_share`."""
    return (mouth * (1 - share[:, None]) + model.closed * share[:, None]).astype(np.float32)


def shut_share(features: np.ndarray | StepFeatures) -> np.ndarray:
    """(N,) float32 in [0, 1]: how far lips that are shut in pauses are shut at each step.

    They shut within `CLOSING_STEPS` of a pause's start and open before the speech begins again. A pause that is too
    short for both is left as it is: a twitching mouth looks worse than a resting one.
    """
    quiet = pauses(features)
    share = np.zeros(len(quiet), np.float32)
    shutting = 0.5 - 0.5 * np.cos(np.pi * (np.arange(CLOSING_STEPS) + 1) / CLOSING_STEPS)
    parting = 0.5 + 0.5 * np.cos(np.pi * (np.arange(OPENING_STEPS) + 1) / (OPENING_STEPS + 1))
    for start, stop in intervals(quiet):
        if stop - start <= CLOSING_STEPS + OPENING_STEPS:
            continue
        share[start:stop] = 1
        if start > 0:
            share[start : start + CLOSING_STEPS] = shutting
        if stop < len(quiet):
            share[stop - OPENING_STEPS : stop] = parting
    return share


def pauses(features: np.ndarray | StepFeatures) -> np.ndarray:
    """(N,) bool: steps inside pauses of at least 0.2 s: as quiet as the clip gets, and far below its loud moments."""
    loudness = step_loudness(features)
    background = np.quantile(loudness, 0.05) + 6 * DECIBEL
    loud = np.quantile(loudness, 0.95)
    quiet = loudness < np.clip(background, loud - SILENCE_DB * DECIBEL, loud - LEAST_SILENCE_DB * DECIBEL)
    for start, stop in intervals(quiet):
        if stop - start < 5:  # a stop consonant is silent for up to 0.15 s
            quiet[start:stop] = False
    return quiet


def _curve(value: np.ndarray, knots_in: np.ndarray, knots_out: np.ndarray) -> np.ndarray:
    """Piecewise linear through the knots, continued at the mean slope beyond them."""
    inside = np.interp(value, knots_in, knots_out)
    slope = (knots_out[-1] - knots_out[0]) / (knots_in[-1] - knots_in[0])
    return inside + slope * (np.maximum(value - knots_in[-1], 0) + np.minimum(value - knots_in[0], 0))
