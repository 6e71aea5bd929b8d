"""What other programs read of an exported take: pygltflib and OpenUSD, by what their formats say, not by what our writers mean.

python -m tests.backend.delivery.read_back FILE OUT.npz
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np


@dataclass
class ReadTake:
    """Time samples, and the world at each of them: y up, metres.

    Attributes:
        window: left, top, width and height of the original image in the camera's, in shares of its sides.
        projection: (4, 4) from a camera that looks along -z to clip space.
    """

    names: list[str]
    times_s: np.ndarray
    weights: np.ndarray
    heads: np.ndarray
    cameras: np.ndarray
    projection: np.ndarray
    window: np.ndarray
    vertices: np.ndarray
    shapes: np.ndarray
    note: str
    rate: str

    def face(self, frame: int) -> np.ndarray:
        """(v, 3) the face's vertices in the world."""
        vertices = self.vertices + np.tensordot(self.weights[frame], self.shapes, 1)
        return vertices @ self.heads[frame, :3, :3].T + self.heads[frame, :3, 3]

    def pixels(self, frame: int, size: tuple[int, int]) -> np.ndarray:
        """(v, 2) where the camera sees them in an image of that size."""
        world = self.face(frame)
        seen = np.c_[world, np.ones(len(world))] @ np.linalg.inv(self.cameras[frame]).T
        clip = seen @ self.projection.T
        share = np.stack([1 + clip[:, 0] / clip[:, 3], 1 - clip[:, 1] / clip[:, 3]], 1) / 2
        return (share - self.window[:2]) / self.window[2:] * size


def read(path: Path) -> ReadTake:
    return _read_glb(path) if path.suffix == ".glb" else _read_usd(path)


# -- glTF ---------------------------------------------------------------------------------------------------------------


def _read_glb(path: Path) -> ReadTake:
    import pygltflib
    from scipy.spatial.transform import Rotation

    file = pygltflib.GLTF2().load(str(path))
    blob = file.binary_blob()

    def values(index: int) -> np.ndarray:
        accessor = file.accessors[index]
        view = file.bufferViews[accessor.bufferView]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor.type]
        kind = {5126: "<f4", 5125: "<u4", 5123: "<u2"}[accessor.componentType]
        start = (view.byteOffset or 0) + (accessor.byteOffset or 0)
        assert view.byteStride in (None, 0)
        return np.frombuffer(blob, kind, accessor.count * width, start).reshape(-1, width).astype(float)

    (animation,) = file.animations
    found = {}
    for channel in animation.channels:
        sampler = animation.samplers[channel.sampler]
        assert sampler.interpolation == "LINEAR"
        found[channel.target.node, channel.target.path] = values(sampler.input)[:, 0], values(sampler.output)
    nodes = {node.name: index for index, node in enumerate(file.nodes)}
    parents = {child: index for index, node in enumerate(file.nodes) for child in node.children or []}
    times = found[nodes["face"], "weights"][0]

    def world(index: int) -> np.ndarray:
        node, matrices = file.nodes[index], np.tile(np.eye(4), (len(times), 1, 1))
        still = {"translation": node.translation or [0, 0, 0], "rotation": node.rotation or [0, 0, 0, 1]}
        still["scale"] = node.scale or [1, 1, 1]
        parts = {}
        for name, value in still.items():
            keys, moved = found.get((index, name), (np.zeros(1), np.array([value], float)))
            parts[name] = _at(keys, moved, times, turns=name == "rotation")
        matrices[:, :3, :3] = Rotation.from_quat(parts["rotation"]).as_matrix() * parts["scale"][:, None]
        matrices[:, :3, 3] = parts["translation"]
        return world(parents[index]) @ matrices if index in parents else matrices

    mesh = file.meshes[file.nodes[nodes["face"]].mesh]
    lens = file.cameras[file.nodes[nodes["camera"]].camera].perspective
    extras = file.nodes[nodes["camera"]].extras
    width, height = extras["image_px"]
    assert np.isclose(lens.aspectRatio, width / height, rtol=1e-6)
    scale = 1 / np.tan(lens.yfov / 2)
    near, far = lens.znear, lens.zfar
    projection = np.zeros((4, 4))
    projection[0, 0], projection[1, 1], projection[3, 2] = scale / lens.aspectRatio, scale, -1
    projection[2, 2:] = (far + near) / (near - far), 2 * far * near / (near - far)
    targets = mesh.primitives[0].targets
    return ReadTake(
        list(mesh.extras["targetNames"]),
        times,
        found[nodes["face"], "weights"][1].reshape(len(times), -1),
        world(nodes["face"]),
        world(nodes["camera"]),
        projection,
        np.array(extras["crop_px"]) / [width, height, width, height],
        values(mesh.primitives[0].attributes.POSITION),
        np.stack([values(target["POSITION"] if isinstance(target, dict) else target.POSITION) for target in targets]),
        file.asset.extras["note"],
        file.asset.extras["frame_rate"],
    )


