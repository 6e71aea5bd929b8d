"""The workspace: one folder a subject. docs/workspace.md is its reference; this module is the one that knows the names.

Stages read and write files through it and know no other stage. Every write goes to a temporary name in the same folder
and is renamed, so that a kill at any moment leaves either the old file or the new one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from . import protocol
from .errors import SyncTalkError, WorkspaceError, storage_error

FORMAT = 1
FPS = 25.0
ALPHA_BACKGROUND = 128
"""Grey, 8 bits, behind a person whom the clip's own alpha cuts out: as far from dark hair as from fair, without a hue
that would shine through it."""

STAGES = ("media", "landmarks", "head_sync", "face_sync", "portrait_sync")


@dataclass(frozen=True)
class Crop:
    """Square place of the working frame in the source, in source pixels after rotation; may reach beyond its edges."""

    x: float
    y: float
    size: float


@dataclass(frozen=True)
class FrameCorrections:
    """What the clip's file does not say of its frames and was measured: all who read the clip apply it.

    Attributes:
        rotate_deg: clockwise, after the file's own rotation: 0, 90, 180 or 270.
        field_order: `top` or `bottom`, the field of interlaced frames that was taken first; empty to trust their flag.
        unflagged: frames that are not flagged as interlaced are so too.
        ignore_alpha: the clip's alpha channel was never filled in.
        premultiplied: its colours are multiplied by its alpha.
        bars_px: width of the bars left and right, and of those above and below, which are cut off; source pixels.
    """

    rotate_deg: int = 0
    field_order: str = ""
    unflagged: bool = False
    ignore_alpha: bool = False
    premultiplied: bool = False
    bars_px: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, value: dict[str, Any]) -> FrameCorrections:
        """From what subject.json holds; fields that it has not yet, or that a newer version added, change nothing."""
        known = {item.name for item in dataclasses.fields(cls)}
        found = cls(**{name: item for name, item in value.items() if name in known})
        return dataclasses.replace(found, bars_px=tuple(found.bars_px))


AS_STORED = FrameCorrections()


@dataclass(frozen=True)
class AudioPiece:
    """A part of a clip with an audio offset of its own: a take, or a recording whose clock drifts.

    What belongs to the picture at time t, from `start_s` to the next piece, is heard at
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
    fps: float = FPS
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
    """Lasting name of the subject, by which Blender finds its head in a scene wherever the folder lies."""

    @property
    def first_test_frame(self) -> int:
        """Index of the first held-out frame: the last 1/11 of the clip is never trained on."""
        return math.ceil(self.frames * 10 / 11)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, with the same suffix; renamed to `path` when the block ends well, else removed.

    Raises:
        StorageError: the disk is full or the place is read-only.
    """
    temporary = path.with_name(f".{path.stem}.tmp-{os.getpid()}{path.suffix}")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
    except OSError as error:
        raise storage_error(error, path) from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_arrays(path: Path, **arrays: Any) -> None:
    """Write an `.npz` of plain arrays (no objects), atomically."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{name: np.asarray(value) for name, value in arrays.items()})


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read an `.npz`; never unpickles.

    Raises:
        WorkspaceError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except FileNotFoundError as error:
        raise WorkspaceError(f"{path} is missing: run process on this workspace first.") from error
    except Exception as error:
        raise WorkspaceError(f"{path} is damaged ({error}): delete it and run process again.") from error


def sha256_of(path: Path) -> str:
    """The sha256 of a file's contents, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file) -> str:  # Python 3.10 has no hashlib.file_digest.
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def key_of(*parts: Any) -> str:
    """A short stable hash of JSON-able parts: what a stage's result depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


