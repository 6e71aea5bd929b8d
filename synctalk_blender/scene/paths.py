"""Paths that a .blend keeps: relative to the file where the artist's preferences say so, so a project can be moved.

Blender rewrites the paths that it knows itself (images, audio) when a file is saved elsewhere. Ours are text to it: the
handlers here rewrite them for the place that the file is saved to.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy
from bpy.app.handlers import persistent

from ...backend.workspace.subject import subject_id

SETTINGS = ("video", "workspace", "speech", "bake_folder", "capture.file", "capture.audio")
"""Properties of `scene.synctalk` that are paths, some of them in a group of it."""
WORKSPACE, ANIMATION = "synctalk_workspace", "synctalk_animation"
"""On a rig's collection: the workspace, and the animation that was imported last, from the workspace on where it lies in it."""
SUBJECT = "synctalk_subject"
"""On everything of one subject: its persistent id, independent of names and paths."""
_KNOWN_AT = "synctalk_workspace_at"
"""On a rig's collection: where the workspace was when that was last known. A head that is appended to a file elsewhere brings
a path that is relative to the file it comes from."""


is_rewriting = False
"""While paths are rewritten for another place: what follows an artist's choice of a path is not to follow then."""


def stored(path: str | Path, blend: str | None = None, *, always: bool = False) -> str:
    """An absolute `path` as it is to be kept in the file: relative to it where that is saved and the preference says so.

    Args:
        blend: path of the .blend; the current file's when absent.
        always: regardless of the preference.
    """
    path = str(path)
    blend = bpy.data.filepath if blend is None else blend
    if not path or not blend or not (always or bpy.context.preferences.filepaths.use_relative_paths):
        return path
    try:
        return bpy.path.relpath(path, start=str(Path(blend).parent))
    except ValueError:  # on another drive
        return path


def resolved(path: str, owner: bpy.types.ID | None = None) -> Path:
    """A kept path as an absolute one; that of a linked `owner` is relative to the file it comes from."""
    library = None
    if owner is not None:
        override = owner.override_library
        library = owner.library if override is None else override.reference.library
    return Path(os.path.normpath(bpy.path.abspath(path, library=library)))


def same_place(a: Path, b: Path) -> bool:
    """Whether two paths name the same file or folder, be they there or not."""
    if os.path.normcase(os.path.normpath(a)) == os.path.normcase(os.path.normpath(b)):
        return True
    try:
        return a.samefile(b)
    except OSError:
        return False


_ids: dict[Path, tuple[int, str]] = {}


def id_at(workspace: Path) -> str:
    """The persistent id of the subject in `workspace`, empty where there is none; read again only when its file has
    changed."""
    path = workspace / "subject.json"
    try:
        changed = path.stat().st_mtime_ns
        if _ids.get(path, (0, ""))[0] != changed:
            _ids[path] = changed, subject_id(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError):
        return ""
    return _ids[path][1]


def workspace_of(collection: bpy.types.Collection) -> Path:
    """The workspace of the rig in `collection`, by the kept path; where the subject is not there, where it was last."""
    place = resolved(collection[WORKSPACE], collection)
    subject, known_at = collection.get(SUBJECT), collection.get(_KNOWN_AT)
    if subject and known_at and id_at(place) != subject == id_at(Path(known_at)):
        return Path(known_at)
    return place


def keep_workspace(collection: bpy.types.Collection, workspace: Path) -> None:
    """Let the rig in `collection` have its files in `workspace`."""
    collection[WORKSPACE], collection[_KNOWN_AT] = stored(workspace), str(workspace)


def animation_of(collection: bpy.types.Collection) -> Path | None:
    """The `animation.npz` that moves the rig in `collection`; None for the footage's own movement."""
    value = collection.get(ANIMATION)
    if not value:
        return None
    if value.startswith("//") or Path(value).is_absolute():
        return resolved(value, collection)
    return workspace_of(collection) / value


def keep_animation(collection: bpy.types.Collection, path: Path) -> None:
    """Note the `animation.npz` that moves the rig in `collection`."""
    try:
        collection[ANIMATION] = path.relative_to(workspace_of(collection)).as_posix()
    except ValueError:  # it lies elsewhere
        collection[ANIMATION] = stored(path)


def _kept() -> Iterator[tuple[str, Callable[[str], None]]]:
    """All our paths in this file's own data, each with what sets it."""
    for scene in bpy.data.scenes:
        settings = getattr(scene, "synctalk", None)
        if scene.library is None and settings is not None:
            for name in SETTINGS:
                group, _, key = name.rpartition(".")
                owner = getattr(settings, group) if group else settings
                yield getattr(owner, key), lambda value, owner=owner, key=key: setattr(owner, key, value)
    for collection in _own_collections():
        for name in (WORKSPACE, ANIMATION):
            value = collection.get(name, "")
            if value.startswith("//") or Path(value).is_absolute():
                yield value, lambda value, owner=collection, key=name: owner.__setitem__(key, value)


def _own_collections() -> list[bpy.types.Collection]:
    """Those of rigs that are this file's own: in others, paths are relative to the file they come from."""
    marked = [item for item in bpy.data.collections if item.get(WORKSPACE)]
    return [item for item in marked if item.library is None and item.override_library is None]


def _rewrite(blend: str, base: str) -> None:
    """Write our paths, which are relative to the file `base` now, for the file `blend`; absolute where that is empty."""
    global is_rewriting
    is_rewriting = True
    try:
        for value, assign in list(_kept()):
            is_relative = value.startswith("//")
            if not value or (is_relative and not base):
                continue
            place = os.path.normpath(bpy.path.abspath(value, start=str(Path(base).parent) if base else None))
            new = stored(place, blend, always=is_relative)
            if new != value:
                assign(new)
    finally:
        is_rewriting = False


@persistent
def _before_save(path: str = "", *_arguments: object) -> None:
    if path:
        for collection in _own_collections():
            place = workspace_of(collection)
            if (place / "subject.json").exists():
                keep_workspace(collection, place)
        _rewrite(path, bpy.data.filepath)


@persistent
def _after_save(path: str = "", *_arguments: object) -> None:
    """A copy was saved elsewhere, or could not be: this file is still the one that it was."""
    if path and not (bpy.data.filepath and same_place(Path(path), Path(bpy.data.filepath))):
        _rewrite(bpy.data.filepath, path)


def _handlers() -> list[tuple[list, Callable]]:
    handlers = bpy.app.handlers
    return [
        (handlers.save_pre, _before_save), (handlers.save_post, _after_save), (handlers.save_post_fail, _after_save)
    ]  # fmt: skip


def register() -> None:
    for handlers, function in _handlers():
        handlers.append(function)


def unregister() -> None:
    for handlers, function in _handlers():
        handlers.remove(function)
