"""What a 3D view shows of the head: the newest image, and a request for a newer one where it is out of date."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import bpy
import gpu
import numpy as np

from . import lettering, viewport_drawing, views
from .beneath import footage_beneath
from .client.errors import BackendError
from .client.shared import shared_backend
from .live_frame import FrameRequest, HeadFrame
from .properties import settings_of
from .scene import camera as cameras
from .scene import colour, rig, view
from .scene.directions import Directions

_LARGEST_CARD_PX = 1600
_PREVIEW_MS = 60.0
"""How long an image may take while the artist drags or scrubs; a larger one follows when the movement stops."""
_WAITED_FOR_MS = 25.0
"""An image that takes no longer is waited for: it is shown in the redraw that asks for it, and Blender need not draw all twice."""
_POLL_S = 0.005


@dataclass(frozen=True)
class Place:
    """Where an image belongs in a region, in pixels from its lower left corner."""

    x: float
    y: float
    width: float
    height: float
    is_camera_frame: bool
    """The image fills the camera's frame, at any pan and zoom; else it fills the region."""


class Viewport:
    """The image of one 3D view: at most one request in progress, the last answer as a texture.

    While the scene keeps changing, small images are requested, as large as fit into `_PREVIEW_MS`; then one at full size.
    """

    def __init__(self) -> None:
        self.message = ""
        """What the backend does before it can draw."""
        self.failure = ""
        """Why the requested image is missing."""
        self._card: tuple[tuple[str, int, int], gpu.types.GPUTexture] | None = None
        self._texture: gpu.types.GPUTexture | None = None
        self._texture_fills_frame = False
        self._wanted: HeadFrame | None = None
        self._head_version: tuple[float, ...] = ()
        self._is_moving = False
        self._request: FrameRequest | None = None
        self._asked: HeadFrame | None = None
        """What the current or last request is for; at full size."""
        self._asked_for_frame = False
        self._is_settled = False
        """Whether the requested image is shown or has failed."""
        self._ms_a_pixel: float | None = None

    def image(self, frame: HeadFrame, place: Place) -> gpu.types.GPUTexture | None:
        """The best image to fill `place` with; requests a better one where it is not of `frame`."""
        version = _head_version(frame.workspace)
        if not frame.is_same_as(self._wanted) or version != self._head_version:
            if self._wanted is not None and self._wanted.head != frame.head:
                self._ms_a_pixel = None
            self._wanted, self._head_version = frame, version
            self._is_moving, self._is_settled, self.failure = True, False, ""
        self._take_answer()
        if not self._is_settled and self._request is None:
            self._ask(frame, place)
            self._take_answer()
        return self._texture if self._texture_fills_frame == place.is_camera_frame else None

    def card(self, text: str, place: Place) -> gpu.types.GPUTexture:
        """A failure as an image for `place`."""
        scale = min(1.0, _LARGEST_CARD_PX / max(place.width, place.height, 1.0))
        key = text, max(1, round(place.width * scale)), max(1, round(place.height * scale))
        if self._card is None or self._card[0] != key:
            self._card = key, viewport_drawing.texture_of(lettering.card(*key, most=0.8))
        return self._card[1]

    def _ask(self, frame: HeadFrame, place: Place) -> None:
        pixels = frame.pinhole.width * frame.pinhole.height
        factor = view.preview_factor(self._ms_a_pixel, pixels, _PREVIEW_MS) if self._is_moving else 1.0
        if factor == 1.0:
            self._is_moving = False
        asked = frame.resized(factor) if factor < 1.0 else frame
        self._asked, self._asked_for_frame = frame, place.is_camera_frame
        try:
            self._request = FrameRequest(shared_backend(user_asked=False), asked)
        except BackendError as error:
            self.failure, self._is_settled = str(error), True  # until something changes
            return
        expected_ms = (self._ms_a_pixel or np.inf) * asked.pinhole.width * asked.pinhole.height
        if expected_ms > _WAITED_FOR_MS or not self._request.wait(2 * _WAITED_FOR_MS / 1000):
            _watch(self._request)

    def _take_answer(self) -> None:
        if self._request is None:
            return
        if not self._request.poll():
            self.message = self._request.stage or self.message
            return
        request, self._request = self._request, None
        is_wanted = self._asked is not None and self._asked.is_same_as(self._wanted)
        try:
            with request.answer() as (pixels, ms, _):
                height, width = pixels.shape[:2]
                texture = viewport_drawing.texture_of(colour.from_linear_rec709(pixels))
        except BackendError as error:
            if error.kind != "cancelled":  # else a render took its place, and it is requested again
                self.failure, self._is_settled = (str(error) if is_wanted else ""), is_wanted
            return
        self.message = self.failure = ""
        if ms > 0:
            self._ms_a_pixel = ms / (width * height)
        self._texture = texture
        self._texture_fills_frame = self._asked_for_frame
        if is_wanted:
            # The movement has stopped: the next image is at full size, unless this one was.
            self._is_settled, self._is_moving = not self._is_moving, False

    def __del__(self) -> None:
        if self._request is not None:
            self._request.abandon()


