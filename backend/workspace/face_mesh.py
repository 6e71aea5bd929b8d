"""The face that Blender shows: `face_mesh.npz`, read and written here alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import WorkspaceError
from ..protocol import BLENDSHAPE_NAMES
from .files import PROCESS_AGAIN, read_arrays, write_arrays
from .shapes import Float, Int


@dataclass(frozen=True)
class FaceMesh:
    """The neutral face and the displacements of its 52 shapes (`protocol.BLENDSHAPE_NAMES`), head frame, metres."""

    vertices_m: Float[np.ndarray, "v 3"]
    triangles: Int[np.ndarray, "t 3"]
    shape_keys: Float[np.ndarray, "52 v 3"]

    @classmethod
    def read(cls, path: Path) -> FaceMesh:
        """A shape that the file lacks moves nothing.

        Raises:
            WorkspaceError: the file is missing or damaged.
        """
        arrays = read_arrays(path)
        try:
            vertices, triangles, shapes = arrays["vertices_m"], arrays["triangles"], arrays["shape_keys"]
            names = [str(name) for name in arrays["shape_key_names"]]
        except KeyError as error:
            raise WorkspaceError(f"{path} lacks {error}: {PROCESS_AGAIN}.") from error
        fits = vertices.ndim == 2 and shapes.shape == (len(names), *vertices.shape)
        if not fits or triangles.max(initial=0) >= len(vertices):
            raise WorkspaceError(f"{path} does not fit together: {PROCESS_AGAIN}.")
        ordered = np.zeros((len(BLENDSHAPE_NAMES), *vertices.shape))
        for index, name in enumerate(BLENDSHAPE_NAMES):
            if name in names:
                ordered[index] = shapes[names.index(name)]
        return cls(vertices.astype(np.float64), triangles.astype(np.int64), ordered)

    def deformed(self, blendshapes: Float[np.ndarray, " shapes"]) -> Float[np.ndarray, "v 3"]:
        """The vertices under the 52 shapes, metres; what follows these is not regarded."""
        return self.vertices_m + np.tensordot(blendshapes[: len(self.shape_keys)], self.shape_keys, 1)

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        write_arrays(
            path,
            vertices_m=self.vertices_m.astype(np.float32),
            triangles=self.triangles,
            shape_keys=self.shape_keys.astype(np.float32),
            shape_key_names=np.array(BLENDSHAPE_NAMES),
        )
