"""Picture sequences of a workspace in Blender: behind the camera, and as image nodes.

Blender shows one file of a movie or sequence for each scene frame, whatever the source's frame rate, and reads the rotation
flag of a video only in some versions. The workspace's own pictures are at the scene's frame rate, upright, and what was
tracked; so they are shown, and never the source video.

When the sound is longer than the footage, the footage runs there and back again. A sequence cannot be re-ordered, but its
offset can be animated: frame by frame, it names the picture that lies beneath.
"""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np

from . import keyframes
from .errors import SceneError
from .subject import Subject

_ROLE = "synctalk_role"


def load_sequence(pattern: Path, *, is_data: bool = False) -> bpy.types.Image:
    """The image sequence whose files are named by `pattern` (`…/%06d.jpg`), from 000000; loaded once a file."""
    first = Path(str(pattern) % 0)
    if not first.exists():
        raise SceneError(f"{first} is missing: process the video again.")
    image = bpy.data.images.load(str(first), check_existing=True)
    image.source = "SEQUENCE"
    image.colorspace_settings.name = "Non-Color" if is_data else "sRGB"
    return image


def show_sequence(
    user: bpy.types.ImageUser | bpy.types.CompositorNodeImage, first_frame: int, shown: np.ndarray
) -> None:
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


def show_behind_camera(camera: bpy.types.Object, subject: Subject, shown: np.ndarray, first_frame: int) -> None:
    """Make the footage the camera's background; the artist's own background images are kept."""
    pattern, data = subject.footage, camera.data
    if pattern is None:
        return
    image = load_sequence(pattern)
    image[_ROLE] = "footage"
    index = next(
        (i for i, item in enumerate(data.background_images) if item.image and item.image.get(_ROLE) == "footage"), None
    )
    if index is None:
        index = len(data.background_images)
        background = data.background_images.new()
        background.alpha = 1.0
        background.display_depth = "BACK"
        background.frame_method = "CROP"
    else:
        background = data.background_images[index]
    background.image = image
    show_sequence(background.image_user, first_frame, shown)
    data.show_background_images = True
    _key_background(data, index, *offset_keys(first_frame, shown), shown, first_frame)


def _key_background(
    camera: bpy.types.Camera, index: int, frames: np.ndarray, offsets: np.ndarray, shown: np.ndarray, first_frame: int
) -> None:
    """Key the order of the footage below whatever the artist has keyed on the camera."""
    if not len(frames):
        frames, offsets = np.array([first_frame]), frame_offsets(shown)[:1]
        if keyframes.find_base_action(camera, "footage order") is None:
            return
    action = keyframes.base_action(camera, "footage order", f"{camera.name} footage order")
    path = f"background_images[{index}].image_user.frame_offset"
    keyframes.set_curves(action, [(path, 0, offsets)], frames, "CONSTANT")
    keyframes.lay_below(camera, action, np.array([first_frame, first_frame + len(shown) - 1]))
