"""The steps from a clip to a composite: which is done, which is next, why one cannot be taken yet. No `bpy` here.

The panels show `statuses` and the operators' polls ask `why_not`: a button and its explanation always agree.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
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


class Errand(str, enum.Enum):
    """What a job may do beside the steps: it has a panel, and no state."""

    EXPORT = "export"
    VERIFY = "verify"


def of_job(value: str) -> Step | Errand:
    """What a job does, by its value."""
    return Errand(value) if value in (item.value for item in Errand) else Step(value)


class State(str, enum.Enum):
    """State of a step."""

    WAITING = "Waiting"
    READY = "Ready"
    RUNNING = "Running"
    PARTLY = "Partly"
    """Done, but the result has a shortcoming, which the word names."""
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
    device_error: str = ""
    """Why a backend that runs can neither train nor render."""
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
    """Spoken or captured keyframes are in the scene."""
    has_capture: bool = False
    """They are those of a capture."""
    has_composite: bool = False
    heads: int = 0
    """How many heads the scene holds."""
    head_problem: str = ""
    """One sentence on what the head in the scene lacks or no longer matches; else empty."""
    other_camera: bool = False
    """The scene looks through another camera than the head's own."""
    running: str = ""
    """The step or errand whose job runs; empty when none does."""
    running_title: str = ""
    failed: frozenset[str] = frozenset()
    """Steps whose last job failed."""

    @property
    def consent(self) -> bool:
        """Whether consent is recorded, or given in full and so recorded by the next request."""
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
        if facts.running == step.value:
            found[step] = Status(State.RUNNING, "Running")
            continue
        done, word = _PROGRESS[step](facts)
        waits = bool(blocked(step, facts))
        is_next = not done and not next_found and not waits
        next_found = next_found or is_next
        if step.value in facts.failed:
            found[step] = Status(State.FAILED, "Failed", is_next)
        elif done:
            found[step] = Status(State.PARTLY if _shortcoming(step, facts) else State.DONE, word)
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


def why_not_verify(facts: Facts) -> str:
    """Why no file can be checked now, as one sentence without its full stop; empty when one can."""
    if facts.running:
        return f"{facts.running_title} is running: wait for it, or cancel it"
    return "" if facts.backend in ("ready", "outdated") else "Install the backend first (panel Backend)"


def why_not_export(facts: Facts) -> str:
    """Why the face cannot be exported now, as one sentence without its full stop; empty when it can."""
    if facts.running:
        return f"{facts.running_title} is running: wait for it, or cancel it"
    if not facts.has_head:
        return "Send the tracking to this scene first (panel Track)"
    if not facts.state.consent_by:
        return "Exporting needs the recorded permission of the person shown: name who gave it (panel Subject) and track or train"
    return ""


def why_not_capture(facts: Facts) -> str:
    """Why no capture can move the head now, as one sentence without its full stop; empty when one can."""
    if facts.running:
        return f"{facts.running_title} is running: wait for it, or cancel it"
    return blocked(Step.SPEAK, facts)


def blocked(step: Step, facts: Facts) -> str:
    """Which earlier step is missing, as one sentence without its full stop; empty when none is."""
    missing = ""
    if step is Step.BACKEND:
        return ""
    if facts.backend not in ("ready", "outdated"):
        missing = "Install the backend first (panel Backend)"
    elif step is Step.TRACK and not (facts.video or facts.state.exists or facts.state.problem):
        missing = "Choose a video first (panel Subject)"
    elif step in (Step.SUBJECT, Step.TRACK):
        return ""
    elif not facts.state.tracked:
        missing = "Track the video first (panel Track)"
    elif step is not Step.TRAIN and not facts.has_head:
        missing = "Send the tracking to this scene first (panel Track)"
    elif step is Step.COMPOSITE and not facts.state.trained_step:
        missing = "Train the head first (panel Train)"
    return missing


def incomplete(step: Step | Errand, facts: Facts) -> str:
    """Which setting of the step itself is missing, as one sentence without its full stop; empty when none is."""
    missing = ""
    if step is Step.TRACK:
        if facts.state.problem:
            missing = facts.state.problem
        elif not facts.workspace:
            missing = "Choose a folder for the workspace (panel Subject)"
        elif not facts.state.exists and not facts.video_exists:
            missing = f"There is no file {facts.video}: choose the video again (panel Subject)"
    elif step is Step.TRAIN and not facts.consent:
        missing = "Training needs the permission of the person shown: tick it and name who gave it (panel Subject)"
    elif step is Step.SPEAK and not facts.speech:
        missing = "Choose an audio file for the head to speak"
    elif step is Step.SPEAK and not facts.speech_exists:
        missing = f"There is no file {facts.speech}: choose the audio again"
    return missing


