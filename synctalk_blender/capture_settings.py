"""What the artist chooses for a capture, face data that drives the head: `scene.synctalk.capture`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import bpy

from ..backend.protocol import CAPTURE_PARTS

# Lets a path begin with //, relative to the .blend, without a warning.
PATH: dict[str, Any] = {"options": {"PATH_SUPPORTS_BLEND_RELATIVE"}} if bpy.app.version >= (4, 5, 0) else {}
MAX_FACTOR = 2.0
"""Of the sliders; what is typed may be more."""


def _changed(settings: CaptureSettings, _context: bpy.types.Context) -> None:
    from .work.capture import fit_soon

    fit_soon(cast(bpy.types.Scene, settings.id_data))


class Fitting:
    """How a capture becomes this person's: the backend's options, by their names; those of parts in `CAPTURE_PARTS`' order."""

    take: bpy.props.BoolVectorProperty(
        name="Take",
        description="What the capture moves; the footage moves the rest",
        size=4,
        default=(True, True, True, False),
        update=_changed,
    )
    strength: bpy.props.FloatProperty(
        name="Strength",
        description="How far the face moves about its rest: 0 is still, 1 natural, more exaggerates. The head has its own slider",
        default=1.0,
        min=0.0,
        soft_max=MAX_FACTOR,
        max=10.0,
        step=5,
        precision=2,
        update=_changed,
    )
    gains: bpy.props.FloatVectorProperty(
        name="Gain",
        description="How far this part moves, on top of the strength; the head about its middle",
        size=4,
        default=(1.0, 1.0, 1.0, 1.0),
        min=0.0,
        soft_max=MAX_FACTOR,
        max=10.0,
        step=5,
        precision=2,
        update=_changed,
    )
    as_is: bpy.props.BoolProperty(
        name="As It Is",
        description="The face of the file unchanged: not fitted to how far this person moves, without strength and gains",
        default=False,
        update=_changed,
    )


class CaptureSettings(Fitting, bpy.types.PropertyGroup):
    """The capture of one scene's head."""

    file: bpy.props.StringProperty(
        name="Face Data",
        description="The file of face data, the folder of a Live Link Face take, or a video of another person",
        subtype="FILE_PATH",
        **PATH,
    )
    audio: bpy.props.StringProperty(
        name="Audio",
        description="The take's audio. When empty, the one that the file names or that lies beside it",
        subtype="FILE_PATH",
        update=_changed,
        **PATH,
    )
    sets_fps: bpy.props.BoolProperty(
        name="Other Frame Rate",
        description="Play the face data at the frame rate below, where the file states none or a wrong one",
        default=False,
        update=_changed,
    )
    fps: bpy.props.FloatProperty(
        name="Frames a Second",
        description="Of the face data",
        default=60.0,
        min=1.0,
        max=500.0,
        step=100,
        precision=3,
        update=_changed,
    )
    head_joint: bpy.props.StringProperty(
        name="Head Joint",
        description="The joint that is the head, in BVH and USD. When empty, the one named “head”",
        update=_changed,
    )

    @property
    def path(self) -> str:
        """The file as an absolute path; empty when none is chosen."""
        return bpy.path.abspath(self.file) if self.file else ""

    @property
    def own_fps(self) -> float | None:
        """Frames a second in place of what the file states; None where that holds."""
        return round(self.fps, 3) if self.sets_fps else None

    def set_fitting(
        self,
        *,
        take: Sequence[str] | None = None,
        strength: float = 1.0,
        gains: Mapping[str, float] | None = None,
        as_is: bool = False,
    ) -> None:
        """Set these options of the fitting; an absent one gets its default.

        Args:
            take, gains: by the names in `protocol.CAPTURE_PARTS`.

        Raises:
            ValueError: another name.
        """
        for name in (*(take or ()), *(gains or ())):
            if name not in CAPTURE_PARTS:
                raise ValueError(f"there is no part {name!r}, but {', '.join(CAPTURE_PARTS)}")
        if take is None:
            self.property_unset("take")
        else:
            self.take = [part in take for part in CAPTURE_PARTS]
        self.strength, self.as_is = strength, as_is
        self.gains = [(gains or {}).get(part, 1.0) for part in CAPTURE_PARTS]

    def fitting(self) -> dict[str, Any]:
        """The options by name, as a request takes them."""
        # Blender holds single precision: 1.2 would be asked for as 1.2000000476837158.
        gains = {part: round(gain, 3) for part, gain in zip(CAPTURE_PARTS, self.gains, strict=True)}
        other = {part: gain for part, gain in gains.items() if gain != 1.0}
        return {
            "take": [part for part, is_taken in zip(CAPTURE_PARTS, self.take, strict=True) if is_taken],
            "strength": round(self.strength, 3),
            "gains": json.dumps(other) if other else None,
            "as_is": self.as_is,
        }
