"""Glasses on a head: a Cycles object, fixed to the tracked head points, that hides the head and is hidden by it.

    .venvs/blender/bin/python examples/glasses.py --workspace WS --out DIR

The workspace must have a trained head. Writes DIR/glasses.blend, in which the head turns from 8° right to 8° left, and DIR/glasses.jpg:
both ends and the middle of that turn.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import bpy
import numpy as np
from console import synctalk_api
from mathutils import Vector

TURN_DEG = 8.0
FRAMES = (1, 13, 25)
SIZE, SHOWN = 1024, 0.5
"""Of a rendered frame, and the part of its side that the image shows."""

PUPILS, TEMPLES = (468, 473), ((127, 234), (356, 454))
"""Vertices of the face mesh."""
LENS_M = (0.0265, 0.0205)
"""Half the width and height of a lens."""
HALF_BRIDGE_M = 0.0105
BEFORE_THE_EYES_M = 0.022
BESIDE_M = 0.003
"""Between the arms and the head's widest place."""
THICK_M = 0.0016


def main(args: argparse.Namespace) -> None:
    """Build the scene, save it, and render the image."""
    api = synctalk_api()
    try:
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        args.out.mkdir(parents=True, exist_ok=True)
        rig = api.import_tracking(args.workspace)
        scene = bpy.context.scene
        api.composite()
        turn_head(rig.control)
        light(scene, rig.control)
        glasses(rig)
        objects = api.composite_objects()
        objects.cycles.samples = args.samples
        scene.frame_start, scene.frame_end = FRAMES[0], FRAMES[-1]
        scene.render.resolution_percentage = round(100 * SIZE / scene.render.resolution_x)
        scene.render.filepath = "//glasses_"
        bpy.ops.wm.save_as_mainfile(filepath=str(args.out / "glasses.blend"), check_existing=False)
        print(f"Wrote {render(scene, rig.control, args.out)} and {args.out / 'glasses.blend'}", flush=True)
    finally:
        api.close()


def turn_head(control: bpy.types.Object) -> None:
    """Key the control: what it adds to the footage's motion."""
    for frame, degrees in ((FRAMES[0], -TURN_DEG), (FRAMES[-1], TURN_DEG)):
        control.rotation_euler.z = np.radians(degrees)
        control.keyframe_insert("rotation_euler", frame=frame)


def light(scene: bpy.types.Scene, control: bpy.types.Object) -> None:
    """A soft light from above the camera, and a grey world to be reflected."""
    lamp = bpy.data.lights.new("key", "AREA")
    lamp.energy, lamp.size = 12.0, 0.8
    item = bpy.data.objects.new("key", lamp)
    item.location = control.matrix_world.translation + Vector((-0.6, -0.9, 0.7))
    item.rotation_euler = (control.matrix_world.translation - item.location).to_track_quat("-Z", "Y").to_euler()
    scene.collection.objects.link(item)
    world = bpy.data.worlds.new("studio")
    world.color = 0.5, 0.5, 0.5
    scene.world = world


def glasses(rig) -> bpy.types.Object:
    """A pair of glasses, fixed to three of the tracked head points."""
    face = np.array([vertex.co for vertex in rig.face.data.vertices])
    middle = face[list(PUPILS)].mean(0)
    root = bpy.data.objects.new("glasses", None)
    root.empty_display_size = 0.05
    bpy.context.scene.collection.objects.link(root)
    fix_to_points(root, rig)

    frame, lens = acetate(), clear()
    front_y, x, z = middle[1] - BEFORE_THE_EYES_M, HALF_BRIDGE_M + LENS_M[0], middle[2] - 0.002
    for side, temples in ((-1, TEMPLES[0]), (1, TEMPLES[1])):
        centre = np.array([middle[0] + side * x, front_y, z])
        u, v = superellipse(48)
        rim = centre + np.stack([LENS_M[0] * u, 0.005 * np.maximum(side * u, 0) ** 2, LENS_M[1] * v], 1)
        curve("rim", [rim], frame, root, cyclic=True)
        pane("lens", rim, lens, root)
        hinge = centre + np.array([side * (LENS_M[0] + 0.001), 0.005, 0.011])
        beside = max(abs(face[list(temples), 0])) + BESIDE_M
        arm = [
            hinge,
            [side * (beside - 0.001), hinge[1] + 0.003, hinge[2] + 0.001],
            [side * beside, hinge[1] + 0.045, hinge[2] + 0.001],
            [side * (beside + 0.002), hinge[1] + 0.100, hinge[2]],
            [side * (beside + 0.001), hinge[1] + 0.128, hinge[2] - 0.006],
            [side * (beside - 0.002), hinge[1] + 0.142, hinge[2] - 0.032],
        ]
        curve("arm", [arm], frame, root, smooth=True)
    along = np.linspace(-1.1, 1.1, 9)
    arch = 1 - along**2
    bridge = np.stack([middle[0] + HALF_BRIDGE_M * along, front_y - 0.002 * arch, z + 0.007 + 0.003 * arch], 1)
    curve("bridge", [bridge], frame, root)
    return root


