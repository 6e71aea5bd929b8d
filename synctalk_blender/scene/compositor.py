"""The node tree that composites the head over the footage.

    Footage ──────────┐
    Clean plate ──────┴─> in its place ──> at the render's size ──┐
    Neural head ──> Edge softness ────────────────────────────────┴─> Over ──> Warning ──> Output

The head comes from Render Layers, which the engine “SyncTalk” renders, or from baked frames. Nodes are found by a custom
property: composing again renews what they show and leaves values, places and links of the artist's as they are.
"""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np

from ...backend.workspace.store import Workspace
from ...backend.workspace.subject import Subject
from . import composite_groups, footage, nodes, render_size, rig, warning
from .errors import SceneError
from .scene_setup import FIRST_FRAME

ENGINE_PASS = warning.PASS
_BAKED_SIZE = "baked at render size"
_COLOURS = {
    "Footage": (0.20, 0.28, 0.36),
    "Clean plate": (0.22, 0.34, 0.24),
    "Neural head": (0.38, 0.27, 0.18),
    "Edge softness": (0.32, 0.24, 0.36),
    "Output": (0.28, 0.28, 0.28),
}


def compose(
    scene: bpy.types.Scene,
    found: rig.Rig,
    workspace: Workspace,
    plate_frame: np.ndarray,
    *,
    frames: Path | None = None,
    first_frame: int = FIRST_FRAME,
) -> nodes.Tree:
    """Build the composite of `found`, or renew it.

    Args:
        plate_frame: (N), the footage's frame beneath each scene frame from `first_frame` on (`Timing.shown`).
        frames: folder of baked frames `000000.png` …; None takes the head from the engine.

    Raises:
        SceneError: images are missing.
    """
    subject = workspace.subject
    tree = nodes.ensure_tree(scene, f"SyncTalk {subject.name}")
    if node_of(tree, "output") is None:
        _build(tree, subject)
    _show_footage(tree, workspace, plate_frame, first_frame)
    _connect_head(scene, tree, subject, np.arange(first_frame, first_frame + len(plate_frame)), frames)
    _replace_fixed_size(tree)
    for role in ("at render size", _BAKED_SIZE):
        if (node := node_of(tree, role)) is not None:
            render_size.place_in_render(node, scene, subject.frame_size[0])
    _warn_without_engine(scene, tree, is_live=frames is None)
    scene.render.use_compositing = True
    footage.show_plate(found.camera)
    return tree


def is_composed(scene: bpy.types.Scene, found: rig.Rig | None = None) -> bool:
    """Whether the scene's compositor holds the tree that `compose` builds, and of `found`, where that is given."""
    tree = nodes.tree_of(scene)
    if tree is None or node_of(tree, "output") is None:
        return False
    plate = node_of(tree, "plate")
    shown = plate.image.get(rig.SUBJECT) if plate is not None and plate.image is not None else None
    return found is None or shown is None or shown == found.collection.get(rig.SUBJECT, shown)


def _build(tree: nodes.Tree, subject: Subject) -> None:
    frames = {title: frame_node(tree, title, _COLOURS[title]) for title in _COLOURS}

    clip = image_node(tree, frames["Footage"], "footage", "Footage", (0, 220))
    plate = image_node(tree, frames["Clean plate"], "plate", "Footage without the head", (0, -260))
    placed = marked(nodes.group_node(tree, composite_groups.place()), "place", frames["Clean plate"], (320, -160))
    set_place(placed, subject)
    tree.links.new(_trimmed(tree, frames["Footage"], clip, subject), placed.inputs["Footage"])
    tree.links.new(plate.outputs["Image"], placed.inputs["Plate"])

    soft = marked(
        nodes.group_node(tree, composite_groups.edge()), "edge softness", frames["Edge softness"], (420, -740)
    )

    sized = marked(nodes.group_node(tree, composite_groups.size()), "at render size", frames["Output"], (680, -160))
    tree.links.new(placed.outputs[0], sized.inputs["Image"])
    over = marked(nodes.group_node(tree, composite_groups.over()), "output", frames["Output"], (920, -300))
    tree.links.new(sized.outputs[0], over.inputs["Background"])
    tree.links.new(soft.outputs[0], over.inputs["Head"])
    final = nodes.output_socket(tree)
    final.node.location = (1220, -300)
    tree.links.new(over.outputs[0], final)


def _show_footage(tree: nodes.Tree, workspace: Workspace, plate_frame: np.ndarray, first_frame: int) -> None:
    subject, pattern = workspace.subject, workspace.footage
    if pattern is None:
        raise SceneError(
            f"The full footage is missing in {workspace.root}: press Rebuild Composite in the Composite panel."
        )
    shown = {"footage": pattern, "plate": workspace.root / "plate" / "%06d.jpg"}
    curves, frames = [], np.empty(0)
    for role, files in shown.items():
        node = node_of(tree, role)
        if node is None:
            continue  # the artist has taken it out
        node.image = footage.load_sequence(files, subject, role)
        footage.show_sequence(node, first_frame, plate_frame)
        frames, offsets = footage.offset_keys(first_frame, plate_frame)
        curves.append((f'nodes["{node.name}"].frame_offset', 0, offsets))
    name = f"{subject.name} footage order"
    footage.key_order(tree, curves, frames, name, first_frame, len(plate_frame))


