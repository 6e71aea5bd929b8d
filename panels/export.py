"""Panel Export: the face with its motion for other programs; also in Blender's menu File, Export."""

from __future__ import annotations

import bpy

from ..synctalk_blender.steps import Errand, State, why_not_export
from .common import SidebarPanel, errand_ui, large


class SYNCTALK_PT_export(SidebarPanel, bpy.types.Panel):
    bl_label = "Export"
    bl_order = 6
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        ui = errand_ui(Errand.EXPORT, self.layout.column(), context)
        if ui.status.state is State.RUNNING:
            ui.progress()
            return
        reason = why_not_export(ui.facts)
        large(ui.layout).operator("synctalk.export", text="Export Face…", icon="EXPORT")
        text = "The face with its 52 shapes and their motion, the head and the camera, as glTF, USD or FBX."
        ui.text(f"{reason}." if reason else text, dim=True)
        ui.messages()


def draw_menu(self: bpy.types.Menu, _context: bpy.types.Context) -> None:
    """The entry in File, Export."""
    # Menus run operators without their dialog unless they ask for it.
    self.layout.operator_context = "INVOKE_DEFAULT"
    self.layout.operator("synctalk.export", text="SyncTalk Face (.glb/.usda/.fbx)")


CLASSES = (SYNCTALK_PT_export,)
