"""What is exported in tests, and readers of the files that know the formats from their specifications, not from our writers."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from backend.delivery.export.gltf import write_glb
from backend.delivery.export.ply import write_ply
from backend.delivery.export.splats import Splats, upright_face
from backend.delivery.export.usd import write_usd
from backend.protocol import BLENDSHAPE_NAMES
from backend.workspace.face_mesh import FaceMesh
from tests.backend.made_up_gaussians import made_up_gaussians

UPRIGHT = np.diag([1.0, -1.0, -1.0])
"""From the head frame (x right of the image, y down, z into the head) to y up and z out of the face."""
_JAW = BLENDSHAPE_NAMES.index("jawOpen")


@dataclass
class Read:
    """Gaussians as a file has them, in its own axes."""

    positions: np.ndarray
    scales: np.ndarray
    quaternions_wxyz: np.ndarray
    opacities: np.ndarray
    colours: np.ndarray

    @property
    def covariances(self) -> np.ndarray:
        return covariances(self.scales, self.quaternions_wxyz)


def covariances(scales: np.ndarray, quaternions_wxyz: np.ndarray) -> np.ndarray:
    """(n, 3, 3)."""
    axes = Rotation.from_quat(quaternions_wxyz[:, [1, 2, 3, 0]]).as_matrix() * scales[:, None]
    return axes @ axes.transpose(0, 2, 1)


def made_up_face() -> FaceMesh:
    """Half an ellipsoid that looks along -z, its triangles facing outwards; shape k moves a vertex of its own, `jawOpen` all
    below the mouth by a centimetre downwards."""
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(-0.06, 0.06, 9), np.linspace(-0.1, 0.05, 11)))
    z = -0.11 * np.sqrt(1 - (x / 0.08) ** 2 - ((y + 0.025) / 0.12) ** 2)
    index = np.arange(99).reshape(11, 9)
    a, b, c, d = index[:-1, :-1].ravel(), index[:-1, 1:].ravel(), index[1:, 1:].ravel(), index[1:, :-1].ravel()
    triangles = np.concatenate([np.stack([a, c, b], 1), np.stack([a, d, c], 1)])
    shapes = np.zeros((len(BLENDSHAPE_NAMES), 99, 3))
    shapes[np.arange(52), np.arange(52) + 3] = 0.001 * np.arange(1, 53)[:, None] * np.array([0.1, 0.2, -0.05])
    shapes[_JAW] = np.where(y[:, None] > 0.01, [0, 0.01, 0], 0)
    return FaceMesh(np.stack([x, y, z], 1), triangles, shapes)


def write_all(folder: Path) -> None:
    """`head.ply`, `head.glb`, `head.usda` with the face, `gaussians.*` and `face.*` with one of the two alone."""
    splats, face = Splats.of(made_up_gaussians()), upright_face(made_up_face())
    write_ply(folder / "head.ply", splats)
    upright = splats.upright()
    for stem, gaussians, mesh in (("head", upright, face), ("gaussians", upright, None), ("face", None, face)):
        write_glb(folder / f"{stem}.glb", "a head", gaussians, mesh)
        write_usd(folder / f"{stem}.usda", "a head", gaussians, mesh)


def read(path: Path) -> Read:
    """The Gaussians of a file of any of the three formats."""
    return {".ply": _read_ply, ".glb": _read_glb, ".usda": _read_usda}[path.suffix](path)


def _colours(coefficients: np.ndarray) -> np.ndarray:
    return 0.5 + coefficients / (2 * np.sqrt(np.pi))


def ply_header(path: Path) -> list[str]:
    return path.read_bytes().split(b"end_header\n", 1)[0].decode("ascii").splitlines()


def _read_ply(path: Path) -> Read:
    names = [line.split()[2] for line in ply_header(path) if line.startswith("property float ")]
    body = path.read_bytes().split(b"end_header\n", 1)[1]
    rows = np.frombuffer(body, [(name, "<f4") for name in names])

    def columns(*wanted: str) -> np.ndarray:
        return np.stack([rows[name] for name in wanted], 1).astype(np.float64)

    return Read(
        columns("x", "y", "z"),
        np.exp(columns("scale_0", "scale_1", "scale_2")),
        columns("rot_0", "rot_1", "rot_2", "rot_3"),
        1 / (1 + np.exp(-columns("opacity")[:, 0])),
        _colours(columns("f_dc_0", "f_dc_1", "f_dc_2")),
    )


def glb_tree(path: Path) -> dict[str, Any]:
    """The JSON chunk."""
    return _chunks(path)[0]


def _chunks(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    size, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON" and size % 4 == 0
    rest, binary = struct.unpack_from("<I4s", content, 20 + size)
    assert binary == b"BIN\0" and 28 + size + rest == len(content)
    return json.loads(content[20 : 20 + size]), content[28 + size :]


def glb_accessor(path: Path, index: int) -> np.ndarray:
    """(count, components)."""
    tree, content = _chunks(path)
    accessor = tree["accessors"][index]
    view = tree["bufferViews"][accessor["bufferView"]]
    components = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
    kind = np.dtype({5126: "<f4", 5125: "<u4"}[accessor["componentType"]])
    assert view["byteOffset"] % 4 == 0 and view["byteLength"] == accessor["count"] * components * 4
    values = np.frombuffer(content, kind, accessor["count"] * components, view["byteOffset"])
    return values.reshape(-1, components).astype(np.float64)


def _read_glb(path: Path) -> Read:
    mesh = next(mesh for mesh in glb_tree(path)["meshes"] if mesh["name"] == "gaussians")
    attributes = mesh["primitives"][0]["attributes"]

    def values(name: str) -> np.ndarray:
        return glb_accessor(path, attributes[name])

    return Read(
        values("POSITION"),
        values("KHR_gaussian_splatting:SCALE"),
        values("KHR_gaussian_splatting:ROTATION")[:, [3, 0, 1, 2]],
        values("KHR_gaussian_splatting:OPACITY")[:, 0],
        _colours(values("KHR_gaussian_splatting:SH_DEGREE_0_COEF_0")),
    )


def usda_numbers(path: Path, attribute: str) -> np.ndarray:
    """All numbers of the first attribute whose declaration ends so."""
    found = re.search(rf"^\s*[\w\[\] ]*\s{re.escape(attribute)} = (.*)$", path.read_text(), re.MULTILINE)
    assert found, attribute
    return np.array([float(number) for number in re.findall(r"-?\d[\d.e+-]*", found[1])])


def _read_usda(path: Path) -> Read:
    return Read(
        usda_numbers(path, "positions").reshape(-1, 3),
        usda_numbers(path, "scales").reshape(-1, 3),
        usda_numbers(path, "orientations").reshape(-1, 4),
        usda_numbers(path, "opacities"),
        _colours(usda_numbers(path, "radiance:sphericalHarmonicsCoefficients").reshape(-1, 3)),
    )
