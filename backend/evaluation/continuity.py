"""Whether a head's image changes as little as its pose does: no pixel may jump."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from ..renderer.head import HeadRenderer
from ..workspace.camera import Camera
from .head_sweep import Condition, drawn, turn

SHIFT_M = 1e-6
TURN_DEG = 0.01


@dataclass(frozen=True)
class Continuity:
    """The largest change of a pixel of the premultiplied image, grey levels of 255.

    Attributes:
        shift: after `SHIFT_M` to the right: next to nothing of a continuous image.
        turn: after `TURN_DEG` of yaw; edges that move are in it.
        jump: the part of that which is no smooth motion: |I(+) - 2 I(0) + I(-)|, the second difference of the turn.
    """

    shift: float
    turn: float
    jump: float

    def to_json(self) -> dict[str, float]:
        return asdict(self)


def continuity(renderer: HeadRenderer, camera: Camera, conditions: Sequence[Condition]) -> Continuity:
    """The worst of all conditions."""
    found = [_at(renderer, camera, condition) for condition in conditions]
    return Continuity(max(one.shift for one in found), max(one.turn for one in found), max(one.jump for one in found))


def _at(renderer: HeadRenderer, camera: Camera, condition: Condition) -> Continuity:
    shifted = condition.head_to_camera.copy()
    shifted[0, 3] += SHIFT_M
    poses = (
        condition, replace(condition, head_to_camera=shifted), turn(condition, TURN_DEG), turn(condition, -TURN_DEG)
    )  # fmt: skip
    here, right, forward, backward = (255 * image.rgba.astype(np.float64) for image in drawn(renderer, camera, poses))
    return Continuity(
        float(np.abs(right - here).max()),
        float(np.abs(forward - here).max()),
        float(np.abs(forward - 2 * here + backward).max()),
    )
