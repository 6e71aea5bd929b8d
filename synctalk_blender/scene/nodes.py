"""Compositor nodes for Blender 4.2 to 5.x by one set of functions.

Options became sockets by and by (4.5, 5.0), nodes shared with shaders took the place of the compositor's own (5.0), and the
scene's tree became a node group (5.0). What differs is written here and nowhere else.
"""

from __future__ import annotations

from typing import Any

import bpy

HAS_NODE_GROUP = bpy.app.version >= (5, 0, 0)
_LINEAR = "scene_linear" if HAS_NODE_GROUP else "Linear Rec.709"

Tree = bpy.types.NodeTree
Node = bpy.types.Node
Socket = bpy.types.NodeSocket


def tree_of(scene: bpy.types.Scene) -> Tree | None:
    """The compositor tree of `scene`, or None when it has none."""
    if HAS_NODE_GROUP:
        return scene.compositing_node_group
    return scene.node_tree if scene.use_nodes else None


def ensure_tree(scene: bpy.types.Scene, name: str) -> Tree:
    """The compositor tree of `scene`; an empty one when it has none."""
    tree = tree_of(scene)
    if tree is not None:
        return tree
    if HAS_NODE_GROUP:
        tree = bpy.data.node_groups.new(name, "CompositorNodeTree")
        scene.compositing_node_group = tree
    else:
        is_new = scene.node_tree is None
        scene.use_nodes = True
        tree = scene.node_tree
        if is_new:
            tree.nodes.clear()
    return tree


def new_group(name: str) -> tuple[Tree, Node, Node]:
    """An empty node group with its input and output nodes."""
    tree = bpy.data.node_groups.new(name, "CompositorNodeTree")
    return tree, tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")


def add_input(
    tree: Tree,
    name: str,
    kind: str,
    default: float | None = None,
    limits: tuple[float, float] | None = None,
    tip: str = "",
) -> None:
    """Give a group an input; `kind` is `Color` or `Float`."""
    interface: Any = tree.interface  # the stubs do not know the socket types
    socket = interface.new_socket(name, in_out="INPUT", socket_type=f"NodeSocket{kind}")
    socket.description = tip
    if default is not None:
        socket.default_value = default
    if limits is not None:
        socket.min_value, socket.max_value = limits


def add_output(tree: Tree, name: str = "Image") -> None:
    """Give a group an output of colour."""
    interface: Any = tree.interface
    interface.new_socket(name, in_out="OUTPUT", socket_type="NodeSocketColor")


def group_node(tree: Tree, group: Tree) -> Node:
    """A node that stands for `group`."""
    node = tree.nodes.new("CompositorNodeGroup")
    node.node_tree = group
    node.label = group.name
    return node


def math(tree: Tree, operation: str, a: Socket | float, b: Socket | float, *, clamp: bool = False) -> Socket:
    """`operation` of two numbers."""
    node = tree.nodes.new("ShaderNodeMath" if HAS_NODE_GROUP else "CompositorNodeMath")
    node.operation, node.use_clamp = operation, clamp
    for socket, value in zip(node.inputs, (a, b), strict=False):
        _feed(tree, socket, value)
    return node.outputs[0]


def alpha_of(tree: Tree, image: Socket) -> Socket:
    """The alpha of a colour."""
    node = tree.nodes.new("CompositorNodeSeparateColor")
    tree.links.new(image, node.inputs[0])
    return node.outputs["Alpha"]


def alpha_over(tree: Tree, background: Socket, foreground: Socket) -> Node:
    """A premultiplied foreground over a background."""
    node = tree.nodes.new("CompositorNodeAlphaOver")
    first = 0 if "Background" in node.inputs else 1
    tree.links.new(background, node.inputs[first])
    tree.links.new(foreground, node.inputs[first + 1])
    return node


def set_alpha(tree: Tree, image: Socket, alpha: Socket | float, *, replace: bool) -> Socket:
    """`image` with another alpha, or (`replace` False) all four channels times `alpha`."""
    node = tree.nodes.new("CompositorNodeSetAlpha")
    _choose(node, "mode", "Type", *(("REPLACE_ALPHA", "Replace Alpha") if replace else ("APPLY", "Apply Mask")))
    tree.links.new(image, node.inputs["Image"])
    _feed(tree, node.inputs["Alpha"], alpha)
    return node.outputs[0]