def _connect_head(
    scene: bpy.types.Scene, tree: nodes.Tree, subject: Subject, shown: np.ndarray, frames: Path | None
) -> None:
    """Render Layers, or a sequence of files: one of the two is there, for a Render Layers node alone starts the engine.

    Args:
        shown: (N) the scene frames; that of file i of `frames` is the i-th.
    """
    wanted, other = ("engine", "baked") if frames is None else ("baked", "engine")
    if node_of(tree, wanted) is None:
        old = _head_output(tree, other)
        targets = [link.to_socket for link in old.links] if old is not None else []
        if not targets:
            soft = node_of(tree, "edge softness")
            targets = [soft.inputs["Head"]] if soft is not None else []
        frame = next((item for item in tree.nodes if item.get(rig.ROLE) == "frame Neural head"), None)
        if frames is None:
            marked(tree.nodes.new("CompositorNodeRLayers"), wanted, frame, (0, -740)).scene = scene
        else:
            baked = image_node(tree, frame, wanted, "Baked head", (-280, -740))
            sized = marked(nodes.group_node(tree, composite_groups.size()), _BAKED_SIZE, frame, (0, -740))
            tree.links.new(baked.outputs["Image"], sized.inputs["Image"])
        for socket in targets:
            tree.links.new(_head_output(tree, wanted), socket)
    for role in (other, _BAKED_SIZE if frames is None else ""):
        if (old_node := node_of(tree, role)) is not None:
            tree.nodes.remove(old_node)
    if frames is not None:
        node = node_of(tree, wanted)
        node.image = footage.load_sequence(frames / "%06d.png", subject, "baked head")
        node.image.alpha_mode = "STRAIGHT"
        footage.show_sequence(node, int(shown[0]), np.arange(len(shown)))


def _head_output(tree: nodes.Tree, role: str) -> nodes.Socket | None:
    """Where the head comes from, at the render's size: `engine` or `baked`."""
    node = node_of(tree, role)
    if role == "baked":
        node = node_of(tree, _BAKED_SIZE) or node
    return node.outputs["Image"] if node is not None else None


def _warn_without_engine(scene: bpy.types.Scene, tree: nodes.Tree, *, is_live: bool) -> None:
    """Write a warning over the whole image wherever the engine “SyncTalk” is missing: there Blender renders with another
    one, renders a video without the head, and reports success.

    No other engine has the pass, so its link is gone there, and the input falls back to zero. No script takes part.
    """
    node = node_of(tree, "warning")
    if node is None:
        node = marked(nodes.group_node(tree, warning.group()), "warning", None, (1220, -300))
        node.parent = next((item for item in tree.nodes if item.get(rig.ROLE) == "frame Output"), None)
        final = nodes.output_socket(tree)
        if final.links:
            tree.links.new(final.links[0].from_socket, node.inputs["Image"])
        tree.links.new(node.outputs[0], final)
        final.node.location = (1520, -300)
    present = node.inputs[ENGINE_PASS]
    present.default_value = 0.0 if is_live else 1.0  # baked frames need no engine
    if is_live:
        engine = node_of(tree, "engine")
        if ENGINE_PASS not in engine.outputs:
            scene.view_layers[engine.layer].update_render_passes()
        if ENGINE_PASS in engine.outputs:
            tree.links.new(engine.outputs[ENGINE_PASS], present)


def set_place(node: nodes.Node, subject: Subject) -> None:
    """Where the working square lies in the scene's image, for the group that places it; pixels from the middle, y up."""
    width, height = subject.frame_size
    crop, half = subject.place, subject.place.size / 2
    node.inputs["X"].default_value = crop.x + half - width / 2
    node.inputs["Y"].default_value = height / 2 - (crop.y + half)
    node.inputs["Scale"].default_value = subject.scale
    node.inputs["Feather"].default_value = 0.0 if subject.is_full_frame else max(1.0, 0.03 * crop.size)


def _replace_fixed_size(tree: nodes.Tree) -> None:
    """A composite of an earlier version scales to one size: put the group that follows in its place."""
    old = node_of(tree, "at render size")
    if old is None or old.bl_idname == "CompositorNodeGroup":
        return
    place = (old.location.x, old.location.y)
    new = marked(nodes.group_node(tree, composite_groups.size()), "at render size", old.parent, place)
    for link in list(old.inputs[0].links):
        tree.links.new(link.from_socket, new.inputs["Image"])
    for link in list(old.outputs[0].links):
        tree.links.new(new.outputs[0], link.to_socket)
    tree.nodes.remove(old)


# -- nodes of the scene's tree ------------------------------------------------------------------------------------------


def node_of(tree: nodes.Tree, role: str) -> nodes.Node | None:
    """The node that the composite has for `role`; None where the artist has removed it."""
    return next((node for node in tree.nodes if node.get(rig.ROLE) == role), None)


def marked(node: nodes.Node, role: str, frame: nodes.Node | None, location: tuple[float, float]) -> nodes.Node:
    """`node`, found by its role from now on, at a place of a frame."""
    node[rig.ROLE] = role
    node.parent = frame
    node.location = location
    return node


def frame_node(tree: nodes.Tree, title: str, colour: tuple[float, float, float]) -> nodes.Node:
    """A new frame around nodes."""
    frame = tree.nodes.new("NodeFrame")
    frame.label = title
    frame[rig.ROLE] = f"frame {title}"
    frame.use_custom_color, frame.color = True, colour
    return frame


def image_node(
    tree: nodes.Tree, frame: nodes.Node | None, role: str, label: str, location: tuple[float, float]
) -> nodes.Node:
    """A new image node, still empty, in a frame."""
    node = marked(tree.nodes.new("CompositorNodeImage"), role, frame, location)
    node.label, node.width = label, 240
    return node


def _trimmed(tree: nodes.Tree, frame: nodes.Node, clip: nodes.Node, subject: Subject) -> nodes.Socket:
    """The footage, less an odd last row or column, which the scene's image does not have."""
    if subject.frame_size == subject.source_size:
        return clip.outputs["Image"]
    socket = nodes.crop(tree, clip.outputs["Image"], *subject.frame_size, subject.source_size[1])
    marked(socket.node, "trim", frame, (320, 220))
    return socket
