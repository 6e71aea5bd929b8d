"""A tracked pinhole as a Blender camera, and a Blender camera as a pinhole.

Blender measures the focal length against the sensor's side that its `sensor_fit` chooses, and the principal point as a
shift in units of that same side.
"""

from __future__ import annotations

import bpy
import numpy as np

from ...backend.workspace.camera import Camera
from .errors import SceneError

SENSOR_MM = 36.0
_KINDS = {"ORTHO": "orthographic", "PANO": "panoramic"}


def set_pinhole(camera: bpy.types.Camera, pinhole: Camera) -> None:
    """Make `camera` see what the pinhole sees.

    The sensor is fitted horizontally for any aspect of the image: a render of another height shows more or less above
    and below, at the same scale.
    """
    x, y = pinhole.principal_px
    camera.type = "PERSP"
    camera.sensor_fit = "HORIZONTAL"
    camera.sensor_width = SENSOR_MM
    camera.lens_unit = "MILLIMETERS"
    camera.lens = pinhole.focal_px / pinhole.width * SENSOR_MM
    camera.shift_x = 0.5 - x / pinhole.width
    camera.shift_y = (y - pinhole.height / 2) / pinhole.width


def render_size(scene: bpy.types.Scene) -> tuple[int, int]:
    """Width and height of the whole frame in pixels, as Blender rounds them."""
    render = scene.render
    return max(1, render.resolution_x * render.resolution_percentage // 100), max(
        1, render.resolution_y * render.resolution_percentage // 100
    )


def camera_intrinsics(scene: bpy.types.Scene, camera: bpy.types.Object, width: int, height: int) -> Camera:
    """The pinhole of an (evaluated) camera object for an image of `width` x `height` render pixels.

    Follows `BKE_camera_params_compute_viewplane` in Blender's sources. Pixels that are not square are made so by
    stretching the image's height: the result's `height` then differs from the argument, and the caller squeezes the
    image.

    Raises:
        SceneError: the object is no camera, or not a perspective one.
    """
    if camera.type != "CAMERA":
        raise SceneError(
            f"“{camera.name}” ({camera.type.lower()}) is not a camera: choose a camera in the Scene properties."
        )
    data = camera.data
    if data.type != "PERSP":
        raise SceneError(
            f"The camera “{camera.name}” is {_KINDS.get(data.type, data.type.lower())}, but the head needs "
            "perspective: set its type to Perspective."
        )
    stretch = scene.render.pixel_aspect_y / scene.render.pixel_aspect_x
    square_height = height * stretch
    fit = data.sensor_fit
    if fit == "AUTO":
        fit = "HORIZONTAL" if width >= square_height else "VERTICAL"
        sensor = data.sensor_width
    else:
        sensor = data.sensor_width if fit == "HORIZONTAL" else data.sensor_height
    side = width if fit == "HORIZONTAL" else square_height
    return Camera(
        width,
        max(1, round(square_height)),
        data.lens / sensor * side,
        (width / 2 - data.shift_x * side, square_height / 2 + data.shift_y * side),
    )


def render_border(scene: bpy.types.Scene) -> tuple[int, int, int, int]:
    """What is rendered of the frame: x and y of its top left pixel, width and height. All without a render region."""
    width, height = render_size(scene)
    render = scene.render
    if not render.use_border:
        return 0, 0, width, height
    # In single precision, as Blender multiplies: 0.9 of 100 rows are 90 there, and 89 in double.
    left, right = (int(np.float32(part) * np.float32(width)) for part in (render.border_min_x, render.border_max_x))
    bottom, top = (int(np.float32(part) * np.float32(height)) for part in (render.border_min_y, render.border_max_y))
    return left, height - top, max(1, right - left), max(1, top - bottom)
