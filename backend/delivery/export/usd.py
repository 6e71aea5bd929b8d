"""USD as text: Gaussians as `ParticleField3DGaussianSplat` (OpenUSD 26.03 and later), the face mesh with UsdSkel's blend shapes.

Text, so that nothing of OpenUSD is needed to write it; every USD program reads it. Programs with an older OpenUSD skip the
Gaussians and read the face.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ... import __version__
from ...media.encode import SYNTHETIC_MARK
from ...protocol import BLENDSHAPE_NAMES
from ...workspace.face_mesh import FaceMesh
from ...workspace.files import atomic_path
from .splats import Splats

_EXTENT_SIGMAS = 3.0


def write_usd(path: Path, name: str, splats: Splats | None, face: FaceMesh | None) -> None:
    """Write the file, atomically.

    Args:
        name: of the prim above both; what USD does not allow in one is replaced.
        splats: upright (`Splats.upright`).
        face: upright. Beside Gaussians its material is invisible: it lies in them, and is there to be driven, not to be seen.
    """
    root = re.sub(r"\W", "_", name, flags=re.ASCII)
    root = root if re.match(r"[A-Za-z_]", root) else f"_{root}"
    lines = [*_layer(root), f'def Xform "{root}"', "{"]
    if splats is not None:
        lines += _indented(_gaussians(splats))
    if face is not None:
        material = f"/{root}/guide" if splats is not None else ""
        lines += _indented(
            [*_face(face, f"/{root}/rig", material), *(_invisible_material(material) if material else [])]
        )
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join([*lines, "}", ""]), encoding="utf-8")


def _layer(root: str) -> list[str]:
    return [
        "#usda 1.0",
        "(",
        "    customLayerData = {",
        f"        string creator = {json.dumps(f'SyncTalk for Blender {__version__}')}",
        f"        string note = {json.dumps(SYNTHETIC_MARK)}",
        "    }",
        f'    defaultPrim = "{root}"',
        f"    doc = {json.dumps(SYNTHETIC_MARK)}",
        "    metersPerUnit = 1",
        '    upAxis = "Y"',
        ")",
        "",
    ]


def _gaussians(splats: Splats) -> list[str]:
    reach = _EXTENT_SIGMAS * splats.scales_m.max(1, keepdims=True)
    extent = np.stack([(splats.positions_m - reach).min(0), (splats.positions_m + reach).max(0)])
    return [
        'def ParticleField3DGaussianSplat "gaussians"',
        "{",
        f"    float3[] extent = {_tuples(extent)}",
        f"    float[] opacities = {_numbers(splats.opacities)}",
        f"    quatf[] orientations = {_tuples(splats.rotations)}",
        f"    point3f[] positions = {_tuples(splats.positions_m)}",
        f"    float3[] radiance:sphericalHarmonicsCoefficients = {_tuples(splats.sh_degree_0)}",
        "    uniform int radiance:sphericalHarmonicsDegree = 0",
        f"    float3[] scales = {_tuples(splats.scales_m)}",
        '    uniform token sortingModeHint = "zDepth"',
        "}",
    ]


def _face(face: FaceMesh, rig: str, material: str) -> list[str]:
    """A mesh with blend shapes, and the skeleton without which UsdSkel applies none; it needs no joint for that."""
    shapes = list(BLENDSHAPE_NAMES)
    bound = [f"    rel material:binding = <{material}>"] if material else []
    apis = '"SkelBindingAPI", "MaterialBindingAPI"' if material else '"SkelBindingAPI"'
    mesh = [
        f'def Mesh "face" (prepend apiSchemas = [{apis}])',
        "{",
        f"    float3[] extent = {_tuples(np.stack([face.vertices_m.min(0), face.vertices_m.max(0)]))}",
        f"    int[] faceVertexCounts = [{', '.join(['3'] * len(face.triangles))}]",
        f"    int[] faceVertexIndices = [{', '.join(map(str, face.triangles.ravel()))}]",
        *bound,
        f"    point3f[] points = {_tuples(face.vertices_m)}",
        f"    uniform token[] skel:blendShapes = {json.dumps(shapes)}",
        f"    rel skel:blendShapeTargets = [{', '.join(f'<{rig}/face/{name}>' for name in shapes)}]",
        f"    rel skel:skeleton = <{rig}/skeleton>",
        '    uniform token subdivisionScheme = "none"',
        *_indented(line for name, shape in zip(shapes, face.shape_keys, strict=True) for line in _shape(name, shape)),
        "}",
    ]
    skeleton = [
        'def Skeleton "skeleton" (prepend apiSchemas = ["SkelBindingAPI"])',
        "{",
        "    uniform matrix4d[] bindTransforms = []",
        "    uniform token[] joints = []",
        "    uniform matrix4d[] restTransforms = []",
        f"    rel skel:animationSource = <{rig}/weights>",
        "}",
    ]
    weights = [
        'def SkelAnimation "weights"',
        "{",
        f"    uniform token[] blendShapes = {json.dumps(shapes)}",
        f"    float[] blendShapeWeights = {_numbers(np.zeros(len(shapes)))}",
        "}",
    ]
    return ['def SkelRoot "rig"', "{", *_indented([*skeleton, *weights, *mesh]), "}"]


def _shape(name: str, offsets: np.ndarray) -> list[str]:
    """A blend shape: the vertices that it moves."""
    moved = np.flatnonzero(np.abs(offsets).max(1) > 0)
    return [
        f'def BlendShape "{name}"',
        "{",
        f"    uniform vector3f[] offsets = {_tuples(offsets[moved])}",
        f"    uniform int[] pointIndices = [{', '.join(map(str, moved))}]",
        "}",
    ]


def _invisible_material(path: str) -> list[str]:
    return [
        'def Material "guide"',
        "{",
        f"    token outputs:surface.connect = <{path}/surface.outputs:surface>",
        '    def Shader "surface"',
        "    {",
        '        uniform token info:id = "UsdPreviewSurface"',
        "        color3f inputs:diffuseColor = (0.1, 0.85, 0.75)",
        "        float inputs:opacity = 0",
        "        token outputs:surface",
        "    }",
        "}",
    ]


def _indented(lines) -> Iterator[str]:
    return (f"    {line}" for line in lines)


def _numbers(values: np.ndarray) -> str:
    """Floats with the nine digits that single precision takes."""
    return f"[{', '.join(f'{value:.9g}' for value in np.float32(values).tolist())}]"


def _tuples(rows: np.ndarray) -> str:
    return f"[{', '.join('(' + ', '.join(f'{value:.9g}' for value in row) + ')' for row in np.float32(rows).tolist())}]"
