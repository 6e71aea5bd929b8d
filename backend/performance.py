"""From an animation to pictures: a film over the footage, RGBA frames for a compositor, and the held-out frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from . import pipeline
from .errors import WorkspaceError
from .media.audio import read_audio, sound_blocks
from .media.encode import SYNTHETIC_MARK, FrameWriter, VideoWriter
from .media.footage import is_whole_picture, write_footage
from .media.guard import guarded, guarded_items
from .portrait_sync.blend import over, place
from .progress import Reporter
from .protocol import BLENDSHAPE_NAMES
from .renderer.colour import to_straight_uint8
from .renderer.render import Renderer
from .training import checkpoints, readiness
from .training.conditions import SHAPE, LipSource
from .training.dataset import Tracking
from .training.lip_gain import speech_gain
from .workspace.camera import Camera
from .workspace.files import key_of, read_arrays, write_json
from .workspace.images import read_image, write_image
from .workspace.store import Workspace
from .workspace.subject import FPS, Subject


@dataclass(frozen=True)
class Animation:
    """The arrays of animation.npz (docs/animation.md)."""

    blendshapes: np.ndarray
    head_to_camera: np.ndarray
    camera: Camera
    plate_frame: np.ndarray
    audio: Path | None
    audio_offset_ms: float = 0.0
    fps: float = FPS
    """Frames a second: a scene of Blender's has a rate of its own."""

    @classmethod
    def read(cls, path: Path, workspace: Workspace) -> Animation:
        """Read and check a file that an artist may have made.

        Raises:
            WorkspaceError: arrays missing, of the wrong shape, or naming frames that the footage lacks.
        """
        arrays = read_arrays(path)
        try:
            names = [str(name) for name in arrays["blendshape_names"]]
            blendshapes = arrays["blendshapes"].astype(np.float32)[:, [names.index(name) for name in BLENDSHAPE_NAMES]]
            poses = arrays["head_to_camera"].astype(np.float64)
            plate = arrays["plate_frame"].astype(int)
            focal, principal = float(arrays["focal_px"]), tuple(float(value) for value in arrays["principal_px"])
        except (KeyError, ValueError, IndexError) as error:
            raise WorkspaceError(
                f"{path} is not an animation of docs/animation.md ({error}): export it again."
            ) from error
        if not len(poses) == len(blendshapes) == len(plate) or poses.shape[1:] != (4, 4):
            raise WorkspaceError(f"{path}: its arrays differ in length: export it again.")
        outside = np.flatnonzero((plate < 0) | (plate >= workspace.subject.frames))
        if len(outside):
            raise WorkspaceError(
                f"{path}: frame {outside[0]} lies over footage frame {plate[outside[0]]}, the clip has "
                f"{workspace.subject.frames}: export it again from this workspace."
            )
        bad = np.flatnonzero(~np.isfinite(poses).all((1, 2)) | ~np.isfinite(blendshapes).all(1))
        if len(bad):
            raise WorkspaceError(f"{path}: frame {bad[0]} holds numbers that are not finite: export it again.")
        sound = path.with_name(str(arrays["audio"])) if str(arrays.get("audio", "")) else None
        size = workspace.subject.size
        offset_ms, fps = float(arrays.get("audio_offset_ms", 0.0)), float(arrays.get("fps", FPS))
        if not (np.isfinite(fps) and 0 < fps <= 1000):
            raise WorkspaceError(f"{path} has a frame rate of {fps}: export it again.")
        return cls(blendshapes, poses, Camera(size, size, focal, principal), plate, sound, offset_ms, fps)

    def conditions(self, workspace: Workspace, lips: LipSource) -> np.ndarray:
        """(N, 52 + lips.inputs): what a head whose lips follow `lips` is drawn by.

        Raises:
            WorkspaceError: the lips follow sound, and the animation has none.
        """
        if lips.name == SHAPE:
            return self.blendshapes
        if self.audio is None or not self.audio.exists():
            raise WorkspaceError(
                "The lips of this head follow sound alone, and the animation names none: render it with --audio, or train "
                "the head with lips=shape."
            )
        sound = guarded_items(sound_blocks, self.audio, about=self.audio)
        return lips.conditions(workspace, self.blendshapes, sound, self.audio_offset_ms)


def source_camera(camera: Camera, subject: Subject, width: int, height: int) -> Camera:
    """The working frame's camera as the camera of the whole source picture, at `width` x `height`."""
    per_pixel = subject.crop.size / subject.size
    x, y = width / subject.source_size[0], height / subject.source_size[1]
    principal = (
        (subject.crop.x + camera.principal_px[0] * per_pixel) * x,
        (subject.crop.y + camera.principal_px[1] * per_pixel) * y,
    )
    return Camera(width, height, camera.focal_px * per_pixel * x, principal)


def output_size(subject: Subject, size: int | None) -> tuple[int, int]:
    """Width and height of a film: the source's, or with `size` as its longer side."""
    width, height = subject.source_size
    if size is None:
        return width, height
    return max(2, round(width * size / max(width, height))), max(2, round(height * size / max(width, height)))


