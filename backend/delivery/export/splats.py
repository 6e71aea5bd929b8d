"""Gaussians as other renderers draw them, and the axes of other programs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...errors import WorkspaceError
from ...renderer.gaussians.head import GaussianHead
from ...renderer.gaussians.kernels.interface import COLOUR, CUTOFF, LOG_SCALE, MAX_ALPHA, OPACITY, POSITION, ROTATION
from ...workspace.face_mesh import FaceMesh
from ...workspace.shapes import Float

SH_C0 = 0.28209479177387814
"""The spherical harmonic of degree 0, 1 / (2 sqrt(pi)): a colour is 0.5 + SH_C0 times its coefficient (3DGS, Kerbl et al. 2023)."""


@dataclass(frozen=True)
class Splats:
    """Gaussians after Kerbl et al. 2023: alpha at a pixel is the opacity times the Gaussian, and no light is added for size.

    Attributes:
        positions_m: in the head frame (docs/animation.md), or `upright`.
        scales_m: standard deviations along the own axes.
        rotations: unit quaternions w x y z.
        opacities: 0 to 1, without either end.
        colours: display-encoded sRGB, 0 to 1.
    """

    positions_m: Float[np.ndarray, "n 3"]
    scales_m: Float[np.ndarray, "n 3"]
    rotations: Float[np.ndarray, "n 4"]
    opacities: Float[np.ndarray, " n"]
    colours: Float[np.ndarray, "n 3"]

    @classmethod
    def of(cls, head: GaussianHead) -> Splats:
        """The neutral head, without Gaussians that draw nothing.

        Raises:
            WorkspaceError: none draws anything.
        """
        return cls.of_attributes(head.neutral(), head.config.filter_m)

    @classmethod
    def of_attributes(cls, attributes: Float[np.ndarray, "14 n"], filter_m: float) -> Splats:
        """One frame's attributes.

        Args:
            filter_m: as `View.filter_m`; here it becomes a part of the scales, which other renderers know nothing else of.
        """
        values = attributes.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            opacities = 1 / (1 + np.exp(-values[OPACITY]))
            length = np.linalg.norm(values[ROTATION], axis=0)
        kept = np.isfinite(values).all(0) & (opacities > CUTOFF) & (length > 0)
        if not kept.any():
            raise WorkspaceError("The Gaussian head has nothing to draw: train it again.")
        values, opacities, length = values[:, kept], opacities[kept], length[kept]
        return cls(
            values[POSITION].T,
            np.sqrt(np.exp(2 * values[LOG_SCALE].T) + filter_m**2),
            (values[ROTATION] / length).T,
            _without_cutoff(opacities),
            np.clip(values[COLOUR].T, 0, 1),
        )

    @property
    def count(self) -> int:
        return len(self.positions_m)

    @property
    def sh_degree_0(self) -> Float[np.ndarray, "n 3"]:
        """The colours as coefficients of the spherical harmonic of degree 0."""
        return (self.colours - 0.5) / SH_C0

    def upright(self) -> Splats:
        """In the axes of glTF and of a Y-up USD stage: x as it was, y up, z out of the face. A half turn about x."""
        w, x, y, z = self.rotations.T
        return replace(self, positions_m=turned(self.positions_m), rotations=np.stack([-x, w, -z, y], 1))


def _without_cutoff(opacities: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Opacities that give as much light without `CUTOFF` as these with it.

    Of a Gaussian's alpha `o g` this project blends `o g - c` where that is positive, 3DGS `o g` where it is above c: over the
    image the former is less by `c ln(o / c)` per area of the Gaussian.
    """
    return np.minimum(opacities - CUTOFF * np.log(opacities / CUTOFF), MAX_ALPHA)


def turned(points: Float[np.ndarray, "... 3"]) -> Float[np.ndarray, "... 3"]:
    """Points or displacements of the head frame in upright axes (`Splats.upright`)."""
    return points * np.array([1.0, -1.0, -1.0])


def upright_face(face: FaceMesh) -> FaceMesh:
    """The face mesh in upright axes; triangles keep their order, as a turn is no reflection."""
    return FaceMesh(turned(face.vertices_m), face.triangles, turned(face.shape_keys))
