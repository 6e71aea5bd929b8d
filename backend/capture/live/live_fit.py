"""A live face on a subject's own range: the retargeting of a take, where what the sender's face does is found out as it goes."""

from __future__ import annotations

import math
from collections import deque
from fractions import Fraction

import numpy as np

from ...protocol import BLENDSHAPE_NAMES, HEAD_PART
from ...workspace.head_track import HeadTrack
from ...workspace.poses import mean_rotation, rotation_exp, rotation_log
from ...workspace.shapes import Bool, Float
from ..face_capture import FaceCapture
from ..parts import PARTS
from ..person import PersonRange, as_motions, as_shapes
from ..retarget import Fit, TurnLimits, driven_shapes, limited, rest_and_gains, scaled
from .sample import LiveFace, LiveSample

LEARNS_S = 60.0
"""The sender's range is that of its first minute; from then on nothing about the fit changes."""

_EVERY_S = 1 / 15
_UPDATES_S = 0.5
_SETTLES_S = 0.7
"""Time constant with which a better estimate takes the place of the last: nothing jumps."""

_LEAST = 8
"""Samples before anything is known of the sender."""


class LiveFit:
    """One subject and one sender. Samples are given in the order in which they came."""

    def __init__(self, track: HeadTrack, fit: Fit) -> None:
        self._fit = fit
        self._person = PersonRange.of(track.blendshapes[track.valid])
        self._person_rest = as_shapes(self._person.rest[None])[0]
        self._limits = TurnLimits.of(track.head_to_camera[track.tracked])
        self._samples: deque[LiveSample] = deque(maxlen=math.ceil(LEARNS_S / _EVERY_S))
        self._first_s: float | None = None
        self._updated_s = self._fitted_s = -math.inf
        self._driven: Bool[np.ndarray, " 52"] | None = None
        self._wanted = self._used = (np.zeros(len(BLENDSHAPE_NAMES)), np.tile(fit.factors(), (2, 1)))
        """Rest of the sender and gains: as estimated, and as on the way there."""
        self._wanted_turn = self._turn = np.eye(3)

    def add(self, sample: LiveSample) -> None:
        """Learn of the sender."""
        now_s, face = sample.received_s, sample.face
        if self._first_s is None:
            self._first_s = now_s
            if face.head_turn is not None:
                self._wanted_turn = self._turn = face.head_turn
        if now_s - self._first_s > LEARNS_S or (self._samples and now_s - self._samples[-1].received_s < _EVERY_S):
            return
        self._samples.append(sample)
        if now_s - self._updated_s >= _UPDATES_S and len(self._samples) >= _LEAST:
            self._updated_s = now_s
            self._update()

    def shapes(self, sample: LiveSample) -> tuple[Float[np.ndarray, " 52"], Bool[np.ndarray, " 52"]]:
        """The subject's shapes, in [0, 1], and which of them the sender drives."""
        face, fit = sample.face, self._fit
        has = face.present if self._driven is None else self._driven & face.present
        driven = np.zeros(len(BLENDSHAPE_NAMES), bool)
        for part, indices in PARTS.items():
            driven[indices] = part in fit.take and has[indices].any()
        if fit.as_is:
            values = face.blendshapes.astype(np.float64)
        else:
            self._settle(sample.received_s)
            rest, gains = self._used
            about = as_motions(face.blendshapes[None].astype(np.float64))[0] - rest
            motions = self._person.rest + scaled(about, gains)
            values = as_shapes(limited(motions[None], self._person))[0]
        return np.where(has, values, self._person_rest).clip(0, 1), driven

    def head_turn(self, face: LiveFace) -> Float[np.ndarray, "3 3"] | None:
        """The rotation of the subject's head from its pose in the footage; None where it is not driven."""
        if face.head_turn is None or HEAD_PART not in self._fit.take:
            return None
        about = rotation_log((self._turn.T @ face.head_turn)[None])[0] * self._fit.gains.get(HEAD_PART, 1.0)
        return rotation_exp(self._limits.soft(about))

    def _update(self) -> None:
        known = list(self._samples)
        times_s = np.array([sample.received_s for sample in known])
        shapes = np.stack([sample.face.blendshapes for sample in known]).astype(np.float64)
        present = np.any([sample.face.present for sample in known], axis=0)
        capture = FaceCapture(times_s - times_s[0], shapes, present, Fraction(15))
        self._driven = driven_shapes(capture)
        self._wanted = rest_and_gains(capture, self._person, self._fit)
        turns = [sample.face.head_turn for sample in known if sample.face.head_turn is not None]
        if turns:
            self._wanted_turn = mean_rotation(np.stack(turns))

    def _settle(self, now_s: float) -> None:
        """Go towards the newest estimate."""
        share = 1 - math.exp(-max(now_s - self._fitted_s, 0.0) / _SETTLES_S)
        self._fitted_s = now_s
        (rest, gains), (rest_to, gains_to) = self._used, self._wanted
        self._used = rest + share * (rest_to - rest), gains + share * (gains_to - gains)
        self._turn = self._turn @ rotation_exp(share * rotation_log((self._turn.T @ self._wanted_turn)[None])[0])
