"""Triangles of MediaPipe's face mesh, from its edges."""

from __future__ import annotations

from collections import defaultdict
from functools import cache

import numpy as np

from ..workspace import landmarks as groups


@cache
def tessellation_edges() -> frozenset[tuple[int, int]]:
    """Undirected edges (low, high) of MediaPipe's face mesh, 1,322 of them, over the 468 skin landmarks."""
    try:
        from mediapipe.python.solutions.face_mesh_connections import FACEMESH_TESSELATION

        connections = FACEMESH_TESSELATION
    except ImportError:  # mediapipe 1.x only has the Tasks API
        from mediapipe.tasks.python.vision import FaceLandmarksConnections

        connections = [(item.start, item.end) for item in FaceLandmarksConnections.FACE_LANDMARKS_TESSELATION]
    return frozenset((min(a, b), max(a, b)) for a, b in connections)


@cache
def triangles() -> np.ndarray:
    """(T, 3) int32: the 852 skin triangles and a fan of four for each iris, all facing outwards.

    A triangle is a cycle of three edges. A vertex with three neighbours makes one cycle too many, the one around it:
    all three of its edges are then shared by three cycles. Mouth and eyes stay open, as no edge crosses them.
    Seen from the front the corners run counterclockwise in the image, so that (b - a) x (c - a) points out of the
    head (-z in the head frame at the tip of the nose).
    """
    neighbours: dict[int, set[int]] = defaultdict(set)
    for a, b in tessellation_edges():
        neighbours[a].add(b)
        neighbours[b].add(a)
    cycles = {tuple(sorted((a, b, c))) for a, b in tessellation_edges() for c in neighbours[a] & neighbours[b]}
    sharing: dict[tuple[int, int], int] = defaultdict(int)
    for cycle in cycles:
        for edge in _sides(cycle):
            sharing[edge] += 1
    skin = _oriented([cycle for cycle in sorted(cycles) if not all(sharing[edge] > 2 for edge in _sides(cycle))])
    fans = []
    for i in range(4):  # the left rim runs counterclockwise in the image, the right one mirrors it
        left, right = groups.LEFT.iris, groups.RIGHT.iris
        fans.append((left[0], left[1 + i], left[1 + (i + 1) % 4]))
        fans.append((right[0], right[1 + (i + 1) % 4], right[1 + i]))
    result = np.array(skin + fans, np.int32)
    result.setflags(write=False)
    return result


def _sides(triangle: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    a, b, c = sorted(triangle)
    return (a, b), (b, c), (a, c)


def _oriented(faces: list[tuple[int, ...]]) -> list[tuple[int, int, int]]:
    """Turn all faces the same way round, by walking over shared edges from one at the tip of the nose."""
    by_edge: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, face in enumerate(faces):
        for edge in _sides(face):
            by_edge[edge].append(index)
    seed = next(index for index, face in enumerate(faces) if {4, 5} <= set(face))
    third = next(vertex for vertex in faces[seed] if vertex not in (4, 5))
    # 5 lies above 4 on the bridge of the nose, 281 beside them on the subject's left (to the right in the image).
    first = (4, third, 5) if third == 281 else (5, third, 4)
    turned: dict[int, tuple[int, int, int]] = {seed: first}
    waiting = [seed]
    while waiting:
        face = turned[waiting.pop()]
        for a, b in ((face[0], face[1]), (face[1], face[2]), (face[2], face[0])):
            for other in by_edge[min(a, b), max(a, b)]:
                if other not in turned:
                    c = next(vertex for vertex in faces[other] if vertex not in (a, b))
                    turned[other] = (b, a, c)
                    waiting.append(other)
    return [turned[index] for index in range(len(faces))]
