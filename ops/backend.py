"""Operators of the Backend panel, and those that every panel has."""

from __future__ import annotations

import sys

import bpy

from ..install import extension
from ..install.backend_environment import needs_network
from ..synctalk_blender import jobs
from ..synctalk_blender.client import shared
from ..synctalk_blender.facts import backend_state
from ..synctalk_blender.job import Job
from ..synctalk_blender.preferences import environment_root, preferences
from ..synctalk_blender.steps import Step, of_job
from ..synctalk_blender.work import backend as work
from .common import JobOperator, Result

_OFFLINE = "Blender is offline: allow online access first"


class SYNCTALK_OT_install_backend(JobOperator, bpy.types.Operator):
    bl_idname = "synctalk.install_backend"
    bl_label = "Install"
    bl_description = "Download the backend into the folder shown above. Nothing else on this computer is changed"
    step = Step.BACKEND

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        if not bpy.app.online_access and needs_network(environment_root(), preferences().device):
            return _OFFLINE
        return super().why_not(context)

    def job(self, _context: bpy.types.Context) -> Job:
        return work.install_job()


class SYNCTALK_OT_remove_backend(JobOperator, bpy.types.Operator):
    bl_idname = "synctalk.remove_backend"
    bl_label = "Remove"
    bl_description = "Delete the installed backend. Your clips, heads and models are kept"
    step = Step.BACKEND

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        return context.window_manager.invoke_confirm(self, event)

    def job(self, _context: bpy.types.Context) -> Job:
        return work.remove_job()


class SYNCTALK_OT_start_backend(JobOperator, bpy.types.Operator):
    bl_idname = "synctalk.start_backend"
    bl_label = "Start"
    bl_description = "Start or restart the backend. Every step starts it automatically when it needs it"
    step = Step.BACKEND

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        return super().why_not(context) or ("" if shared.backend_python() else "Install the backend first")

    def job(self, _context: bpy.types.Context) -> Job:
        return work.start_job()


class SYNCTALK_OT_fetch_model(JobOperator, bpy.types.Operator):
    bl_idname = "synctalk.fetch_model"
    bl_label = "Download"
    bl_description = "Download this model from its makers. The backend also works without it, at lower quality"
    step = Step.BACKEND

    name: bpy.props.StringProperty(name="Model", options={"SKIP_SAVE"})

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        return super().why_not(context) if bpy.app.online_access else _OFFLINE

    def job(self, _context: bpy.types.Context) -> Job:
        return work.fetch_model_job(self.name)


class SYNCTALK_OT_cancel(bpy.types.Operator):
    bl_idname = "synctalk.cancel"
    bl_label = "Cancel"
    bl_description = "Stop the running step. Finished work is kept, and the next run resumes from it"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        job = jobs.runtime.job
        if job is None or job.cancelling:
            cls.poll_message_set("Nothing is running" if job is None else "Stopping…")
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> Result:
        jobs.cancel()
        return {"FINISHED"}


class SYNCTALK_OT_copy_details(bpy.types.Operator):
    bl_idname = "synctalk.copy_details"
    bl_label = "Copy Details"
    bl_description = "Copy this message, the versions and the backend's last output to the clipboard, for a bug report"

    step: bpy.props.StringProperty(name="Step", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> Result:
        backend = shared.running_backend()
        lines = [
            jobs.runtime.errors.get(of_job(self.step), ""),
            f"SyncTalk {extension.version(shared.EXTENSION_ROOT)}, Blender {bpy.app.version_string}, {sys.platform}",
            f"Python {sys.version.split()[0]}",
            f"Backend: {backend.hello if backend else 'not started'}, {backend_state()} in {environment_root()}",
            backend.last_words if backend else "",
        ]
        context.window_manager.clipboard = "\n".join(line for line in lines if line)
        self.report({"INFO"}, "Copied to the clipboard.")
        return {"FINISHED"}


CLASSES = (
    SYNCTALK_OT_install_backend,
    SYNCTALK_OT_remove_backend,
    SYNCTALK_OT_start_backend,
    SYNCTALK_OT_fetch_model,
    SYNCTALK_OT_cancel,
    SYNCTALK_OT_copy_details,
)
