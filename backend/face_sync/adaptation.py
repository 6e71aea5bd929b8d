"""Adaptation of the speech encoder to a subject's clip.

The encoder, trained on generated speech, and a linear map to the subject's mouth blendshapes are trained together on the
clip. The gain curves are measured on predictions for parts of the clip that the adaptation did not see.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import nn

from ..workspace.arrays import correlation, ridge
from ..workspace.landmarks import LEFT, RIGHT
from .augmentation import warped
from .encoders.speech_encoder import MEMBER_SIZE, MEMBERS, SIZE, WINDOW, SpeechEncoder, encode, pretrained
from .lip_measures import opening_of
from .speech import SpeechModel, pauses

ADAPT_STEPS = 80
LEARNING_RATE = 1e-3
BATCH = 8
"""Windows a step."""

HEAD_RIDGE = 0.3
"""Penalty of the first linear map, relative to the mean variance of the encoder's features."""

KNOTS = np.linspace(0.02, 0.98, 13)
"""Quantiles that the gain curves go through."""

FOLDS = 2
CLOSED_SHARE = 0.03
"""Of the subject's frames: those whose lips are least open show how this mouth is shut."""

_REPORT_S = 0.2
"""How long to wait for a step before looking whether all is done."""

_Adapted = tuple[SpeechEncoder, np.ndarray, np.ndarray]
"""Encoder, weights (SIZE, M) and bias (M)."""


def fit(
    features: np.ndarray,
    mouth: np.ndarray,
    valid: np.ndarray | None = None,
    shapes: np.ndarray | None = None,
    on_step: Callable[[float], None] | None = None,
) -> SpeechModel:
    """Adapt the speech encoder to a clip.

    Args:
        features: (N, PER_STEP * COLUMNS) from `audio_features.step_features`, with the audio's offset corrected.
        mouth: (N, M) the tracked mouth coefficients at the steps, in the order of `MOUTH_NAMES`.
        valid: (N,) bool, steps whose tracking can be trusted; None for all.
        shapes: (M, 478, 3) the mouth's shape keys: errors then count by how far they move the lips; None weights all
            coefficients equally.
        on_step: called with the share done, in [0, 1]; may raise to stop.
    """
    features = np.ascontiguousarray(features, np.float32)
    valid = np.ones(len(features), bool) if valid is None else np.asarray(valid, bool)
    mouth = np.asarray(mouth, np.float64)

    # Contiguous folds: neighbouring steps share their context, so scattered ones would not be held out.
    fold = np.minimum(np.arange(len(features)) * FOLDS // len(features), FOLDS - 1)
    parts = [*(valid & (fold != k) for k in range(FOLDS)), valid]
    *of_folds, (encoder, weights, bias) = _adapt_all(features, mouth, parts, shapes, on_step or (lambda share: None))
    held_out = np.zeros_like(mouth)
    for k, (other, other_weights, other_bias) in enumerate(of_folds):
        held_out[fold == k] = (encode(other, features) @ other_weights + other_bias)[fold == k]

    silent = pauses(features)
    spoken, quiet = valid & ~silent, mouth[valid & silent]
    if not spoken.any():
        spoken = valid
    agreement = correlation(held_out[spoken], mouth[spoken])
    knots_in, knots_out = _gain_curves(held_out[spoken], mouth[spoken], agreement)
    rest = quiet.mean(0) if len(quiet) >= 5 else np.quantile(mouth[valid], 0.2, axis=0)
    closed = _closed(mouth[valid], shapes)
    return SpeechModel(encoder, weights, bias, knots_in, knots_out, rest, closed, agreement)


def _adapt_all(
    features: np.ndarray,
    mouth: np.ndarray,
    parts: list[np.ndarray],
    shapes: np.ndarray | None,
    on_step: Callable[[float], None],
) -> list[_Adapted]:
    """`_adapt` to each of `parts`, at the same time, each on one core: PyTorch's threads take half as much again of the processor
    for one after another, and longer.

    Args:
        on_step: called with the share done, on the caller's thread; may raise to stop.
    """
    done, stopped, threads = [0.0] * len(parts), threading.Event(), torch.get_num_threads()
    stepped: queue.SimpleQueue[int] = queue.SimpleQueue()

    def run(number: int, kept: np.ndarray) -> _Adapted:
        torch.set_num_threads(1)  # of this thread, and of those that are new

        def step(share: float) -> bool:
            done[number] = share
            stepped.put(number)
            return not stopped.is_set()

        return _adapt(features, mouth, kept, shapes, step)

    with ThreadPoolExecutor(min(len(parts), os.cpu_count() or 1), "speech") as pool:
        jobs = [pool.submit(run, number, kept) for number, kept in enumerate(parts)]
        try:
            while not all(job.done() for job in jobs) or not stepped.empty():
                with contextlib.suppress(queue.Empty):  # each step is reported, and may be where the caller stops
                    stepped.get(timeout=_REPORT_S)
                    on_step(sum(done) / len(parts))
            return [job.result() for job in jobs]
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)


