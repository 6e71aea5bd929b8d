"""The render engine “SyncTalk”: the neural head for F12, animation renders and the viewport's Rendered mode.

Pose, expression and camera are read from the evaluated scene; the backend draws the head for them. Whatever the backend
does, Blender goes on: a failure is a sentence, shown where the head would be.
"""

from __future__ import annotations

import logging
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path

import bpy
import gpu
import numpy as np

from . import lettering, live_frame, viewport_drawing
from .backend_process import BackendError, shared_backend
from .live_frame import FrameRequest, HeadFrame
from .scene import camera as cameras
from .scene import colour, compositor, marking, rig, view
from .scene.directions import Directions
from .scene.errors import SceneError
from .viewport_drawing import Picture

logger = logging.getLogger("synctalk")

_WAIT_S = 0.005
_LARGEST_CARD_PX = 1600
_PREVIEW_MS = 60.0
"""How long a picture may take while the artist drags or scrubs; a larger one follows when the hand rests."""


class SyncTalkRenderEngine(bpy.types.RenderEngine):
    """Renders the head of the scene's rig, premultiplied over nothing, for the compositor to lay over the footage."""

    bl_idname = "SYNCTALK"
    bl_label = "SyncTalk"
    bl_use_preview = False
    bl_use_postprocess = True
    bl_use_eevee_viewport = True
    bl_use_gpu_context = False
    """Pictures come from the backend: a final render needs no GPU, and so runs on farms that have none."""

    _viewport: _Viewport | None = None

    # -- final render -----------------------------------------------------------------------------------------------

    def update_render_passes(self, scene: bpy.types.Scene, layer: bpy.types.ViewLayer) -> None:
        """The head's colour with its alpha, and a one that no other engine renders: the composite warns without it."""
        self.register_pass(scene, layer, "Combined", 4, "RGBA", "COLOR")
        self.register_pass(scene, layer, compositor.ENGINE_PASS, 1, "X", "VALUE")

    def render(self, depsgraph: bpy.types.Depsgraph) -> None:
        """Render the frame that `depsgraph` is evaluated at."""
        _, _, width, height = cameras.render_border(depsgraph.scene)
        try:
            pixels = self._head_or_none(wanted_frame(depsgraph))
        except Exception as error:  # noqa: BLE001 (Blender would count a frame that raised as rendered, and end with 0)
            sentence = _sentence(error)
            self.report({"ERROR"}, sentence)
            pixels = lettering.card(sentence, width, height)
        if pixels is None:
            pixels = np.zeros((height, width, 4), np.float32)
        result = self.begin_result(0, 0, width, height)
        fitted = colour.from_linear_rec709(_fitted(pixels, width, height))
        passes = result.layers[0].passes
        passes["Combined"].rect.foreach_set(fitted.ravel())
        passes[compositor.ENGINE_PASS].rect.foreach_set(np.ones(width * height, np.float32))
        self.end_result(result)

    def _head_or_none(self, frame: HeadFrame) -> np.ndarray | None:
        """Wait for the picture; None when the artist pressed Escape meanwhile.

        There is no time limit of its own: the first picture waits for the backend to start and to load the head. A backend
        that dies or hangs meanwhile is noticed by its client, and the request fails.
        """
        request = FrameRequest(shared_backend(), frame)
        told = "Waiting for the head"
        self.update_stats("", told)
        while True:
            while not request.poll():
                if self.test_break():
                    request.abandon()
                    return None
                if request.stage and request.stage != told:
                    told = request.stage
                    self.update_stats("", told)
                time.sleep(_WAIT_S)
            try:
                return request.take()[0]
            except BackendError as error:
                if error.kind != "cancelled" or self.test_break():
                    raise
                # A viewport asked for a frame meanwhile and took this one's place in the queue.
                request = FrameRequest(shared_backend(), frame)

    # -- viewport ---------------------------------------------------------------------------------------------------

    def view_update(self, context: bpy.types.Context, depsgraph: bpy.types.Depsgraph) -> None:
        """Something in the scene has changed: a redraw follows, and asks for what is new."""

    def view_draw(self, context: bpy.types.Context, depsgraph: bpy.types.Depsgraph) -> None:
        """Draw the newest picture there is, and ask for a newer one where it is out of date."""
        if self._viewport is None:
            self._viewport = _Viewport()
        viewport = self._viewport
        region = context.region
        try:
            frame, place = _seen_by_region(context, depsgraph)
            texture, failure = viewport.picture(frame, place), viewport.failure
        except Exception as error:  # noqa: BLE001 (an engine that raises leaves the view empty without a word)
            failure, place = _sentence(error), _Place(0.0, 0.0, region.width, region.height, False)
        self.update_stats("SyncTalk", failure or viewport.message)
        if failure:
            texture = viewport.card(failure, place)
        if texture is None:
            return
        clip = (
            2 * place.x / region.width - 1,
            2 * place.y / region.height - 1,
            2 * place.width / region.width,
            2 * place.height / region.height,
        )
        picture = Picture(texture, clip)
        if (place.is_camera_frame or failure) and _footage_is_shown(context):
            viewport_drawing.draw_after_overlays(region, picture)
        else:
            viewport_drawing.draw(picture)