def straight(tree: Tree, image: Socket) -> Socket:
    """Colour no longer multiplied by alpha."""
    return _alpha_convert(tree, image, "PREMUL_TO_STRAIGHT", "To Straight")


def premultiplied(tree: Tree, image: Socket) -> Socket:
    """Colour multiplied by alpha."""
    return _alpha_convert(tree, image, "STRAIGHT_TO_PREMUL", "To Premultiplied")


def display_encoded(tree: Tree, image: Socket) -> Socket:
    """Scene-linear colour as sRGB values."""
    return _convert(tree, image, _LINEAR, "sRGB")


def scene_linear(tree: Tree, image: Socket) -> Socket:
    """sRGB values as scene-linear colour."""
    return _convert(tree, image, "sRGB", _LINEAR)


def blur(tree: Tree, image: Socket, size_px: Socket) -> Socket:
    """A Gaussian blur that reaches `size_px` far."""
    node = tree.nodes.new("CompositorNodeBlur")
    _choose(node, "filter_type", "Type", "GAUSS", "Gaussian")
    tree.links.new(image, node.inputs["Image"])
    if node.inputs["Size"].bl_idname == "NodeSocketFloat":  # up to 4.4: a part of a size that is no socket
        node.size_x = node.size_y = _LARGEST_BLUR_PX
        size_px = math(tree, "DIVIDE", size_px, float(_LARGEST_BLUR_PX), clamp=True)
    tree.links.new(size_px, node.inputs["Size"])
    return node.outputs[0]


_LARGEST_BLUR_PX = 100


def mix(tree: Tree, factor: Socket, a: Socket, b: Socket) -> Socket:
    """a + factor · (b - a) of all four channels."""
    if HAS_NODE_GROUP:
        node = tree.nodes.new("ShaderNodeMix")
        node.data_type = "RGBA"
        inputs = [
            node.inputs["Factor_Float"] if "Factor_Float" in node.inputs else node.inputs[0],
            node.inputs[6],
            node.inputs[7],
        ]
        output = node.outputs[2]
    else:
        node = tree.nodes.new("CompositorNodeMixRGB")
        inputs, output = list(node.inputs), node.outputs[0]
    for socket, value in zip(inputs, (factor, a, b), strict=True):
        tree.links.new(value, socket)
    # Up to 4.5 the result has the alpha of `a`; the same sum in math nodes works in all versions.
    alpha_a, alpha_b = alpha_of(tree, a), alpha_of(tree, b)
    change = math(tree, "MULTIPLY", factor, math(tree, "SUBTRACT", alpha_b, alpha_a))
    return set_alpha(tree, output, math(tree, "ADD", alpha_a, change), replace=True)


def least_about(tree: Tree, value: Socket) -> Socket:
    """The least number of a pixel and those about it."""
    return _extreme(tree, value, -1)


def most_about(tree: Tree, value: Socket) -> Socket:
    """The greatest number of a pixel and those about it."""
    return _extreme(tree, value, 1)


def _extreme(tree: Tree, value: Socket, steps: int) -> Socket:
    node = tree.nodes.new("CompositorNodeDilateErode")
    _choose(node, "mode", "Type", "STEP", "Steps")
    if "Size" in node.inputs:
        node.inputs["Size"].default_value = steps
    else:
        node.distance = steps
    tree.links.new(value, node.inputs["Mask"])
    return node.outputs[0]


def transform(tree: Tree, image: Socket, x: Socket, y: Socket, scale: Socket | float) -> Socket:
    """`image` scaled about its middle, then moved, in pixels, x right and y up."""
    node = tree.nodes.new("CompositorNodeTransform")
    # Blender's bicubic is a B-spline, which blurs even an image that is not scaled.
    _choose(node, "filter_type", "Interpolation", "BILINEAR", "Bilinear")
    tree.links.new(image, node.inputs["Image"])
    for name, value in (("X", x), ("Y", y), ("Scale", scale)):
        _feed(tree, node.inputs[name], value)
    return node.outputs[0]


