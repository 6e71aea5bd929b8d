"""What the panels share: a head that shows the step's state, and a foot that shows its progress and messages."""

from __future__ import annotations

import bpy

from ..synctalk_blender import jobs, steps
from ..synctalk_blender.facts import facts
from ..synctalk_blender.steps import Facts, State, Status, Step
from .text import Icon, label_lines

ICONS: dict[State, Icon] = {
    State.WAITING: "RADIOBUT_OFF",
    State.READY: "RADIOBUT_ON",
    State.RUNNING: "SORTTIME",
    State.PARTLY: "INFO",
    State.DONE: "CHECKMARK",
    State.FAILED: "ERROR",
}


class SidebarPanel:
    """Where all panels of SyncTalk are."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "SyncTalk"
    layout: bpy.types.UILayout


class StepPanel(SidebarPanel):
    """The panel of one step."""

    step: Step

    def draw_header(self, context: bpy.types.Context) -> None:
        self.layout.label(icon=ICONS[_status(self.step, context)[1].state])

    def draw_header_preset(self, context: bpy.types.Context) -> None:
        row = self.layout.row()
        row.active = False
        row.label(text=_status(self.step, context)[1].word)

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        known, status = _status(self.step, context)
        reason = steps.blocked(self.step, known)
        if reason and status.state is not State.RUNNING:
            column = layout.column()
            column.active = False
            label_lines(column, context, f"{reason}.")
        else:
            self.draw_step(layout.column(), context, known, status)
        draw_messages(layout, context, self.step, known)

    def draw_step(self, layout: bpy.types.UILayout, context: bpy.types.Context, known: Facts, status: Status) -> None:
        """Draw the step's settings and its button."""
        raise NotImplementedError


class OptionsPanel(SidebarPanel):
    """A closed sub-panel with what a newcomer need not see; hidden while its step waits."""

    step: Step
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not steps.blocked(cls.step, facts(context.scene))


def draw_action(
    layout: bpy.types.UILayout,
    context: bpy.types.Context,
    known: Facts,
    status: Status,
    step: Step,
    operator: str,
    text: str,
    icon: Icon,
) -> None:
    """Draw the step's button; or its progress and Cancel while it runs; and in words why it cannot be pressed."""
    if status.state is State.RUNNING:
        draw_progress(layout, context)
        return
    missing = steps.incomplete(step, known)
    if missing:
        label_lines(layout, context, f"{missing}.", icon="INFO")
    button = layout.column()
    button.scale_y = 1.4
    # The one next button of the whole way stands out; the others are there, but quiet.
    button.active_default = status.is_next and not missing
    button.operator(operator, text=text, icon=icon)


def draw_info(layout: bpy.types.UILayout, context: bpy.types.Context, step: Step, text: str) -> None:
    """Draw what is known of a step, unless the note of its last run, which is drawn below, says so too."""
    if step not in jobs.runtime.notes:
        label_lines(layout, context, text)


def draw_progress(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Draw how far the running job is."""
    job = jobs.runtime.job
    if job is None:
        return
    column = layout.column(align=True)
    text = "Stopping…" if job.cancelling else job.text or "Starting…"
    known = job.fraction is not None
    bar = f"{job.fraction:.0%}" if known else "…"
    if known and job.eta_s is not None:
        bar += f"  ·  {jobs.words_of_duration(job.eta_s)} left"
    column.progress(factor=job.fraction or 0.0, text=bar, type="BAR")
    label_lines(column, context, text)
    if job.message and job.message != text:
        detail = column.column()
        detail.active = False
        label_lines(detail, context, job.message)
    layout.operator("synctalk.cancel", icon="CANCEL")


def draw_messages(layout: bpy.types.UILayout, context: bpy.types.Context, step: Step, known: Facts) -> None:
    """Draw the last error, warnings and success of a step."""
    error = jobs.runtime.errors.get(step)
    if error:
        box = layout.box()
        row = box.column()
        row.alert = True
        label_lines(row, context, error, icon="ERROR", inset=0.6)
        box.operator("synctalk.copy_details", icon="COPYDOWN").step = step.value
    for warning in jobs.runtime.warnings.get(step, []):
        label_lines(layout.box(), context, warning, icon="INFO", inset=0.6)
    note = jobs.runtime.notes.get(step)
    if note and (step is not Step.BACKEND or known.backend_answered):  # what a backend said before it died is over
        column = layout.column()
        column.active = False
        label_lines(column, context, note)


def _status(step: Step, context: bpy.types.Context) -> tuple[Facts, Status]:
    known = facts(context.scene)
    return known, steps.statuses(known)[step]
