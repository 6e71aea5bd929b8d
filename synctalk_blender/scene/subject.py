"""What Blender reads of a workspace: docs/workspace.md and docs/animation.md, as arrays. No `bpy` here."""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...backend.protocol import BLENDSHAPE_NAMES
from ...backend.workspace.subject import subject_id
from .errors import SceneError
from .pinhole import Pinhole

FORMAT = 1


@dataclass(frozen=True)
class Subject:
    """One workspace. Pixels are of the source picture, after its rotation, unless said otherwise."""

    root: Path
    name: str
    fps: float
    frames: int
    source_size: tuple[int, int]
    crop: tuple[float, float, float]
    """x, y and side of the working frame."""
    size: int
    """Side of the working frame in its own pixels."""
    audio_offset_ms: float
    """How late the audio of `audio_name` runs."""
    id: str = ""
    """Lasting id, the same wherever the workspace lies."""
    audio_name: str = "audio.wav"
    """The clip's audio in the workspace; the corrected one where its offset varies along the clip."""

    @property
    def scale(self) -> float:
        """Source pixels a working pixel."""
        return self.crop[2] / self.size

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width and height of the scene's picture: the source's, less its last column or row where odd (video wants even)."""
        width, height = self.source_size
        return width - width % 2, height - height % 2

    @property
    def is_whole_picture(self) -> bool:
        """Whether the working frame is the source picture itself, neither cropped nor scaled."""
        return self.crop[:2] == (0.0, 0.0) and self.source_size == (self.size, self.size) and self.scale == 1.0

    @property
    def footage(self) -> Path | None:
        """Pattern of the whole picture at `fps`, `%06d` being the frame; None when the workspace holds the crop alone."""
        if self.is_whole_picture:
            return self.root / "frames" / "%06d.jpg"
        pattern = self.root / "footage" / "%06d.jpg"
        return pattern if (self.root / "footage" / f"{self.frames - 1:06d}.jpg").exists() else None

    def pinhole(self, focal_px: float, principal_px: np.ndarray) -> Pinhole:
        """The tracked camera, given in working pixels, for the scene's picture."""
        x, y, _ = self.crop
        width, height = self.frame_size
        principal = (x + float(principal_px[0]) * self.scale, y + float(principal_px[1]) * self.scale)
        return Pinhole(width, height, float(focal_px) * self.scale, principal)


@dataclass(frozen=True)
class Animation:
    """What drives the head: docs/animation.md."""

    fps: float
    blendshapes: np.ndarray
    """(N, 52), `protocol.BLENDSHAPE_NAMES`."""
    head_to_camera: np.ndarray
    """(N, 4, 4)."""
    focal_px: float
    principal_px: np.ndarray
    plate_frame: np.ndarray
    """(N) frame of the footage beneath."""
    audio: Path | None
    audio_offset_ms: float = 0.0
    """How late the sound runs."""

    @property
    def frames(self) -> int:
        return len(self.blendshapes)

    def on_track(self, tracking: Animation) -> Animation:
        """The same expressions on the poses, and with the lens, that `tracking` has for the footage's frames beneath."""
        return replace(
            self,
            head_to_camera=tracking.head_to_camera[np.minimum(self.plate_frame, tracking.frames - 1)],
            focal_px=tracking.focal_px,
            principal_px=tracking.principal_px,
        )

    def is_on_track(self, tracking: Animation) -> bool:
        """Whether poses and lens are those of `tracking`."""
        there = self.on_track(tracking)
        return math.isclose(self.focal_px, there.focal_px, rel_tol=1e-6) and np.allclose(
            self.head_to_camera, there.head_to_camera, atol=1e-6, equal_nan=True
        )


@dataclass(frozen=True)
class FaceMesh:
    """The neutral face and its 52 shapes in the head frame, metres."""

    vertices_m: np.ndarray
    """(V, 3)."""
    triangles: np.ndarray
    """(T, 3) of int."""
    shape_keys: np.ndarray
    """(52, V, 3) displacements, `protocol.BLENDSHAPE_NAMES`."""


