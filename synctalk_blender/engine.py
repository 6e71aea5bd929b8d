"""The render engine “SyncTalk”: the neural head for F12, animation renders and the viewport's Rendered mode.

Pose, expression and camera are read from the evaluated scene; the backend draws the head for them. Whatever the backend
does, Blender keeps running: a failure is a sentence, shown where the head would be.
"""

from __future__ import annotations

import logging
import time
import traceback
from dataclasses import replace
from typing import Any

import bpy
import numpy as np

from . import lettering, passes, shared_image, viewport_drawing, viewport_image
from .beneath import footage_beneath
from .client.errors import BackendError
from .client.shared import shared_backend
from .live_frame import FrameRequest, HeadFrame, HeadImage
from .properties import settings_of
from .scene import camera as cameras
from .scene import colour, compositor, marking, rig
from .scene.errors import SceneError, SyncTalkError
from .viewport_drawing import PlacedTexture

logger = logging.getLogger("synctalk")

_WAIT_S = 0.005


class SyncTalkRenderEngine(bpy.types.RenderEngine):
    """Renders the head of the scene's rig with premultiplied alpha, for the compositor to place over the footage."""

    bl_idname = "SYNCTALK"
    bl_label = "SyncTalk"
    bl_use_preview = False
    bl_use_postprocess = True
    bl_use_eevee_viewport = True
    bl_use_gpu_context = False
    """Images come from the backend: a final render needs no GPU, and so runs on farms without one."""

    _viewport: viewport_image.Viewport | None = None

    # -- final render -----------------------------------------------------------------------------------------------

    def update_render_passes(
        self, scene: bpy.types.Scene | None = None, renderlayer: bpy.types.ViewLayer | None = None
    ) -> None:
        """The head's colour with its alpha, a one that no other engine renders (the composite warns without it), and those that are
        enabled in the view layer."""
        self.register_pass(scene, renderlayer, "Combined", 4, "RGBA", "COLOR")
        self.register_pass(scene, renderlayer, compositor.ENGINE_PASS, 1, "X", "VALUE")
        passes.register_in(self, scene, renderlayer)

    def render(self, depsgraph: bpy.types.Depsgraph) -> None:  # type: ignore[override]  # the stubs' is a property
        """Render the frame that `depsgraph` is evaluated at."""
        _, _, width, height = cameras.render_border(depsgraph.scene)
        beside = passes.blank(passes.enabled(depsgraph.view_layer), width, height)
        pixels = np.zeros((height, width, 4), np.float32)
        try:
            frame = wanted_frame(depsgraph)
            camera_to_world = rig.world_matrix(depsgraph.scene.camera.evaluated_get(depsgraph))
            image = self._head_or_none(replace(frame, passes=passes.wanted(self, depsgraph, wanted_frame)))
            if image is not None:
                pixels = image.pixels
                beside |= passes.in_scene(image.passes, frame, camera_to_world, (width, height))
        except Exception as error:  # noqa: BLE001 (Blender would count a frame that raised as rendered, and end with 0)
            sentence = _sentence(error)
            self.report({"ERROR"}, sentence)
            pixels = lettering.card(sentence, width, height)
        result = self.begin_result(0, 0, width, height, layer=depsgraph.view_layer.name)
        beside["Combined"] = colour.from_linear_rec709(_fitted(pixels, width, height))
        beside[compositor.ENGINE_PASS] = np.ones(width * height, np.float32)
        rendered = result.layers[0].passes
        for name, values in beside.items():
            rendered[name].rect.foreach_set(values.ravel())
        self.end_result(result)

    def _head_or_none(self, frame: HeadFrame) -> HeadImage | None:
        """Wait for the image; None when the artist pressed Escape meanwhile.

        There is no time limit here: the first image waits for the backend to start and to load the head. The client notices
        a backend that dies or hangs meanwhile, and the request fails.
        """
        request = FrameRequest(shared_backend(), frame)
        stage = "Waiting for the head"
        self.update_stats("", stage)
        while True:
            while not request.poll():
                if self.test_break():
                    request.abandon()
                    return None
                if request.stage and request.stage != stage:
                    stage = request.stage
                    self.update_stats("", stage)
                time.sleep(_WAIT_S)
            try:
                return request.take()
            except BackendError as error:
                if error.kind != "cancelled" or self.test_break():
                    raise
                # A viewport's request took this one's place in the queue.
                request = FrameRequest(shared_backend(), frame)

    # -- viewport ---------------------------------------------------------------------------------------------------

    def view_update(self, context: bpy.types.Context, depsgraph: bpy.types.Depsgraph) -> None:
        """Something in the scene has changed: the redraw that follows asks for a new image."""

    def view_draw(self, context: bpy.types.Context, depsgraph: bpy.types.Depsgraph) -> None:
        """Draw the newest image, and ask for a newer one where it is out of date."""
        if self._viewport is None:
            self._viewport = viewport_image.Viewport()
        viewport = self._viewport
        region = context.region
        try:
            frame, place = viewport_image.seen_by_region(context, depsgraph)
            texture, failure = viewport.image(frame, place), viewport.failure
        except Exception as error:  # noqa: BLE001 (an engine that raises leaves the view empty without a message)
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
        image = PlacedTexture(texture, clip)
        if (place.is_camera_frame or failure) and viewport_image.footage_is_shown(context):
            viewport_drawing.draw_after_overlays(region, image)
        else:
            viewport_drawing.draw(image)


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
    full_width, full_height = cameras.render_size(scene)
    camera = scene.camera.evaluated_get(depsgraph)
    pinhole = full = cameras.camera_intrinsics(scene, camera, full_width, full_height)
    if (width, height) != (full_width, full_height):
        aspect = pinhole.height / full_height
        pinhole = pinhole.cropped(x, round(y * aspect), width, max(1, round(height * aspect)))
    directions = rig.read_rig(found, depsgraph, rig.world_matrix(camera))
    beneath = footage_beneath(scene, found, depsgraph, full)
    if beneath is not None:  # a region of the frame has a corner of its own
        dx, dy = np.subtract(pinhole.principal_px, full.principal_px).tolist()
        beneath = replace(beneath, x=beneath.x + dx, y=beneath.y + dy)
    return HeadFrame(
        str(found.workspace), pinhole, directions, settings_of(scene.original).head, beneath, watermark=True
    )


def _sentence(error: Exception) -> str:
    """The sentence to show for a failure; the traceback of a bug goes to the log."""
    sentence = str(error)
    if not isinstance(error, (SyncTalkError, BackendError)):
        logger.error("a frame of the head failed:\n%s", "".join(traceback.format_exception(error)))
        what = f"{type(error).__name__}: {error}"
        sentence = f"The head could not be drawn because of a bug in the add-on ({what}): report it."
    return sentence


def _fitted(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Rows resampled where the scene's pixels are not square."""
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
    passes.register()
    viewport_drawing.register()
    bpy.utils.register_class(SyncTalkRenderEngine)
    for panel in _panels():
        panel.COMPAT_ENGINES.add(SyncTalkRenderEngine.bl_idname)


def unregister() -> None:
    for panel in _panels():
        panel.COMPAT_ENGINES.discard(SyncTalkRenderEngine.bl_idname)
    bpy.utils.unregister_class(SyncTalkRenderEngine)
    viewport_drawing.unregister()
    passes.unregister()
    marking.unregister()
    shared_image.close()