def wanted_frame(depsgraph: bpy.types.Depsgraph) -> HeadFrame:
    """What a final render of the evaluated scene shows.

    Raises:
        SceneError: no rig, no camera, or one that cannot be rendered with.
    """
    scene = depsgraph.scene
    found = rig.require_rig(scene.original)
    if scene.camera is None:
        raise SceneError(f"The scene “{scene.name}” has no camera: make “{found.camera.name}” its active camera.")
    x, y, width, height = cameras.render_border(scene)
    whole_width, whole_height = cameras.render_size(scene)
    camera = scene.camera.evaluated_get(depsgraph)
    pinhole = cameras.camera_intrinsics(scene, camera, whole_width, whole_height)
    if (width, height) != (whole_width, whole_height):
        stretch = pinhole.height / whole_height
        pinhole = pinhole.cropped(x, round(y * stretch), width, max(1, round(height * stretch)))
    return HeadFrame(str(found.workspace), pinhole, rig.read_rig(found, depsgraph, rig.world_matrix(camera)))


def _sentence(error: Exception) -> str:
    """What to tell of a failure, which in a window goes to the terminal as well; a defect's traceback goes to the log."""
    sentence = str(error)
    if not isinstance(error, (SceneError, BackendError)):
        logger.error("a frame of the head failed:\n%s", "".join(traceback.format_exception(error)))
        what = f"{type(error).__name__}: {error}"
        sentence = f"The head could not be drawn because of a defect of the add-on ({what}): report it."
    return sentence


