"""The way from a clip to a composite: which step is done, which is next, why one cannot be taken yet. No `bpy` here.

The panels show what `statuses` says and the operators' polls ask `why_not`: a button and its explanation always agree.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from .workspace_state import STAGES, WorkspaceState


class Step(str, enum.Enum):
    """The six steps, in order; each has a panel."""

    BACKEND = "backend"
    SUBJECT = "subject"
    TRACK = "track"
    TRAIN = "train"
    SPEAK = "speak"
    COMPOSITE = "composite"


class State(str, enum.Enum):
    """How a step stands. The value is the word that its panel shows."""

    WAITING = "Waiting"
    READY = "Ready"
    RUNNING = "Running"
    PARTLY = "Partly"
    """Done, and the result is not what it should be: the word says what is missing."""
    DONE = "Done"
    FAILED = "Failed"


@dataclass(frozen=True)
class Facts:
    """All that the steps' states follow from."""

    backend: str = "absent"
    """As install.backend_environment.state: `absent`, `incomplete`, `outdated` or `ready`."""
    backend_alive: bool = False
    backend_answered: bool = False
    backend_error: str = ""
    video: str = ""
    video_exists: bool = False
    workspace: str = ""
    consent_ticked: bool = False
    consent_by: str = ""
    speech: str = ""
    speech_exists: bool = False
    state: WorkspaceState = field(default_factory=WorkspaceState)
    has_head: bool = False
    """The tracked head is in the scene."""
    has_speech: bool = False
    """Spoken keyframes are in the scene."""
    has_composite: bool = False
    heads: int = 0
    """How many heads the scene holds."""
    head_problem: str = ""
    """One sentence on what the head in the scene has lost, or no longer fits; empty when nothing."""
    other_camera: bool = False
    """The scene looks through another camera than the head's own."""
    running: str = ""
    """The step whose job runs; empty when none does."""
    running_title: str = ""
    failed: frozenset[str] = frozenset()
    """Steps whose last job failed."""

    @property
    def consent(self) -> bool:
        """Whether consent is recorded, or stated in full and so recorded by the next request."""
        return bool(self.state.consent_by) or (self.consent_ticked and bool(self.consent_by.strip()))


@dataclass(frozen=True)
class Status:
    """What a step's panel shows."""

    state: State
    word: str
    is_next: bool = False


def statuses(facts: Facts) -> dict[Step, Status]:
    """The status of every step; exactly one is the next unless all are done or one runs."""
    found: dict[Step, Status] = {}
    next_found = bool(facts.running)
    for step in Step:
        done, word = _done(step, facts)
        partly = done and bool(_lacks(step, facts))
        if facts.running == step.value:
            found[step] = Status(State.RUNNING, "Running")
            continue
        waits = bool(blocked(step, facts))
        is_next = not done and not next_found and not waits
        next_found = next_found or is_next
        if step.value in facts.failed:
            found[step] = Status(State.FAILED, "Failed", is_next)
        elif partly:
            found[step] = Status(State.PARTLY, word)
        elif done:
            found[step] = Status(State.DONE, word)
        elif waits:
            found[step] = Status(State.WAITING, "Waiting")
        else:
            found[step] = Status(State.READY, word or "Ready", is_next)
    return found


def why_not(step: Step, facts: Facts) -> str:
    """Why the step's button cannot be pressed now, as one sentence; empty when it can."""
    if facts.running:
        return f"{facts.running_title} is running: wait for it, or cancel it"
    return blocked(step, facts) or incomplete(step, facts)


def blocked(step: Step, facts: Facts) -> str:
    """Which earlier step is missing, as one sentence; empty when none is."""
    if step is Step.BACKEND:
        return ""
    if facts.backend not in ("ready", "outdated"):
        return "First install the backend (panel Backend)"
    if step is Step.SUBJECT:
        return ""
    if step is Step.TRACK:
        return (
            "" if facts.video or facts.state.exists or facts.state.problem else "First choose a video (panel Subject)"
        )
    if not facts.state.tracked:
        return "First track the video (panel Track)"
    if step is Step.TRAIN:
        return ""
    if not facts.has_head:
        return "First send the tracking to this scene (panel Track)"
    if step is Step.COMPOSITE and not facts.state.trained_step:
        return "First train the head (panel Train)"
    return ""