def seen_by_region(context: bpy.types.Context, depsgraph: bpy.types.Depsgraph) -> tuple[HeadFrame, Place]:
    """What the region shows of the head, and where in it."""
    scene, region, region_view = depsgraph.scene, context.region, context.region_data
    found = rig.require_rig(scene.original)
    workspace, head = str(found.workspace), settings_of(scene.original).head
    lens = _camera_of(context, scene)
    if region_view.view_perspective == "CAMERA" and lens is not None and lens.type == "CAMERA":
        camera = lens.evaluated_get(depsgraph)
        viewpoint = rig.world_matrix(camera)
        x, y, width, height = view.frame_in_region(
            np.array(cast("bpy.types.Camera", camera.data).view_frame(scene=scene)),
            viewpoint,
            np.array(region_view.perspective_matrix),
            region.width,
            region.height,
        )
        full = cameras.camera_intrinsics(scene, camera, *cameras.render_size(scene))
        directions = rig.read_rig(found, depsgraph, viewpoint)
        # Where no footage is shown, the head is alone: a neck without a body would hang below it.
        shown = footage_beneath(scene, found, depsgraph, full) if footage_is_shown(context) else None
        wanted = HeadFrame(workspace, full, directions, head, shown)
        return wanted.resized(min(1.0, max(width, 1.0) / full.width)), Place(x, y, width, height, True)
    window_matrix = np.array(region_view.window_matrix)
    pinhole = view.view_pinhole(window_matrix, region.width, region.height)
    directions = rig.read_rig(found, depsgraph, np.linalg.inv(np.array(region_view.view_matrix, np.float64)))
    if view.is_orthographic(window_matrix):
        directions = Directions(view.far_away(directions.head_to_camera), directions.blendshapes)
    return HeadFrame(workspace, pinhole, directions, head), Place(0.0, 0.0, region.width, region.height, False)


def footage_is_shown(context: bpy.types.Context) -> bool:
    """Whether the view shows the camera's background images."""
    lens = _camera_of(context, context.scene)
    if lens is None or lens.type != "CAMERA" or context.region_data.view_perspective != "CAMERA":
        return False
    data = cast("bpy.types.Camera", lens.data)
    shown = any(item.show_background_image and item.image for item in data.background_images)
    return _space(context).overlay.show_overlays and data.show_background_images and shown


def _camera_of(context: bpy.types.Context, scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The camera that the view would look through."""
    space = _space(context)
    return space.camera if space.use_local_camera else scene.camera


def _space(context: bpy.types.Context) -> bpy.types.SpaceView3D:
    return cast("bpy.types.SpaceView3D", context.space_data)


def _head_version(workspace: str) -> tuple[float, ...]:
    """Changes when training has written a better head, of either kind."""
    folder = Path(workspace) / "checkpoints"
    try:
        return folder.stat().st_mtime, (folder / "config.json").stat().st_mtime
    except OSError:
        return ()


def _watch(request: FrameRequest) -> None:
    """Redraw the 3D views when `request` is answered, or reports another stage."""
    stage = request.stage

    def check() -> float | None:
        nonlocal stage
        if not request.poll() and request.stage == stage:
            return _POLL_S
        stage = request.stage
        views.redraw_rendered()
        return None if request.poll() else _POLL_S

    bpy.app.timers.register(check, first_interval=_POLL_S)
