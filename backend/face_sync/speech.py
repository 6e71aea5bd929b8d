"""From sound to this subject's mouth: fitted on the subject's own clip, saved as `speech.safetensors`.

The speech encoder, which comes trained on generated speech, and a linear map from its numbers to the subject's mouth
blendshapes are adapted together on the clip. Least squares damps what it is unsure of; each coefficient is therefore
brought back to the subject's own distribution by a monotone curve, found on predictions for parts of the clip that the
adaptation had not seen. In silence the mouth goes to the pose in which this subject rests.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import nn

from ..errors import ModelError
from ..protocol import BLENDSHAPE_NAMES, MOUTH_NAMES
from ..workspace.arrays import correlation, ridge
from ..workspace.files import atomic_path
from ..workspace.intervals import intervals
from ..workspace.landmarks import LEFT, RIGHT
from .audio_features import DECIBEL, FrameFeatures, frame_loudness
from .augmentation import warped
from .encoders.speech_encoder import MEMBER_SIZE, MEMBERS, SIZE, WINDOW, SpeechEncoder, encode, pretrained

MOUTH_INDEX = np.array([BLENDSHAPE_NAMES.index(name) for name in MOUTH_NAMES])
"""Places of the mouth's blendshapes among all 52."""

ADAPT_STEPS = 80
LEARNING_RATE = 1e-3
BATCH = 8
"""Windows a step."""

HEAD_RIDGE = 0.3
"""Penalty of the first linear map, against the mean variance of the encoder's numbers."""

KNOTS = np.linspace(0.02, 0.98, 13)
"""Quantiles that the amplitude curves go through."""

FOLDS = 2
SILENCE_DB = 38.0
LEAST_SILENCE_DB = 20.0
"""Moments more than 38 dB below the loud ones are pauses, those less than 20 dB below never; between, it is the clip's
background that decides."""

JITTER_FRAMES = 0.6
"""Standard deviation of the filter against trembling: symmetric, so that nothing comes late."""

CLOSING_FRAMES, OPENING_FRAMES = 4, 3
CLOSED_SHARE = 0.03
"""Of the subject's frames: those whose lips are least open show how this mouth is shut."""

FORMAT = "synctalk-speech-3"


