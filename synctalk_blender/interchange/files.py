"""The three formats, each by Blender's own exporter, corrected where that writes what other programs would read wrong."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import bpy

from ...backend.protocol import SYNTHETIC_MARK
from ...backend.workspace import glb
from ...backend.workspace.face_mesh import FaceMesh
from ...backend.workspace.files import atomic_path
from ..scene.errors import SceneError
from .stage import Stage, staged
from .take import Take


def require_format(path: Path) -> None:
    """Raise unless this Blender can write the file.

    Raises:
        SceneError: the suffix is of no format here, or its exporter is missing.
    """
    if path.suffix.lower() not in _WRITERS:
        raise SceneError(f"{path.name}: the name of the file must end in {', '.join(_WRITERS)}.")
    if path.suffix.lower() == ".usda" and not getattr(bpy.app.build_options, "usd", True):
        raise SceneError("This Blender is built without USD: export as .glb or .fbx, or use a Blender of blender.org.")
    exporter, add_on = _ADD_ONS.get(path.suffix.lower(), ("", ""))
    if exporter and not hasattr(bpy.types, exporter):
        raise SceneError(f"Blender's add-on “{add_on}” is off: enable it in the Preferences, Add-ons.")


def write(path: Path, name: str, take: Take, face_mesh: FaceMesh) -> None:
    """Write the file of the path's suffix, atomically.

    Args:
        name: of the subject.

    Raises:
        SceneError: `require_format`'s, or the exporter failed.
        StorageError: the disk is full or the place is read-only.
    """
    require_format(path)
    with atomic_path(path) as temporary:
        _WRITERS[path.suffix.lower()](temporary, name, take, face_mesh)


def _write_glb(path: Path, name: str, take: Take, face_mesh: FaceMesh) -> None:
    """glTF has no principal point, so its camera sees more where that is not in the middle: `crop_px` is the scene's image in it."""
    pinhole, corner = take.camera.centred()
    with staged(name, take, face_mesh, pinhole=pinhole, with_root=True) as stage:
        stage.camera["image_px"] = [pinhole.width, pinhole.height]
        stage.camera["crop_px"] = [*corner, float(take.camera.width), float(take.camera.height)]
        _mark(stage, take.rate)
        # The exporter takes rate times base for the rate, where Blender has rate over base: times are set afterwards.
        stage.scene.render.fps_base = 1.0
        fps = stage.scene.render.fps
        _call(
            bpy.ops.export_scene.gltf,
            filepath=str(path),
            export_format="GLB",
            use_active_scene=True,
            export_animation_mode="SCENE",
            export_anim_scene_split_object=False,
            export_force_sampling=True,
            export_optimize_animation_size=False,
            export_cameras=True,
            export_extras=True,
            export_copyright=SYNTHETIC_MARK,
            export_materials="NONE",
            export_morph_normal=False,
            export_try_sparse_sk=False,
        )
    tree, content = glb.unpack(path.read_bytes())
    tree["asset"]["extras"] = {"note": SYNTHETIC_MARK, "frame_rate": str(take.rate)}
    _scale_times(tree, content, float(fps / take.rate))
    for animation in tree.get("animations", []):
        animation["name"] = "take"
    path.write_bytes(glb.pack(tree, content))


def _scale_times(tree: dict[str, Any], content: bytearray, factor: float) -> None:
    """Multiply the times of all animations."""
    inputs = {sampler["input"] for animation in tree.get("animations", []) for sampler in animation["samplers"]}
    for index in inputs:
        accessor = tree["accessors"][index]
        start = tree["bufferViews"][accessor["bufferView"]].get("byteOffset", 0) + accessor.get("byteOffset", 0)
        form = f"<{accessor['count']}f"
        times = [time * factor for time in struct.unpack_from(form, content, start)]
        struct.pack_into(form, content, start, *times)
        accessor["min"], accessor["max"] = [min(times)], [max(times)]


def _write_usd(path: Path, name: str, take: Take, face_mesh: FaceMesh) -> None:
    root = re.sub(r"\W", "_", name, flags=re.ASCII)
    root = root if re.match(r"[A-Za-z_]", root) else f"_{root}"
    with staged(name, take, face_mesh, pinhole=take.camera, with_root=False):
        _call(
            bpy.ops.wm.usd_export,
            filepath=str(path),
            export_animation=True,
            convert_orientation=True,
            export_global_forward_selection="NEGATIVE_Z",
            export_global_up_selection="Y",
            root_prim_path=f"/{root}",
            xform_op_mode="MAT",
            export_materials=False,
            convert_world_material=False,
        )
    path.write_text(_with_rate_and_note(path.read_text(encoding="utf-8"), take.rate), encoding="utf-8")


def _with_rate_and_note(text: str, rate: Fraction) -> str:
    """The layer with its rate, which the exporter states in single precision and once, and the note."""
    head, body = text.split("\n)\n", 1)
    lines = [line for line in head.split("\n")[2:] if line.split(" =")[0].strip() not in ("timeCodesPerSecond", "doc")]
    added = [
        *(
            "    customLayerData = {",
            f'        string frameRate = "{rate}"',
            f'        string note = "{SYNTHETIC_MARK}"',
            "    }",
        ),
        f'    doc = "{SYNTHETIC_MARK}"',
        f"    timeCodesPerSecond = {float(rate):.17g}",
        f"    framesPerSecond = {float(rate):.17g}",
    ]
    return "\n".join(["#usda 1.0", "(", *added, *lines]) + "\n)\n" + body


def _write_fbx(path: Path, name: str, take: Take, face_mesh: FaceMesh) -> None:
    with staged(name, take, face_mesh, pinhole=take.camera, with_root=True) as stage:
        _mark(stage, take.rate)
        _call(
            bpy.ops.export_scene.fbx,
            filepath=str(path),
            object_types={"EMPTY", "CAMERA", "MESH"},
            apply_scale_options="FBX_SCALE_UNITS",
            axis_forward="-Z",
            axis_up="Y",
            use_custom_props=True,
            mesh_smooth_type="FACE",
            bake_anim=True,
            bake_anim_use_all_bones=False,
            bake_anim_use_nla_strips=False,
            bake_anim_use_all_actions=False,
            bake_anim_force_startend_keying=True,
            bake_anim_simplify_factor=0.0,
        )


def _mark(stage: Stage, rate: Fraction) -> None:
    assert stage.root is not None
    stage.root["note"], stage.root["frame_rate"] = SYNTHETIC_MARK, str(rate)


def _call(exporter: Any, **options: Any) -> None:
    """Run an exporter.

    Raises:
        SceneError: it failed.
    """
    try:
        result = exporter(**options)
    except RuntimeError as error:
        raise SceneError(f"Blender's exporter failed: {str(error).removeprefix('Error: ').strip()}") from error
    if result != {"FINISHED"}:
        raise SceneError("Blender's exporter wrote no file: see Blender's console.")


_WRITERS: dict[str, Callable[[Path, str, Take, FaceMesh], None]] = {
    ".glb": _write_glb, ".usda": _write_usd, ".fbx": _write_fbx
}  # fmt: skip
_ADD_ONS = {".glb": ("EXPORT_SCENE_OT_gltf", "glTF 2.0 format"), ".fbx": ("EXPORT_SCENE_OT_fbx", "FBX format")}
"""The exporters that are add-ons: the name of the operator's class, and of the add-on."""
