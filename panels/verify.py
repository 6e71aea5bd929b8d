"""Panel Check a File: was it made with SyncTalk, and is it whole."""

from __future__ import annotations

import bpy

from ..backend.protocol import ALTERED, MARKED, NOT_OURS
from ..synctalk_blender import jobs
from ..synctalk_blender.steps import Errand, why_not_verify
from .common import SidebarPanel, errand_ui, large
from .text import Icon, label_lines

_ICONS: dict[int, Icon] = {MARKED: "CHECKMARK", NOT_OURS: "QUESTION", ALTERED: "ERROR"}


class SYNCTALK_PT_verify(SidebarPanel, bpy.types.Panel):
    bl_label = "Check a File"
    bl_order = 7
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        ui = errand_ui(Errand.VERIFY, self.layout.column(), context)
        settings, reason, column = ui.settings, why_not_verify(ui.facts), ui.layout
        column.prop(settings, "verify_file", text="", placeholder="Video, image or audio file")
        row = large(column).row(align=True)
        row.enabled = not reason and bool(settings.verify_file)
        row.operator("synctalk.verify", icon="VIEWZOOM")
        row.operator("synctalk.sign", icon="DECORATE_LOCKED")
        found = jobs.runtime.verified
        if reason or found is None:
            text = f"{reason}." if reason else "Was it made with SyncTalk, and is it unchanged?"
            label_lines(column, context, text, dim=True)
            ui.messages()
            return
        box = self.layout.box()
        box.label(text=found.name, icon="FILE")
        label_lines(box, context, found.headline, icon=_ICONS[found.status], inset=0.6)
        for line in (*found.layers, *found.origin):
            label_lines(box, context, line, inset=0.6)
        label_lines(box, context, found.advice, inset=0.6, dim=True)


CLASSES = (SYNCTALK_PT_verify,)