# -- whether each step is done, and the word that its panel shows ---------------------------------------------------


def _backend(facts: Facts) -> tuple[bool, str]:
    if facts.backend == "ready" and facts.device_error:
        return False, "Not working"
    if facts.backend == "ready":
        return True, "Running" if facts.backend_answered else "Starting" if facts.backend_alive else "Installed"
    words = {"absent": "Not installed", "incomplete": "Incomplete", "outdated": "Outdated"}
    return False, words.get(facts.backend, "")


def _subject(facts: Facts) -> tuple[bool, str]:
    chosen = facts.state.exists or (facts.video_exists and bool(facts.workspace))
    if chosen and not facts.consent:
        return False, "No permission"
    return chosen, "Chosen" if chosen else ""


def _track(facts: Facts) -> tuple[bool, str]:
    state = facts.state
    if state.tracked:
        return facts.has_head, "Tracked" if facts.has_head else "Not in scene"
    return False, f"{state.stages_done} of {len(STAGES)}" if state.stages else ""


def _train(facts: Facts) -> tuple[bool, str]:
    state = facts.state
    if not state.trained_step:
        return False, ""
    shortcoming = _shortcoming(Step.TRAIN, facts)
    if state.readiness is not None and not state.readiness.speaks:
        return state.readiness.mouth == "not shown", shortcoming
    return True, shortcoming or "Trained"


def _speak(facts: Facts) -> tuple[bool, str]:
    # Keyframes move the mesh; whether the head speaks is known once it is trained and measured.
    speaks = facts.state.readiness is not None and facts.state.readiness.speaks
    word = "Speaks" if speaks else _shortcoming(Step.SPEAK, facts) or "Keyed"
    return facts.has_speech, word if facts.has_speech else ""


def _composite(facts: Facts) -> tuple[bool, str]:
    return facts.has_composite, "Built" if facts.has_composite else ""


_PROGRESS: dict[Step, Callable[[Facts], tuple[bool, str]]] = {
    Step.BACKEND: _backend,
    Step.SUBJECT: _subject,
    Step.TRACK: _track,
    Step.TRAIN: _train,
    Step.SPEAK: _speak,
    Step.COMPOSITE: _composite,
}


def _shortcoming(step: Step, facts: Facts) -> str:
    """What the head lacks for the step, in two or three words; else empty."""
    ready = facts.state.readiness
    if step not in (Step.TRAIN, Step.SPEAK, Step.COMPOSITE) or not facts.state.trained_step:
        return ""
    if ready is None:
        return "Not measured" if step is Step.TRAIN else ""
    return "" if step is not Step.TRAIN and ready.speaks else ready.shortcoming


# -- sentences about the trained head -------------------------------------------------------------------------------


def head_lines(state: WorkspaceState) -> list[str]:
    """What is known of the trained head, for the Train panel: sentences, none without one."""
    ready = state.readiness
    if not state.trained_step:
        return []
    if ready is None:
        return ["Mouth and eyes are not measured yet. Press Measure, or train further."]
    lines = [
        _part_line("Mouth", "opens", ready.mouth, ready.mouth_gain),
        _part_line("Eyes", "close", ready.eyes, ready.eyes_gain),
    ]
    return [*lines, ready.advice] if ready.advice else lines


def _part_line(name: str, verb: str, grade: str, gain: float | None) -> str:
    if grade == "not shown":
        return f"{name}: no movement in the clip."
    if grade == "not yet" or gain is None:
        return f"{name}: not yet."
    return f"{name}: {grade}, {verb} {min(gain, 1.0):.0%} as far as the person’s."


def speak_line(state: WorkspaceState) -> str:
    """What the Speak panel adds about the head; empty when it can speak, or when nothing is known of it."""
    if not state.trained_step or state.readiness is None or state.readiness.speaks:
        return ""
    if state.readiness.mouth == "not shown":
        return "The clip never opens the mouth, so the head cannot speak: keyframes only move the mesh."
    return "The head’s mouth does not open yet: keyframes only move the mesh. Train further (panel Train)."


def composite_line(state: WorkspaceState) -> str:
    """What the Composite panel adds about the head; empty when it is ready."""
    if not state.trained_step:
        return ""
    if state.readiness is None:
        return "The head’s mouth movement is not measured (panel Train)."
    if state.readiness.shortcoming:
        return f"The head is not ready: {state.readiness.shortcoming.lower()} (panel Train)."
    return ""
