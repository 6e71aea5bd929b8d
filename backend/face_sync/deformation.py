"""Smooth deformation of the face mesh from a few handles (a few landmarks whose displacement is given)."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from ..workspace import landmarks as groups
from .face_mesh import tessellation_edges

TENSION = 0.25
"""Share of membrane energy beside thin-plate energy: a pure thin plate overshoots between opposed handles."""


class FaceDeformer:
    """Interpolates displacements over the skin of one face.

    The displacement field u minimises thin-plate plus membrane energy, (L^2 + tau L) u = 0 at free vertices, with u
    given at the handles and zero beyond their reach; L is the graph Laplacian with weights 1 / edge length, scaled to a
    unit mean diagonal (Botsch and Kobbelt, “An intuitive framework for real-time freeform modeling”, 2004, on a graph).
    Distances are along the mesh, so that what moves the lower lip does not reach across the mouth to the upper one.
    """

    def __init__(self, face_m: np.ndarray) -> None:
        """`face_m` (478, 3): the neutral face in the head frame, metres."""
        edges = np.array(sorted(tessellation_edges()))
        skin = face_m[: groups.SKIN_COUNT]
        lengths = np.maximum(np.linalg.norm(skin[edges[:, 0]] - skin[edges[:, 1]], axis=1), 1e-5)
        both = np.concatenate([edges, edges[:, ::-1]])
        size = (groups.SKIN_COUNT, groups.SKIN_COUNT)
        graph = csr_matrix((np.tile(lengths, 2), (both[:, 0], both[:, 1])), shape=size)
        self._distance = dijkstra(graph)
        weights = csr_matrix((1 / np.tile(lengths, 2), (both[:, 0], both[:, 1])), shape=size).toarray()
        laplacian = np.diag(weights.sum(1)) - weights
        laplacian /= np.diag(laplacian).mean()
        self._energy = laplacian @ laplacian + TENSION * laplacian

    def interpolate(self, handles: dict[int, np.ndarray], reach_m: float) -> np.ndarray:
        """Displacements (468, C) of the skin.

        Args:
            handles: landmark index to displacement (C,); a zero one holds its landmark in place.
            reach_m: vertices farther than this along the mesh from every moving handle stay.
        """
        index = np.array(sorted(handles))
        values = np.array([np.atleast_1d(handles[i]) for i in index], np.float64)
        result = np.zeros((groups.SKIN_COUNT, values.shape[1]))
        result[index] = values
        moving = index[np.abs(values).max(1) > 0]
        if not len(moving):
            return result
        free = self._distance[moving].min(0) < reach_m
        free[index] = False
        fixed = ~free
        system = self._energy[np.ix_(free, free)]
        result[free] = np.linalg.solve(system, -self._energy[np.ix_(free, fixed)] @ result[fixed])
        return result
