"""The render engine “SyncTalk”: the neural head for F12, animation renders and the viewport's Rendered mode.

Pose, expression and camera are read from the evaluated scene; the backend draws the head for them. Whatever the backend
does, Blender goes on: a failure is a sentence, shown where the head would be.
"""

from __future__ import annotations

import logging
import time
import traceback
from typing import Any

import bpy
import numpy as np

from . import lettering, live_frame, viewport_drawing, viewport_image
from .client.errors import BackendError
from .client.shared import shared_backend
from .live_frame import FrameRequest, HeadFrame
from .scene import camera as cameras
from .scene import colour, compositor, marking, rig
from .scene.errors import SceneError
from .viewport_drawing import Picture

logger = logging.getLogger("synctalk")

_WAIT_S = 0.005


class SyncTalkRenderEngine(bpy.types.RenderEngine):
    """Renders the head of the scene's rig, premultiplied over nothing, for the compositor to lay over the footage."""

    bl_idname = "SYNCTALK"
    bl_label = "SyncTalk"
    bl_use_preview = False
    bl_use_postprocess = True
    bl_use_eevee_viewport = True
    bl_use_gpu_context = False
    """Pictures come from the backend: a final render needs no GPU, and so runs on farms that have none."""

    _viewport: viewport_image.Viewport | None = None

    # -- final render -----------------------------------------------------------------------------------------------

    def update_render_passes(
        self, scene: bpy.types.Scene | None = None, renderlayer: bpy.types.ViewLayer | None = None
    ) -> None:
        """The head's colour with its alpha, and a one that no other engine renders: the composite warns without it."""
        self.register_pass(scene, renderlayer, "Combined", 4, "RGBA", "COLOR")
        self.register_pass(scene, renderlayer, compositor.ENGINE_PASS, 1, "X", "VALUE")

    def render(self, depsgraph: bpy.types.Depsgraph) -> None:  # type: ignore[override]  # the stubs' is a property
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
            self._viewport = viewport_image.Viewport()
        viewport = self._viewport
        region = context.region
        try:
            frame, place = viewport_image.seen_by_region(context, depsgraph)
            texture, failure = viewport.picture(frame, place), viewport.failure
        except Exception as error:  # noqa: BLE001 (an engine that raises leaves the view empty without a word)
            failure, place = _sentence(error), viewport_image.Place(0.0, 0.0, region.width, region.height, False)
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
        if (place.is_camera_frame or failure) and viewport_image.footage_is_shown(context):
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
        sentence = f"The head could not be drawn because of a bug in the add-on ({what}): report it."
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


# -- registration -------------------------------------------------------------------------------------------------------

_UNFIT_PANELS = {"RENDER_PT_freestyle", "RENDER_PT_simplify", "RENDER_PT_eevee_performance"}


def _panels() -> list[Any]:
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
