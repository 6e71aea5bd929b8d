"""What else the scene holds, rendered by Cycles and composited with the head: objects hide it, and are hidden by it.

An engine renders a scene alone. So a second scene, which holds nothing but has the first as its background set, is rendered by
another engine for the same frame, through the same camera. It has two view layers: what is seen, and the depth of what cannot be seen
through, such as the far arm of a pair of glasses behind its lens.
"""

from __future__ import annotations

from typing import Any, cast

import bpy
from bpy.app.handlers import persistent

from . import composite_groups, nodes, rig
from .compositor import is_composed, marked, node_of
from .errors import SceneError

_ROLE, _OPAQUE = "objects", "opaque objects"
_LEAST_ALPHA = {_ROLE: 0.01, _OPAQUE: 0.5}
"""By view layer: from which alpha a surface has a depth. A lens that is nearly clear has one, the rig's invisible face has none."""
_OPAQUE_SAMPLES = 4
"""Depth is that of the first."""


def show_objects(scene: bpy.types.Scene, found: rig.Rig) -> bpy.types.Scene:
    """Composite the objects of `scene` with the head, before it and behind it; returns the scene that renders them.

    Where that is done already, only what was lost is made again.

    Raises:
        SceneError: there is no composite of the head, its node “Over” is gone, or its head is baked.
    """
    tree = nodes.tree_of(scene)
    if tree is None or not is_composed(scene, found):
        raise SceneError("There is no composite of this head: press Build Composite in the Composite panel.")
    engine = node_of(tree, "engine")
    if engine is None:
        raise SceneError(
            "Baked frames of the head have no depth: press Rebuild Composite in the Composite panel, then add the objects."
        )
    layer = scene.view_layers[engine.layer]
    layer.use_pass_z = True
    rendered = _scene_of_objects(scene)
    over = node_of(tree, "output")
    _use_group(tree, over, composite_groups.over_with_objects())
    layer.update_render_passes()
    seen, opaque = (_layer_node(tree, role, rendered, index) for index, role in enumerate((_ROLE, _OPAQUE)))
    for source, target in (
        (engine.outputs["Depth"], "Head Depth"),
        (seen.outputs["Image"], "Objects"),
        (seen.outputs["Depth"], "Object Depth"),
        (opaque.outputs["Depth"], "Opaque Depth"),
    ):
        if not over.inputs[target].links:
            tree.links.new(source, over.inputs[target])
    return rendered


def _layer_node(tree: nodes.Tree, role: str, rendered: bpy.types.Scene, index: int) -> nodes.Node:
    layer = rendered.view_layers[index]
    layer.update_render_passes()
    node = node_of(tree, role)
    if node is None:
        node = marked(tree.nodes.new("CompositorNodeRLayers"), role, None, (420, -1100 - 420 * index))
        node.label = role.capitalize()
        node.scene, node.layer = rendered, layer.name
    return node


def _scene_of_objects(scene: bpy.types.Scene) -> bpy.types.Scene:
    objects = next(
        (item for item in bpy.data.scenes if item.get(rig.ROLE) == _ROLE and item.background_set == scene), None
    )
    if objects is None:
        objects = bpy.data.scenes.new(f"{scene.name} objects")
        objects[rig.ROLE] = _ROLE
        objects.background_set = scene
        objects.render.engine = cast(Any, "CYCLES")
        objects.render.film_transparent = True
        seen, opaque = objects.view_layers[0], objects.view_layers.new("Opaque depth")
        for layer, role in ((seen, _ROLE), (opaque, _OPAQUE)):
            layer.use_pass_z, layer.pass_alpha_threshold = True, _LEAST_ALPHA[role]
        opaque.samples = _OPAQUE_SAMPLES
    _follow(objects)
    return objects


def _use_group(tree: nodes.Tree, node: nodes.Node, group: nodes.Tree) -> None:
    """Let a node stand for another group, its links kept by the names of their sockets."""
    if node.node_tree == group:
        return
    given = [(link.from_socket, link.to_socket.name) for socket in node.inputs for link in socket.links]
    taken = [(link.from_socket.name, link.to_socket) for socket in node.outputs for link in socket.links]
    node.node_tree, node.label = group, group.name
    for source, name in given:
        if name in node.inputs:
            tree.links.new(source, node.inputs[name])
    for name, target in taken:
        if name in node.outputs:
            tree.links.new(node.outputs[name], target)


def _follow(objects: bpy.types.Scene) -> None:
    """See what the first scene sees, in its light."""
    scene = objects.background_set
    if scene is not None:
        objects.camera, objects.world = scene.camera, scene.world


@persistent
def _before_render(_scene: bpy.types.Scene, *_arguments: object) -> None:
    """The first scene may have another camera by now."""
    for item in bpy.data.scenes:
        if item.get(rig.ROLE) == _ROLE and item.library is None:
            _follow(item)


def register() -> None:
    bpy.app.handlers.render_init.append(_before_render)


def unregister() -> None:
    bpy.app.handlers.render_init.remove(_before_render)
