"""What has the footage's size stays where the engine renders the head, for any size, aspect, pixels and region of the
scene.

Drivers read the scene's output settings, by simple expressions, which run without any permission for scripts. The footage's
width fills the render's, as the imported camera sees it; above and below more or less is shown.
"""

from __future__ import annotations

import re

import bpy

from . import nodes

_PATHS = {
    "x": "render.resolution_x",
    "y": "render.resolution_y",
    "percent": "render.resolution_percentage",
    "aspect_x": "render.pixel_aspect_x",
    "aspect_y": "render.pixel_aspect_y",
    "border": "render.use_border",
    "crop": "render.use_crop_to_border",
    "left": "render.border_min_x",
    "right": "render.border_max_x",
    "low": "render.border_min_y",
    "high": "render.border_max_y",
}
"""What the drivers read of the scene, by the names that their expressions give it."""

WIDTH, HEIGHT = "floor(x * percent / 100)", "floor(y * percent / 100)"
"""Of the whole frame, in pixels."""
FROM_REGION = tuple(
    f"border * crop * ({side} - floor({low} * {side} + .0001) - floor({high} * {side} + .0001)) / 2"
    for side, low, high in ((WIDTH, "left", "right"), (HEIGHT, "low", "high"))
)
"""x and y, upwards, of the whole frame's middle from the middle of what is rendered, which is elsewhere for a region; its sides are whole
pixels."""
_ASPECT = "(x * aspect_x / (y * aspect_y))"


def drive(owner: bpy.types.bpy_struct, name: str, expression: str, scene: bpy.types.Scene, index: int = -1) -> None:
    """Let a property follow the output settings of `scene`."""
    owner.driver_remove(name, index)
    driver = owner.driver_add(name, index).driver
    driver.type = "SCRIPTED"
    for word, path in _PATHS.items():
        if re.search(rf"\b{word}\b", expression):
            variable = driver.variables.new()
            variable.name = word
            target = variable.targets[0]
            target.id_type, target.id, target.data_path = "SCENE", scene, path
    driver.expression = expression


def place_in_render(
    node: nodes.Node,
    scene: bpy.types.Scene,
    footage_width: int,
    middle: tuple[float, float] = (0.0, 0.0),
    scale: float = 1.0,
) -> None:
    """Drive a node of the group that `build` fills.

    Args:
        middle: of the image, from the footage's middle, in the footage's pixels, y up.
        scale: pixels of the footage for one of the image.
    """
    x, y = f"{WIDTH} / {footage_width}", f"{WIDTH} / {footage_width} * aspect_x / aspect_y"
    expressions = {
        "Scale X": f"{x} * {scale:.9g}",
        "Scale Y": f"{y} * {scale:.9g}",
        "X": f"{FROM_REGION[0]} + {x} * {middle[0]:.9g}",
        "Y": f"{FROM_REGION[1]} + {y} * {middle[1]:.9g}",
    }
    for name, expression in expressions.items():
        drive(node.inputs[name], "default_value", expression, scene)


def build(tree: nodes.Tree, source: nodes.Node, target: nodes.Node) -> None:
    """Fill a group: what has the footage's size at its place in the render, clear beyond it."""
    nodes.add_input(tree, "Image", "Color")
    add_inputs(tree)
    nodes.add_output(tree)
    tree.links.new(placed(tree, source, source.outputs["Image"]), target.inputs[0])


def add_inputs(tree: nodes.Tree) -> None:
    """The inputs that `place_in_render` drives."""
    nodes.add_input(tree, "Scale X", "Float", 1.0, tip="Pixels of the render for one of the image")
    nodes.add_input(tree, "Scale Y", "Float", 1.0, tip="Pixels of the render for one of the image")
    nodes.add_input(tree, "X", "Float", 0.0, tip="From the middle of what is rendered, in its pixels")
    nodes.add_input(tree, "Y", "Float", 0.0, tip="From the middle of what is rendered, in its pixels, upwards")


def placed(tree: nodes.Tree, source: nodes.Node, image: nodes.Socket) -> nodes.Socket:
    """`image` at its place in the render, clear beyond it; `source` has the inputs of `add_inputs`."""
    nothing = nodes.clear_render(tree)
    scaled = nodes.scale(tree, image, source.outputs["Scale X"], source.outputs["Scale Y"])
    moved = nodes.transform(tree, scaled, source.outputs["X"], source.outputs["Y"], 1.0)
    return nodes.alpha_over(tree, nothing, moved).outputs[0]


def place_behind_camera(
    background: bpy.types.CameraBackgroundImage,
    scene: bpy.types.Scene,
    frame_size: tuple[int, int],
    rectangle: tuple[float, float, float, float],
) -> None:
    """Put a background image where it lies in the footage, by Blender's own sums (`camera_background_images` of its overlays).

    Blender fits an image into the camera's frame, and measures its offset in the frame's width, or in its height where that
    is less.

    Args:
        frame_size: of the footage, pixels.
        rectangle: x and y of the image's middle, its width and its height, in the footage's pixels; y down.
    """
    width, height = frame_size
    x, y, image_width, image_height = rectangle
    background.frame_method = "FIT"
    aspect = image_width / image_height
    drive(background, "scale", f"{image_width / width} * max(1, {_ASPECT} / {aspect})", scene)
    for index, distance in enumerate(((x - width / 2) / width, (height / 2 - y) / width)):
        drive(background, "offset", f"{distance} / min(1, {_ASPECT})", scene, index)