def render(
    root: Path,
    out: Path,
    reporter: Reporter,
    *,
    audio: Path | None = None,
    directions: Path | None = None,
    size: int | None = None,
    delivery: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Render a film with sound (`out` ends in .mp4) or a folder of RGBA frames `%06d.png` with straight alpha.

    Args:
        audio: the sound to speak; without it and without `directions` the clip itself is reproduced.
        directions: an animation.npz instead, as Blender exports it.
        size: longer side of the picture, pixels; the source's own when absent.
        delivery: how `audio` is spoken: `strength`, `smoothing_ms`, `offset_ms`, `close_in_silence` of `speak`.
    """
    workspace = Workspace.open(root)
    workspace.require("portrait_sync")
    head = checkpoints.load_for_rendering(workspace, reporter)
    given = directions is not None
    if directions is None:
        directions = Path(pipeline.speak(root, audio, reporter, **(delivery or {}))["animation"])
    animation = Animation.read(directions, workspace)
    conditions = animation.conditions(workspace, head.lips)
    renderer = Renderer(head.field())
    width, height = output_size(workspace.subject, size)
    camera = source_camera(animation.camera, workspace.subject, width, height)
    total = len(animation.plate_frame)

    def pictures() -> Iterator[np.ndarray]:
        frames = renderer.render_batch(camera, animation.head_to_camera, conditions)
        for done, picture in enumerate(frames, 1):
            yield picture.rgba
            reporter.progress("rendering", done, total)

    if out.suffix.lower() == ".mp4":
        footage = Footage(workspace, width, height, reporter)
        sound = _film_audio(audio if given else None, animation, reporter)
        with VideoWriter(out, width, height, fps=animation.fps, audio=sound) as film:
            for index, rgba in enumerate(pictures()):
                film.write(over(rgba, footage.plate(int(animation.plate_frame[index]))))
    else:
        _render_frames(out, animation.head_to_camera, conditions, camera, renderer, head.path, reporter)
    return {"out": str(out), "frames": total, "width": width, "height": height}


def _film_audio(audio: Path | None, animation: Animation, reporter: Reporter) -> tuple[np.ndarray, int] | None:
    """Samples and rate for a film: of the file given in place of the animation's, else of the animation's, if any."""
    path = audio or animation.audio
    if path is None or not (audio or path.exists()):
        return None
    return guarded(read_audio, path, 48000, reporter=reporter, about=path), 48000


def _render_frames(
    out: Path,
    poses: np.ndarray,
    conditions: np.ndarray,
    camera: Camera,
    renderer: Renderer,
    checkpoint: Path,
    reporter: Reporter,
) -> None:
    """RGBA frames; ones that an interrupted run of the same animation left are kept."""
    total = len(poses)
    key = key_of(
        poses.tolist(),
        conditions.tolist(),
        (camera.width, camera.height, camera.focal_px),
        str(checkpoint),
    )
    marker = out / "frames.json"
    known = marker.read_text(encoding="utf-8") if marker.exists() else ""
    if key not in known:
        for old in out.glob("[0-9]" * 6 + ".png"):
            old.unlink()
        write_json(marker, {"key": key, "frames": total, "note": SYNTHETIC_MARK})
    writer = FrameWriter(out)
    for index in range(total):
        if not writer.path(index).exists():
            rgba = renderer.render(camera, poses[index], conditions[index]).rgba
            writer.write(index, to_straight_uint8(rgba))
        reporter.progress("rendering", index + 1, total)


class Footage:
    """Footage frames without the head, at any size, in any order."""

    def __init__(self, workspace: Workspace, width: int, height: int, reporter: Reporter) -> None:
        self._workspace, self._size = workspace, (width, height)
        self._whole = None if is_whole_picture(workspace) else write_footage(workspace, reporter)

    def plate(self, index: int) -> np.ndarray:
        """(height, width, 3) uint8."""
        plate = self._workspace.read_plate(index)
        if self._whole is not None:
            plate = place(plate, self._workspace.subject.crop, read_image(Path(str(self._whole) % index)))
        return _resized(plate, self._size)


def _resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if picture.shape[1::-1] == size:
        return picture
    smaller = size[0] < picture.shape[1]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)


@dataclass(frozen=True)
class HeldOut:
    """One held-out frame as it is compared: all (size, size), uint8."""

    index: int
    predicted: np.ndarray
    truth: np.ndarray
    head: np.ndarray
    rgba: np.ndarray


def held_out(workspace: Workspace, size: int | None, reporter: Reporter) -> Iterator[HeldOut]:
    """The last 1/11 of the clip, driven by its own tracked pose and blendshapes, over its own plate.

    Pose and blendshapes of these frames are what tracking says of their pictures; the field never saw the pixels.
    """
    frames = np.arange(workspace.subject.first_test_frame, workspace.subject.frames)
    return driven_by_itself(workspace, size, reporter, frames)


def held_out_by_sound(workspace: Workspace, size: int | None, reporter: Reporter) -> Iterator[HeldOut]:
    """As `held_out`, the mouth told by the frames' own sound, which the speech model did not learn from."""
    frames = np.arange(workspace.subject.first_test_frame, workspace.subject.frames)
    return driven_by_itself(workspace, size, reporter, frames, spoken_by_own_sound(workspace))


def spoken_by_own_sound(workspace: Workspace) -> np.ndarray:
    """(N, 52) float32: the clip's blendshapes, the mouth's as the speech model tells them of the clip's sound."""
    from .face_sync import speech
    from .face_sync.audio_features import FrameFeatures

    path, offset_ms = workspace.aligned_audio
    features = FrameFeatures(sound_blocks(path), workspace.subject.frames, offset_ms)
    model = speech.SpeechModel.load(workspace.root / "speech.safetensors")
    blendshapes = Tracking.read(workspace).blendshapes.copy()
    blendshapes[:, speech.MOUTH_INDEX] = speech.predict(model, features, speech_gain(workspace))
    return blendshapes


def driven_by_itself(
    workspace: Workspace,
    size: int | None,
    reporter: Reporter,
    frames: np.ndarray,
    blendshapes: np.ndarray | None = None,
) -> Iterator[HeldOut]:
    """As `held_out`, of any frames of the clip; those where no face was tracked are left out.

    Args:
        blendshapes: (N, 52) of the clip's frames, in place of what tracking says of their pictures.
    """
    checkpoint = checkpoints.load_for_rendering(workspace, reporter)
    tracking = Tracking.read(workspace)
    blendshapes = tracking.blendshapes if blendshapes is None else blendshapes
    conditions = checkpoint.lips.clip_conditions(workspace, blendshapes)
    renderer = Renderer(checkpoint.field())
    size = size or workspace.subject.size
    camera = tracking.camera.scaled(size, size)
    frames = frames[tracking.valid[frames]]
    for done, index in enumerate(frames.tolist(), 1):
        rgba = renderer.render(camera, tracking.head_to_camera[index], conditions[index]).rgba
        plate = _resized(workspace.read_plate(index), (size, size))
        truth = _resized(workspace.read_frame(index), (size, size))
        head = _resized(np.ascontiguousarray(workspace.read_matte(index)[..., 0]), (size, size))
        yield HeldOut(index, over(rgba, plate), truth, head, rgba)
        reporter.progress("rendering frames to compare", done, len(frames))


def render_split(root: Path, out: Path, reporter: Reporter, *, size: int | None = None) -> dict[str, Any]:
    """Write the held-out frames as they are compared: `%06d.png`, beside it `%06d_truth.png` and `%06d_head.png`."""
    workspace = Workspace.open(root)
    count = 0
    for item in held_out(workspace, size, reporter):
        write_image(out / f"{item.index:06d}.png", item.predicted)
        write_image(out / f"{item.index:06d}_truth.png", item.truth)
        write_image(out / f"{item.index:06d}_head.png", np.repeat(item.head[..., None], 3, 2))
        count += 1
    return {"out": str(out), "frames": count, "size": size or workspace.subject.size}


def evaluate(
    root: Path,
    reporter: Reporter,
    *,
    size: int | None = 256,
    report: bool = True,
    films: Sequence[Path] = (),
    landmarks: str = "auto",
) -> dict[str, Any]:
    """The figures of `evaluate --json`, and reports/report.html.

    Args:
        size: side of the pictures compared; the working frame's own when None.
        films: spoken films to show in the report.
        landmarks: what reads the lips: `task`, `mesh` or `auto`.

    Returns:
        The figures; under `readiness` what `training.readiness` measured of the head now; under `by_sound` those of
        the same frames with their lips driven by their own sound, which a head whose lips follow sound alone lacks: its
        figures are those.
    """
    from .evaluation import strip
    from .evaluation.evaluate import evaluate as compare

    workspace = Workspace.open(root)
    workspace.require("portrait_sync")
    reporter.plan({})  # how many parts follow is not known yet: better no time left than that of the first part
    ready = readiness.measure(workspace, reporter)
    evaluation = compare(held_out(workspace, size, reporter), landmarks)
    figures, by_sound = evaluation.figures, None
    figures["readiness"] = None if ready is None else ready.to_json()
    if checkpoints.load_for_rendering(workspace, reporter).lips.name == SHAPE:
        kinds, kept = strip.moments(evaluation), {}
        spoken = compare(strip.keeping(held_out_by_sound(workspace, size, reporter), kinds, kept), landmarks)
        figures["by_sound"] = spoken.figures
        by_sound = spoken, strip.strip(evaluation, kinds, kept)
    if report:
        from .evaluation.report import BySound, write_report
        from .evaluation.speech_video import Speech

        page = workspace.reports / "report.html"
        speeches = [guarded(Speech.of_film, film, reporter=reporter, about=film) for film in films]
        figures["report"] = str(write_report(workspace, page, evaluation, speeches, by_sound and BySound(*by_sound)))
    return figures
