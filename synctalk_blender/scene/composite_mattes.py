"""The footage's mattes in the composite: a node whose outputs are head, hair, neck, torso and background at the render's size.

Nothing is connected to it: what is graded or replaced with them is the artist's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import bpy
import numpy as np

from ...backend.workspace.subject import Subject
from . import composite_groups, footage, nodes, render_size
from .compositor import frame_node, image_node, marked, node_of
from .scene_setup import FIRST_FRAME

GROUP = "SyncTalk Mattes"
_COLOUR = (0.30, 0.30, 0.18)
_ROW = 220


def show(
    scene: bpy.types.Scene,
    tree: nodes.Tree,
    subject: Subject,
    folder: Path,
    parts: Sequence[str],
    plate_frame: np.ndarray,
    first_frame: int = FIRST_FRAME,
) -> nodes.Node:
    """Add the node to `tree`, or renew what it shows.

    Args:
        folder: of a folder a part, each of `%06d.png`.
        plate_frame: (N), the footage's frame beneath each scene frame from `first_frame` on.

    Raises:
        SceneError: images are missing.
    """
    mattes = node_of(tree, "mattes")
    if mattes is None:
        frame = frame_node(tree, "Mattes", _COLOUR)
        mattes = marked(nodes.group_node(tree, _group(parts)), "mattes", frame, (320, -1200))
        for row, part in enumerate(parts):
            image = image_node(tree, frame, f"matte {part}", part.capitalize(), (0, -1200 - row * _ROW))
            tree.links.new(image.outputs["Image"], mattes.inputs[part.capitalize()])
    curves, frames = [], np.empty(0, np.int64)
    for part in parts:
        image = node_of(tree, f"matte {part}")
        if image is None:
            continue  # the artist has taken it out
        image.image = footage.load_sequence(folder / part / "%06d.png", subject, f"matte {part}", is_data=True)
        footage.show_sequence(image, first_frame, plate_frame)
        frames, offsets = footage.offset_keys(first_frame, plate_frame)
        curves.append((f'nodes["{image.name}"].frame_offset', 0, offsets))
    footage.key_order(tree, curves, frames, f"{subject.name} mattes order", first_frame, len(plate_frame))
    crop, (width, height) = subject.place, subject.frame_size
    middle = crop.x + crop.size / 2 - width / 2, height / 2 - (crop.y + crop.size / 2)
    render_size.place_in_render(mattes, scene, width, middle, subject.scale)
    return mattes


def _group(parts: Sequence[str]) -> nodes.Tree:
    """All mattes at their place in the render, made once a file."""

    def build(tree: nodes.Tree, source: nodes.Node, target: nodes.Node) -> None:
        for part in parts:
            nodes.add_input(tree, part.capitalize(), "Color")
        render_size.add_inputs(tree)
        for part in parts:
            nodes.add_output(tree, part.capitalize())
            placed = render_size.placed(tree, source, source.outputs[part.capitalize()])
            tree.links.new(placed, target.inputs[part.capitalize()])

    return composite_groups.made_once(GROUP, build)
