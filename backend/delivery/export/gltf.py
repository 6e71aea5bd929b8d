"""glTF 2.0 binary: Gaussians by KHR_gaussian_splatting, the face mesh with its shape keys as morph targets, a take as animation.

The extension was a release candidate of the Khronos Group (July 2026 text): kernel `ellipse`, rotations x y z w, linear scales
and opacities, spherical harmonics of degree 0. Readers without it show coloured points.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__
from ...protocol import BLENDSHAPE_NAMES, SYNTHETIC_MARK
from ...workspace import glb
from ...workspace.arrays import decode_srgb
from ...workspace.face_mesh import FaceMesh
from ...workspace.files import atomic_path
from ...workspace.shapes import Float
from .splats import Splats
from .take import FAR_M, NEAR_M, Take, field_of_view, quaternions

EXTENSION = "KHR_gaussian_splatting"
_FLOAT, _UINT32 = 5126, 5125
_ARRAY, _ELEMENTS = 34962, 34963
_POINTS = 0
_INVISIBLE = {
    "name": "guide (invisible)",
    "pbrMetallicRoughness": {"baseColorFactor": [0.1, 0.85, 0.75, 0.0], "metallicFactor": 0.0},
    "alphaMode": "BLEND",
}
_KINDS = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}


def write_glb(path: Path, name: str, splats: Splats | None, face: FaceMesh | None, take: Take | None = None) -> None:
    """Write the file, atomically.

    Args:
        name: of the node above all.
        splats: upright (`Splats.upright`).
        face: upright. Beside Gaussians its material is invisible: it lies in them, and is there to be driven, not to be seen.
        take: moves the parts, below a node `head`, before a camera.
    """
    buffer = _Buffer()
    meshes: list[dict[str, Any]] = []
    hidden = splats is not None
    if splats is not None:
        meshes.append({"name": "gaussians", "primitives": [_gaussians(buffer, splats)]})
    if face is not None:
        meshes.append(_face(buffer, face, {"material": 0} if hidden else {}))
    nodes: list[dict[str, Any]] = [{"name": mesh["name"], "mesh": index} for index, mesh in enumerate(meshes)]
    below, extras, animated = list(range(len(nodes))), {"note": SYNTHETIC_MARK}, {}
    if take is not None:
        nodes.append({"name": "head", "children": below})
        nodes.append({"name": "camera"})
        below = [len(nodes) - 2, len(nodes) - 1]
        extras["frame_rate"] = str(take.rate)
        animated = _animation(buffer, take, nodes, meshes)
    tree: dict[str, Any] = {
        "asset": {
            "version": "2.0",
            "generator": f"SyncTalk for Blender {__version__}",
            "copyright": SYNTHETIC_MARK,
            "extras": extras,
        },
        "scene": 0,
        "scenes": [{"nodes": [len(nodes)]}],
        "nodes": [*nodes, {"name": name, "children": below}],
        "meshes": meshes,
        **animated,
        **({"materials": [_INVISIBLE]} if hidden and face is not None else {}),
        **({"extensionsUsed": [EXTENSION]} if splats is not None else {}),
        **buffer.tree(),
    }
    with atomic_path(path) as temporary:
        temporary.write_bytes(glb.pack(tree, buffer.content))


def _animation(
    buffer: _Buffer, take: Take, nodes: list[dict[str, Any]], meshes: list[dict[str, Any]]
) -> dict[str, Any]:
    """The camera and the animation; what the take moves gets its values of the first frame."""
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []
    time = buffer.add(take.times_s[:, None], bounds=True, vertices=False)

    def move(node: dict[str, Any], path: str, values: np.ndarray) -> None:
        samplers.append({"input": time, "output": buffer.add(values, vertices=False), "interpolation": "LINEAR"})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": nodes.index(node), "path": path}})

    named = {node["name"]: node for node in nodes}
    for name, poses in (("head", take.head_to_world), ("camera", take.camera_to_world)):
        for path, values in _placed(poses).items():
            named[name][path] = values[0].tolist()
            if name == "head" or take.camera_moves:
                move(named[name], path, values)
    if "face" in named:
        move(named["face"], "weights", take.blendshapes.reshape(-1, 1))
        meshes[-1]["weights"] = take.blendshapes[0].astype(float).tolist()
    camera, corner = take.camera.centred()
    size = [take.camera.width, take.camera.height]
    named["camera"]["camera"] = 0
    named["camera"]["extras"] = {"image_px": [camera.width, camera.height], "crop_px": [*corner, *size]}
    lens = {"yfov": field_of_view(camera), "aspectRatio": camera.width / camera.height, "znear": NEAR_M, "zfar": FAR_M}
    return {
        "cameras": [{"name": "camera", "type": "perspective", "perspective": lens}],
        "animations": [{"name": "take", "samplers": samplers, "channels": channels}],
    }


def _placed(poses: Float[np.ndarray, "n 4 4"]) -> dict[str, np.ndarray]:
    """A node's place and rotation, by the names of their properties."""
    return {"translation": poses[:, :3, 3], "rotation": quaternions(poses[:, :3, :3])}