def _adapt(
    features: np.ndarray,
    mouth: np.ndarray,
    kept: np.ndarray,
    shapes: np.ndarray | None,
    on_step: Callable[[float], bool],
) -> _Adapted:
    """Encoder, weights (SIZE, M) and bias (M) fitted on the steps `kept` (N,) bool.

    The linear map starts from a ridge regression on the encoder's features; then both are trained together on windows
    with randomly changed voices, so that the model generalises to other voices.

    Args:
        on_step: called with the share done; where it returns False the rest is left undone.
    """
    count = mouth.shape[1]
    if not kept.any():
        return pretrained(), np.zeros((SIZE, count), np.float32), np.zeros(count, np.float32)
    generator = np.random.default_rng(0)
    encoder = pretrained()
    middle = mouth[kept].mean(0)
    target = (mouth - middle).astype(np.float32)
    head = _linear_maps(encode(encoder, features)[kept].astype(np.float64), target[kept])
    measures = torch.from_numpy(_error_measures(mouth[kept], shapes))
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=LEARNING_RATE, weight_decay=0.05)
    length = min(WINDOW, len(features))
    fast = bool(torch.cpu.get_capabilities().get("avx512_bf16"))  # elsewhere bfloat16 is slower than float32
    encoder.train()
    encoder.seed_dropout(0)  # the same clip gives the same model
    for step in range(ADAPT_STEPS):
        if not on_step(step / ADAPT_STEPS):
            break
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * step / ADAPT_STEPS))
        starts = generator.integers(0, len(features) - length + 1, BATCH)
        windows = np.stack([warped(features[start : start + length], generator) for start in starts])
        wanted = torch.from_numpy(np.stack([target[start : start + length] for start in starts]))
        counts = torch.from_numpy(np.stack([kept[start : start + length] for start in starts]))
        if not counts.any():
            continue
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            predicted = head(encoder(torch.from_numpy(windows)).transpose(1, 2)).unflatten(1, (MEMBERS, count))
        predicted = predicted.float()
        error = (predicted.permute(0, 3, 1, 2) - wanted[:, :, None])[counts] @ measures
        loss = (error**2).sum(2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    by_member = head.weight.detach()[..., 0].unflatten(0, (MEMBERS, count))  # (MEMBERS, M, MEMBER_SIZE)
    folded = by_member.permute(0, 2, 1).flatten(0, 1).numpy() / MEMBERS
    bias = head.bias.detach().unflatten(0, (MEMBERS, count)).mean(0).numpy() + middle
    return encoder.eval(), folded.copy(), bias.astype(np.float32)


def _linear_maps(code: np.ndarray, target: np.ndarray) -> nn.Conv1d:
    """Ridge regressions from each member's part of `code` (n, SIZE) to `target` (n, M).

    Each member is fitted by itself: their errors differ, and averaging them reduces the error.
    """
    count = target.shape[1]
    head = nn.Conv1d(SIZE, MEMBERS * count, 1, groups=MEMBERS)
    assert head.bias is not None
    with torch.no_grad():
        for member in range(MEMBERS):
            own = code[:, member * MEMBER_SIZE : (member + 1) * MEMBER_SIZE]
            centred = own - own.mean(0)
            gram = centred.T @ centred
            weights = ridge(gram, centred.T @ target, max(HEAD_RIDGE * np.trace(gram) / len(gram), 1e-6))
            rows = slice(member * count, (member + 1) * count)
            head.weight[rows, :, 0] = torch.from_numpy(weights.T)
            head.bias[rows] = torch.from_numpy(-own.mean(0) @ weights)
    return head


def _error_measures(mouth: np.ndarray, shapes: np.ndarray | None) -> np.ndarray:
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
    width = shapes[:, LEFT.upper_lip[-1][-1], 0] - shapes[:, RIGHT.upper_lip[-1][-1], 0]
    columns = [effect / spread]
    for gap, share in ((opening_of(shapes), 1.0), (width, 0.7)):
        columns.append(share * gap[:, None] / ((mouth @ gap).std() + 0.0003))
    return np.concatenate(columns, 1).astype(np.float32)


def _closed(mouth: np.ndarray, shapes: np.ndarray | None) -> np.ndarray:
    """(M,) the subject's mouth (N, M) where its lips are least open; the neutral face without `shapes`."""
    if shapes is None or not len(mouth):
        return np.zeros(mouth.shape[1])
    opening = mouth @ opening_of(shapes)
    return np.median(mouth[opening <= np.quantile(opening, CLOSED_SHARE)], axis=0)


def _gain_curves(predicted: np.ndarray, tracked: np.ndarray, agreement: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M, K) twice: quantiles of the prediction and what they become.

    A coefficient that is predicted well (correlation from 0.4) takes the subject's own distribution; one that is not
    stays damped, as restoring its range would only amplify noise.
    """
    knots_in = np.quantile(predicted, KNOTS, axis=0).T
    own = np.quantile(tracked, KNOTS, axis=0).T
    trust = np.clip((np.nan_to_num(agreement) - 0.1) / 0.3, 0, 1)[:, None]
    knots_out = trust * own + (1 - trust) * knots_in
    steps = np.maximum(np.diff(knots_in, axis=1), 1e-6)
    return np.concatenate([knots_in[:, :1], knots_in[:, :1] + np.cumsum(steps, 1)], 1), knots_out
