"""The node groups that a composite is made of, each made once a file: the plate in its place, the soft edge, the size, the mix."""

from __future__ import annotations

from collections.abc import Callable

import bpy

from ...backend.protocol import NO_DEPTH_M
from . import nodes, render_size
from .rig import ROLE

_FORMER_ROLES = {"SyncTalk Over": "SyncTalk Laid over"}
"""By the role of a group: the one that it has in files of earlier versions."""


def place() -> nodes.Tree:
    """The plate over its part of the footage."""
    return made_once("SyncTalk In its place", _build_place)


def edge() -> nodes.Tree:
    """The head with a soft outline."""
    return made_once("SyncTalk Edge softness", _build_edge)


def size() -> nodes.Tree:
    """What has the footage's size, where it lies in the render."""
    return made_once("SyncTalk At the render's size", render_size.build)


def over() -> nodes.Tree:
    """The head over the background."""
    return made_once("SyncTalk Over", _build_over)


def over_with_objects() -> nodes.Tree:
    """The head over the background, with objects that lie before and behind it."""
    return made_once("SyncTalk Over with objects", _build_over_with_objects)


def _build_place(tree: nodes.Tree, source: nodes.Node, target: nodes.Node) -> None:
    """The plate over its part of the footage, the seam feathered towards the inside; none where it ends at the image's."""
    nodes.add_input(tree, "Footage", "Color")
    nodes.add_input(tree, "Plate", "Color")
    nodes.add_input(tree, "X", "Float", 0.0, tip="From the middle of the image, in its pixels")
    nodes.add_input(tree, "Y", "Float", 0.0, tip="From the middle of the image, in its pixels, upwards")
    nodes.add_input(tree, "Scale", "Float", 1.0, tip="Pixels of the image for one of the plate")
    nodes.add_input(tree, "Feather", "Float", 0.0, (0.0, 100.0), tip="Width of the seam, in pixels")
    nodes.add_output(tree)
    whole = source.outputs["Footage"]
    moved = nodes.transform(
        tree, source.outputs["Plate"], source.outputs["X"], source.outputs["Y"], source.outputs["Scale"]
    )
    # Over nothing of the footage's size first: then the plate's outline can be blurred in the footage's pixels.
    nothing = nodes.set_alpha(tree, whole, 0.0, replace=False)
    plate = nodes.alpha_over(tree, nothing, moved).outputs[0]
    outline = nodes.blur(tree, nodes.alpha_of(tree, plate), source.outputs["Feather"])
    inside = nodes.math(tree, "SUBTRACT", nodes.math(tree, "MULTIPLY", outline, 2.0), 1.0, clamp=True)
    feathered = nodes.set_alpha(tree, plate, inside, replace=False)
    tree.links.new(nodes.alpha_over(tree, whole, feathered).outputs[0], target.inputs[0])


def _build_edge(tree: nodes.Tree, source: nodes.Node, target: nodes.Node) -> None:
    """Softens and shrinks the head's outline.

    Colour and alpha are blurred as one, premultiplied, and only ever multiplied by what is at most 1: colour that is not
    there (black) never enters, so no setting makes a fringe.
    """
    nodes.add_input(tree, "Head", "Color")
    nodes.add_input(tree, "Softness", "Float", 1.0, (0.0, 50.0), tip="How far the outline is blurred, in pixels")
    nodes.add_input(tree, "Shrink", "Float", 0.0, (0.0, 1.0), tip="Contracts the outline by up to the softness")
    nodes.add_output(tree)
    head, shrink = source.outputs["Head"], source.outputs["Shrink"]
    soft = nodes.blur(tree, head, source.outputs["Softness"])
    matte = nodes.alpha_of(tree, soft)
    outside = nodes.math(tree, "SUBTRACT", 1.0, matte)
    # 4 a (1 - a): 1 on the outline, 0 inside, where the face keeps its detail, and outside.
    outline = nodes.math(tree, "MULTIPLY", nodes.math(tree, "MULTIPLY", matte, outside), 4.0, clamp=True)
    mixed = nodes.mix(tree, outline, head, soft)
    taken = nodes.math(tree, "MULTIPLY", nodes.math(tree, "MULTIPLY", shrink, outside), 2.0)
    kept = nodes.math(tree, "SUBTRACT", 1.0, taken, clamp=True)
    tree.links.new(nodes.set_alpha(tree, mixed, kept, replace=False), target.inputs[0])


def _build_over(tree: nodes.Tree, source: nodes.Node, target: nodes.Node) -> None:
    """The head over the background, in display-encoded values.

    The head was trained on images mixed so: mixed in linear light, hair would come out too thin.
    """
    nodes.add_input(tree, "Background", "Color")
    nodes.add_input(tree, "Head", "Color")
    nodes.add_output(tree)
    head = nodes.display_encoded(tree, nodes.straight(tree, source.outputs["Head"]))
    background = nodes.display_encoded(tree, source.outputs["Background"])
    over = nodes.alpha_over(tree, background, nodes.premultiplied(tree, head))
    tree.links.new(nodes.scene_linear(tree, over.outputs[0]), target.inputs[0])


