"""Codes of single frames in NumPy: PyTorch takes several times as long to call two small networks as they take."""

from __future__ import annotations

import numpy as np

from ...protocol import BLENDSHAPE_NAMES
from ...workspace.shapes import Float
from ..regions import BLENDSHAPE_GAIN, LIP_INDICES
from .head import VIEW_LIMIT, Codes, GaussianHead, view_directions


class FrameCodes:
    """`GaussianHead.codes`, `shown_codes` and `view` of one frame, with the head's weights of when this was made."""

    def __init__(self, head: GaussianHead) -> None:
        shapes, lip_inputs = len(BLENDSHAPE_NAMES), head.config.lip_inputs
        lips = list(range(shapes, shapes + lip_inputs)) if lip_inputs else list(LIP_INDICES)
        expression = [BLENDSHAPE_NAMES.index(name) for name in head.config.expression]
        centre = np.zeros(shapes + lip_inputs, np.float32)
        centre[:shapes] = head.config.blendshape_centre
        gain = np.ones_like(centre)
        gain[:shapes] = BLENDSHAPE_GAIN
        self._lips = _Network(head.lip_code, lips, centre, gain)
        self._expression = _Network(head.expression_code, expression, centre, gain)
        self._view_mean, self._view_scale = np.float32(head.config.view_mean), np.float32(head.config.view_scale)

    def codes(
        self, conditions: Float[np.ndarray, " conditions"]
    ) -> tuple[Float[np.ndarray, "2 lip"], Float[np.ndarray, "2 expression"]]:
        """Lip and expression codes of (52 + lip_inputs) conditions: of place, then of opacity and colour."""
        conditions = np.asarray(conditions, np.float32)
        return self._lips(conditions), self._expression(conditions)

    def view(self, head_to_camera: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, " 2"]:
        """The direction from the head to the camera, as `GaussianHead.view`."""
        scaled = (view_directions(head_to_camera[None])[0] - self._view_mean) / self._view_scale
        return np.clip(scaled, -VIEW_LIMIT, VIEW_LIMIT).astype(np.float32)


class _Network:
    """`Codes` of the conditions at `indices`, less `centre` and times `gain`."""

    def __init__(self, codes: Codes, indices: list[int], centre: np.ndarray, gain: np.ndarray) -> None:
        self._indices, self._centre, self._gain = np.array(indices), centre[indices], gain[indices]
        self._limit, self._shown, self._precision = (
            float(codes.limit),
            float(codes.shown),
            codes.precision.numpy().copy(),
        )
        first, _, last = codes.network
        weights = codes.linear, first.weight, first.bias, last.weight, last.bias
        self._linear, *network = (weight.detach().numpy().copy() for weight in weights)
        self._first, self._first_bias, self._last, self._last_bias = network

    def __call__(self, conditions: np.ndarray) -> np.ndarray:
        inputs = self._gain * (conditions[self._indices] - self._centre)
        distance = max(float(np.sqrt(max(inputs @ self._precision @ inputs, 0.0))), 1e-6)
        share = min(1.0, self._shown / distance) if self._shown > 0 else 1.0
        both = np.stack([inputs, np.float32(share) * inputs])
        length = np.maximum(np.sqrt((both * both).sum(1, keepdims=True)), 1e-6)
        both = both * (self._limit * np.tanh(length / self._limit) / length).astype(np.float32)
        hidden = np.maximum(both @ self._first.T + self._first_bias, 0)
        return (both @ self._linear + (hidden @ self._last.T + self._last_bias)).astype(np.float32)
