"""The workspace: one folder a subject. docs/workspace.md is its reference; this module is the one that knows the names.

Stages read and write files through it and know no other stage.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConsentError, WorkspaceError
from .animation import Animation
from .camera_path import CameraPath
from .checkpoint_index import AUTO, newest_track
from .face_mesh import FaceMesh
from .files import PROCESS_AGAIN, held, write_json
from .head_track import HeadTrack
from .images import read_image
from .pose_track import PoseTrack
from .subject import FORMAT, Subject


class Workspace:
    """Paths and state of one subject's folder. Build it with `open` or `create`."""

    def __init__(self, root: Path, subject: Subject) -> None:
        self.root = root
        self.subject = subject
        self._changing = threading.RLock()  # two stages may run at the same time

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
            subject = Subject.of(value)
            subject.name = subject.name or root.name
            return cls(root, subject)
        except FileNotFoundError as error:
            raise WorkspaceError(
                f"{root} is not a workspace (no subject.json): run process on a video first."
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise WorkspaceError(
                f"{path} is damaged and cannot be read ({error!r}): restore it or process the video again."
            ) from error

    @classmethod
    def open_processed(cls, root: str | os.PathLike) -> Workspace:
        """Open a workspace with frames in it.

        Raises:
            WorkspaceError: as `open`, or no video was processed into it.
        """
        workspace = cls.open(root)
        if not workspace.subject.is_processed:
            raise WorkspaceError(f"{workspace.root} is not processed yet: {PROCESS_AGAIN}.")
        return workspace

    def save(self) -> None:
        """Write subject.json."""
        with self._changing:
            write_json(self.root / "subject.json", self.subject.to_json())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the workspace for writing. The lock dies with its process, so a killed run leaves none behind.

        Raises:
            WorkspaceError: another process works in it.
            StorageError: the place cannot be written to.
        """
        with held(self.root, "SyncTalk process"):
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

    def cover_path(self, index: int) -> Path:
        """What covers the face in frame `index`, grey PNG; there only for frames in which something does."""
        return self.root / "covers" / f"{index:06d}.png"

    @property
    def audio_path(self) -> Path:
        return self.root / "audio.wav"

    @property
    def corrected_audio_path(self) -> Path:
        """`audio.wav` with offsets that vary along the clip taken out; there only when they vary."""
        return self.root / "audio_corrected.wav"

    @property
    def aligned_audio(self) -> tuple[Path, float]:
        """The clip's audio file to train on and to reproduce, and how late it runs, ms."""
        if self.subject.audio_timeline:
            return self.corrected_audio_path, 0.0
        return self.audio_path, self.subject.audio_offset_ms

    @property
    def background_path(self) -> Path:
        return self.root / "background.png"

    @property
    def camera_path_file(self) -> Path:
        """How the camera moves; there only when it does."""
        return self.root / "camera_motion.npz"

    @property
    def tracking_path(self) -> Path:
        return self.root / "tracking.npz"

    @property
    def pose_track_path(self) -> Path:
        return self.root / "head_sync.npz"

    @property
    def face_mesh_path(self) -> Path:
        return self.root / "face_mesh.npz"

    @property
    def footage(self) -> Path | None:
        """Pattern of the full source frames, `%06d` for the frame; None where the workspace holds the crop alone."""
        if self.subject.is_full_frame:
            return self.root / "frames" / "%06d.jpg"
        pattern = self.root / "footage" / "%06d.jpg"
        return pattern if Path(str(pattern) % (self.subject.frames - 1)).exists() else None

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
            self._change_stage(name, {"state": "partial", "key": key})
        return resumed

    def stage_ends(self, name: str, key: str) -> None:
        """Mark `name` as finished; later stages keep their state and find by their own key whether they are stale."""
        self._change_stage(name, {**self.subject.stages.get(name, {}), "state": "done", "key": key})

    def _change_stage(self, name: str, record: dict[str, Any]) -> None:
        with self._changing:
            self.subject.stages[name] = record
            self.save()

    def _stage_is(self, name: str, state: str, key: str) -> bool:
        found = self.subject.stages.get(name, {})
        return found.get("state") == state and found.get("key") == key

    def keep_warnings(self, name: str, warnings: list[str]) -> None:
        """Keep what a stage warned of with its state, for the report; they go when the stage begins again."""
        stage = self.subject.stages.get(name)
        new = [text for text in warnings if stage is not None and text not in stage.get("warnings", [])]
        if stage is not None and new:
            self._change_stage(name, {**stage, "warnings": [*stage.get("warnings", []), *new]})

    def require(self, *stages: str) -> None:
        """Raise `WorkspaceError` unless all `stages` are done."""
        for name in stages:
            if self.stage_state(name) != "done":
                raise WorkspaceError(
                    f"{self.root}: the stage {name} is not finished: run process on this workspace first."
                )

    def require_consent(self) -> None:
        """Raise `ConsentError` unless the consent of the person shown is recorded, for this clip."""
        consent, clip = self.subject.consent, self.subject.source_sha256
        if not consent.get("given"):
            raise ConsentError(
                f"{self.root}: consent is not recorded. Run process with --consent NAME, or fill in the Subject panel."
            )
        if consent.get("clip", clip) != clip:  # records from before 0.1 name none; process adds it
            raise ConsentError(
                f"{self.root}: the recorded consent is for another clip. Run process with --consent NAME, or fill in the "
                "Subject panel."
            )

    # -- records ------------------------------------------------------------------------------------------------

    def head_track(self, *, refined: bool = True, head: str = AUTO) -> HeadTrack:
        """The head's motion and its camera: as the newest checkpoint has refined them, else as tracked.

        Args:
            refined: False for what depends on the tracker alone, such as a stage.
            head: of `checkpoint_index.HEADS`: whose track.

        Raises:
            WorkspaceError: the head was not tracked, or the file is damaged.
        """
        track = HeadTrack.read(self.tracking_path, self.subject.size)
        if not track.head_sync:  # The key of the stage may be newer than the track: that of an unfinished run.
            track = dataclasses.replace(track, head_sync=str(self.subject.stages.get("head_sync", {}).get("key", "")))
        return track.refined_by(newest_track(self.checkpoints, head)) if refined else track

    def pose_track(self) -> PoseTrack:
        """The poses as `head_sync` found them, with their camera.

        Raises:
            WorkspaceError: the head was not tracked, or the file is damaged.
        """
        return PoseTrack.read(self.pose_track_path, self.subject.size)

    def camera_path(self) -> CameraPath | None:
        """How the camera moves; None for one that is still, or whose motion could not be measured.

        Raises:
            WorkspaceError: the file is damaged.
        """
        return CameraPath.read(self.camera_path_file)

    def footage_animation(self, track: HeadTrack | None = None) -> Animation:
        """The footage's own motion, with the clip's audio where there is any; on `head_track()` unless given."""
        track = track or self.head_track()
        audio, offset_ms = self.aligned_audio
        return Animation(
            track.blendshapes,
            track.head_to_camera,
            track.camera,
            np.arange(track.frames),
            self.subject.rate,
            audio if audio.exists() else None,
            offset_ms,
        )

    def animation(self, path: Path, *, hold_last: bool = False) -> Animation:
        """An `animation.npz` of this subject; `hold_last` as `Animation.read` has it.

        Raises:
            WorkspaceError: it is missing, damaged, or of another subject.
        """
        return Animation.read(path, self.subject, hold_last=hold_last)

    def face_mesh(self) -> FaceMesh:
        """The face that Blender shows.

        Raises:
            WorkspaceError: the head was not tracked, or the file is damaged.
        """
        return FaceMesh.read(self.face_mesh_path)

    # -- images -----------------------------------------------------------------------------------------------

    def read_frame(self, index: int) -> np.ndarray:
        """Working frame as (S, S, 3) uint8, RGB."""
        return read_image(self.frame_path(index))

    def read_matte(self, index: int) -> np.ndarray:
        """Mattes as (S, S, 4) uint8: head, hair, torso and neck, person."""
        return read_image(self.matte_path(index), channels=4)

    def read_alpha(self, index: int) -> np.ndarray | None:
        """The clip's own alpha as (S, S) uint8; None where the clip has none."""
        return read_image(self.alpha_path(index), channels=1)[..., 0] if self.subject.alpha else None

    def read_cover(self, index: int) -> np.ndarray | None:
        """How much of each pixel is something before the face, (S, S) uint8; None where nothing is."""
        path = self.cover_path(index)
        return read_image(path, channels=1)[..., 0] if path.exists() else None

    def read_plate(self, index: int) -> np.ndarray:
        """Frame without its head as (S, S, 3) uint8, RGB."""
        return read_image(self.plate_path(index))
