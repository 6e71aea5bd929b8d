"""Drives a windowed Blender as a person does: finds a button under the mouse, clicks it, types, waits, takes screenshots.

Blender has no API for the places of its buttons. So the mouse is moved down the sidebar, and at each place Blender's own
“Copy Python Command” and “Copy Data Path” say what lies under it: what is found is what a person could click.

A scenario is a generator run by `run`; every helper that needs the event loop is one too:
`yield from driver.click_button("synctalk.train")`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Generator
from pathlib import Path

import bpy

Steps = Generator[float | None, None, None]
_STEP_PX = 9
_TICK_S = 0.05


class Driver:
    """One window of Blender, and the folder of its screenshots."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.screenshots = 0
        self.begun = time.monotonic()
        out.mkdir(parents=True, exist_ok=True)

    def log(self, text: str) -> None:
        print(f"[{time.monotonic() - self.begun:6.1f} s] {text}", flush=True)

    # -- the window -------------------------------------------------------------------------------------------------

    @property
    def window(self) -> bpy.types.Window:
        return bpy.context.window_manager.windows[0]

    @property
    def area(self) -> bpy.types.Area:
        """The 3D View."""
        return next(area for area in self.window.screen.areas if area.type == "VIEW_3D")

    @property
    def sidebar(self) -> bpy.types.Region:
        return next(region for region in self.area.regions if region.type == "UI")

    def open_tab(self, name: str) -> Steps:
        """Show the sidebar's tab `name`."""
        self.area.spaces.active.show_region_ui = True
        yield 0.3
        self.sidebar.active_panel_category = name
        self.area.tag_redraw()
        yield 0.3

    def screenshot(self, name: str) -> Steps:
        """Save the screen as `NN-name.png`."""
        area = max(self.window.screen.areas, key=lambda area: area.width * area.height)
        yield from self.move(area.x + area.width // 3, area.y + 40)  # nothing is to look hovered over
        area.tag_redraw()
        yield 0.3
        self.screenshots += 1
        path = self.out / f"{self.screenshots:02d}-{name}.png"
        if shutil.which("import"):  # ImageMagick's image of the X server; Blender's own is black under Xvfb
            subprocess.run(["import", "-window", "root", str(path)], check=True)
        else:
            with bpy.context.temp_override(window=self.window):
                bpy.ops.screen.screenshot(filepath=str(path))
        self.log(f"screenshot {path.name}")

    # -- the mouse --------------------------------------------------------------------------------------------------

    def event(self, kind: str, value: str, x: int, y: int, **options: object) -> None:
        self.window.event_simulate(type=kind, value=value, x=x, y=y, **options)

    def move(self, x: int, y: int) -> Steps:
        self.event("MOUSEMOVE", "NOTHING", x, y)
        yield _TICK_S

    def click(self, x: int, y: int) -> Steps:
        yield from self.move(x, y)
        self.event("LEFTMOUSE", "PRESS", x, y)
        yield _TICK_S
        self.event("LEFTMOUSE", "RELEASE", x, y)
        yield 0.2

    def scroll(self, down: bool, clicks: int = 1) -> Steps:
        """Turn the wheel over the sidebar."""
        region = self.sidebar
        for _ in range(clicks):
            self.event(
                "WHEELDOWNMOUSE" if down else "WHEELUPMOUSE", "PRESS", region.x + 80, region.y + region.height // 2
            )
            yield _TICK_S

    # -- buttons ----------------------------------------------------------------------------------------------------

    def under_mouse(self) -> str:
        """The operator (`bpy.ops.synctalk.train()`) or property (`synctalk.video`) under the mouse, or nothing."""
        manager = bpy.context.window_manager
        with bpy.context.temp_override(window=self.window, area=self.area, region=self.sidebar):
            for operator in (bpy.ops.ui.copy_python_command_button, bpy.ops.ui.copy_data_path_button):
                manager.clipboard = ""
                try:
                    if operator.poll():
                        operator()
                except RuntimeError:
                    continue
                if manager.clipboard:
                    return manager.clipboard
        return ""

    def find(self, wanted: str, column: float = 0.5) -> Generator[float | None, None, tuple[int, int] | None]:
        """Where in the visible sidebar `wanted` (part of an operator's or property's path) is; None when nowhere."""
        region = self.sidebar
        x = region.x + int(region.width * column)
        hits = []
        for y in range(region.y + region.height - 4, region.y, -_STEP_PX):
            yield from self.move(x, y)
            if wanted in self.under_mouse():
                hits.append(y)
            elif hits:
                break
        return (x, sum(hits) // len(hits)) if hits else None

    def reach(self, wanted: str, column: float = 0.5) -> Generator[float | None, None, tuple[int, int]]:
        """`find`, scrolling the sidebar from its top until it is seen."""
        place = yield from self.find(wanted, column)
        if place is None:
            yield from self.scroll(down=False, clicks=40)
            for _ in range(8):
                place = yield from self.find(wanted, column)
                if place is not None:
                    break
                yield from self.scroll(down=True, clicks=6)
        if place is None:
            yield from self.screenshot("not-found")
            raise AssertionError(f"no button “{wanted}” in the sidebar")
        return place

    def click_button(self, operator: str, column: float = 0.5) -> Steps:
        """Click the button of `operator` (`synctalk.train`)."""
        x, y = yield from self.reach(f"bpy.ops.{operator}(", column)
        self.log(f"click {operator} at {x}, {y}")
        yield from self.click(x, y)

    def click_property(self, path: str, column: float = 0.5) -> Steps:
        """Click a property's button, such as a checkbox."""
        x, y = yield from self.reach(path, column)
        self.log(f"click {path} at {x}, {y}")
        yield from self.click(x, y)

    def type_into(self, path: str, text: str, column: float = 0.4) -> Steps:
        """Replace a text field's contents by typing."""
        x, y = yield from self.reach(path, column)
        self.log(f"type into {path}: {text}")
        yield from self.click(x, y)  # a click begins editing, with all selected
        self.event("A", "PRESS", x, y, ctrl=True)
        yield _TICK_S
        self.event("A", "RELEASE", x, y, ctrl=True)
        for character in text:
            self.event("A", "PRESS", x, y, unicode=character)
            yield 0.01
            self.event("A", "RELEASE", x, y)
        yield _TICK_S
        self.event("RET", "PRESS", x, y)
        yield _TICK_S
        self.event("RET", "RELEASE", x, y)
        yield 0.3

    def choose_file(self, path: str) -> Steps:
        """Choose a file in the file browser that a button opened."""
        yield from self.wait_for("the file browser", lambda: self._browser() is not None, 10)
        window, area = self._browser()
        parameters = area.spaces.active.params
        parameters.directory = os.fsencode(str(Path(path).parent))
        yield 0.5
        parameters.filename = Path(path).name
        yield 0.5
        x, y = area.x + area.width // 2, area.y + area.height // 2
        for value in ("PRESS", "RELEASE"):
            window.event_simulate(type="MOUSEMOVE", value="NOTHING", x=x, y=y)
            yield _TICK_S
            window.event_simulate(type="RET", value=value, x=x, y=y)
            yield _TICK_S
        yield from self.wait_for("the file browser has closed", lambda: self._browser() is None, 10)
        yield 0.5

    def _browser(self) -> tuple[bpy.types.Window, bpy.types.Area] | None:
        for window in bpy.context.window_manager.windows:
            for area in window.screen.areas:
                if area.type == "FILE_BROWSER" and area.spaces.active.params is not None:
                    return window, area
        return None

    def area_to(self, kind: str, tree: str = "") -> None:
        """Turn the 3D View into another editor; the last thing that a scenario does."""
        area = self.area
        area.type = kind
        if tree:
            area.ui_type = tree

    # -- time -------------------------------------------------------------------------------------------------------

    def wait_for(self, what: str, condition: Callable[[], bool], timeout_s: float) -> Steps:
        """Go on with the event loop until `condition` holds."""
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                yield from self.screenshot("waited-in-vain")
                raise AssertionError(f"waited {timeout_s:.0f} s in vain for: {what}")
            yield 0.2
        self.log(f"reached: {what}")


def run(scenario: Callable[[Driver], Steps], out: Path) -> None:
    """Run a scenario from Blender's own timers, then end Blender with status 0, or 3 when it failed."""
    bpy.context.preferences.view.show_splash = False  # from a timer it would come too late
    bpy.context.preferences.view.filebrowser_display_type = (
        "SCREEN"  # a second window would lie outside the screenshots
    )
    driver = Driver(out)
    steps = scenario(driver)

    def tick() -> float:
        try:
            return next(steps) or _TICK_S
        except StopIteration:
            driver.log("done")
            status = 0
        except BaseException:  # noqa: BLE001 (Blender must end whatever happened)
            traceback.print_exc()
            status = 3
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    bpy.app.timers.register(tick, first_interval=1.0)
