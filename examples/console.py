"""All steps without a click: a clip, or an existing workspace, and audio become a composited video and a .blend.

    .venvs/blender/bin/python examples/console.py --workspace WS --video CLIP.mp4 --consent NAME --audio LINE.wav --out DIR

Runs in the `bpy` module; in an installed Blender the same calls work in the Python console, with the extension's own
package (`bl_ext.user_default.synctalk.synctalk_blender.api`). Writes DIR/composite.mp4 and DIR/scene.blend.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import types
from pathlib import Path

import bpy

ROOT = Path(__file__).resolve().parent.parent


EXTENSION = "bl_ext.user_default.synctalk"


def synctalk_api() -> types.ModuleType:
    """The console API of this checkout, under the name that the installed extension has."""
    package = types.ModuleType(EXTENSION)
    package.__path__ = [str(ROOT)]
    sys.modules[EXTENSION] = package
    return importlib.import_module(f"{EXTENSION}.synctalk_blender.api")


def main(args: argparse.Namespace) -> None:
    """Run the steps that the arguments ask for; raises the errors of the API."""
    api = synctalk_api()
    try:
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        hello = api.connect()
        print(f"Backend {hello['backend']} on {hello['device']}, Blender {bpy.app.version_string}", flush=True)
        args.out.mkdir(parents=True, exist_ok=True)
        if args.video is not None:
            api.process(args.video, args.workspace, consent_by=args.consent)
        else:
            api.import_tracking(args.workspace)
        if not api.state().trained_step or args.minutes is not None:
            api.train(preset=args.preset, minutes=args.minutes)
        api.speak(args.audio)
        api.composite()
        if args.frames is not None:
            bpy.context.scene.frame_end = min(bpy.context.scene.frame_end, args.frames)
        video = api.render_animation(args.out / "composite.mp4", progress=print_frames)
        blend = args.out / "scene.blend"
        bpy.ops.wm.save_as_mainfile(filepath=str(blend), check_existing=False)
        print(f"Wrote {video} and {blend}", flush=True)
        print(
            f"To render it elsewhere: api.bake() first, or blender -b {blend.name} -E SYNCTALK -a, which fails, instead of "
            "leaving the head out, where the extension is missing.",
            flush=True,
        )
    finally:
        api.close()


def print_frames(done: int, total: int) -> None:
    """Print a line every tenth of the frames."""
    if done == total or done * 10 // total != (done - 1) * 10 // total:
        print(f"SyncTalk {done / total:4.0%} Rendering: frame {done} of {total}", flush=True)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="A clip and audio become a talking head composited by Blender.")
    parser.add_argument("--workspace", type=Path, required=True, help="folder of the subject")
    parser.add_argument("--video", type=Path, help="the clip; left out, the workspace must have been processed")
    parser.add_argument("--consent", default="", help="who gave the permission to make a synthetic likeness")
    parser.add_argument("--audio", type=Path, required=True, help="the audio to speak")
    parser.add_argument("--out", type=Path, required=True, help="folder for composite.mp4 and scene.blend")
    parser.add_argument("--preset", default="preview", help="training preset (%(default)s)")
    parser.add_argument("--minutes", type=float, help="train for so long, also a head that has been trained before")
    parser.add_argument("--frames", type=int, help="render no more than so many frames")
    return parser.parse_args()


if __name__ == "__main__":
    status = 0
    try:
        main(arguments())
    except KeyboardInterrupt:
        print("Cancelled. Finished work is kept, and the next run resumes from it.", file=sys.stderr)
        status = 1
    except Exception as error:
        if not hasattr(error, "kind"):
            raise
        print(f"Error: {error}", file=sys.stderr)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # some versions of the bpy module hang or crash while Python takes itself down