def fix_to_points(item: bpy.types.Object, rig) -> None:
    """Parent to three points, far apart and often seen, and have its axes be the head control's."""
    points = rig.points.data
    places = np.array([vertex.co for vertex in points.vertices])
    often = np.flatnonzero(np.array([value.value for value in points.attributes["seen"].data]) > 0.8)
    left, right = often[np.argmin(places[often, 0])], often[np.argmax(places[often, 0])]
    away = np.linalg.norm(np.cross(places[often] - places[left], places[right] - places[left]), axis=1)
    item.parent, item.parent_type = rig.points, "VERTEX_3"
    item.parent_vertices = int(left), int(right), int(often[np.argmax(away)])
    bpy.context.view_layer.update()
    item.matrix_parent_inverse = item.matrix_world.inverted() @ rig.control.matrix_world


def superellipse(count: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of points on a rounded rectangle in [-1, 1]², its sides a little lower than its middle."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    x, y = (np.sign(part) * np.abs(part) ** 0.62 for part in (np.cos(angles), np.sin(angles)))
    return x, y - 0.06 * np.cos(angles) ** 2


def curve(name, lines, material, parent, *, cyclic=False, smooth=False) -> None:
    """A tube along each line."""
    data = bpy.data.curves.new(name, "CURVE")
    data.dimensions, data.bevel_depth, data.bevel_resolution, data.use_fill_caps = "3D", THICK_M, 4, True
    for line in lines:
        spline = data.splines.new("NURBS" if smooth else "POLY")
        spline.points.add(len(line) - 1)
        spline.points.foreach_set("co", np.concatenate([line, np.ones((len(line), 1))], 1).ravel())
        spline.use_cyclic_u = cyclic
        if smooth:
            spline.use_endpoint_u, spline.order_u, spline.resolution_u = True, 4, 12
    data.materials.append(material)
    add(bpy.data.objects.new(name, data), parent)


def pane(name, outline, material, parent) -> None:
    """A face within an outline."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([tuple(point) for point in outline], [], [list(range(len(outline)))])
    mesh.materials.append(material)
    add(bpy.data.objects.new(name, mesh), parent)


def add(item: bpy.types.Object, parent: bpy.types.Object) -> None:
    """Put an object into the scene, below another."""
    item.parent = parent
    bpy.context.scene.collection.objects.link(item)


def acetate() -> bpy.types.Material:
    """Dark, polished plastic."""
    material, shader = new_material("acetate", "ShaderNodeBsdfPrincipled")
    shader.inputs["Base Color"].default_value = (0.035, 0.018, 0.010, 1.0)
    shader.inputs["Roughness"].default_value = 0.22
    return material


def clear() -> bpy.types.Material:
    """A thin lens: it lets nearly all through and reflects a little, more at a slant."""
    material, mixed = new_material("lens", "ShaderNodeMixShader")
    nodes, links = material.node_tree.nodes, material.node_tree.links
    fresnel, through, glossy = (nodes.new(f"ShaderNode{name}") for name in ("Fresnel", "BsdfTransparent", "BsdfGlossy"))
    fresnel.inputs["IOR"].default_value = 1.4
    glossy.inputs["Roughness"].default_value = 0.02
    links.new(fresnel.outputs[0], mixed.inputs[0])
    links.new(through.outputs[0], mixed.inputs[1])
    links.new(glossy.outputs[0], mixed.inputs[2])
    return material


def new_material(name: str, shader: str):
    """A material, and the node that makes its surface."""
    material = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0, 0):
        material.use_nodes = True
    nodes = material.node_tree.nodes
    nodes.clear()
    output, surface = nodes.new("ShaderNodeOutputMaterial"), nodes.new(shader)
    material.node_tree.links.new(surface.outputs[0], output.inputs["Surface"])
    return material, surface


def render(scene: bpy.types.Scene, control: bpy.types.Object, out: Path) -> Path:
    """The frames side by side, cut about the head."""
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format = "PNG"
    parts = []
    for frame in FRAMES:
        scene.frame_set(frame)
        scene.render.filepath = str(out / f"glasses_{frame:04d}.png")
        bpy.ops.render.render(write_still=True)
        parts.append(read(scene.render.filepath))
    side = round(SHOWN * SIZE)
    left, low = (SIZE - side) // 2, round(0.37 * SIZE)
    strip = np.concatenate([part[low : low + side, left : left + side] for part in parts], 1)
    image = bpy.data.images.new("glasses", strip.shape[1], strip.shape[0])
    image.pixels.foreach_set(strip.astype(np.float32).ravel())
    image.file_format = "JPEG"
    image.save(filepath=str(out / "glasses.jpg"), quality=92)
    return out / "glasses.jpg"


def read(path: str) -> np.ndarray:
    """(H, W, 4) of an image file, bottom row first."""
    image = bpy.data.images.load(path)
    pixels = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(pixels)
    return pixels.reshape(image.size[1], image.size[0], 4)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Glasses on a trained head, in front of it and behind.")
    parser.add_argument("--workspace", type=Path, required=True, help="with a trained head")
    parser.add_argument("--out", type=Path, required=True, help="folder for glasses.blend and glasses.jpg")
    parser.add_argument("--samples", type=int, default=64, help="of Cycles, a pixel (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    status = 0
    try:
        main(arguments())
    except Exception as error:
        if not hasattr(error, "kind"):
            raise
        print(f"Error: {error}", file=sys.stderr)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # some versions of the bpy module hang or crash while Python takes itself down
