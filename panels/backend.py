"""Panel Backend: install it, see that it runs, fetch models."""

from __future__ import annotations

import bpy

from ..install import backend_environment
from ..install.progress import megabytes
from ..synctalk_blender import jobs, preferences
from ..synctalk_blender.client import shared
from ..synctalk_blender.facts import facts
from ..synctalk_blender.steps import Facts, State, Status, Step
from .common import SidebarPanel, StepPanel, draw_action, draw_info, draw_progress
from .text import label_lines

_INSTALL_TEXTS = {"absent": "Install", "incomplete": "Finish Installing", "outdated": "Update"}


class SYNCTALK_PT_backend(StepPanel, bpy.types.Panel):
    bl_label = "Backend"
    bl_order = 0
    step = Step.BACKEND

    def draw_step(self, layout: bpy.types.UILayout, context: bpy.types.Context, known: Facts, status: Status) -> None:
        if status.state is State.RUNNING:
            draw_progress(layout, context)
        elif known.backend == "ready":
            _draw_process(layout, context, known)
        else:
            _draw_install(layout, context, known, status)


def _draw_install(layout: bpy.types.UILayout, context: bpy.types.Context, known: Facts, status: Status) -> None:
    settings = preferences.preferences()
    sentence = {
        "absent": "SyncTalk computes in a program of its own beside Blender. It is installed once.",
        "incomplete": "The last installation was interrupted; it goes on where it stopped.",
        "outdated": "This version of the add-on wants other packages than those installed.",
    }[known.backend]
    label_lines(layout, context, sentence)
    layout.row().prop(settings, "device", expand=True)
    root = preferences.environment_root()
    downloads = backend_environment.needs_network(root, settings.device)
    size = backend_environment.size_estimate(settings.device) if downloads else "Only kernels to compile, no download"
    label_lines(layout, context, f"{size}, into {root / backend_environment.NAME}", icon="IMPORT")
    if downloads and not bpy.app.online_access:
        label_lines(layout, context, "Blender may not go online, which the download needs.", icon="INTERNET_OFFLINE")
        if not bpy.app.online_access_override:
            layout.operator("extensions.userpref_allow_online", text="Allow Online Access", icon="INTERNET")
    draw_action(
        layout,
        context,
        known,
        status,
        Step.BACKEND,
        "synctalk.install_backend",
        _INSTALL_TEXTS[known.backend],
        "IMPORT",
    )


def _draw_process(layout: bpy.types.UILayout, context: bpy.types.Context, known: Facts) -> None:
    backend = shared.running_backend()
    if known.backend_answered and backend is not None:
        hello = backend.hello
        draw_info(
            layout,
            context,
            Step.BACKEND,
            f"SyncTalk {hello['backend']}, PyTorch {hello['torch']}, on {hello['device']}",
        )
    elif known.backend_alive:
        label_lines(layout, context, "It is starting.")
    elif known.backend_error and not jobs.runtime.errors:
        label_lines(layout, context, known.backend_error, icon="ERROR")
    else:
        label_lines(layout, context, "It starts by itself when a step needs it.")
    layout.operator(
        "synctalk.start_backend",
        text="Restart" if known.backend_alive else "Start",
        icon="FILE_REFRESH" if known.backend_alive else "PLAY",
    )


class SYNCTALK_PT_models(SidebarPanel, bpy.types.Panel):
    bl_label = "Models"
    bl_parent_id = "SYNCTALK_PT_backend"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return facts(context.scene).backend == "ready"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        if jobs.runtime.models is None:
            label_lines(layout, context, "Start the backend to see them.")
            return
        for model in jobs.runtime.models:
            box = layout.box()
            row = box.row()
            row.label(text=str(model.get("name", "")), icon="CHECKMARK" if model.get("present") else "RADIOBUT_OFF")
            if not model.get("present") and not model.get("licence_opt_in"):  # those are fetched from a terminal
                row.operator("synctalk.fetch_model", text=_size(model.get("bytes")), icon="IMPORT").name = str(
                    model.get("name", "")
                )
            column = box.column()
            column.active = False
            label_lines(column, context, f"{model.get('purpose', '')} ({model.get('licence', '')})", inset=0.6)


def _size(size: object) -> str:
    return megabytes(size) if isinstance(size, int) else "Download"


CLASSES = (SYNCTALK_PT_backend, SYNCTALK_PT_models)
