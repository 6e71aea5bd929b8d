"""Poses and shapes to draw a head at: those of its clip, and those that the clip does not show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..protocol import BLENDSHAPE_NAMES
from ..renderer.head import HeadRenderer, RenderedHead
from ..workspace.camera import Camera
from ..workspace.head_track import HeadTrack
from ..workspace.poses import mean_rotation
from ..workspace.poses import turned as turned_pose
from ..workspace.shapes import Float, Int

SHAPE_VALUES = (-0.3, 0.5, 1.0, 1.3)
"""Values of a blendshape alone: below its range, inside, at its end and above."""
YAWS_DEG = (-25.0, -12.0, 0.0, 12.0, 25.0)
PITCHES_DEG = (-15.0, 0.0, 15.0)


@dataclass(frozen=True)
class Condition:
    """What one frame is drawn from.

    Attributes:
        name: for labels and tables.
        head_to_camera: metres, OpenCV camera.
        blendshapes: as `HeadRenderer.render` takes them.
    """

    name: str
    head_to_camera: Float[np.ndarray, "4 4"]
    blendshapes: Float[np.ndarray, " conditions"]


def of_frames(
    track: HeadTrack, conditions: Float[np.ndarray, "n conditions"], frames: Int[np.ndarray, " frames"]
) -> list[Condition]:
    """Frames of the clip; those in which the face was not tracked are left out."""
    tracked = frames[track.valid[frames]].tolist()
    return [Condition(f"frame {index}", track.head_to_camera[index], conditions[index]) for index in tracked]


def middle(track: HeadTrack, conditions: Float[np.ndarray, "n conditions"]) -> Condition:
    """The clip's mean pose with its median conditions."""
    poses = track.head_to_camera[track.valid]
    pose = np.eye(4)
    pose[:3, :3] = mean_rotation(poses[:, :3, :3])
    pose[:3, 3] = poses[:, :3, 3].mean(0)
    return Condition("middle", pose, np.median(conditions[track.valid], axis=0).astype(np.float32))


def shapes_alone(base: Condition, values: Sequence[float] = SHAPE_VALUES) -> list[Condition]:
    """Each of the 52 blendshapes at each value, all else as in `base`."""
    return [shape_alone(base, name, value) for name in BLENDSHAPE_NAMES for value in values]


def shape_alone(base: Condition, name: str, value: float) -> Condition:
    """One blendshape at a value, all else as in `base`."""
    changed = base.blendshapes.copy()
    changed[BLENDSHAPE_NAMES.index(name)] = value
    return replace(base, name=f"{name} {value:g}", blendshapes=changed)


def turned(
    base: Condition, yaws_deg: Sequence[float] = YAWS_DEG, pitches_deg: Sequence[float] = PITCHES_DEG
) -> list[Condition]:
    """The head of `base` turned about its own vertical and horizontal axes: each yaw with each pitch."""
    return [turn(base, yaw, pitch) for pitch in pitches_deg for yaw in yaws_deg]


def turn(base: Condition, yaw_deg: float, pitch_deg: float = 0.0) -> Condition:
    """The head of `base` turned about its own origin."""
    pose = turned_pose(base.head_to_camera, yaw_deg, pitch_deg)
    return replace(base, name=f"yaw {yaw_deg:g}, pitch {pitch_deg:g}", head_to_camera=pose)


def drawn(
    renderer: HeadRenderer, camera: Camera, conditions: Iterable[Condition], passes: bool = False
) -> Iterator[RenderedHead]:
    """Each condition's image. A renderer may draw into buffers of its own: an image is valid until the next one."""
    for condition in conditions:
        yield renderer.render(camera, condition.head_to_camera, condition.blendshapes, passes=passes)


def over_grey(rgba: Float[np.ndarray, "height width 4"]) -> Float[np.ndarray, "height width 3"]:
    """The head before middle grey as a display shows it: in [0, 1]."""
    return np.clip(rgba[..., :3] + 0.5 * (1 - rgba[..., 3:]), 0, 1).astype(np.float32)
