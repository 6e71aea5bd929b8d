"""A live face on the rig: values for now, which are no keyframes and go when live ends."""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np
from mathutils import Matrix

from ...backend.protocol import BLENDSHAPE_NAMES
from . import coordinates, rig, shapes


class LiveRig:
    """What a live face has changed on a rig, so that it can be undone; holds none of Blender's data, which an undo replaces."""

    def __init__(self) -> None:
        self._head: tuple[Matrix, Matrix] | None = None
        """The head's own pose, and what was written in its place."""
        self._before: np.ndarray | None = None
        """The values of all shape keys before."""

    def write(self, found: rig.Rig, values: Sequence[float | None], turn: Sequence[float] | None) -> None:
        """Show a face.

        Args:
            values: of `protocol.BLENDSHAPE_NAMES`; None leaves a shape as it is.
            turn: the head's rotation from its own pose, 9 numbers, row-major, in the head frame; None leaves it.
        """
        keys = found.face.data.shape_keys
        if keys is not None:
            blocks = keys.key_blocks
            now = np.empty(len(blocks), np.float32)
            blocks.foreach_get("value", now)
            if self._before is None or len(self._before) != len(now):
                self._before = now.copy()
            names = shapes.names_in(keys)
            for name, value in zip(BLENDSHAPE_NAMES, values, strict=True):
                if value is not None and name in names:
                    now[blocks.find(names[name])] = value
            blocks.foreach_set("value", now)
            keys.update_tag()
        if turn is not None:
            own = self._own_pose(found.head)
            found.head.matrix_basis = own @ Matrix(coordinates.turn_to_blender(np.array(turn).reshape(3, 3))).to_4x4()
            self._head = own, found.head.matrix_basis.copy()

    def undo(self, scene: bpy.types.Scene, found: rig.Rig) -> None:
        """Give the rig back what it had, and what is keyed at this frame."""
        keys = found.face.data.shape_keys
        if keys is not None and self._before is not None and len(self._before) == len(keys.key_blocks):
            keys.key_blocks.foreach_set("value", self._before)
            keys.update_tag()
        if self._head is not None:
            found.head.matrix_basis = self._own_pose(found.head)
        self._head = self._before = None
        scene.frame_set(scene.frame_current)

    def _own_pose(self, head: bpy.types.Object) -> Matrix:
        """The head's pose without the live turn: what it has now, unless that is what was written."""
        if self._head is not None and _same(head.matrix_basis, self._head[1]):
            return self._head[0]
        return head.matrix_basis.copy()


def _same(one: Matrix, other: Matrix) -> bool:
    return bool(np.allclose(np.array(one), np.array(other), atol=1e-5))
