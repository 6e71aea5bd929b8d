#!/usr/bin/env bash
# bpy 5.0.1: an animation of a scene at 29.97 frames a second (fps 30, fps_base 1.001) written as glTF and USD.
# Expected: frame 300 is at 10.01 s in both.
# Seen: glTF has it at 9.990 s: the exporter multiplies fps by fps_base (30.03) where the rate is the quotient. Read back by
# Blender's own importer the key is at frame 300 again, as it makes the same mistake. USD states 29.970029... time codes a
# second in single precision and no framesPerSecond, whose default is 24.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q bpy==5.0.1 pygltflib==1.16.5
export BLENDER_USER_RESOURCES="$folder/resources" FOLDER="$folder"
"$folder/venv/bin/python" - <<'PY'
import os
import struct
import sys

import bpy
import pygltflib

bpy.utils.expose_bundled_modules()
from pxr import Usd

folder = os.environ["FOLDER"]
bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
scene = bpy.context.scene
scene.render.fps, scene.render.fps_base = 30, 1.001
scene.frame_start, scene.frame_end = 0, 300
empty = bpy.data.objects.new("moves", bpy.data.meshes.new("moves"))
empty.data.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
scene.collection.objects.link(empty)
for frame, place in ((0, 0.0), (300, 1.0)):
    empty.location.x = place
    empty.keyframe_insert("location", frame=frame)

bpy.ops.export_scene.gltf(filepath=f"{folder}/a.glb", export_format="GLB", export_force_sampling=False)
document = pygltflib.GLTF2().load(f"{folder}/a.glb")
sampler = document.animations[0].samplers[0]
accessor = document.accessors[sampler.input]
view, data = document.bufferViews[accessor.bufferView], document.binary_blob()
start = (view.byteOffset or 0) + (accessor.byteOffset or 0)
last_s = struct.unpack_from("<f", data, start + 4 * (accessor.count - 1))[0]

bpy.ops.wm.usd_export(filepath=f"{folder}/a.usda", export_animation=True)
stage = Usd.Stage.Open(f"{folder}/a.usda")
codes, states = stage.GetTimeCodesPerSecond(), stage.HasAuthoredMetadata("framesPerSecond")

bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
bpy.context.scene.render.fps, bpy.context.scene.render.fps_base = 30, 1.001
bpy.ops.import_scene.gltf(filepath=f"{folder}/a.glb")
action = bpy.data.actions[0]
back = float(action.frame_range[1])

print(f"bpy {bpy.app.version_string}: glTF {last_s:.4f} s, read back at frame {back:.2f}; USD {codes!r} time codes a second, "
      f"framesPerSecond authored: {states}")
ok = abs(last_s - 300 / 30.03) < 1e-3 and abs(codes - 30000 / 1001) > 1e-7 and abs(codes - 29.97) < 1e-3 and not states
ok = ok and abs(back - 300) < 0.05
print("seen as described" if ok else "this has changed")
sys.stdout.flush()
os._exit(0 if ok else 1)
PY
