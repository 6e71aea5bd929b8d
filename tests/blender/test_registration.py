"""The extension registers in every supported Blender, and leaves nothing behind."""

from __future__ import annotations

import bpy

OPERATORS = [
    "install_backend",
    "remove_backend",
    "start_backend",
    "fetch_model",
    "cancel",
    "choose_video",
    "process",
    "import_tracking",
    "train",
    "speak",
]


def test_every_operator_and_panel_is_registered(addon):
    for name in OPERATORS:
        assert getattr(bpy.ops.synctalk, name).get_rna_type().description, name
    assert bpy.context.scene.synctalk.strength == 1.0
    for name in ("backend", "subject", "track", "train", "speak"):
        assert hasattr(bpy.types, f"SYNCTALK_PT_{name}")


def test_disabling_leaves_nothing_and_enabling_again_works(addon):
    bpy.ops.preferences.addon_disable(module=addon.__name__)
    assert not hasattr(bpy.types.Scene, "synctalk")
    assert not hasattr(bpy.types, "SYNCTALK_PT_backend")
    bpy.ops.preferences.addon_enable(module=addon.__name__)
    assert hasattr(bpy.types, "SYNCTALK_PT_backend")
