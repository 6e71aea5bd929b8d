"""The visible mark “AI” over the composite: the one that `render --label` draws, at the same place (docs/provenance.md)."""

from __future__ import annotations

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ...backend.workspace import label as drawing
from . import camera as cameras
from . import composite_groups, nodes, render_size
from .compositor import marked, node_of

_ROLE = "label"
_DRAWN_FOR = "synctalk_drawn_for"
"""On the node: the render's size, for which the mark is drawn."""


def show_label(scene: bpy.types.Scene, shown: bool) -> None:
    """Put the mark over the composite of `scene`, or take it away; nothing without a composite."""
    tree = nodes.tree_of(scene)
    if tree is None or node_of(tree, "output") is None:
        return
    node = node_of(tree, _ROLE)
    if node is None:
        if not shown:
            return
        node = marked(nodes.group_node(tree, _group(scene)), _ROLE, None, (1220, -520))
        _insert(tree, node)
        _follow(node, scene)
    node.mute = not shown
    _draw(node, scene)


def _insert(tree: nodes.Tree, node: nodes.Node) -> None:
    """Let the node be the last before the warning, else before the output."""
    warning = node_of(tree, "warning")
    target = nodes.output_socket(tree) if warning is None else warning.inputs["Image"]
    for link in list(target.links):
        tree.links.new(link.from_socket, node.inputs["Image"])
    tree.links.new(node.outputs[0], target)


def _group(scene: bpy.types.Scene) -> nodes.Tree:
    """The group, one for a scene: its image has the size of the scene's mark."""
    return composite_groups.made_once(f"{_ROLE} of {scene.name}", _build, "AI Label")


def _build(tree: nodes.Tree, source: nodes.Node, target: nodes.Node) -> None:
    nodes.add_input(tree, "Image", "Color")
    for name, tip in (
        ("Right", "Its right edge, from the middle of what is rendered, in pixels"),
        ("Top", "Its upper edge, from the middle of what is rendered, in pixels"),
        ("Size", "Its height, in pixels of the render"),
        ("Drawn Size", "Its height in its image, in pixels"),
        ("Width", "Of its image"),
        ("Height", "Of its image"),
    ):
        nodes.add_input(tree, name, "Float", 0.0, tip=tip)
    nodes.add_output(tree)
    shown = tree.nodes.new("CompositorNodeImage")
    shown.image = bpy.data.images.new("AI label", 1, 1, alpha=True)
    scale = nodes.math(tree, "DIVIDE", source.outputs["Size"], source.outputs["Drawn Size"])
    x, y = (
        nodes.math(
            tree,
            "SUBTRACT",
            source.outputs[edge],
            nodes.math(tree, "MULTIPLY", nodes.math(tree, "MULTIPLY", scale, source.outputs[length]), 0.5),
        )
        for edge, length in (("Right", "Width"), ("Top", "Height"))
    )
    moved = nodes.transform(tree, shown.outputs["Image"], x, y, scale)
    mark = nodes.alpha_over(tree, nodes.clear_render(tree), moved)
    over = nodes.group_node(tree, composite_groups.over())
    tree.links.new(source.outputs["Image"], over.inputs["Background"])
    tree.links.new(mark.outputs[0], over.inputs["Head"])
    tree.links.new(over.outputs[0], target.inputs[0])


def _follow(node: nodes.Node, scene: bpy.types.Scene) -> None:
    """Drive size and place by the scene's output settings: where no add-on draws the mark again, it is scaled and stays in its corner."""
    width, height = render_size.WIDTH, render_size.HEIGHT
    expressions = {"Size": f"max({drawing.MIN_PX}, floor({drawing.HEIGHT} * min({width}, {height}) + .5))"}
    for name, side, from_region in zip(("Right", "Top"), (width, height), render_size.FROM_REGION, strict=True):
        expressions[name] = f"{side} / 2 - floor({drawing.SAFE} * {side} + .5) + {from_region}"
    for name, expression in expressions.items():
        render_size.drive(node.inputs[name], "default_value", expression, scene)


def _draw(node: nodes.Node, scene: bpy.types.Scene) -> None:
    """Draw the mark for the scene's size."""
    width, height = cameras.render_size(scene)
    wide, tall = drawing.size_px(width, height)
    # A side that differs from the frame's by an odd number would lie half a pixel off.
    left, below = (width - wide) % 2, (height - tall) % 2
    size = wide + left, tall + below
    image = next(item.image for item in node.node_tree.nodes if item.bl_idname == "CompositorNodeImage")
    if tuple(image.size) != size:
        pixels = np.zeros((size[1], size[0], 4), np.float32)  # from the bottom up
        mark = drawing.mark(wide, tall)[::-1]
        pixels[below:, left:, 3:] = mark[..., 3:]
        pixels[below:, left:, :3] = mark[..., :3] / np.maximum(mark[..., 3:], 1e-6)
        image.scale(*size)
        image.pixels.foreach_set(pixels.ravel())
        image.update()
        image.pack()
    for name, value in (("Drawn Size", tall), ("Width", size[0]), ("Height", size[1])):
        node.inputs[name].default_value = value
    node[_DRAWN_FOR] = width, height


@persistent
def _before_render(scene: bpy.types.Scene, *_arguments: object) -> None:
    """The scene may have another size by now."""
    tree = nodes.tree_of(scene)
    node = None if tree is None else node_of(tree, _ROLE)
    if node is None or node.mute or scene.library is not None:
        return
    if tuple(node.get(_DRAWN_FOR, ())) != cameras.render_size(scene):
        _draw(node, scene)


def register() -> None:
    bpy.app.handlers.render_init.append(_before_render)


def unregister() -> None:
    bpy.app.handlers.render_init.remove(_before_render)
