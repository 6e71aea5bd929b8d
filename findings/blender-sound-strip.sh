#!/usr/bin/env bash
# bpy 5.0.1 (and 4.5.15): sound strips of the video sequencer.
# Expected: `frame_start` is a float, so a strip may begin between frames; `strip.sound = other` takes on the other's length.
# Seen: `frame_start` is cut to a whole frame TOWARDS ZERO (-1.5 reads -1.0, 2.7 reads 2.0); the strip keeps its old length
# until the scene's frame rate is set again, to the same value even.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q bpy==5.0.1
export BLENDER_USER_RESOURCES="$folder/resources" FOLDER="$folder"
"$folder/venv/bin/python" - <<'PY'
import os
import sys
import wave

import bpy

folder = os.environ["FOLDER"]


def wav(name, seconds):
    path = f"{folder}/{name}.wav"
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes(b"\1\0" * (48000 * seconds))
    return path


bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
scene = bpy.context.scene
editor = scene.sequence_editor_create()
strip = editor.strips.new_sound("one", wav("one", 1), 1, 1)
starts = {}
for wanted in (-1.5, 2.7):
    strip.frame_start = wanted
    starts[wanted] = strip.frame_start
before = strip.frame_duration
strip.sound = bpy.data.sounds.load(wav("three", 3))
after = strip.frame_duration
scene.render.fps = scene.render.fps
later = strip.frame_duration
print("bpy", bpy.app.version_string, "starts", starts, "lengths", before, after, later)
ok = starts == {-1.5: -1.0, 2.7: 2.0} and (before, after, later) == (24, 24, 72)
print("seen as described" if ok else "this has changed")
sys.stdout.flush()
os._exit(0 if ok else 1)
PY
