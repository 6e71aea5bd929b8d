"""Panel Backend: install it, see that it runs, download models."""

from __future__ import annotations

import bpy

from ..install import backend_environment
from ..install.progress import megabytes
from ..synctalk_blender import jobs, preferences
from ..synctalk_blender.client import shared
from ..synctalk_blender.facts import facts
from ..synctalk_blender.steps import State, Step
from .common import SidebarPanel, StepPanel, StepUi
from .text import label_lines

_INSTALL = {
    "absent": ("Install", "SyncTalk trains and renders in a separate program, the backend. It is installed once."),
    "incomplete": ("Resume Installation", "The last installation was interrupted; it resumes where it stopped."),
    "outdated": ("Update", "This version of the add-on needs different packages from those installed."),
}
"""By the state of the environment: the button's text, and the sentence above it."""


class SYNCTALK_PT_backend(StepPanel, bpy.types.Panel):
    bl_label = "Backend"
    bl_order = 0
    step = Step.BACKEND

    def draw_step(self, ui: StepUi) -> None:
        if ui.status.state is State.RUNNING:
            ui.progress()
        elif ui.facts.backend == "ready":
            _draw_process(ui)
        else:
            _draw_install(ui)


def _draw_install(ui: StepUi) -> None:
    settings = preferences.preferences()
    button, sentence = _INSTALL[ui.facts.backend]
    ui.text(sentence)
    ui.layout.row().prop(settings, "device", expand=True)
    root = preferences.environment_root()
    downloads = backend_environment.needs_network(root, settings.device)
    size = backend_environment.size_estimate(settings.device) if downloads else "Only kernels to compile, no download"
    ui.text(f"{size}, into {root / backend_environment.NAME}", "IMPORT")
    if downloads and not bpy.app.online_access:
        ui.text("The download needs the internet, and Blender is offline.", "INTERNET_OFFLINE")
        if not bpy.app.online_access_override:
            ui.layout.operator("extensions.userpref_allow_online", text="Allow Online Access", icon="INTERNET")
    ui.action("synctalk.install_backend", button, "IMPORT")


def _draw_process(ui: StepUi) -> None:
    backend = shared.running_backend()
    alive = ui.facts.backend_alive
    if ui.facts.backend_answered and backend is not None:
        hello = backend.hello
        device = f", on {backend.device} ({backend.kernel})" if backend.device else ""
        ui.info(f"SyncTalk {hello['backend']}, PyTorch {hello['torch'] or 'missing'}{device}")
        if backend.kernel_note:
            ui.text(backend.kernel_note)
        if ui.facts.device_error and not jobs.runtime.errors:
            ui.text(ui.facts.device_error, "ERROR")
    elif alive:
        ui.text("Starting…")
    elif ui.facts.backend_error and not jobs.runtime.errors:
        ui.text(ui.facts.backend_error, "ERROR")
    else:
        ui.text("Starts automatically when needed.")
    ui.layout.operator(
        "synctalk.start_backend", text="Restart" if alive else "Start", icon="FILE_REFRESH" if alive else "PLAY"
    )


class SYNCTALK_PT_models(SidebarPanel, bpy.types.Panel):
    bl_label = "Models"
    bl_parent_id = "SYNCTALK_PT_backend"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return facts(context.scene).backend == "ready"

    def draw(self, context: bpy.types.Context) -> None:
        if jobs.runtime.models is None:
            label_lines(self.layout, context, "Start the backend to list them.")
            return
        for model in jobs.runtime.models:
            name, present = str(model.get("name", "")), model.get("present")
            box = self.layout.box()
            row = box.row()
            row.label(text=name, icon="CHECKMARK" if present else "RADIOBUT_OFF")
            if not present and not model.get("licence_opt_in"):  # those are downloaded from a terminal
                size = model.get("bytes")
                text = megabytes(size) if isinstance(size, int) else "Download"
                row.operator("synctalk.fetch_model", text=text, icon="IMPORT").name = name
            label_lines(box, context, f"{model.get('purpose', '')} ({model.get('licence', '')})", inset=0.6, dim=True)


CLASSES = (SYNCTALK_PT_backend, SYNCTALK_PT_models)
