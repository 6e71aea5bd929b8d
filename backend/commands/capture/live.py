"""`capture live`: a face that is sent while it moves drives the head; recorded, it becomes a take."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...capture.live.source_names import LOOPBACK, SOURCES
from ...errors import Cancelled, CaptureError, UsageError
from ...progress import Reporter
from ...protocol import CAPTURE_PARTS, MOUTH_PART, format_duration
from ..head import head_option
from ..marking import Signature, open_seal, sign_speech
from ..option import option
from .fitting import Fitting

if TYPE_CHECKING:
    from ...capture.live.sample import LiveState
    from ...capture.live.session import LiveSession
    from ...capture.live.voice import VoiceSource
    from ...capture.retarget import Fit
    from ...workspace.store import Workspace


@dataclass(frozen=True)
class LiveOptions(Fitting):
    """Which source drives which subject, and how."""

    workspace: Path = option("a processed workspace: whose head is driven")
    source: str | Path = option(
        "where the face comes from; a .wav file, which may still grow, is heard in the microphone's place, another file is seen in "
        "the webcam's",
        choices=SOURCES,
        metavar="|".join((*SOURCES, "FILE")),
    )
    port: int | None = option("of a source over UDP (osc 39539, livelink 11111); 0 for any that is free", None)
    host: str = option(
        "the address to listen at; 0.0.0.0 lets a phone or another computer of the network send", LOOPBACK
    )
    camera: int = option("the webcam's number", 0)
    microphone: str | None = option("a part of the microphone's name (the system's choice)", None)
    look_ahead_ms: float = option(
        "how much of the voice after a moment its lips wait for, in steps of 40 ms; fewer than 80 know too little of it",
        120.0,
    )
    take: tuple[str, ...] = option(
        "what the capture drives; the footage drives the rest", CAPTURE_PARTS, choices=CAPTURE_PARTS, nargs="+"
    )
    head: str = head_option()

    def __post_init__(self) -> None:
        """
        Raises:
            UsageError: no possible look-ahead.
        """
        super().__post_init__()
        if not 0 <= self.look_ahead_ms <= 1000:
            raise UsageError(f"look_ahead_ms must be from 0 to 1000, not {self.look_ahead_ms:g}")

    def open(self) -> LiveSession:
        """The session, running.

        Raises:
            WorkspaceError: the workspace is not processed.
            SyncTalkError: the source cannot be opened.
        """
        from ...capture.live.session import LiveSession
        from ...capture.live.source import is_voice, open_source
        from ...workspace.store import Workspace

        workspace = Workspace.open(self.workspace)
        workspace.require("media", "landmarks", "head_sync", "face_sync")
        track = workspace.head_track(head=self.head)
        if is_voice(self.source):
            return LiveSession(self._voice(workspace), track, self.fit())
        return LiveSession(open_source(self.source, self.port, self.host, self.camera), track, self.fit())

    def fit(self) -> Fit:
        """A voice is turned into this person's own mouth: nothing of it is to be fitted, and it has no more."""
        from ...capture.live.source import is_voice

        return replace(super().fit(), take=(MOUTH_PART,), as_is=True) if is_voice(self.source) else super().fit()

    def _voice(self, workspace: Workspace) -> VoiceSource:
        from ...capture.live.voice import GrowingWav, Microphone, VoiceSource
        from ...face_sync.audio_features import Spectra
        from ...face_sync.live_speech import STEP_S, LiveSpeech
        from ...face_sync.speech import SpeechModel
        from ...media.audio import wav_blocks
        from ...training.lip_gain import speech_gain

        model = SpeechModel.load(workspace.root / "speech.safetensors")
        gain = self.strength * speech_gain(workspace, self.head)
        before = Spectra(wav_blocks(workspace.aligned_audio[0])).levels
        speech = LiveSpeech(model, round(self.look_ahead_ms / 1000 / STEP_S), gain, before)
        voice = GrowingWav(self.source) if isinstance(self.source, Path) else Microphone(self.microphone)
        return VoiceSource(voice, speech)


@dataclass(frozen=True)
class Options(LiveOptions, Signature):
    record: Path | None = option(
        "write a take, a path ending in .npz; its raw capture is beside it, NAME-live.csv", None
    )
    seconds: float | None = option("end after so long (until Ctrl-C)", None)

    def __post_init__(self) -> None:
        """
        Raises:
            UsageError: a take of another suffix.
        """
        super().__post_init__()
        if self.record is not None and self.record.suffix.lower() != ".npz":
            raise UsageError(f"{self.record}: the name of a take must end in .npz")


