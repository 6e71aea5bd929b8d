"""The add-on's preferences: where the backend lives."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import bpy

from ..install import backend_environment
from . import EXTENSION_ID

_DEVICES = (
    ("cpu", "CPU", "Runs on every computer; training takes minutes to hours"),
    ("cuda", "NVIDIA GPU", "Much faster; needs a current driver and a larger download (Linux and Windows)"),
)


def _make_absolute(preferences: SyncTalkPreferences, _context: bpy.types.Context) -> None:
    """A folder relative to the open file would change with the next file."""
    if preferences.backend_folder.startswith("//"):
        preferences.backend_folder = bpy.path.abspath(preferences.backend_folder)


class SyncTalkPreferences(bpy.types.AddonPreferences):
    """What belongs to this computer rather than to a scene."""

    bl_idname = EXTENSION_ID

    backend_python: bpy.props.StringProperty(
        name="Custom Python",
        description="A Python with the backend's packages; when empty, the one that Install creates",
        subtype="FILE_PATH",
    )
    device: bpy.props.EnumProperty(
        name="Device",
        description="Device for training and rendering; decides which packages Install downloads",
        items=_DEVICES,
        default=0,
    )

    backend_folder: bpy.props.StringProperty(
        name="Backend Folder",
        description="Folder that Install uses for the backend; when empty, this user's SyncTalk folder, shared by all "
        "versions of Blender",
        subtype="DIR_PATH",
        update=_make_absolute,
    )

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "device")
        layout.prop(self, "backend_folder")
        layout.prop(self, "backend_python")
        folder = environment_root() / backend_environment.NAME
        state = backend_environment.state(environment_root())
        if state == "absent":
            layout.label(text=f"Install it from the 3D View's sidebar (N), tab SyncTalk, into {folder}", icon="INFO")
        else:
            layout.label(text=f"The backend is in {folder}", icon="INFO")
            layout.operator("synctalk.remove_backend", icon="TRASH")


def preferences() -> SyncTalkPreferences:
    """The add-on's preferences."""
    found = _preferences()
    assert found is not None, "the extension is enabled"
    return found


def chosen_backend_python() -> Path | None:
    """The Python that the user named, or None."""
    found = _preferences()
    return Path(bpy.path.abspath(found.backend_python)) if found and found.backend_python else None


def environment_root() -> Path:
    """The folder for the environment that “Install” makes: the chosen one, else the user's, where the extension's own
    folder does not hold one from an earlier version of the add-on."""
    found = _preferences()
    if found and found.backend_folder:
        return Path(bpy.path.abspath(found.backend_folder))
    return backend_environment.place(backend_environment.user_root(), former_root())


def former_root() -> Path:
    """Where earlier versions of the add-on put the environment; Blender deletes it together with the extension."""
    return Path(bpy.utils.extension_path_user(EXTENSION_ID, create=False))


def _preferences() -> SyncTalkPreferences | None:
    """None while the extension is being enabled."""
    addon: bpy.types.Addon | None = bpy.context.preferences.addons.get(EXTENSION_ID)
    return cast("SyncTalkPreferences | None", addon.preferences) if addon else None