@dataclass(frozen=True)
class HeadPoints:
    """The tracked points of the head, for an artist to hang things on."""

    points_m: np.ndarray
    """(K, 3) in the head frame, metres."""
    seen_share: np.ndarray
    """(K) part of the frames that each was seen in, 0 to 1."""
    face_m: np.ndarray | None
    """(478, 3) the face's landmarks in the head frame, which tell where on the head a point lies."""


def read_subject(workspace: str | Path) -> Subject:
    """The workspace's `subject.json`.

    Raises:
        SceneError: no workspace, a newer format, a damaged file, or a video that was not processed yet.
    """
    root = Path(workspace).expanduser().absolute()
    path = root / "subject.json"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if int(value["format"]) > FORMAT:
            raise SceneError(
                f"{root} was made by a newer SyncTalk (workspace format {value['format']}): update the extension."
            )
        crop = value["crop"]
        if not crop or not value["frames"] or not value["size"]:
            raise SceneError(f"{root} is not processed yet: run Track on its video first.")
        varies = bool(value.get("audio_timeline"))
        return Subject(
            root=root,
            name=str(value.get("name") or root.name).removesuffix(".synctalk"),
            fps=float(value["fps"]),
            frames=int(value["frames"]),
            source_size=(int(value["source_size"][0]), int(value["source_size"][1])),
            crop=(float(crop["x"]), float(crop["y"]), float(crop["size"])),
            size=int(value["size"]),
            audio_offset_ms=0.0 if varies else float(value.get("audio_offset_ms") or 0.0),
            id=subject_id(value),
            audio_name="audio_corrected.wav" if varies else "audio.wav",
        )
    except FileNotFoundError as error:
        raise SceneError(
            f"{root} is not a workspace (it has no subject.json): choose its folder, or process a video first."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise SceneError(f"{path} cannot be read ({error!r}): process the video again.") from error


_ids: dict[Path, tuple[int, str]] = {}


def id_at(workspace: Path) -> str:
    """The lasting id of the subject in `workspace`, empty where there is none; read again only when its file has changed."""
    path = workspace / "subject.json"
    try:
        changed = path.stat().st_mtime_ns
        if _ids.get(path, (0, ""))[0] != changed:
            _ids[path] = changed, subject_id(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError):
        return ""
    return _ids[path][1]


def read_tracking(subject: Subject) -> Animation:
    """The footage's own movement: `tracking.npz`, with the clip's sound.

    Raises:
        SceneError: the file is missing, damaged, or holds other arrays than docs/workspace.md promises.
    """
    path = subject.root / "tracking.npz"
    arrays = _read(path, "focal_px", "principal_px", "head_to_camera", "blendshapes", "blendshape_names")
    frames = len(arrays["blendshapes"])
    audio = subject.root / subject.audio_name
    return _animation(
        path,
        arrays,
        subject.fps,
        np.arange(frames),
        audio if audio.exists() else None,
        audio_offset_ms=subject.audio_offset_ms,
    )


def read_animation(path: str | Path) -> Animation:
    """An `animation.npz`.

    Raises:
        SceneError: the file is missing, damaged, or holds other arrays than docs/animation.md promises.
    """
    path = Path(path).expanduser().absolute()
    arrays = _read(
        path,
        "fps",
        "focal_px",
        "principal_px",
        "head_to_camera",
        "blendshapes",
        "blendshape_names",
        "plate_frame",
        "audio",
    )
    name = str(arrays["audio"])
    audio = path.parent / name if name else None
    if audio is not None and not audio.exists():
        raise SceneError(f"{audio}, the sound of {path.name}, is missing: speak again.")
    return _animation(path, arrays, float(arrays["fps"]), arrays["plate_frame"], audio)


def read_face_mesh(subject: Subject) -> FaceMesh:
    """The workspace's `face_mesh.npz`, its shapes in the protocol's order; a shape that it lacks is none.

    Raises:
        SceneError: the file is missing or damaged.
    """
    path = subject.root / "face_mesh.npz"
    arrays = _read(path, "vertices_m", "triangles", "shape_keys", "shape_key_names")
    vertices, triangles, shapes = arrays["vertices_m"], arrays["triangles"], arrays["shape_keys"]
    names = [str(name) for name in arrays["shape_key_names"]]
    if vertices.ndim != 2 or shapes.shape != (len(names), *vertices.shape) or triangles.max(initial=0) >= len(vertices):
        raise SceneError(f"{path} does not fit together: process the video again.")
    ordered = np.zeros((len(BLENDSHAPE_NAMES), *vertices.shape))
    for index, name in enumerate(BLENDSHAPE_NAMES):
        if name in names:
            ordered[index] = shapes[names.index(name)]
    return FaceMesh(vertices.astype(np.float64), triangles.astype(np.int64), ordered)


def read_head_points(subject: Subject) -> HeadPoints | None:
    """The head points of `tracking.npz`; None where it holds none, as those of earlier versions may.

    Raises:
        SceneError: the file is damaged, or its arrays do not fit together.
    """
    path = subject.root / "tracking.npz"
    try:
        with np.load(path, allow_pickle=False) as data:
            if "points_head_m" not in data.files or "points_seen" not in data.files:
                return None
            points, seen = data["points_head_m"].astype(np.float64), data["points_seen"]
            face = data["face_head_m"].astype(np.float64) if "face_head_m" in data.files else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SceneError(f"{path} is damaged ({error}): make it again.") from error
    if len(points) == 0:
        return None
    fits = points.shape[1:] == (3,) and seen.ndim == 2 and seen.shape[1] == len(points) and np.isfinite(points).all()
    if not fits or (face is not None and face.shape != (478, 3)):
        raise SceneError(f"{path} has head points that do not fit together: track the video again.")
    return HeadPoints(points, seen.astype(np.float64).mean(0) if len(seen) else np.zeros(len(points)), face)


def _animation(
    path: Path,
    arrays: dict[str, np.ndarray],
    fps: float,
    plate_frame: np.ndarray,
    audio: Path | None,
    audio_offset_ms: float = 0.0,
) -> Animation:
    blendshapes, poses = arrays["blendshapes"], arrays["head_to_camera"]
    names = [str(name) for name in arrays["blendshape_names"]]
    frames = len(blendshapes)
    if (
        frames == 0
        or blendshapes.shape != (frames, len(names))
        or poses.shape != (frames, 4, 4)
        or len(plate_frame) != frames
    ):
        raise SceneError(f"{path} does not fit together ({blendshapes.shape}, {poses.shape}): make it again.")
    missing = [name for name in BLENDSHAPE_NAMES if name not in names]
    if missing:
        raise SceneError(f"{path} lacks the blendshape {missing[0]}: make it again with this version of the backend.")
    focal = float(arrays["focal_px"])
    if not (math.isfinite(focal) and focal > 0):
        raise SceneError(f"{path} has the focal length {focal}: track the video again.")
    return Animation(
        fps=fps,
        blendshapes=blendshapes[:, [names.index(name) for name in BLENDSHAPE_NAMES]].astype(np.float64),
        head_to_camera=poses.astype(np.float64),
        focal_px=focal,
        principal_px=np.asarray(arrays["principal_px"], np.float64),
        plate_frame=np.asarray(plate_frame, np.int64),
        audio=audio,
        audio_offset_ms=audio_offset_ms,
    )


def _read(path: Path, *names: str) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in names}
    except FileNotFoundError as error:
        raise SceneError(f"{path} is missing: run the step that makes it first (docs/workspace.md).") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SceneError(f"{path} is damaged ({error}): make it again.") from error
