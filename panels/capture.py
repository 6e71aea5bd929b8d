"""Sub-panel Face Data of the Speak panel: a capture moves the head; also in Blender's menu File, Import."""

from __future__ import annotations

import bpy

from ..backend.protocol import CAPTURE_PARTS, HEAD_PART
from ..synctalk_blender import jobs
from ..synctalk_blender.capture_settings import CaptureSettings
from ..synctalk_blender.facts import facts
from ..synctalk_blender.properties import SyncTalkSettings
from ..synctalk_blender.steps import Step
from ..synctalk_blender.work.capture import is_video
from .common import OptionsPanel
from .text import label_lines

_WITH_JOINTS = (".bvh", ".usd", ".usda", ".usdc")


class SYNCTALK_PT_capture(OptionsPanel, bpy.types.Panel):
    bl_label = "Face Data"
    bl_parent_id = "SYNCTALK_PT_speak"
    step = Step.SPEAK

    def draw_options(self, layout: bpy.types.UILayout, settings: SyncTalkSettings) -> None:
        buttons = layout.column(align=True)
        buttons.operator("synctalk.import_capture", text="Import Face Data…", icon="IMPORT")
        buttons.operator("synctalk.follow_video", text="Follow a Video…", icon="FILE_MOVIE")
        capture = settings.capture
        if not capture.file:
            text = "The face of an app, of an animation or of another person moves this head, within what it has been seen to do."
            label_lines(layout, bpy.context, text, dim=True)
            return
        layout.prop(capture, "file", text="", icon="FILE")
        _draw_parts(layout, capture)
        strength = layout.column()
        strength.active = not capture.as_is
        strength.prop(capture, "strength", slider=True)
        layout.prop(capture, "as_is")
        layout.prop(capture, "audio", placeholder="Beside the file")
        if not is_video(capture.path):
            layout.prop(capture, "sets_fps")
            if capture.sets_fps:
                layout.prop(capture, "fps")
            if capture.file.lower().endswith(_WITH_JOINTS):
                layout.prop(capture, "head_joint", placeholder="head")
        _draw_fit(layout, facts(bpy.context.scene).has_capture)


def _draw_parts(layout: bpy.types.UILayout, capture: CaptureSettings) -> None:
    """A row a part: whether it is taken, and how far it moves."""
    column = layout.column(align=True)
    column.use_property_split = False
    for index, part in enumerate(CAPTURE_PARTS):
        row = column.split(factor=0.4, align=True)
        row.prop(capture, "take", index=index, text=part.title())
        gain = row.column(align=True)
        gain.active = capture.take[index] and (part == HEAD_PART or not capture.as_is)
        gain.prop(capture, "gains", index=index, text="", slider=True)


def _draw_fit(layout: bpy.types.UILayout, is_there: bool) -> None:
    """The button; in its place, of the same height, the progress: sliders must not move while they are dragged."""
    row = layout.row(align=True)
    job = jobs.runtime.job
    if job is not None and job.quiet:
        row.progress(factor=job.fraction or 0.0, text="Stopping…" if job.cancelling else job.text, type="BAR")
        row.operator("synctalk.cancel", text="", icon="CANCEL")
        return
    row.operator_context = "EXEC_DEFAULT"  # with the file that is chosen
    row.operator("synctalk.import_capture", text="Fit Again" if is_there else "Import", icon="FILE_REFRESH")


def draw_menu(self: bpy.types.Menu, _context: bpy.types.Context) -> None:
    """The entry in File, Import."""
    # Menus run operators without their dialog unless they ask for it.
    self.layout.operator_context = "INVOKE_DEFAULT"
    self.layout.operator("synctalk.import_capture", text="SyncTalk Face Data (.csv/.json/.usd/.bvh)")


CLASSES = (SYNCTALK_PT_capture,)