@dataclass
class SpeechModel:
    """A subject's map from sound to mouth.

    Attributes:
        encoder: adapted to the subject.
        weights: (SIZE, M) and `bias` (M): from the encoder's numbers to coefficients.
        knots_in, knots_out: (M, K): amplitude curve of each coefficient, increasing.
        rest: (M,) the mouth in a pause.
        closed: (M,) the mouth with its lips shut.
        correlation: (M,) between prediction and tracking on unseen parts of the clip; NaN where the mouth did not move.
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
                    raise ModelError(
                        f"{path} is not a speech model of this version: run process on this workspace again."
                    )
                arrays = {name: file.get_tensor(name) for name in _ARRAYS}
                encoder = SpeechEncoder()
                state = {
                    name: torch.from_numpy(file.get_tensor(f"encoder.{name}")).float() for name in encoder.state_dict()
                }
                encoder.load_state_dict(state)
        except FileNotFoundError as error:
            raise ModelError(f"{path} is missing: run process on this workspace first.") from error
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"{path} is damaged ({error}): delete it and run process on this workspace again."
            ) from error
        return cls(encoder.eval(), **arrays, names=tuple(settings["names"]))


_ARRAYS = ("weights", "bias", "knots_in", "knots_out", "rest", "closed", "correlation")


def fit(
    features: np.ndarray,
    mouth: np.ndarray,
    valid: np.ndarray | None = None,
    shapes: np.ndarray | None = None,
    on_step: Callable[[float], None] | None = None,
) -> SpeechModel:
    """Adapt the speech encoder to a clip.

    Args:
        features: (N, PER_FRAME * COLUMNS) from `audio_features.frame_features`, the offset of the sound mended.
        mouth: (N, M) the tracked mouth coefficients, in the order of `MOUTH_NAMES`.
        valid: (N,) bool, frames whose tracking can be trusted; None for all.
        shapes: (M, 478, 3) the mouth's shape keys: errors then count by what they do to the lips; None counts
            coefficients alike.
        on_step: called with the share done, in [0, 1]; may raise to stop.
    """
    features = np.ascontiguousarray(features, np.float32)
    valid = np.ones(len(features), bool) if valid is None else np.asarray(valid, bool)
    mouth = np.asarray(mouth, np.float64)
    report = on_step or (lambda share: None)
    rows = FOLDS + 1

    # Contiguous folds: neighbouring frames share their context, so scattered ones would not be unseen.
    fold = np.minimum(np.arange(len(features)) * FOLDS // len(features), FOLDS - 1)
    unseen = np.zeros_like(mouth)
    for k in range(FOLDS):
        kept = valid & (fold != k)
        learnt = _adapt(features, mouth, kept, shapes, lambda share, k=k: report((k + share) / rows))
        unseen[fold == k] = _raw(*learnt, features)[fold == k]
    encoder, weights, bias = _adapt(features, mouth, valid, shapes, lambda share: report((FOLDS + share) / rows))

    silent = pauses(features)
    spoken, quiet = valid & ~silent, mouth[valid & silent]
    if not spoken.any():
        spoken = valid
    agreement = correlation(unseen[spoken], mouth[spoken])
    knots_in, knots_out = _amplitude_curves(unseen[spoken], mouth[spoken], agreement)
    rest = quiet.mean(0) if len(quiet) >= 5 else np.quantile(mouth[valid], 0.2, axis=0)
    closed = _closed(mouth[valid], shapes)
    return SpeechModel(encoder, weights, bias, knots_in, knots_out, rest, closed, agreement)


def predict(model: SpeechModel, features: np.ndarray | FrameFeatures, strength: float = 1.0) -> np.ndarray:
    """The mouth that speaks the sound; in pauses it does what this subject's does there.

    Nothing is laid over the pauses: the adapted encoder has heard the subject's own, and tells a breath, or a mouth that
    opens before it speaks, better than one resting pose does (docs/benchmarks.md).

    Args:
        features: (N, PER_FRAME * COLUMNS) of the new sound.
        strength: of the motion about the resting mouth; 1 is the subject's own.

    Returns:
        (N, M) float32 in [0, 1], in the order of `model.names`.
    """
    raw = _raw(model.encoder, model.weights, model.bias, features)
    mouth = np.empty_like(raw)
    for k in range(raw.shape[1]):
        mouth[:, k] = _curve(raw[:, k], model.knots_in[k], model.knots_out[k])
    mouth = gaussian_filter1d(mouth, JITTER_FRAMES, axis=0)
    return strengthened(model, mouth, strength)


def strengthened(model: SpeechModel, mouth: np.ndarray, strength: float) -> np.ndarray:
    """(N, M) float32 in [0, 1]: the motion about the resting mouth times `strength`."""
    if strength != 1.0:  # at 1 the tracked mouth stays to the last bit
        mouth = model.rest + strength * (mouth - model.rest)
    return np.clip(mouth, 0, 1).astype(np.float32)


def closed_in_pauses(model: SpeechModel, mouth: np.ndarray, features: np.ndarray | FrameFeatures) -> np.ndarray:
    """(N, M) float32: the mouth with its lips shut in the sound's pauses.

    They are shut within `CLOSING_FRAMES` of a pause's beginning and open again as the sound comes back, for lips part
    just before they speak. A pause too short to shut and open in is left as it is: a mouth that only twitches looks
    worse than a resting one.
    """
    quiet = pauses(features)
    share = np.zeros(len(quiet), np.float32)
    shutting = 0.5 - 0.5 * np.cos(np.pi * (np.arange(CLOSING_FRAMES) + 1) / CLOSING_FRAMES)
    parting = 0.5 + 0.5 * np.cos(np.pi * (np.arange(OPENING_FRAMES) + 1) / (OPENING_FRAMES + 1))
    for start, stop in intervals(quiet):
        if stop - start <= CLOSING_FRAMES + OPENING_FRAMES:
            continue
        share[start:stop] = 1
        if start > 0:
            share[start : start + CLOSING_FRAMES] = shutting
        if stop < len(quiet):
            share[stop - OPENING_FRAMES : stop] = parting
    return (mouth * (1 - share[:, None]) + model.closed * share[:, None]).astype(np.float32)


def pauses(features: np.ndarray | FrameFeatures) -> np.ndarray:
    """(N,) bool: frames inside pauses of at least 0.2 s: as quiet as the clip gets, and far below its loud moments."""
    loudness = frame_loudness(features)
    background = np.quantile(loudness, 0.05) + 6 * DECIBEL
    loud = np.quantile(loudness, 0.95)
    quiet = loudness < np.clip(background, loud - SILENCE_DB * DECIBEL, loud - LEAST_SILENCE_DB * DECIBEL)
    for start, stop in intervals(quiet):
        if stop - start < 5:  # a stop consonant is silent for up to 0.15 s
            quiet[start:stop] = False
    return quiet


def _raw(
    encoder: SpeechEncoder, weights: np.ndarray, bias: np.ndarray, features: np.ndarray | FrameFeatures
) -> np.ndarray:
    """(N, M) before amplitude and pauses."""
    return encode(encoder, features) @ weights + bias


def _adapt(
    features: np.ndarray,
    mouth: np.ndarray,
    kept: np.ndarray,
    shapes: np.ndarray | None,
    on_step: Callable[[float], None],
) -> tuple[SpeechEncoder, np.ndarray, np.ndarray]:
    """Encoder, weights (SIZE, M) and bias (M) fitted on the frames `kept` (N,) bool.

    The linear map is begun by ridge regression on the encoder's own numbers; then both are trained together on windows
    whose voice is changed each time, so that the subject's mouth answers to other voices too.
    """
    if not kept.any():
        return pretrained(), np.zeros((SIZE, mouth.shape[1]), np.float32), np.zeros(mouth.shape[1], np.float32)
    generator = np.random.default_rng(0)
    encoder = pretrained()
    middle = mouth[kept].mean(0)
    target = (mouth - middle).astype(np.float32)
    code = encode(encoder, features)[kept].astype(np.float64)
    count = mouth.shape[1]
    # A map for each member of the encoder, each taught by itself: their errors differ, and their mean has less of them.
    head = nn.Conv1d(SIZE, MEMBERS * count, 1, groups=MEMBERS)
    with torch.no_grad():
        for member in range(MEMBERS):
            own = code[:, member * MEMBER_SIZE : (member + 1) * MEMBER_SIZE]
            weights = _ridge(own - own.mean(0), target[kept])
            rows = slice(member * count, (member + 1) * count)
            head.weight[rows, :, 0] = torch.from_numpy(weights.T)
            head.bias[rows] = torch.from_numpy(-own.mean(0) @ weights)

    measures = torch.from_numpy(_measures(mouth[kept], shapes))
    parameters = [*encoder.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.05)
    length = min(WINDOW, len(features))
    encoder.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # of the dropout: the same clip gives the same model
        for step in range(ADAPT_STEPS):
            on_step(step / ADAPT_STEPS)
            for group in optimiser.param_groups:
                group["lr"] = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * step / ADAPT_STEPS))
            starts = generator.integers(0, len(features) - length + 1, BATCH)
            windows = np.stack([warped(features[start : start + length], generator) for start in starts])
            wanted = torch.from_numpy(np.stack([target[start : start + length] for start in starts]))
            counts = torch.from_numpy(np.stack([kept[start : start + length] for start in starts]))
            if not counts.any():
                continue
            told = head(encoder(torch.from_numpy(windows)).transpose(1, 2)).unflatten(1, (MEMBERS, count))
            error = (told.permute(0, 3, 1, 2) - wanted[:, :, None])[counts] @ measures
            loss = (error**2).sum(2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    by_member = head.weight.detach()[..., 0].unflatten(0, (MEMBERS, count))  # (MEMBERS, M, MEMBER_SIZE)
    folded = by_member.permute(0, 2, 1).flatten(0, 1).numpy() / MEMBERS
    bias = head.bias.detach().unflatten(0, (MEMBERS, count)).mean(0).numpy() + middle
    return encoder.eval(), folded.copy(), bias.astype(np.float32)


def _ridge(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(D, M) weights of (n, D) rows of zero mean for (n, M) values."""
    gram = rows.T @ rows
    return ridge(gram, rows.T @ values, max(HEAD_RIDGE * np.trace(gram) / len(gram), 1e-6))