@dataclass(frozen=True)
class Result:
    samples: int
    seconds: float
    rate: float
    """Samples a second when it ended."""
    delay_ms: float
    refused: int
    """Packets that were not taken."""
    note: str
    animation: Path | None
    frames: int


def run(options: Options, reporter: Reporter) -> Result:
    """Receive until the time is over or the user stops; then write the take.

    Raises:
        CaptureError: nothing came that could be recorded.
        ProvenanceError: the certificate does not suit, or signing failed, which leaves the take's audio unsigned.
        SyncTalkError: the source or the workspace cannot be used.
    """
    from ...capture.take import write_take
    from ...delivery.provenance.manifest import SPEECH
    from ...workspace.store import Workspace

    workspace = Workspace.open(options.workspace)
    seal, _ = open_seal(options, workspace, None, SPEECH, reporter) if options.record else (None, "")
    session, began = options.open(), time.monotonic()
    try:
        reporter.info(f"Listening: {session.source.place}. Ctrl-C ends it.")
        if options.record is not None:
            session.record()
        _show(session, options.seconds, reporter)
        seconds, state, recorder = time.monotonic() - began, session.state(), session.recorded()
    finally:
        session.close()
    frames = 0
    if options.record is not None:
        lasts_s = recorder.write(raw_path(options.record)) if recorder is not None else 0.0
        capture = recorder.capture() if recorder is not None and lasts_s else None
        if capture is None:
            raise CaptureError(
                f"Nothing came from {session.source.place}, so there is no take: {state.note}".rstrip(": ")
            )
        taken = write_take(workspace, capture, options.record, options.fit(), Reporter(), head=options.head)
        sign_speech(seal, taken.audio, capture.audio, workspace)
        frames = taken.frames
    refused = sum(state.refused.values())
    return Result(state.samples, seconds, state.rate, state.delay_ms, refused, state.note, options.record, frames)


def raw_path(take: Path) -> Path:
    """Where the raw capture of a take is kept: beside it, its audio of the same name."""
    return take.with_name(f"{take.stem}-live.csv")


def in_words(result: Result) -> str:
    """What came, and the take."""
    lines = [f"{result.samples} samples in {format_duration(result.seconds)}, {result.refused} packets not taken"]
    lines += [result.note] if result.note else []
    lines += [f"{result.animation}: {result.frames} frames"] if result.animation else []
    return "\n".join(lines)


def state_line(state: LiveState, recorded_s: float | None) -> str:
    """Rate, delay and state in one line."""
    parts = [state.status]
    if state.rate:
        parts.append(f"{state.rate:.0f} a second, delay {state.delay_ms:.0f} ms")
    if recorded_s is not None:
        parts.append(f"recorded {recorded_s:.1f} s")
    return "; ".join(parts) + (f". {state.note}" if state.note else "")


_SHOWN_EVERY_S, _LINE_EVERY_S = 0.2, 5.0


def _show(session: LiveSession, seconds: float | None, reporter: Reporter) -> None:
    """Show the state until the time is over or the user stops: in place on a terminal, a line now and then elsewhere."""
    stream, shown_s = sys.stderr, -_LINE_EVERY_S
    in_place = stream.isatty()
    ends = None if seconds is None else time.monotonic() + seconds
    try:
        while ends is None or time.monotonic() < ends:
            reporter.check_cancelled()
            line = state_line(session.state(), session.recorded_s)
            if in_place:
                print(f"\r\x1b[2K{line}", end="", file=stream, flush=True)
            elif time.monotonic() - shown_s >= _LINE_EVERY_S:
                shown_s = time.monotonic()
                print(line, file=stream, flush=True)
            left_s = _SHOWN_EVERY_S if ends is None else ends - time.monotonic()
            time.sleep(max(0.0, min(_SHOWN_EVERY_S, left_s)))
    except Cancelled:
        pass  # this is how it ends where no time was given: the take is written
    last = state_line(session.state(), session.recorded_s)
    print(f"\r\x1b[2K{last}" if in_place else last, file=stream, flush=True)
