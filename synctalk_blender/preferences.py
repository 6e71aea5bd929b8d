"""The add-on's preferences: where the backend lives."""

from __future__ import annotations

from pathlib import Path

import bpy

from . import EXTENSION_ID

_DEVICES = (
    ("cpu", "Processor", "Runs on every computer; training takes minutes to hours"),
    (
        "cuda",
        "NVIDIA GPU",
        "Much faster, needs an NVIDIA GPU with a current driver; a larger download (Linux and Windows)",
    ),
)


class SyncTalkPreferences(bpy.types.AddonPreferences):
    """What belongs to this computer rather than to a scene."""

    bl_idname = EXTENSION_ID

    backend_python: bpy.props.StringProperty(
        name="Own Python",
        description="A Python that already holds the backend's packages. Empty: the one that Install makes",
        subtype="FILE_PATH",
    )
    device: bpy.props.EnumProperty(
        name="Train and Render on",
        description="What the backend computes on; decides which packages Install downloads",
        items=_DEVICES,
        default=0,
    )

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "device")
        layout.prop(self, "backend_python")
        layout.label(text="Install and start the backend in the 3D View's sidebar (N), tab SyncTalk.", icon="INFO")


def preferences() -> SyncTalkPreferences:
    """The add-on's preferences."""
    return bpy.context.preferences.addons[EXTENSION_ID].preferences


def chosen_backend_python() -> Path | None:
    """The Python that the user named, or None."""
    addon = bpy.context.preferences.addons.get(EXTENSION_ID)  # absent while the extension is being enabled
    path = addon.preferences.backend_python if addon and addon.preferences else ""
    return Path(bpy.path.abspath(path)) if path else None


def environment_root() -> Path:
    """The folder for the environment that “Install” makes: the user's, for an update replaces the extension's own."""
    return Path(bpy.utils.extension_path_user(EXTENSION_ID, create=False))
