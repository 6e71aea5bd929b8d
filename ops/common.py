"""What the operators share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import bpy

from ..synctalk_blender import jobs, steps
from ..synctalk_blender.client.errors import BackendError
from ..synctalk_blender.facts import facts
from ..synctalk_blender.job import Job
from ..synctalk_blender.scene.errors import SyncTalkError

if TYPE_CHECKING:
    from bpy.stub_internal.rna_enums import OperatorReturnItems

    Result = set[OperatorReturnItems]
else:
    Result = set

UNDOABLE: Any = {"REGISTER", "UNDO"}
"""`bl_options` of an operator whose effect is one step of the undo history."""


class StepOperator:
    """An operator of one step: enabled when the step can be taken; its tooltip gives the reason otherwise.

    What goes wrong is reported as one sentence.
    """

    step: steps.Step
    bl_options = {"REGISTER"}
    report: Callable[[set[str], str], None]
    poll_message_set: Callable[[str], None]

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        """Why it is disabled now, as one sentence without its full stop; empty when it is enabled."""
        return steps.why_not(cls.step, facts(context.scene))

    def attempt(self, context: bpy.types.Context) -> str:
        """Do it, and return the sentence to report; empty for none.

        Raises:
            BackendError, SyncTalkError: it cannot be done.
        """
        raise NotImplementedError

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason = cls.why_not(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: bpy.types.Context) -> Result:
        try:
            text = self.attempt(context)
        except (BackendError, SyncTalkError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if text:
            self.report({"INFO"}, text)
        return {"FINISHED"}


def run_or_start(job: Job, *, wait: bool = False) -> str:
    """Start a job beside the interface; in background mode, or with `wait`, do it to its end and return its sentence.

    Raises:
        BackendError: another job runs; one that is done to its end has failed.
    """
    if wait or bpy.app.background:
        return jobs.run(job)
    jobs.start(job)
    return ""


class JobOperator(StepOperator):
    """A long step. In a window it runs beside the interface; in background mode it runs to its end."""

    wait: bpy.props.BoolProperty(
        name="Wait",
        description="Run to the end before returning, as background mode always does",
        options={"HIDDEN", "SKIP_SAVE"},
    )

    def job(self, context: bpy.types.Context) -> Job:
        """The job to do."""
        raise NotImplementedError

    def attempt(self, context: bpy.types.Context) -> str:
        return run_or_start(self.job(context), wait=self.wait)