def incomplete(step: Step, facts: Facts) -> str:
    """What the step itself still wants to know, as one sentence; empty when nothing."""
    if step is Step.TRACK:
        if facts.state.problem:
            return facts.state.problem
        if not facts.workspace:
            return "Choose a folder for the workspace (panel Subject)"
        if not facts.state.exists and not facts.video_exists:
            return f"There is no file {facts.video}: choose the video again (panel Subject)"
    if step is Step.TRAIN and not facts.consent:
        return "Training needs the permission of the person shown: tick it and name who gave it (panel Subject)"
    if step is Step.SPEAK:
        if not facts.speech:
            return "Choose a sound for the head to speak"
        if not facts.speech_exists:
            return f"There is no file {facts.speech}: choose the sound again"
    return ""


def _done(step: Step, facts: Facts) -> tuple[bool, str]:
    state = facts.state
    if step is Step.BACKEND:
        if facts.backend == "ready":
            return True, "Running" if facts.backend_answered else "Starting" if facts.backend_alive else "Installed"
        return False, {"absent": "Not installed", "incomplete": "Incomplete", "outdated": "Update"}.get(
            facts.backend, ""
        )
    if step is Step.SUBJECT:
        chosen = state.exists or (facts.video_exists and bool(facts.workspace))
        if chosen and not facts.consent:
            return False, "Permission?"
        return chosen, "Chosen" if chosen else ""
    if step is Step.TRACK:
        if state.tracked and not facts.has_head:
            return False, "To import"
        if not state.tracked and state.stages:
            return False, f"{state.stages_done} of {len(STAGES)}"
        return state.tracked, "Tracked" if state.tracked else ""
    if step is Step.TRAIN:
        if state.trained_step and state.readiness is not None and not state.readiness.speaks:
            return state.readiness.mouth == "not shown", _lacks(step, facts)
        return state.trained_step > 0, (_lacks(step, facts) or "Trained") if state.trained_step else ""
    if step is Step.SPEAK:
        # Keyframes move the mesh; whether the head speaks is known once it is trained and measured.
        ready = state.readiness is not None and state.readiness.speaks
        word = "Speaks" if ready else _lacks(step, facts) or "Keyed"
        return facts.has_speech, word if facts.has_speech else ""
    return facts.has_composite, "Built" if facts.has_composite else ""


def _lacks(step: Step, facts: Facts) -> str:
    """What the head lacks that the step is about, in two or three words; empty when nothing is known to be missing."""
    ready = facts.state.readiness
    if step not in (Step.TRAIN, Step.SPEAK, Step.COMPOSITE) or not facts.state.trained_step:
        return ""
    if ready is None:
        return "Not measured" if step is Step.TRAIN else ""
    if step is Step.TRAIN:
        return ready.shortcoming
    return "" if ready.speaks else ready.shortcoming


def head_lines(state: WorkspaceState) -> list[str]:
    """What is known of the trained head, for the Train panel: sentences, empty without one."""
    if not state.trained_step:
        return []
    if state.readiness is None:
        return ["Not measured: whether mouth and eyes move is not known. Measure it, or train further."]
    ready = state.readiness
    parts = [
        _part_line(name, grade, gain)
        for name, grade, gain in (("Mouth", ready.mouth, ready.mouth_gain), ("Eyes", ready.eyes, ready.eyes_gain))
    ]
    return [*parts, *([ready.advice] if ready.advice else [])]


def _part_line(name: str, grade: str, gain: float | None) -> str:
    verb = "opens" if name == "Mouth" else "close"
    if grade == "not shown":
        return f"{name}: the clip does not show it move."
    if grade == "not yet" or gain is None:
        return f"{name}: not yet."
    return f"{name}: {grade}, {verb} {min(gain, 1.0):.0%} as far as the person’s."


def speak_line(state: WorkspaceState) -> str:
    """What the Speak panel must add about the head; empty when it can speak, or when nothing is known of it."""
    if not state.trained_step or state.readiness is None or state.readiness.speaks:
        return ""
    if state.readiness.mouth == "not shown":
        return "The clip never opens the mouth, so the head cannot speak: keyframes move the mesh alone."
    return "The head’s mouth does not open yet: keyframes move the mesh alone. Train further (panel Train)."


def composite_line(state: WorkspaceState) -> str:
    """What the composite's panel must add about the head in it; empty when the head is ready."""
    if not state.trained_step:
        return ""
    if state.readiness is None:
        return "Whether the head in it moves its mouth is not measured (panel Train)."
    if state.readiness.shortcoming:
        return f"The head in it is not ready: {state.readiness.shortcoming.lower()} (panel Train)."
    return ""
