"""`subject.json`: what is known of a subject's clip, and the states of its stages."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from ..errors import WorkspaceError
from ..protocol import Stage
from .frame_rate import UNSTATED, Timecode, exact_rate

FORMAT = 2
ALPHA_BACKGROUND = 128
"""Grey, 8 bits, behind a person whom the clip's own alpha cuts out: as far from dark hair as from fair, without a hue
that would shine through it."""
STAGES: tuple[str, ...] = (
    Stage.MEDIA.value,
    Stage.LANDMARKS.value,
    Stage.HEAD_SYNC.value,
    Stage.FACE_SYNC.value,
    Stage.PORTRAIT_SYNC.value,
)


@dataclass(frozen=True)
class Crop:
    """Square place of the working frame in the source, in source pixels after rotation; may reach beyond its edges."""

    x: float
    y: float
    size: float


@dataclass(frozen=True)
class FrameCorrections:
    """Measured properties that the clip's file does not state: every reader of the clip applies them.

    Attributes:
        rotate_deg: clockwise, after the file's own rotation: 0, 90, 180 or 270.
        field_order: `top` or `bottom`, the field of interlaced frames that was taken first; empty to trust their flag.
        unflagged: frames that are not flagged as interlaced are so too.
        ignore_alpha: the clip's alpha channel was never filled in.
        premultiplied: its colours are multiplied by its alpha.
        bars_px: width of the bars left and right, and of those above and below, which are cut off; source pixels.
        colour: how its values encode light, as `process --colour` names it; empty to trust its tags.
    """

    rotate_deg: int = 0
    field_order: str = ""
    unflagged: bool = False
    ignore_alpha: bool = False
    premultiplied: bool = False
    bars_px: tuple[int, int] = (0, 0)
    colour: str = ""

    @classmethod
    def of(cls, value: dict[str, Any]) -> FrameCorrections:
        """From what subject.json holds; fields that it has not yet, or that a newer version added, change nothing."""
        known = {item.name for item in dataclasses.fields(cls)}
        left, top = value.get("bars_px", (0, 0))
        return cls(**{name: item for name, item in value.items() if name in known} | {"bars_px": (left, top)})


AS_STORED = FrameCorrections()


@dataclass(frozen=True)
class AudioPiece:
    """A part of a clip with a separate audio offset: a take, or a recording whose clock drifts.

    What belongs to the frame at time t, from `start_s` to the next piece, is heard at
    t + (offset_ms + drift_ms_per_s * (t - start_s)) / 1000.
    """

    start_s: float
    offset_ms: float
    drift_ms_per_s: float = 0.0

    def offset_ms_at(self, time_s: float) -> float:
        """How late the audio runs at a time of the video."""
        return self.offset_ms + self.drift_ms_per_s * (time_s - self.start_s)


@dataclass
class Subject:
    """The contents of `subject.json`."""

    name: str = ""
    source: str = ""
    source_sha256: str = ""
    source_size: tuple[int, int] = (0, 0)
    source_fps: float = 0.0
    duration_s: float = 0.0
    rate: Fraction = UNSTATED
    """Frames a second, of the source as of everything made from it."""
    timecode: str = ""
    """SMPTE time code of the first frame, `01:00:00:00`; empty where the source has none."""
    frames: int = 0
    size: int = 0
    crop: Crop | None = None
    corrections: FrameCorrections = AS_STORED
    alpha: bool = False
    audio_offset_ms: float = 0.0
    audio_timeline: list[AudioPiece] = field(default_factory=list)
    consent: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    format: int = FORMAT
    id: str = ""
    """Persistent id of the subject, by which Blender finds its head in a scene after the folder moves."""

    @classmethod
    def of(cls, record: dict[str, Any]) -> Subject:
        """From what subject.json holds; fields that a newer version added are left out.

        Raises:
            ValueError, KeyError, TypeError: the record is damaged.
        """
        known = {item.name for item in dataclasses.fields(cls)}
        value = {name: item for name, item in record.items() if name in known}
        width, height = value.get("source_size") or (0, 0)
        crop = value.get("crop")
        value |= {
            "id": subject_id(record),
            "name": str(value.get("name", "")).removesuffix(".synctalk"),
            "source_size": (width, height),
            "rate": _rate_of(record),
            "crop": Crop(**crop) if crop else None,
            "corrections": FrameCorrections.of(value.get("corrections") or {}),
            "consent": value.get("consent") or {},
            "audio_timeline": [AudioPiece(**piece) for piece in value.get("audio_timeline") or []],
        }
        return cls(**value | {"format": FORMAT})

    def to_json(self) -> dict[str, Any]:
        """What subject.json holds: the rate as its numerator and denominator."""
        return dataclasses.asdict(self) | {"rate": [self.rate.numerator, self.rate.denominator]}

    @property
    def fps(self) -> float:
        """Frames a second, rounded."""
        return float(self.rate)

    def timecode_at(self, frame: int) -> Timecode | None:
        """The source's time code of a frame; None where it has none."""
        start = Timecode.parse(self.timecode, self.rate)
        return None if start is None else start.later(frame)

    @property
    def is_processed(self) -> bool:
        """Whether there are working frames."""
        return self.crop is not None and self.size > 0 and self.frames > 0

    @property
    def place(self) -> Crop:
        """Where the working frame lies in the source.

        Raises:
            WorkspaceError: the video was not processed yet.
        """
        if self.crop is None or not self.size:
            raise WorkspaceError(
                f"“{self.name}” is not processed yet: run process (Track in Blender) on its video first."
            )
        return self.crop

    @property
    def scale(self) -> float:
        """Source pixels a pixel of the working frame."""
        return self.place.size / self.size

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width and height of the source frame, less its last column or row where odd: encoders need even sides."""
        width, height = self.source_size
        return width - width % 2, height - height % 2

    @property
    def is_full_frame(self) -> bool:
        """Whether the working frame is the source frame itself, neither cropped nor scaled."""
        return self.source_size == (self.size, self.size) and self.crop == Crop(0, 0, self.size)

    @property
    def first_test_frame(self) -> int:
        """Index of the first held-out frame: the last 1/11 of the clip is never trained on."""
        return math.ceil(self.frames * 10 / 11)


def _rate_of(record: dict[str, Any]) -> Fraction:
    """Format 1 had a number of frames a second, `fps`, which was 25."""
    if "rate" in record:
        numerator, denominator = record["rate"]
        return exact_rate(Fraction(numerator, denominator))
    return exact_rate(record.get("fps", UNSTATED))


def subject_id(record: dict[str, Any]) -> str:
    """The persistent id of a subject, from its `subject.json`: a moved or renamed workspace keeps it.

    Workspaces from before there were ids have one that follows from their clip and name.
    """
    if record.get("id"):
        return str(record["id"])
    made_of = [str(record.get("source_sha256", "")), str(record.get("name", ""))]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]
