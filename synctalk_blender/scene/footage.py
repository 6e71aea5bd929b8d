"""Image sequences of a workspace in Blender: behind the camera, and as image nodes.

Blender shows one file of a movie or sequence for each scene frame, regardless of the source's frame rate, and reads the
rotation flag of a video only in some versions. The workspace's own images are upright and what was tracked; so they are
shown, and never the source video. Where the scene has another frame rate, each of its frames shows the image that is
nearest in time.

When the audio is longer than the footage, the footage plays forwards and backwards, and may jump. A sequence cannot be re-ordered,
but its offset can be animated: frame by frame, it names the image that lies beneath.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ...backend.workspace.store import Workspace
from ...backend.workspace.subject import Subject
from . import keyframes, paths, render_size, rig
from .errors import SceneError


def load_sequence(pattern: Path, subject: Subject, role: str, *, is_data: bool = False) -> bpy.types.Image:
    """The image sequence whose files are named by `pattern` (`…/%06d.jpg`), from 000000.

    One that is loaded already, also from where the workspace lay before, is read again, as its files may have been written
    again. It has the subject's name and `role`, for files are called the same in every workspace.

    Raises:
        SceneError: its first file is missing.
    """
    first = Path(str(pattern) % 0)
    if not first.exists():
        raise SceneError(f"{first} is missing: process the video again.")
    image = _loaded(first, subject, role)
    if image is None:
        image = bpy.data.images.load(str(first))
        image.name = f"{subject.name} {role}"
    image.filepath = paths.stored(first)
    image[rig.ROLE], image[rig.SUBJECT] = role, subject.id
    image.reload()
    image.source = "SEQUENCE"
    colours: Any = image.colorspace_settings  # whose names are the colour configuration's
    colours.name = "Non-Color" if is_data else "sRGB"
    return image


def _loaded(first: Path, subject: Subject, role: str) -> bpy.types.Image | None:
    own = [image for image in bpy.data.images if image.library is None and image.filepath]
    here = [image for image in own if paths.same_place(paths.resolved(image.filepath), first)]
    marked = [image for image in own if image.get(rig.SUBJECT) == subject.id and image.get(rig.ROLE) == role]
    moved = [image for image in marked if not paths.resolved(image.filepath).exists()]
    return next(iter(here + moved), None)


def show_sequence(user: bpy.types.ImageUser | bpy.types.Node, first_frame: int, shown: np.ndarray) -> None:
    """Let `user` show file `shown[i]` at scene frame `first_frame + i`; for orders that do not just ascend, key it too."""
    user.frame_start = first_frame
    user.frame_duration = len(shown)
    user.frame_offset = int(frame_offsets(shown)[0])
    user.use_auto_refresh = True


def frame_offsets(shown: np.ndarray) -> np.ndarray:
    """(N) values of `frame_offset`: Blender shows file i + 1 + offset at the sequence's i-th frame."""
    return np.asarray(shown, np.int64) - np.arange(1, len(shown) + 1)


def offset_keys(first_frame: int, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames and values of the fewest constant keys that make a sequence show `shown`; empty when one offset does."""
    offsets = frame_offsets(shown)
    changes = np.flatnonzero(np.diff(offsets, prepend=offsets[0] - 1))
    if len(changes) <= 1:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    return first_frame + changes, offsets[changes]


def show_behind_camera(
    scene: bpy.types.Scene, camera: bpy.types.Object, workspace: Workspace, shown: np.ndarray, first_frame: int
) -> None:
    """Make footage and clean plate the camera's background; the artist's own background images are kept.

    The plate, in its square over the footage, is hidden until there is a composite: then the viewport's Rendered mode shows
    the head over it, and not over the head of the footage.
    """
    data, subject = camera.data, workspace.subject
    patterns = {"footage": workspace.footage, "plate": workspace.root / "plate" / "%06d.jpg"}
    curves, frames = [], np.empty(0, np.int64)
    for role, pattern in patterns.items():
        if pattern is None or not Path(str(pattern) % 0).exists():
            continue
        index = _background(data, role)
        if index is None:
            index = len(data.background_images)
            background = data.background_images.new()
            background.alpha = 1.0
            background.display_depth = "BACK"
            background.show_background_image = role == "footage"
        background = data.background_images[index]
        background.image = load_sequence(pattern, subject, role)
        show_sequence(background.image_user, first_frame, shown)
        frames, offsets = offset_keys(first_frame, shown)
        curves.append((f"background_images[{index}].image_user.frame_offset", 0, offsets))
        crop, (width, height) = subject.place, subject.source_size
        half = crop.size / 2
        rectangle = (
            (crop.x + half, crop.y + half, crop.size, crop.size)
            if role == "plate"
            else (width / 2, height / 2, width, height)
        )
        render_size.place_behind_camera(background, scene, subject.frame_size, rectangle)
    data.show_background_images = True
    key_order(data, curves, frames, f"{data.name} footage order", first_frame, len(shown))


def show_plate(camera: bpy.types.Object) -> None:
    """Show the clean plate behind the camera, over the footage."""
    index = _background(camera.data, "plate")
    if index is not None:
        camera.data.background_images[index].show_background_image = True


def shown_at(camera: bpy.types.Camera, frame: int) -> int | None:
    """Index of the footage's frame that an evaluated camera shows at a scene frame; None where it shows none.

    It is read as it is evaluated: where the artist has moved the footage's keys, the head's neck follows what lies beneath.
    """
    for role in ("plate", "footage"):
        index = _background(camera, role)
        if index is not None:
            user = camera.background_images[index].image_user
            at = min(max(frame - user.frame_start, 0), max(user.frame_duration, 1) - 1)
            return max(0, at + 1 + user.frame_offset)
    return None


def key_order(
    owner: bpy.types.ID,
    curves: list[tuple[str, int, np.ndarray]],
    frames: np.ndarray,
    name: str,
    first_frame: int,
    count: int,
) -> None:
    """Key offsets of sequences on `owner`, below the artist's own keys; without frames, remove them."""
    action = keyframes.find_base_action(owner, "footage order")
    if not len(frames):
        if action is not None:
            keyframes.set_curves(action, [], frames, "CONSTANT")
        return
    action = keyframes.base_action(owner, "footage order", name)
    keyframes.set_curves(action, curves, frames, "CONSTANT")
    keyframes.lay_below(owner, action, np.array([first_frame, first_frame + count - 1]))


def _background(data: bpy.types.ID | None, role: str) -> int | None:
    images = [item.image for item in data.background_images]
    return next((index for index, image in enumerate(images) if image and image.get(rig.ROLE) == role), None)
