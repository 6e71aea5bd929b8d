"""The complete way by clicks in a real, windowed Blender. Runs with `--gui`; docs/blender.md describes what it needs.

SYNCTALK_WINDOWED_BLENDER names the Blenders: executables, or folders that hold a system with one (made by
`gui.sh setup` in the shared folder), with the system's own path separator between them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

VARIABLE = "SYNCTALK_WINDOWED_BLENDER"
BLENDERS = [entry for entry in os.environ.get(VARIABLE, "").split(os.pathsep) if entry]
SIZE = "1600x1000"


@pytest.mark.gui
@pytest.mark.parametrize("blender", BLENDERS or [None], ids=lambda entry: Path(entry).name if entry else "none")
def test_the_panels_own_buttons_lead_from_the_empty_scene_to_the_composite(blender, root, tmp_path, request):
    if blender is None:
        pytest.skip(f"{VARIABLE} names no windowed Blender")
    sample = root / "backend" / "actor" / "sample"
    if not (sample / "speaker.mp4").exists():
        pytest.skip("the embedded sample is not there")
    subprocess.run([sys.executable, "install", "extension", "--out", str(tmp_path)], cwd=root, check=True, timeout=300)
    out = Path(os.environ.get("SYNCTALK_GUI_OUT", tmp_path / "screenshots")) / Path(blender).name
    out.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "ZIP": str(next(tmp_path.glob("synctalk-*.zip"))),
        "OUT": str(out),
        "VIDEO": str(sample / "speaker.mp4"),
        "SPEECH": str(sample / "drive.wav"),
        "MINUTES": "2",
        "FAULTS": "1",
        "SYNCTALK_BACKEND_PYTHON": sys.executable,
        "GUI_SECONDS": "900",
        "GUI_SIZE": SIZE,
    }
    script = root / "tests" / "gui" / "drive.py"
    if Path(blender).is_dir():
        gui = request.getfixturevalue("shared") / "blender" / "gui.sh"
        # The backend's environment is made of links to the Python it came from, which must be seen inside too.
        seen = {str(root), str(tmp_path), str(out), sys.base_prefix, str(Path(sys.executable).resolve().parent.parent)}
        command = [str(gui), "run", blender, str(script), *sorted(seen)]
    else:
        environment |= {"BLENDER_USER_RESOURCES": str(tmp_path / "resources")}
        options = ["--factory-startup", "--enable-event-simulate", "--no-window-focus", "-p", "0", "0"]
        command = [blender, *options, *SIZE.split("x"), "--python-exit-code", "2", "--python", str(script)]
        if sys.platform == "linux" and not os.environ.get("DISPLAY"):
            if shutil.which("xvfb-run") is None:
                pytest.skip("there is no display, and no xvfb-run to make one")
            command = ["xvfb-run", "-a", "-s", f"-screen 0 {SIZE}x24", *command]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert (out / "scene.blend").exists()
