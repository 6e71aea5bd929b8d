"""The 52 shapes of a face in Blender: which shape key is which, and what an artist adds to them.

A shape key is found by its name, and where the artist has renamed it, by its place in the list: keys can bear no mark.
"""

from __future__ import annotations

import bpy
import numpy as np

from ...backend.protocol import BLENDSHAPE_NAMES

OFFSET_MAX = 1.0
"""How far an offset's slider goes, either way; beyond it a driver and the keyboard may still go."""


def names_in(keys: bpy.types.Key) -> dict[str, str]:
    """The name that the key of each shape has in `keys`; a shape whose key is gone is left out."""
    blocks = keys.key_blocks
    found = {name: name for name in BLENDSHAPE_NAMES if name in blocks}
    for index, name in enumerate(BLENDSHAPE_NAMES, start=1):
        if name not in found and index < len(blocks) and blocks[index].name not in BLENDSHAPE_NAMES:
            found[name] = blocks[index].name
    return found


def lost(keys: bpy.types.Key | None) -> list[str]:
    """The shapes that have no key in `keys`."""
    found = names_in(keys) if keys is not None else {}
    return [name for name in BLENDSHAPE_NAMES if name not in found]


def lost_in_words(face: bpy.types.Object) -> str:
    """One sentence on the shapes that `face` has no key for; empty where it has all."""
    missing = lost(face.data.shape_keys)
    if not missing:
        return ""
    names = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
    return f"The face “{face.name}” lacks the shape key {names}: press Send to Scene in the Track panel to restore it."


def values(keys: bpy.types.Key, evaluated: bpy.types.Key) -> np.ndarray:
    """(52) of the evaluated keys; 0 where a key is muted or gone."""
    found = names_in(keys)
    result = np.zeros(len(BLENDSHAPE_NAMES))
    for index, name in enumerate(BLENDSHAPE_NAMES):
        block: bpy.types.ShapeKey | None = evaluated.key_blocks.get(found.get(name, ""))
        if block is not None and not block.mute:
            result[index] = block.value
    return result


def make_offsets(control: bpy.types.Object) -> None:
    """Give the control a property for each shape, which adds to its key: for drivers and as a slider."""
    for name in BLENDSHAPE_NAMES:
        if control.get(name) is not None:
            continue
        control[name] = 0.0
        control.id_properties_ui(name).update(
            default=0.0, soft_min=-OFFSET_MAX, soft_max=OFFSET_MAX, description=f"Added to the speech's {name}"
        )
        control.property_overridable_library_set(f'["{name}"]', True)


def offsets(control: bpy.types.Object) -> np.ndarray:
    """(52) that the evaluated control adds."""
    return np.array([_number(control.get(name, 0.0)) for name in BLENDSHAPE_NAMES])


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
