"""A composite in the scene, and what its pixels should be."""

from __future__ import annotations

import numpy as np

from . import head_backend
from . import synthetic_workspace as synthetic
from .scene_kit import as_png


def composed(kit, **options):
    """A workspace's speech in the scene with its composite; edges and seam as hard as they are."""
    root = kit.workspace(**options)
    rig = kit.import_tracking(root)
    kit.import_speech(root)
    kit.scene.render.engine = "SYNCTALK"
    kit.scene.render.dither_intensity = 0.0
    compose(kit)
    node(kit, "edge softness").inputs["Softness"].default_value = 0.0
    node(kit, "place").inputs["Feather"].default_value = 0.0
    return rig


def compose(kit, frames=None) -> None:
    found, workspace, animation = kit.part("work.composite").subject_in(kit.scene)
    kit.part("scene.compositor").compose(kit.scene, found, workspace, animation.plate_frame, frames=frames)


def node(kit, role: str):
    tree = kit.part("scene.nodes").tree_of(kit.scene)
    return next(item for item in tree.nodes if item.get("synctalk_role") == role)


def expected(kit, rig, frame: int) -> np.ndarray:
    """(H, W, 3): the test backend's head over the plate in its square over the footage, mixed as the eye sees them."""
    found, workspace, animation = kit.part("work.composite").subject_in(kit.scene)
    pinhole = kit.part("scene.importer").source_camera(workspace, animation)
    plate = synthetic.there_and_back(frame - 1, 12)
    head = as_png(
        head_backend.draw(
            {
                "width": pinhole.width,
                "height": pinhole.height,
                "focal_px": pinhole.focal_px,
                "principal_px": pinhole.principal_px,
                "head_to_camera": synthetic.pose(plate).ravel(),
                "blendshapes": synthetic.blendshapes(99 + frame),
            }
        )
    )
    crop = workspace.subject.crop
    x, y, side = crop.x, crop.y, crop.size
    v, u = np.mgrid[: pinhole.height, : pinhole.width] + 0.5
    inside = (u > x) & (u < x + side) & (v > y) & (v < y + side)
    below = np.zeros((pinhole.height, pinhole.width, 3))
    below[...] = synthetic.level(plate), 0.0, synthetic.FOOTAGE_BLUE
    below[inside, 2] = synthetic.PLATE_BLUE
    return head[..., :3] + (1 - head[..., 3:]) * below


def differing(a: np.ndarray, b: np.ndarray, limit: int = 3) -> int:
    return int((np.abs(a[..., :3] - b[..., :3]).max(-1) > limit / 255).sum())