class Workspace:
    """Paths and state of one subject's folder. Build it with `open` or `create`."""

    def __init__(self, root: Path, subject: Subject) -> None:
        self.root = root
        self.subject = subject

    # -- opening ------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, root: str | os.PathLike) -> Workspace:
        """Open the workspace at `root`, or begin an empty one there.

        Raises:
            WorkspaceError: a newer format, a damaged subject.json, or a folder that holds something else.
            StorageError: the place cannot be written to.
        """
        root = Path(root).expanduser().absolute()
        if (root / "subject.json").exists():
            return cls.open(root)
        if root.is_dir() and any(not entry.name.startswith(".") for entry in root.iterdir()):
            raise WorkspaceError(f"{root} is not empty and is not a workspace: choose an empty or a new folder.")
        workspace = cls(root, Subject(name=root.name.removesuffix(".synctalk"), id=uuid.uuid4().hex))
        workspace.save()
        return workspace

    @classmethod
    def open(cls, root: str | os.PathLike) -> Workspace:
        """Open an existing workspace.

        Raises:
            WorkspaceError: no workspace there, a newer format, or a damaged subject.json.
        """
        root = Path(root).expanduser().absolute()
        path = root / "subject.json"
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            found = int(value["format"])
            if found > FORMAT:
                raise WorkspaceError(
                    f"{root} was made by a newer SyncTalk (workspace format {found}, this one reads up to {FORMAT}): "
                    "update SyncTalk, or process the video again into another folder."
                )
            known = {item.name for item in dataclasses.fields(Subject)}
            value = {name: item for name, item in value.items() if name in known}
            value["crop"] = Crop(**value["crop"]) if value.get("crop") else None
            value["corrections"] = FrameCorrections.of(value.get("corrections") or {})
            value["audio_timeline"] = [AudioPiece(**piece) for piece in value.get("audio_timeline") or []]
            value["source_size"] = tuple(value.get("source_size", (0, 0)))
            value["id"] = protocol.subject_id(value)
            return cls(root, Subject(**value))
        except FileNotFoundError as error:
            raise WorkspaceError(
                f"{root} is not a workspace (no subject.json): run process on a video first."
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise WorkspaceError(f"{path} is damaged ({error}): restore it or process the video again.") from error

    def save(self) -> None:
        """Write subject.json."""
        write_json(self.root / "subject.json", dataclasses.asdict(self.subject))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the workspace for writing. The lock dies with its process, so a killed run leaves none behind.

        Raises:
            WorkspaceError: another process works in it.
            StorageError: the place cannot be written to.
        """
        path = self.root / ".lock"
        try:
            file = open(path, "a+b")  # noqa: SIM115 (closed by the with below)
        except OSError as error:
            raise storage_error(error, self.root) from error
        with file:
            try:
                _lock_file(file)
            except OSError as error:
                raise WorkspaceError(
                    f"{self.root} is in use by another SyncTalk process: wait for it, or stop it, and try again."
                ) from error
            for stale in self.root.rglob(".*.tmp-*"):  # left by a killed run; nobody else can be writing now
                with contextlib.suppress(OSError):
                    stale.unlink()
            yield

    # -- paths --------------------------------------------------------------------------------------------------

    def frame_path(self, index: int) -> Path:
        """Working frame `index`, JPEG."""
        return self.root / "frames" / f"{index:06d}.jpg"

    def matte_path(self, index: int) -> Path:
        """Mattes of frame `index`: PNG, R head, G hair, B torso and neck, A person."""
        return self.root / "mattes" / f"{index:06d}.png"

    def alpha_path(self, index: int) -> Path:
        """Alpha of working frame `index`, where the clip has one (`subject.alpha`): grey PNG."""
        return self.root / "alpha" / f"{index:06d}.png"

    def plate_path(self, index: int) -> Path:
        """Frame `index` without its head, JPEG."""
        return self.root / "plate" / f"{index:06d}.jpg"

    @property
    def audio_path(self) -> Path:
        return self.root / "audio.wav"

    @property
    def corrected_audio_path(self) -> Path:
        """`audio.wav` with offsets that vary along the clip taken out; there only when they vary."""
        return self.root / "audio_corrected.wav"

    @property
    def aligned_audio(self) -> tuple[Path, float]:
        """The clip's audio file to learn from and to reproduce, and how late it runs against the picture, ms."""
        if self.subject.audio_timeline:
            return self.corrected_audio_path, 0.0
        return self.audio_path, self.subject.audio_offset_ms

    @property
    def background_path(self) -> Path:
        return self.root / "background.png"

    @property
    def tracking_path(self) -> Path:
        return self.root / "tracking.npz"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def renders(self) -> Path:
        return self.root / "renders"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    # -- stages -------------------------------------------------------------------------------------------------

    def stage_state(self, name: str) -> str:
        """`absent`, `partial` or `done`."""
        return self.subject.stages.get(name, {}).get("state", "absent")

    def stage_is_done(self, name: str, key: str) -> bool:
        """Whether `name` was finished with the same inputs and options (`key`, from `key_of`)."""
        return self._stage_is(name, "done", key)

    def stage_begins(self, name: str, key: str) -> bool:
        """Mark `name` as begun. True when an interrupted run with the same `key` left work that may be kept."""
        resumed = self._stage_is(name, "partial", key)
        if not resumed:
            self.subject.stages[name] = {"state": "partial", "key": key}
            self.save()
        return resumed

    def stage_ends(self, name: str, key: str) -> None:
        """Mark `name` as finished; later stages keep their state and find by their own key whether they are stale."""
        self.subject.stages[name] = {**self.subject.stages.get(name, {}), "state": "done", "key": key}
        self.save()

    def _stage_is(self, name: str, state: str, key: str) -> bool:
        found = self.subject.stages.get(name, {})
        return found.get("state") == state and found.get("key") == key

    def keep_warnings(self, name: str, warnings: list[str]) -> None:
        """Keep what a stage warned of with its state, for the report; they go when the stage begins anew."""
        stage = self.subject.stages.get(name)
        new = [text for text in warnings if stage is not None and text not in stage.get("warnings", [])]
        if stage is not None and new:
            stage["warnings"] = [*stage.get("warnings", []), *new]
            self.save()

    def require(self, *stages: str) -> None:
        """Raise `WorkspaceError` unless all `stages` are done."""
        for name in stages:
            if self.stage_state(name) != "done":
                raise WorkspaceError(
                    f"{self.root}: the stage {name} is not finished: run process on this workspace first."
                )

    # -- pictures -----------------------------------------------------------------------------------------------

    def read_frame(self, index: int) -> np.ndarray:
        """Working frame as (S, S, 3) uint8, RGB."""
        return read_image(self.frame_path(index))

    def read_matte(self, index: int) -> np.ndarray:
        """Mattes as (S, S, 4) uint8: head, hair, torso and neck, person."""
        return read_image(self.matte_path(index), channels=4)

    def read_alpha(self, index: int) -> np.ndarray | None:
        """The clip's own alpha as (S, S) uint8; None where the clip has none."""
        return read_image(self.alpha_path(index), channels=1)[..., 0] if self.subject.alpha else None

    def read_plate(self, index: int) -> np.ndarray:
        """Frame without its head as (S, S, 3) uint8, RGB."""
        return read_image(self.plate_path(index))


def read_image(path: Path, channels: int = 3, divisor: int = 1) -> np.ndarray:
    """A picture as (H, W, channels) uint8, grey, RGB or RGBA.

    Args:
        divisor: 2, 4 or 8 read an RGB picture at that part of its size, which for JPEG costs less than the whole.

    Raises:
        WorkspaceError: missing or damaged.
    """
    import cv2

    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread cannot open paths beyond ASCII on Windows
    except OSError as error:
        raise WorkspaceError(f"{path} is missing: run process on this workspace again.") from error
    colour = cv2.IMREAD_COLOR if divisor == 1 else getattr(cv2, f"IMREAD_REDUCED_COLOR_{divisor}")
    flag = {1: cv2.IMREAD_GRAYSCALE, 3: colour, 4: cv2.IMREAD_UNCHANGED}[channels]
    image = cv2.imdecode(data, flag) if data.size else None
    if image is not None and channels == 1:
        return image[..., None]
    if image is None or image.ndim != 3 or image.shape[2] != channels:
        raise WorkspaceError(f"{path} is damaged: delete it and run process on this workspace again.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGRA2RGBA)


def write_image(path: Path, image: np.ndarray) -> None:
    """Write (H, W, 1, 3 or 4) uint8, grey, RGB or RGBA, as JPEG (quality 95, 4:4:4) or PNG by the suffix, atomically."""
    import cv2

    code = {1: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[image.shape[2]]
    options = {
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
        ".png": [cv2.IMWRITE_PNG_COMPRESSION, 1],
    }[path.suffix]
    done, data = cv2.imencode(path.suffix, image if code is None else cv2.cvtColor(image, code), options)
    if not done:
        raise SyncTalkError(f"{path} could not be encoded: report this with the picture's size {image.shape}.")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)  # not tofile: its error does not tell a full disk from others


def _lock_file(file) -> None:
    if os.name == "nt":
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