def scale(tree: Tree, image: Socket, x: Socket | float, y: Socket | float) -> Socket:
    """`image` scaled about its middle."""
    node = tree.nodes.new("CompositorNodeScale")
    _choose(node, "space", "Type", "RELATIVE", "Relative")
    tree.links.new(image, node.inputs["Image"])
    _feed(tree, node.inputs["X"], x)
    _feed(tree, node.inputs["Y"], y)
    return node.outputs[0]


def clear_render(tree: Tree) -> Socket:
    """An empty image of exactly the rendered size, as from a mask without an input."""
    mask = tree.nodes.new("CompositorNodeBoxMask")
    return set_alpha(tree, mask.outputs[0], 0.0, replace=False)


def fit_to_render(tree: Tree, image: Socket) -> Socket:
    """`image`, its aspect kept, as large as the render has room for."""
    node = tree.nodes.new("CompositorNodeScale")
    _choose(node, "space", "Type", "RENDER_SIZE", "Render Size")
    _choose(node, "frame_method", "Frame Type", "FIT", "Fit")
    tree.links.new(image, node.inputs["Image"])
    return node.outputs[0]


def crop(tree: Tree, image: Socket, width: int, height: int, source_height: int) -> Socket:
    """The upper left `width` x `height` pixels of `image`, which is `source_height` high."""
    node = tree.nodes.new("CompositorNodeCrop")
    tree.links.new(image, node.inputs["Image"])
    if "Width" in node.inputs:
        node.inputs["X"].default_value, node.inputs["Y"].default_value = 0, source_height - height
        node.inputs["Width"].default_value, node.inputs["Height"].default_value = width, height
        node.inputs["Alpha Crop"].default_value = False
    else:
        node.use_crop_size = True
        node.min_x, node.max_x = 0, width
        node.min_y, node.max_y = source_height, source_height - height
    return node.outputs[0]


def output_socket(tree: Tree) -> Socket:
    """The socket that takes the scene's final image; made when there is none."""
    if HAS_NODE_GROUP:
        outputs = [item for item in tree.interface.items_tree if item.item_type == "SOCKET" and item.in_out == "OUTPUT"]
        if not outputs:
            add_output(tree)
        node = next((node for node in tree.nodes if node.bl_idname == "NodeGroupOutput"), None)
        return (node or tree.nodes.new("NodeGroupOutput")).inputs[0]
    node = next((node for node in tree.nodes if node.bl_idname == "CompositorNodeComposite"), None)
    return (node or tree.nodes.new("CompositorNodeComposite")).inputs["Image"]


def arrange(tree: Tree, source: Node, target: Node) -> None:
    """Put nodes in columns by their distance from the input, so that a group that is opened can be read."""
    depth = {source: 0}
    for _ in range(len(tree.nodes)):
        for link in tree.links:
            depth[link.to_node] = max(depth.get(link.to_node, 0), depth.get(link.from_node, 0) + 1)
    rows: dict[int, int] = {}
    for node in tree.nodes:
        column = depth.get(node, 0)
        node.location = (column * 220, -rows.get(column, 0) * 220)
        rows[column] = rows.get(column, 0) + 1
    target.location.x = max(depth.values()) * 220


def _alpha_convert(tree: Tree, image: Socket, mapping: str, menu: str) -> Socket:
    node = tree.nodes.new("CompositorNodePremulKey")
    _choose(node, "mapping", "Type", mapping, menu)
    tree.links.new(image, node.inputs["Image"])
    return node.outputs[0]


def _convert(tree: Tree, image: Socket, source: str, target: str) -> Socket:
    node = tree.nodes.new("CompositorNodeConvertColorSpace")
    node.from_color_space, node.to_color_space = source, target
    tree.links.new(image, node.inputs["Image"])
    return node.outputs[0]


def _feed(tree: Tree, socket: Socket, value: Socket | float) -> None:
    if isinstance(value, Socket):
        tree.links.new(value, socket)
    else:
        socket.default_value = value


def _choose(node: Node, option: str, socket: str, value: Any, menu: str) -> None:
    """Set what is a property of the node up to some version and a menu socket after it."""
    if socket in node.inputs and node.inputs[socket].bl_idname == "NodeSocketMenu":
        node.inputs[socket].default_value = menu
    else:
        setattr(node, option, value)
