"""What the operators share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

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


class StepOperator:
    """An operator of one step: enabled when the step can be taken; its tooltip gives the reason otherwise."""

    step: steps.Step
    bl_options = {"REGISTER"}
    report: Callable[[set[str], str], None]
    poll_message_set: Callable[[str], None]

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason = steps.why_not(cls.step, facts(context.scene))
        if reason:
            cls.poll_message_set(reason)
        return not reason


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

    def execute(self, context: bpy.types.Context) -> Result:
        try:
            job = self.job(context)
            if self.wait or bpy.app.background:
                self.report({"INFO"}, jobs.run(job))
            else:
                jobs.start(job)
        except (BackendError, SyncTalkError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}
