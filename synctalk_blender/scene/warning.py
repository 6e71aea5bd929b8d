"""A node group that writes over an image that it was rendered without the engine “SyncTalk”."""

from __future__ import annotations

import bpy
import numpy as np

from .. import lettering
from . import nodes
from .composite_groups import made_once
from .rig import ROLE

PASS = "SyncTalk"
"""The pass of ones that the engine alone renders."""

TEXT = (
    "Rendered without SyncTalk: the head is missing. Install the extension SyncTalk on this computer and render with "
    "blender -b FILE -E SYNCTALK -a, or bake the head in the Composite panel."
)
_SIZE = 1280, 720
_COLOUR = (0.45, 0.0, 0.02)


def group() -> nodes.Tree:
    """The group, made once a file: image and pass in, image out; where the pass is zero, the warning lies over it."""
    return made_once("warning", _build, "Warning without SyncTalk")


def _build(tree: nodes.Tree, source: nodes.Node, target: nodes.Node) -> None:
    nodes.add_input(tree, "Image", "Color")
    nodes.add_input(tree, PASS, "Float", 0.0, (0.0, 1.0), tip="1 where the engine SyncTalk has rendered")
    nodes.add_output(tree)
    shown = tree.nodes.new("CompositorNodeImage")
    shown.image = _image()
    fitted = nodes.fit_to_render(tree, shown.outputs["Image"])
    missing = nodes.math(tree, "SUBTRACT", 1.0, source.outputs[PASS], clamp=True)
    card = nodes.set_alpha(tree, fitted, missing, replace=False)
    tree.links.new(nodes.alpha_over(tree, source.outputs["Image"], card).outputs[0], target.inputs[0])


def _image() -> bpy.types.Image:
    """The text, large, on red; kept within the .blend."""
    width, height = _SIZE
    letters = lettering.letters(TEXT, width, height)
    pixels = np.ones((height, width, 4), np.float32)
    pixels[..., :3] = letters + (1 - letters) * np.float32(_COLOUR)
    image = bpy.data.images.new("SyncTalk warning", width, height, alpha=True)
    image[ROLE] = "warning"
    image.pixels.foreach_set(pixels.ravel())
    image.update()
    image.pack()
    return image