def _gaussians(buffer: _Buffer, splats: Splats) -> dict[str, Any]:
    w, x, y, z = splats.rotations.T
    fallback = np.column_stack([decode_srgb(splats.colours), splats.opacities])
    attributes = {
        "POSITION": buffer.add(splats.positions_m, bounds=True),
        "COLOR_0": buffer.add(fallback),
        f"{EXTENSION}:ROTATION": buffer.add(np.stack([x, y, z, w], 1)),
        f"{EXTENSION}:SCALE": buffer.add(splats.scales_m),
        f"{EXTENSION}:OPACITY": buffer.add(splats.opacities[:, None]),
        f"{EXTENSION}:SH_DEGREE_0_COEF_0": buffer.add(splats.sh_degree_0),
    }
    kernel = {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}
    return {"attributes": attributes, "mode": _POINTS, "extensions": {EXTENSION: kernel}}


def _face(buffer: _Buffer, face: FaceMesh, material: dict[str, Any]) -> dict[str, Any]:
    primitive = {
        "attributes": {"POSITION": buffer.add(face.vertices_m, bounds=True)},
        "indices": buffer.add_triangles(face.triangles),
        "targets": [{"POSITION": buffer.add(shape, bounds=True)} for shape in face.shape_keys],
        **material,
    }
    names = list(BLENDSHAPE_NAMES)
    return {"name": "face", "primitives": [primitive], "weights": [0.0] * len(names), "extras": {"targetNames": names}}


class _Buffer:
    """The binary part, with the views and accessors that describe it."""

    def __init__(self) -> None:
        self.content = bytearray()
        self._views: list[dict[str, Any]] = []
        self._accessors: list[dict[str, Any]] = []

    def add(self, values: np.ndarray, *, bounds: bool = False, vertices: bool = True) -> int:
        """The accessor of (n, 1, 3 or 4) floats; positions and times state their bounds."""
        floats = np.ascontiguousarray(values, "<f4")
        extent = {"min": floats.min(0).tolist(), "max": floats.max(0).tolist()} if bounds else {}
        target = _ARRAY if vertices else None
        return self._add(floats.tobytes(), target, _FLOAT, len(floats), _KINDS[floats.shape[1]], extent)

    def add_triangles(self, triangles: np.ndarray) -> int:
        """The accessor of a mesh's corners."""
        indices = np.ascontiguousarray(triangles, "<u4")
        return self._add(indices.tobytes(), _ELEMENTS, _UINT32, indices.size, "SCALAR", {})

    def tree(self) -> dict[str, Any]:
        """What the JSON part says of the binary one."""
        buffers = [{"byteLength": len(self.content)}]
        return {"buffers": buffers, "bufferViews": self._views, "accessors": self._accessors}

    def _add(
        self, content: bytes, target: int | None, component: int, count: int, kind: str, extent: dict[str, Any]
    ) -> int:
        view = {"buffer": 0, "byteOffset": len(self.content), "byteLength": len(content)}
        if target is not None:
            view["target"] = target
        self.content += content  # of four-byte numbers: always aligned
        self._views.append(view)
        accessor = {"bufferView": len(self._views) - 1, "componentType": component, "count": count, "type": kind}
        self._accessors.append({**accessor, **extent})
        return len(self._accessors) - 1