def _fitted(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Rows made fewer or more where the scene's pixels are not square; untouched where they are."""
    if pixels.shape[:2] == (height, width):
        return pixels
    rows = (np.arange(height) + 0.5) * pixels.shape[0] / height - 0.5
    low = np.clip(np.floor(rows).astype(int), 0, pixels.shape[0] - 1)
    high = np.minimum(low + 1, pixels.shape[0] - 1)
    weight = np.clip(rows - low, 0, 1)[:, None, None].astype(np.float32)
    return pixels[low, :width] * (1 - weight) + pixels[high, :width] * weight


# -- the viewport's picture ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Where in a region a picture belongs, in pixels from its lower left corner."""

    x: float
    y: float
    width: float
    height: float
    is_camera_frame: bool
    """The picture fills the camera's frame, wherever the artist pans and zooms it to; else it fills the region."""


class _Viewport:
    """The picture of one 3D view: at most one request under way, the last answer on the graphics card.

    While what is wanted keeps changing, small pictures are asked for, as large as can be had in `_PREVIEW_MS`; when it
    rests, the whole one.
    """

    def __init__(self) -> None:
        self.message = ""
        """What the backend does before it can draw."""
        self.failure = ""
        """Why there is no image of what is wanted now."""
        self._card: tuple[tuple[str, int, int], gpu.types.GPUTexture] | None = None
        self._texture: gpu.types.GPUTexture | None = None
        self._texture_fills_frame = False
        self._wanted: HeadFrame | None = None
        self._head_version = 0.0
        self._is_moving = False
        self._request: FrameRequest | None = None
        self._asked: HeadFrame | None = None
        """What the request under way, or else the last one, is for; at full size."""
        self._asked_for_frame = False
        self._is_settled = False
        """Whether there is nothing more to ask for what is wanted: it is shown, or has failed."""
        self._ms_a_pixel: float | None = None

    def picture(self, frame: HeadFrame, place: _Place) -> gpu.types.GPUTexture | None:
        """The best picture there is to fill `place` with; asks for a better one where it is not of `frame`."""
        version = _head_version(frame.workspace)
        if not frame.is_same_as(self._wanted) or version != self._head_version:
            self._wanted, self._head_version = frame, version
            self._is_moving, self._is_settled, self.failure = True, False, ""
        self._take_answer()
        if not self._is_settled and self._request is None:
            self._ask(frame, place)
        return self._texture if self._texture_fills_frame == place.is_camera_frame else None

    def card(self, text: str, place: _Place) -> gpu.types.GPUTexture:
        """A failure as an image for `place`."""
        scale = min(1.0, _LARGEST_CARD_PX / max(place.width, place.height, 1.0))
        key = text, max(1, round(place.width * scale)), max(1, round(place.height * scale))
        if self._card is None or self._card[0] != key:
            self._card = key, viewport_drawing.texture_of(lettering.card(*key, most=0.8))
        return self._card[1]

    def _ask(self, frame: HeadFrame, place: _Place) -> None:
        pixels = frame.pinhole.width * frame.pinhole.height
        factor = view.preview_factor(self._ms_a_pixel, pixels, _PREVIEW_MS) if self._is_moving else 1.0
        if factor == 1.0:
            self._is_moving = False
        asked = replace(frame, pinhole=frame.pinhole.resized(factor)) if factor < 1.0 else frame
        self._asked, self._asked_for_frame = frame, place.is_camera_frame
        try:
            self._request = FrameRequest(shared_backend(user_asked=False), asked)
        except BackendError as error:
            self.failure, self._is_settled = str(error), True  # until something changes
            return
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
            pixels, ms = request.take()
        except BackendError as error:
            if error.kind != "cancelled":  # else a render took its place, and it is asked for again
                self.failure, self._is_settled = (str(error) if is_wanted else ""), is_wanted
            return
        self.message = self.failure = ""
        height, width = pixels.shape[:2]
        if ms > 0:
            self._ms_a_pixel = ms / (width * height)
        pixels = colour.from_linear_rec709(pixels)
        self._texture = viewport_drawing.texture_of(pixels)
        self._texture_fills_frame = self._asked_for_frame
        if is_wanted:
            # The hand rests: the next picture is a whole one, unless this one was.
            self._is_settled, self._is_moving = not self._is_moving, False

    def __del__(self) -> None:
        if self._request is not None:
            self._request.abandon()


def _seen_by_region(context: bpy.types.Context, depsgraph: bpy.types.Depsgraph) -> tuple[HeadFrame, _Place]:
    """What the region shows of the head, and where in it."""
    scene, region, region_view = depsgraph.scene, context.region, context.region_data
    found = rig.require_rig(scene.original)
    workspace = str(found.workspace)
    space = context.space_data
    lens = space.camera if space.use_local_camera else scene.camera
    if region_view.view_perspective == "CAMERA" and lens is not None and lens.type == "CAMERA":
        camera = lens.evaluated_get(depsgraph)
        viewpoint = rig.world_matrix(camera)
        x, y, width, height = view.frame_in_region(
            np.array(camera.data.view_frame(scene=scene)),
            viewpoint,
            np.array(region_view.perspective_matrix),
            region.width,
            region.height,
        )
        whole = cameras.camera_intrinsics(scene, camera, *cameras.render_size(scene))
        pinhole = whole.resized(min(1.0, max(width, 1.0) / whole.width))
        directions = rig.read_rig(found, depsgraph, viewpoint)
        return HeadFrame(workspace, pinhole, directions), _Place(x, y, width, height, True)
    window_matrix = np.array(region_view.window_matrix)
    pinhole = view.view_pinhole(window_matrix, region.width, region.height)
    directions = rig.read_rig(found, depsgraph, np.linalg.inv(np.array(region_view.view_matrix, np.float64)))
    if view.is_orthographic(window_matrix):
        directions = Directions(view.far_away(directions.head_to_camera), directions.blendshapes)
    return HeadFrame(workspace, pinhole, directions), _Place(0.0, 0.0, region.width, region.height, False)


def _footage_is_shown(context: bpy.types.Context) -> bool:
    space = context.space_data
    lens = space.camera if space.use_local_camera else context.scene.camera
    if lens is None or lens.type != "CAMERA" or context.region_data.view_perspective != "CAMERA":
        return False
    data = lens.data
    shown = any(item.show_background_image and item.image for item in data.background_images)
    return space.overlay.show_overlays and data.show_background_images and shown


def _head_version(workspace: str) -> float:
    """Changes when training has written a better head."""
    try:
        return (Path(workspace) / "checkpoints" / "config.json").stat().st_mtime
    except OSError:
        return 0.0


def _watch(request: FrameRequest) -> None:
    """Have the 3D views drawn again when `request` is answered, or tells what it waits for."""
    told = request.stage

    def look() -> float | None:
        nonlocal told
        if not request.poll() and request.stage == told:
            return 0.01
        told = request.stage
        for manager in bpy.data.window_managers:
            for window in manager.windows:
                for area in window.screen.areas:
                    if area.type == "VIEW_3D" and area.spaces.active.shading.type == "RENDERED":
                        area.tag_redraw()
        return None if request.poll() else 0.01

    bpy.app.timers.register(look, first_interval=0.01)


# -- registration -------------------------------------------------------------------------------------------------------

_UNFIT_PANELS = {"RENDER_PT_freestyle", "RENDER_PT_simplify", "RENDER_PT_eevee_performance"}


def _panels() -> list[type]:
    """Blender's own panels that any engine shows: output, format, frame range, metadata, camera and the like."""
    return [
        panel
        for panel in bpy.types.Panel.__subclasses__()
        if "BLENDER_RENDER" in getattr(panel, "COMPAT_ENGINES", ()) and panel.__name__ not in _UNFIT_PANELS
    ]


def register() -> None:
    marking.register()
    viewport_drawing.register()
    bpy.utils.register_class(SyncTalkRenderEngine)
    for panel in _panels():
        panel.COMPAT_ENGINES.add(SyncTalkRenderEngine.bl_idname)


def unregister() -> None:
    for panel in _panels():
        panel.COMPAT_ENGINES.discard(SyncTalkRenderEngine.bl_idname)
    bpy.utils.unregister_class(SyncTalkRenderEngine)
    viewport_drawing.unregister()
    marking.unregister()
    live_frame.close()