def _measures(mouth: np.ndarray, shapes: np.ndarray | None) -> np.ndarray:
    """(M, M + 2) float32: what an error of the coefficients is measured in, each about 1 for the subject's own motion.

    The coefficients themselves, weighted by how far they move the face, and, with `shapes`, the opening of the lips
    and the width of the mouth, which are what a viewer reads speech from.
    """
    count = mouth.shape[1]
    if shapes is None:
        return (np.eye(count) / (mouth.std() * math.sqrt(count) + 0.01)).astype(np.float32)
    reach = np.linalg.norm(shapes, axis=2).max(1)
    effect = np.diag(reach / reach.max())
    spread = math.sqrt((((mouth - mouth.mean(0)) @ effect) ** 2).sum(1).mean()) + 0.01
    opening = opening_of(shapes)
    width = shapes[:, LEFT.upper_lip[-1][-1], 0] - shapes[:, RIGHT.upper_lip[-1][-1], 0]
    columns = [effect / spread]
    for gap, share in ((opening, 1.0), (width, 0.7)):
        columns.append(share * gap[:, None] / ((mouth @ gap).std() + 0.0003))
    return np.concatenate(columns, 1).astype(np.float32)


def _closed(mouth: np.ndarray, shapes: np.ndarray | None) -> np.ndarray:
    """(M,) what the subject's mouth (N, M) does where its lips are least open; the neutral face without `shapes`."""
    if shapes is None or not len(mouth):
        return np.zeros(mouth.shape[1])
    opening = mouth @ opening_of(shapes)
    return np.median(mouth[opening <= np.quantile(opening, CLOSED_SHARE)], axis=0)


