"""The 3D views that are open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import bpy

_GUIDES = ("floor", "axis_x", "axis_y", "axis_z", "cursor", "relationship_lines", "object_origins")


def look_through_camera(scene: bpy.types.Scene) -> None:
    """Let the views of `scene` show what its camera sees, the footage behind the head."""
    for _area, space in _views(scene):
        space.region_3d.view_perspective = "CAMERA"


def show_composite(scene: bpy.types.Scene) -> None:
    """Switch the views that look through the camera to Rendered: only the engine draws the head that the plate lacks.

    Guides that would cover the image are hidden; the control's ring stays.
    """
    for _area, space in _views(scene):
        if space.region_3d.view_perspective == "CAMERA":
            space.shading.type = "RENDERED"
            for guide in _GUIDES:
                setattr(space.overlay, f"show_{guide}", False)


def redraw_sidebars() -> None:
    """Have the panels drawn again."""
    for area, _space in _views():
        for region in area.regions:
            if region.type == "UI":
                region.tag_redraw()


def redraw_rendered() -> None:
    """Have the views that show a rendered head drawn again."""
    for area, space in _views():
        if space.shading.type == "RENDERED":
            for region in area.regions:
                if region.type == "WINDOW":  # not the header, toolbar and sidebar, which take as long again
                    region.tag_redraw()


def _views(scene: bpy.types.Scene | None = None) -> Iterator[tuple[bpy.types.Area, bpy.types.SpaceView3D]]:
    for manager in bpy.data.window_managers:
        for window in manager.windows:
            for area in window.screen.areas if scene is None or window.scene == scene else ():
                if area.type == "VIEW_3D":
                    yield area, cast("bpy.types.SpaceView3D", area.spaces.active)
