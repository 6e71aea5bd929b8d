"""In Blender's own View Layer properties: the passes of the engine “SyncTalk”."""

from __future__ import annotations

import bpy

from ..synctalk_blender import passes


class SYNCTALK_PT_passes(bpy.types.Panel):
    bl_label = "Passes"
    bl_space_type = "PROPERTIES"
    bl_region_type = "WINDOW"
    bl_context = "view_layer"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.engine == "SYNCTALK"

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.use_property_split = True
        self.layout.use_property_decorate = False
        layer = context.view_layer
        column = self.layout.column(heading="Data")
        column.prop(layer, "use_pass_z", text="Depth")
        column.prop(layer, "use_pass_normal")
        column.prop(layer, "use_pass_vector")
        self.layout.column(heading="Parts").prop(passes.settings_of(layer), "use_pass_mattes")


CLASSES = (SYNCTALK_PT_passes,)
