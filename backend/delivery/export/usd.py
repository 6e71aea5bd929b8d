"""USD as text: Gaussians as `ParticleField3DGaussianSplat` (OpenUSD 26.03 and later), the face mesh with UsdSkel's blend shapes, a
take as time samples, frame 0 first.

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
from ...protocol import BLENDSHAPE_NAMES, SYNTHETIC_MARK
from ...workspace.face_mesh import FaceMesh
from ...workspace.files import atomic_path
from ...workspace.shapes import Float
from .splats import Splats
from .take import FAR_M, NEAR_M, SENSOR_MM, Take

_EXTENT_SIGMAS = 3.0


def write_usd(path: Path, name: str, splats: Splats | None, face: FaceMesh | None, take: Take | None = None) -> None:
    """Write the file, atomically.

    Args:
        name: of the prim above all; what USD does not allow in one is replaced.
        splats: upright (`Splats.upright`).
        face: upright. Beside Gaussians its material is invisible: it lies in them, and is there to be driven, not to be seen.
        take: moves the parts, below a prim `head`, before a camera.
    """
    root = re.sub(r"\W", "_", name, flags=re.ASCII)
    root = root if re.match(r"[A-Za-z_]", root) else f"_{root}"
    above = f"/{root}" if take is None else f"/{root}/head"
    parts: list[str] = []
    if splats is not None:
        parts += _gaussians(splats)
    if face is not None:
        material = f"{above}/guide" if splats is not None else ""
        parts += [*_face(face, f"{above}/rig", material, take), *(_invisible_material(material) if material else [])]
    if take is not None:
        parts = [
            *['def Xform "head"', "{", *_indented([*_placed(take.head_to_world), *parts]), "}"],
            *_camera(take),
        ]
    lines = [*_layer(root, take), f'def Xform "{root}"', "{", *_indented(parts), "}", ""]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")


def _layer(root: str, take: Take | None) -> list[str]:
    rate = [] if take is None else [f"        string frameRate = {json.dumps(str(take.rate))}"]
    timing: dict[str, float] = {}
    if take is not None:
        timing = {"startTimeCode": 0, "endTimeCode": take.frames - 1}
        timing |= dict.fromkeys(("timeCodesPerSecond", "framesPerSecond"), float(take.rate))
    return [
        "#usda 1.0",
        "(",
        "    customLayerData = {",
        f"        string creator = {json.dumps(f'SyncTalk for Blender {__version__}')}",
        *rate,
        f"        string note = {json.dumps(SYNTHETIC_MARK)}",
        "    }",
        f'    defaultPrim = "{root}"',
        f"    doc = {json.dumps(SYNTHETIC_MARK)}",
        *(f"    {key} = {value:.17g}" for key, value in timing.items()),
        "    metersPerUnit = 1",
        '    upAxis = "Y"',
        ")",
        "",
    ]


def _placed(poses: Float[np.ndarray, "n 4 4"]) -> list[str]:
    """A prim's transform: time samples, or one value where it stays."""
    texts = [_matrix(pose) for pose in poses]
    still = [f"matrix4d xformOp:transform = {texts[0]}"]
    moved = _samples("matrix4d xformOp:transform", texts)
    return [*(still if len(set(texts)) == 1 else moved), 'uniform token[] xformOpOrder = ["xformOp:transform"]']


def _camera(take: Take) -> list[str]:
    """Lengths of the lens are tenths of the scene's unit, which is the metre; the principal point is an offset of the aperture."""
    camera, (x, y) = take.camera, take.camera.principal_px
    pixel = SENSOR_MM / 100 / camera.width
    return [
        'def Camera "camera"',
        "{",
        f"    float2 clippingRange = ({NEAR_M:.9g}, {FAR_M:.9g})",
        f"    float focalLength = {camera.focal_px * pixel:.9g}",
        f"    float horizontalAperture = {camera.width * pixel:.9g}",
        f"    float horizontalApertureOffset = {(camera.width / 2 - x) * pixel:.9g}",
        '    token projection = "perspective"',
        f"    float verticalAperture = {camera.height * pixel:.9g}",
        f"    float verticalApertureOffset = {(y - camera.height / 2) * pixel:.9g}",
        *_indented(_placed(take.camera_to_world)),
        "}",
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


def _face(face: FaceMesh, rig: str, material: str, take: Take | None) -> list[str]:
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
    values = [f"float[] blendShapeWeights = {_numbers(np.zeros(len(shapes)))}"]
    moved = [face.vertices_m]
    if take is not None:
        values = _samples("float[] blendShapeWeights", [_numbers(frame) for frame in take.blendshapes])
        moved = [face.deformed(frame) for frame in take.blendshapes]
    weights = [
        'def SkelAnimation "weights"',
        "{",
        f"    uniform token[] blendShapes = {json.dumps(shapes)}",
        *_indented(values),
        "}",
    ]
    # Nothing computes the bounds of a rig without joints.
    bounds = np.stack([np.min([frame.min(0) for frame in moved], 0), np.max([frame.max(0) for frame in moved], 0)])
    extent = f"float3[] extent = {_tuples(bounds)}"
    return ['def SkelRoot "rig"', "{", *_indented([extent, *skeleton, *weights, *mesh]), "}"]


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


def _samples(attribute: str, values: list[str]) -> list[str]:
    """An attribute with a value a frame, from time code 0 on."""
    return [
        f"{attribute}.timeSamples = {{",
        *(f"    {frame}: {value}," for frame, value in enumerate(values)),
        "}",
    ]


def _matrix(pose: Float[np.ndarray, "4 4"]) -> str:
    """USD's matrices act on rows."""
    return f"( {', '.join('(' + ', '.join(f'{value:.15g}' for value in row) + ')' for row in pose.T.tolist())} )"


def _indented(lines) -> Iterator[str]:
    return (f"    {line}" for line in lines)


def _numbers(values: np.ndarray) -> str:
    """Floats with the nine digits that single precision takes."""
    return f"[{', '.join(f'{value:.9g}' for value in np.float32(values).tolist())}]"


def _tuples(rows: np.ndarray) -> str:
    return f"[{', '.join('(' + ', '.join(f'{value:.9g}' for value in row) + ')' for row in np.float32(rows).tolist())}]"
