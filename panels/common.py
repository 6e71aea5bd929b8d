"""What the panels share: a header with the step's state, its button, progress and messages."""

from __future__ import annotations

from dataclasses import dataclass

import bpy

from ..synctalk_blender import jobs, steps
from ..synctalk_blender.facts import facts
from ..synctalk_blender.properties import SyncTalkSettings, settings_of
from ..synctalk_blender.steps import Errand, Facts, State, Status, Step
from .text import Icon, label_lines

ICONS: dict[State, Icon] = {
    State.WAITING: "RADIOBUT_OFF",
    State.READY: "RADIOBUT_ON",
    State.RUNNING: "SORTTIME",
    State.PARTLY: "INFO",
    State.DONE: "CHECKMARK",
    State.FAILED: "ERROR",
}


@dataclass(frozen=True)
class StepUi:
    """What the panel of a step draws with: where, and what is known of the step."""

    layout: bpy.types.UILayout
    context: bpy.types.Context
    step: Step | Errand
    facts: Facts
    status: Status

    @property
    def settings(self) -> SyncTalkSettings:
        return settings_of(self.context.scene)

    def text(
        self, text: str, icon: Icon = "NONE", *, layout: bpy.types.UILayout | None = None, dim: bool = False
    ) -> None:
        """Draw a sentence, in a part of the layout if one is given."""
        label_lines(layout or self.layout, self.context, text, icon, 0.6 if layout else 0.0, dim=dim)

    def info(self, text: str) -> None:
        """Draw what is known of the step, unless the note of its last run already reports it."""
        if self.step not in jobs.runtime.notes:
            self.text(text)

    def action(self, operator: str, text: str, icon: Icon) -> None:
        """Draw the step's button; or its progress and Cancel while it runs; and why it cannot be pressed."""
        is_quiet = jobs.runtime.job is not None and jobs.runtime.job.quiet
        if self.status.state is State.RUNNING and not is_quiet:
            self.progress()
            return
        missing = steps.incomplete(self.step, self.facts)
        if missing:
            self.text(f"{missing}.", "INFO")
        button = large(self.layout)
        # The next step's button stands out; the others are there, but quiet.
        button.active_default = self.status.is_next and not missing
        button.operator(operator, text=text, icon=icon)

    def progress(self) -> None:
        """Draw the progress of the running job."""
        job = jobs.runtime.job
        if job is None:
            return
        column = self.layout.column(align=True)
        text = "Stopping…" if job.cancelling else job.text or "Starting…"
        bar = "…" if job.fraction is None else f"{job.fraction:.0%}"
        if job.fraction is not None and job.time_left:
            bar += f"  ·  {job.time_left}"
        column.progress(factor=job.fraction or 0.0, text=bar, type="BAR")
        label_lines(column, self.context, text)
        if job.message and job.message != text:
            label_lines(column, self.context, job.message, dim=True)
        self.layout.operator("synctalk.cancel", icon="CANCEL")

    def messages(self) -> None:
        """Draw the last error, warnings and note of the step."""
        error = jobs.runtime.errors.get(self.step)
        if error:
            box = self.layout.box()
            row = box.column()
            row.alert = True
            self.text(error, "ERROR", layout=row)
            box.operator("synctalk.copy_details", icon="COPYDOWN").step = self.step.value
        for warning in jobs.runtime.warnings.get(self.step, []):
            self.text(warning, "INFO", layout=self.layout.box())
        note = jobs.runtime.notes.get(self.step)
        if note and (self.step is not Step.BACKEND or self.facts.backend_answered):  # drop notes of an ended backend
            self.text(note, dim=True)


def large(layout: bpy.types.UILayout) -> bpy.types.UILayout:
    """Where a panel's main button goes."""
    column = layout.column()
    column.scale_y = 1.4
    return column


def errand_ui(errand: Errand, layout: bpy.types.UILayout, context: bpy.types.Context) -> StepUi:
    """What the panel of an errand draws with."""
    known = facts(context.scene)
    runs = known.running == errand.value
    return StepUi(layout, context, errand, known, Status(State.RUNNING if runs else State.READY, ""))


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
        known, status = _status(self.step, context)
        ui = StepUi(self.layout.column(), context, self.step, known, status)
        reason = steps.blocked(self.step, known)
        if reason and status.state is not State.RUNNING:
            ui.text(f"{reason}.", dim=True)
        else:
            self.draw_step(ui)
        StepUi(self.layout, context, self.step, known, status).messages()

    def draw_step(self, ui: StepUi) -> None:
        """Draw the step's settings and its button."""
        raise NotImplementedError


class OptionsPanel(SidebarPanel):
    """A closed sub-panel with what a newcomer need not see; hidden while its step waits."""

    step: Step
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not steps.blocked(cls.step, facts(context.scene))

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.use_property_split = True
        self.layout.use_property_decorate = False
        self.draw_options(self.layout, settings_of(context.scene))

    def draw_options(self, layout: bpy.types.UILayout, settings: SyncTalkSettings) -> None:
        """Draw the options, labels on the left."""
        raise NotImplementedError


def _status(step: Step, context: bpy.types.Context) -> tuple[Facts, Status]:
    known = facts(context.scene)
    return known, steps.statuses(known)[step]