def _build_over_with_objects(tree: nodes.Tree, source: nodes.Node, target: nodes.Node) -> None:
    """Objects hide the head and are hidden by it.

    Each pixel of the objects is divided between what lies before the head and what lies behind. Edges stay antialiased: where object or
    head ends its alpha says so, depth only has to reach as far; where one passes through the other the softness does.
    """
    nodes.add_input(tree, "Background", "Color")
    nodes.add_input(tree, "Head", "Color")
    nodes.add_input(tree, "Head Depth", "Float", 0.0, tip="The pass Depth of the engine SyncTalk")
    nodes.add_input(tree, "Objects", "Color", tip="Rendered with a transparent background")
    nodes.add_input(tree, "Object Depth", "Float", 0.0, tip="The objects' pass Depth")
    nodes.add_input(tree, "Opaque Depth", "Float", NO_DEPTH_M, tip="Depth of what cannot be seen through")
    nodes.add_input(
        tree, "Softness", "Float", 0.004, (0.0001, 0.1), tip="Over which an object goes into the head, in metres"
    )
    nodes.add_output(tree)
    objects = source.outputs["Objects"]

    def before(depth: nodes.Socket) -> nodes.Socket:
        """How much of what has this depth is before the head."""
        metres = nodes.math(tree, "SUBTRACT", source.outputs["Head Depth"], depth)
        steps = nodes.math(tree, "DIVIDE", metres, source.outputs["Softness"])
        return nodes.math(tree, "ADD", steps, 0.5, clamp=True)

    # An object's antialiased edge reaches a pixel further than its depth.
    nearest = nodes.least_about(tree, source.outputs["Object Depth"])
    opaque = _opaque_depth(tree, source.outputs["Opaque Depth"])
    share = nodes.math(tree, "MINIMUM", before(nearest), before(opaque))
    # Shares that together, one over the other, are the object's own alpha: a (1 - s) / (1 - s a) behind s a.
    covered = nodes.math(tree, "MULTIPLY", share, nodes.alpha_of(tree, objects))
    left = nodes.math(tree, "MAXIMUM", nodes.math(tree, "SUBTRACT", 1.0, covered), 1e-4)
    rest = nodes.math(tree, "DIVIDE", nodes.math(tree, "SUBTRACT", 1.0, share), left, clamp=True)
    behind = nodes.alpha_over(
        tree, source.outputs["Background"], nodes.set_alpha(tree, objects, rest, replace=False)
    ).outputs[0]
    head = nodes.group_node(tree, over())
    tree.links.new(behind, head.inputs["Background"])
    tree.links.new(source.outputs["Head"], head.inputs["Head"])
    front = nodes.set_alpha(tree, objects, share, replace=False)
    tree.links.new(nodes.alpha_over(tree, head.outputs[0], front).outputs[0], target.inputs[0])


def _opaque_depth(tree: nodes.Tree, given: nodes.Socket) -> nodes.Socket:
    """Depth of what cannot be seen through, a pixel further than it is given, and 0 for nothing.

    A lens is before the head, and what is seen through it may be behind: as the image has both in one, neither is shown there. Where a
    path was reflected, the depth is the lens's own: such a lone pixel gets that of those about it, a rim of three keeps its own.
    """
    exists = nodes.math(tree, "LESS_THAN", given, NO_DEPTH_M / 2)
    furthest = nodes.most_about(tree, nodes.math(tree, "MULTIPLY", given, exists))
    own = nodes.math(tree, "MULTIPLY", nodes.least_about(tree, furthest), exists)
    missing = nodes.math(tree, "SUBTRACT", 1.0, exists)
    return nodes.math(tree, "ADD", own, nodes.math(tree, "MULTIPLY", furthest, missing))


def made_once(
    name: str, build: Callable[[nodes.Tree, nodes.Node, nodes.Node], None], title: str | None = None
) -> nodes.Tree:
    """The group that `build` fills, made once a file; one of an earlier version, with the artist's edits, gets its new name.

    Args:
        name: its role; without "SyncTalk " its title too, where none is given.
    """
    for role in (name, _FORMER_ROLES.get(name, name)):
        found = next((group for group in bpy.data.node_groups if group.get(ROLE) == role), None)
        if found is not None:
            _rename(found, role, name)
            return found
    tree, source, target = nodes.new_group(title or name.removeprefix("SyncTalk "))
    tree[ROLE] = name
    build(tree, source, target)
    nodes.arrange(tree, source, target)
    return tree


def _rename(group: nodes.Tree, former: str, name: str) -> None:
    if former == name or group.library is not None:  # a linked group is its own file's to rename
        return
    if group.name == former.removeprefix("SyncTalk "):  # not where the artist has chosen another
        group.name = name.removeprefix("SyncTalk ")
    group[ROLE] = name
