"""Registers everything with Blender, and takes it back in reverse."""

from __future__ import annotations

import bpy
from bpy.app.handlers import persistent

from .. import ops, panels
from . import engine, jobs, live, preferences, properties
from .scene import audio_level, label, objects, paths
from .work import capture

_CLASSES = (preferences.SyncTalkPreferences, *ops.CLASSES, *panels.CLASSES)


@persistent
def _file_loaded(*_arguments: object) -> None:
    jobs.forget_messages()


@persistent
def _undone(*_arguments: object) -> None:
    jobs.forget_notes()


def register() -> None:
    properties.register()
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.TOPBAR_MT_file_export.append(panels.export.draw_menu)  # type: ignore[arg-type]  # the stubs forget the menu
    bpy.types.TOPBAR_MT_file_import.append(panels.capture.draw_menu)  # type: ignore[arg-type]
    jobs.register()
    engine.register()
    live.register()
    paths.register()
    audio_level.register()
    objects.register()
    label.register()
    bpy.app.handlers.load_post.append(_file_loaded)
    for handlers in (bpy.app.handlers.undo_post, bpy.app.handlers.redo_post):
        handlers.append(_undone)


def unregister() -> None:
    for handlers in (bpy.app.handlers.undo_post, bpy.app.handlers.redo_post):
        handlers.remove(_undone)
    bpy.app.handlers.load_post.remove(_file_loaded)
    label.unregister()
    objects.unregister()
    audio_level.unregister()
    paths.unregister()
    live.unregister()
    engine.unregister()
    jobs.unregister()
    capture.unregister()
    bpy.types.TOPBAR_MT_file_import.remove(panels.capture.draw_menu)  # type: ignore[arg-type]
    bpy.types.TOPBAR_MT_file_export.remove(panels.export.draw_menu)  # type: ignore[arg-type]
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
    properties.unregister()
