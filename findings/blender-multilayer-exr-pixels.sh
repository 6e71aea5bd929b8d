#!/usr/bin/env bash
# bpy 5.0.1: a multilayer EXR of a render whose pixels are not square.
# Expected: it is written as a plain EXR is, with `pixelAspectRatio` in its header (4.2.23 and 4.5.15 do write it).
# Seen: a plain EXR is written; the multilayer one fails with "Conflicting attributes found for header :: ViewLayer.Noisy
# Image 'pixelAspectRatio'", the operator's RuntimeError gives the reason as "Success", and a file of 0 bytes is left.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q bpy==5.0.1
export BLENDER_USER_RESOURCES="$folder/resources" FOLDER="$folder"
"$folder/venv/bin/python" - <<'PY'
import os
import sys

import bpy

folder = os.environ["FOLDER"]


def rendered(aspect, layered):
    """Bytes of the file, and the last line of the error."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    scene.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(scene.camera)
    render = scene.render
    render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", 1, "CPU"
    render.resolution_x, render.resolution_y, render.resolution_percentage = 16, 8, 100
    render.pixel_aspect_x = aspect
    if layered:
        render.image_settings.media_type = "MULTI_LAYER_IMAGE"
    render.image_settings.file_format = "OPEN_EXR_MULTILAYER" if layered else "OPEN_EXR"
    render.filepath = f"{folder}/{layered}-{aspect}.exr"
    error = ""
    try:
        bpy.ops.render.render(write_still=True)
    except RuntimeError as raised:
        error = str(raised).strip().splitlines()[-1]
    return os.path.getsize(render.filepath), error


plain, square, wide = rendered(2.0, False), rendered(1.0, True), rendered(2.0, True)
print("bpy", bpy.app.version_string, "plain", plain, "multilayer, square", square, "multilayer, 2:1", wide)
ok = plain[0] > 0 and square[0] > 0 and not plain[1] + square[1] and wide[0] == 0 and "(Success)" in wide[1]
print("seen as described" if ok else "this has changed")
sys.stdout.flush()
os._exit(0 if ok else 1)
PY
