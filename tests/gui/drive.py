"""The complete way in a windowed Blender, by clicking the panel's own buttons: from the empty scene to the composite.

    blender --factory-startup --enable-event-simulate --python tests/gui/drive.py

ZIP is the built extension, OUT the folder for a screenshot of each step, VIDEO and SPEECH what a user would choose,
MINUTES the length of the training (0 for none), WORKSPACE a folder to resume with, FAULTS whether to kill the backend on the way;
SYNCTALK_BACKEND_PYTHON names the backend's Python. docs/blender.md describes how to run it.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))
from driver import Driver, Steps, run

EXTENSION = "bl_ext.user_default.synctalk"


def scenario(driver: Driver) -> Steps:
    """From the empty scene to the composite."""
    video, speech = os.environ["VIDEO"], os.environ["SPEECH"]
    workspace = os.environ.get("WORKSPACE") or tempfile.mkdtemp(prefix="synctalk-gui-") + "/subject"
    bpy.ops.extensions.package_install_files(
        filepath=os.environ["ZIP"], repo="user_default", enable_on_install=True, overwrite=True
    )
    jobs = sys.modules[f"{EXTENSION}.synctalk_blender.jobs"]
    shared = sys.modules[f"{EXTENSION}.synctalk_blender.client.shared"]
    settings = bpy.context.scene.synctalk
    for item in list(bpy.data.objects):
        bpy.data.objects.remove(item)

    def finished() -> bool:
        return jobs.runtime.job is None

    def begun() -> bool:
        job = jobs.runtime.job
        return job is not None and job.fraction is not None

    def half_way() -> bool:
        job = jobs.runtime.job
        return job is None or (job.fraction or 0.0) > 0.4

    def succeeded(step: str) -> None:
        error = next((text for key, text in jobs.runtime.errors.items() if key.value == step), None)
        assert error is None, f"{step} failed: {error}"

    yield from driver.open_tab("SyncTalk")
    yield from driver.screenshot("empty-scene")

    yield from driver.click_button("synctalk.start_backend")
    yield from driver.wait_for("the backend runs", finished, 120)
    succeeded("backend")
    yield from driver.screenshot("backend-runs")

    yield from driver.click_button("synctalk.choose_video")
    yield from driver.choose_file(video)
    yield from driver.type_into("synctalk.workspace", workspace)
    assert Path(settings.video) == Path(video), settings.video
    yield from driver.screenshot("video-chosen")
    if not Path(workspace).exists():  # one that is resumed has it recorded
        yield from driver.click_property("synctalk.consent_given", column=0.12)
        assert settings.consent_given
        yield from driver.type_into("synctalk.consent_by", "The speaker")
        assert settings.consent_by == "The speaker"
        yield from driver.screenshot("permission-given")

    tracked = sys.modules[f"{EXTENSION}.synctalk_blender.facts"].facts(bpy.context.scene).state.tracked
    yield from driver.click_button("synctalk.import_tracking" if tracked else "synctalk.process")
    yield from driver.wait_for("tracking is half way", half_way, 300)
    yield from driver.screenshot("tracking")
    yield from driver.wait_for("tracking has ended", finished, 600)
    succeeded("track")
    yield from driver.screenshot("tracked")

    minutes = float(os.environ.get("MINUTES", "1"))
    settings.use_time_limit, settings.minutes = True, minutes
    if os.environ.get("FAULTS"):
        yield from driver.click_button("synctalk.train")
        yield from driver.wait_for("training runs", begun, 60)
        os.kill(shared.running_backend().pid, signal.SIGKILL)
        yield from driver.wait_for("the backend's death is reported", finished, 30)
        yield from driver.screenshot("backend-killed")
        yield from driver.click_button("synctalk.train")
        yield from driver.wait_for("training runs again", begun, 60)
        yield from driver.click_button("synctalk.cancel")
        yield from driver.wait_for("cancelling has ended", finished, 30)
        yield from driver.screenshot("cancelled")
    if minutes:
        yield from driver.click_button("synctalk.train")
        yield from driver.wait_for("training is half way", half_way, 600)
        yield from driver.screenshot("training")
        yield from driver.wait_for("training has ended", finished, 900)
        succeeded("train")
        yield from driver.screenshot("trained")

    yield from driver.type_into("synctalk.speech", speech)
    yield from driver.click_button("synctalk.speak")
    yield from driver.wait_for("speaking has ended", finished, 200)
    succeeded("speak")
    bpy.context.scene.frame_set(40)
    yield from driver.screenshot("spoken")

    yield from driver.click_button("synctalk.composite")
    yield from driver.wait_for("the composite is built", finished, 200)
    succeeded("composite")
    yield from driver.screenshot("composite-built")

    space = driver.area.spaces.active
    space.region_3d.view_perspective = "CAMERA"
    space.shading.type = "RENDERED"
    yield 8.0
    yield from driver.screenshot("viewport-rendered")
    space.shading.type = "SOLID"

    yield from driver.click_button("render.render", column=0.25)
    yield 10.0
    yield from driver.screenshot("render-result")

    driver.area_to("NODE_EDITOR", "CompositorNodeTree")
    yield 1.0
    yield from driver.screenshot("nodes")
    bpy.ops.wm.save_as_mainfile(filepath=str(driver.out / "scene.blend"))


if __name__ == "__main__":
    run(scenario, Path(os.environ["OUT"]))