def _at(keys: np.ndarray, values: np.ndarray, times: np.ndarray, *, turns: bool) -> np.ndarray:
    if len(keys) == 1:
        return np.repeat(values, len(times), 0)
    times = np.clip(times, keys[0], keys[-1])
    if turns:
        from scipy.spatial.transform import Rotation, Slerp

        return Slerp(keys, Rotation.from_quat(values))(times).as_quat()
    return np.stack([np.interp(times, keys, column) for column in values.T], 1)


# -- USD ----------------------------------------------------------------------------------------------------------------


def _read_usd(path: Path) -> ReadTake:
    from pxr import Usd, UsdGeom, UsdSkel

    stage = Usd.Stage.Open(str(path))
    assert UsdGeom.GetStageUpAxis(stage) == "Y" and UsdGeom.GetStageMetersPerUnit(stage) == 1
    assert stage.GetFramesPerSecond() == stage.GetTimeCodesPerSecond()
    codes = np.arange(stage.GetStartTimeCode(), stage.GetEndTimeCode() + 1)
    prims = {prim.GetTypeName(): prim for prim in stage.Traverse()}
    animation, mesh = UsdSkel.Animation(prims["SkelAnimation"]), UsdGeom.Mesh(prims["Mesh"])
    weights = animation.GetBlendShapeWeightsAttr()
    assert weights.GetTimeSamples() == codes.tolist()
    assert animation.GetBlendShapesAttr().Get() == UsdSkel.BindingAPI(prims["Mesh"]).GetBlendShapesAttr().Get()
    vertices = np.array(mesh.GetPointsAttr().Get())
    shapes = []
    for target in UsdSkel.BindingAPI(prims["Mesh"]).GetBlendShapeTargetsRel().GetTargets():
        shape = UsdSkel.BlendShape(stage.GetPrimAtPath(target))
        offsets = np.zeros_like(vertices)
        offsets[np.array(shape.GetPointIndicesAttr().Get(), int)] = np.array(shape.GetOffsetsAttr().Get()).reshape(
            -1, 3
        )
        shapes.append(offsets)

    def world(prim) -> np.ndarray:
        return np.stack([np.array(UsdGeom.Xformable(prim).ComputeLocalToWorldTransform(code)).T for code in codes])

    frustum = UsdGeom.Camera(prims["Camera"]).GetCamera(codes[0]).frustum
    layer = stage.GetRootLayer().customLayerData
    return ReadTake(
        list(animation.GetBlendShapesAttr().Get()),
        codes / stage.GetTimeCodesPerSecond(),
        np.array([weights.Get(code) for code in codes]),
        world(prims["Mesh"]),
        world(prims["Camera"]),
        np.array(frustum.ComputeProjectionMatrix()).T,
        np.array([0.0, 0.0, 1.0, 1.0]),
        vertices,
        np.stack(shapes),
        layer["note"],
        layer["frameRate"],
    )


if __name__ == "__main__":
    for source, out in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        np.savez(out, **asdict(read(Path(source))))