def opening_of(shapes: np.ndarray) -> np.ndarray:
    """(M,) by how much each of the shapes (M, 478, 3) opens the lips, metres."""
    return shapes[:, 14, 1] - shapes[:, 13, 1]


def _amplitude_curves(
    predicted: np.ndarray, tracked: np.ndarray, correlation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(M, K) twice: quantiles of the prediction and what they become.

    A coefficient that the sound tells (correlation from 0.4) takes the subject's own distribution; one that it does not
    tell keeps the damped one, as restoring its amplitude would only add noise.
    """
    knots_in = np.quantile(predicted, KNOTS, axis=0).T
    own = np.quantile(tracked, KNOTS, axis=0).T
    trust = np.clip((np.nan_to_num(correlation) - 0.1) / 0.3, 0, 1)[:, None]
    knots_out = trust * own + (1 - trust) * knots_in
    steps = np.maximum(np.diff(knots_in, axis=1), 1e-6)
    return np.concatenate([knots_in[:, :1], knots_in[:, :1] + np.cumsum(steps, 1)], 1), knots_out


def _curve(value: np.ndarray, knots_in: np.ndarray, knots_out: np.ndarray) -> np.ndarray:
    """Piecewise linear through the knots, going on at the mean slope beyond them."""
    inside = np.interp(value, knots_in, knots_out)
    slope = (knots_out[-1] - knots_out[0]) / (knots_in[-1] - knots_in[0])
    return inside + slope * (np.maximum(value - knots_in[-1], 0) + np.minimum(value - knots_in[0], 0))
