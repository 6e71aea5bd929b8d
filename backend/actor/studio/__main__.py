"""Stages and renders the actor. Runs in Blender's Python only: `python -m backend.actor.studio JOB.json`.

The job names the character (npz), the performance (npz) and the folder of frames. Existing frames are skipped, so a
stopped render resumes. Each finished frame is a line `frame K` on standard output.

Geometry is in the head frame (m, OpenCV axes). Blender's world is the camera's frame with its axes renamed: the camera
is at the origin and looks along +Y, Z is up.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

import bpy
import numpy as np

from .figure import Actor
from .stage import set_up


def main(job_path: str) -> None:
    job = json.loads(Path(job_path).read_text("utf-8"))
    scene = set_up(job)
    with np.load(job["character"]) as archive:
        actor = Actor({key: archive[key] for key in archive.files})
    with np.load(job["performance"]) as archive:
        acted = {key: archive[key] for key in archive.files}
    names = [str(name) for name in acted["blendshape_names"]]
    for k in job["frames"]:
        path = Path(job["folder"]) / f"{k:05d}.png"
        if not path.exists():
            actor.pose(
                names,
                acted["blendshapes"][k],
                acted["head_to_camera"][k],
                acted["torso_to_camera"][k],
                job["gaze_range_deg"],
            )
            scene.render.filepath = str(path.with_suffix(".part.png"))
            bpy.ops.render.render(write_still=True)
            os.replace(scene.render.filepath, path)
        print(f"frame {k}", flush=True)


if __name__ == "__main__":
    status = 0
    try:
        main(sys.argv[-1])
    except BaseException:  # noqa: BLE001, report anything before the hard exit
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # Blender 4.2 and 4.5 may crash or hang in their own clean-up when the interpreter ends.
    os._exit(status)
