"""A small workspace after docs/workspace.md, made of numbers alone: what Blender reads, with contents that tests can distinguish.

Footage and plate of frame k are flat: `level(k)` in red, blue distinguishes footage from plate. The face is half an ellipsoid.
"""

from __future__ import annotations

import json
import struct
import wave
from pathlib import Path

import bpy
import numpy as np

FPS = 25.0
STAGES = ("media", "landmarks", "head_sync", "face_sync", "portrait_sync")
FOOTAGE_BLUE, PLATE_BLUE = 0.25, 0.75


def level(frame: int) -> float:
    """Red of frame `frame`, sRGB, 0 to 1."""
    return 0.1 + 0.05 * (frame % 16)


def pose(frame: int) -> np.ndarray:
    """(4, 4) head to camera: a face a metre away that turns, nods and sways."""
    x, y, z = np.radians([4 * np.sin(frame * 0.3), 15 * np.sin(frame * 0.2), 3 * np.cos(frame * 0.25)])
    cx, sx, cy, sy, cz, sz = np.cos(x), np.sin(x), np.cos(y), np.sin(y), np.cos(z), np.sin(z)
    matrix = np.eye(4)
    matrix[:3, :3] = (
        np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
        @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        @ np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    )
    matrix[:3, 3] = 0.02 * np.sin(frame * 0.1), 0.03, 1.0 + 0.02 * np.cos(frame * 0.1)
    return matrix


def blendshapes(frame: int) -> np.ndarray:
    """(52,) values within 0 and 1, another movement for each."""
    return 0.5 + 0.5 * np.sin(frame * np.linspace(0.05, 0.6, 52) + np.arange(52))


HEAD_POINTS_M = np.array([
    (0.0, -0.09, -0.08), (0.012, -0.085, -0.08),  # forehead
    (0.0, -0.042, -0.095), (0.066, -0.04, -0.04), (-0.066, -0.04, -0.04),  # bridge of the nose, left and right temple
    (0.05, -0.15, -0.02),  # hair
])  # fmt: skip
"""(6, 3) tracked points in the head frame."""


def points_seen(frames: int) -> np.ndarray:
    """(frames, 6) bool: the first point in every frame, the second in every second, and so on."""
    return np.stack([np.arange(frames) % (point + 1) == 0 for point in range(len(HEAD_POINTS_M))], 1)


def face_landmarks() -> np.ndarray:
    """(478, 3): those that name places on the head where they belong, the rest far below it."""
    face = np.full((478, 3), (0.0, 0.5, 0.0))
    face[[151, 168, 356, 127]] = HEAD_POINTS_M[[0, 2, 3, 4]]
    return face


def project(poses: np.ndarray, points: np.ndarray, focal_px: float, principal_px: np.ndarray) -> np.ndarray:
    """(N, K, 2) pixels of head points (K, 3) under poses (N, 4, 4)."""
    camera = points @ poses[:, :3, :3].transpose(0, 2, 1) + poses[:, None, :3, 3]
    return focal_px * camera[..., :2] / camera[..., 2:] + principal_px


def make_workspace(
    root: Path,
    names: tuple[str, ...],
    *,
    frames: int = 12,
    size: int = 96,
    source_size: tuple[int, int] | None = None,
    crop: tuple[float, float, float] | None = None,
    speech_frames: int = 20,
    subject_id: str = "",
) -> Path:
    """Write the workspace, and in `renders/speech` an animation longer than the footage.

    Args:
        names: `protocol.BLENDSHAPE_NAMES`.
        source_size: of the source frame; the working frame's when absent.
        crop: x, y and side of the working frame in the source; all of it when absent.
        subject_id: its lasting id; absent as in workspaces of earlier versions.
    """
    source_size = source_size or (size, size)
    x, y, side = crop or (0.0, 0.0, float(size))
    root.mkdir(parents=True, exist_ok=True)
    subject = {
        "format": 1, "name": root.name, "source": "nowhere.mp4", "source_size": source_size, "source_fps": FPS, "fps": FPS,
        "duration_s": frames / FPS, "frames": frames, "size": size, "crop": {"x": x, "y": y, "size": side}, "audio_offset_ms": 80.0,
        "consent": {"given": True, "by": "a test"}, "stages": {name: {"state": "done", "key": "made"} for name in STAGES},
    }  # fmt: skip
    if subject_id:
        subject["id"] = subject_id
    (root / "subject.json").write_text(json.dumps(subject), encoding="utf-8")
    for frame in range(frames):
        write_image(root / "frames" / f"{frame:06d}.jpg", flat(size, size, (level(frame), 0.0, FOOTAGE_BLUE)))
        write_image(root / "plate" / f"{frame:06d}.jpg", flat(size, size, (level(frame), 0.0, PLATE_BLUE)))
        write_image(root / "mattes" / f"{frame:06d}.png", disc(size))
        if crop or source_size != (size, size):
            write_image(root / "footage" / f"{frame:06d}.jpg", flat(*source_size, (level(frame), 0.0, FOOTAGE_BLUE)))
    camera = {"focal_px": 2.0 * size, "principal_px": (size * 0.52, size * 0.49)}
    poses = np.stack([pose(frame) for frame in range(frames)])
    np.savez(
        root / "tracking.npz",
        points_head_m=HEAD_POINTS_M,
        points_px=project(poses, HEAD_POINTS_M, camera["focal_px"], np.array(camera["principal_px"])),
        points_seen=points_seen(frames),
        face_head_m=face_landmarks(),
        landmarks_px=np.zeros((frames, 478, 2), np.float32),
        frame_time_s=np.arange(frames) / FPS,
        valid=np.ones(frames, bool),
        head_to_camera=poses,
        blendshapes=np.stack([blendshapes(frame) for frame in range(frames)]),
        blendshape_names=names,
        **camera,
    )
    write_face_mesh(root / "face_mesh.npz", names)
    write_tone(root / "audio.wav", frames / FPS)
    speech = root / "renders" / "speech"
    speech.mkdir(parents=True, exist_ok=True)
    write_tone(speech / "speech.wav", speech_frames / FPS)
    np.savez(
        speech / "animation.npz",
        frame_time_s=np.arange(speech_frames) / FPS,
        fps=FPS,
        head_to_camera=np.stack([pose(there_and_back(frame, frames)) for frame in range(speech_frames)]),
        blendshapes=np.stack([blendshapes(frame + 100) for frame in range(speech_frames)]),
        blendshape_names=names,
        plate_frame=[there_and_back(frame, frames) for frame in range(speech_frames)],
        audio="speech.wav",
        **camera,
    )
    return root


def write_checkpoint(root: Path, poses: np.ndarray, focal_px: float) -> None:
    """A checkpoint (safetensors) of poses and a focal length alone, as a training refines them."""
    body = np.ascontiguousarray(poses, "<f8").tobytes()
    header = {
        "__metadata__": {"state": json.dumps({"focal_px": focal_px, "head_sync": "made"})},
        "poses": {"dtype": "F64", "shape": poses.shape, "data_offsets": [0, len(body)]},
    }
    text = json.dumps(header).encode()
    (root / "checkpoints").mkdir(exist_ok=True)
    path = root / "checkpoints" / "step_0000100.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def there_and_back(frame: int, frames: int) -> int:
    """The footage's frame under frame `frame` of a longer sound."""
    turn = frame % (2 * frames)
    return turn if turn < frames else 2 * frames - 1 - turn


def write_face_mesh(path: Path, names: tuple[str, ...], rings: int = 12) -> None:
    """Half an ellipsoid where a face is in the head frame; each shape pushes its own spot outward."""
    u, v = np.meshgrid(np.linspace(-1, 1, rings), np.linspace(-1, 1, rings), indexing="xy")
    depth = np.sqrt(np.clip(1 - u**2 * 0.6 - v**2 * 0.4, 0, None))
    vertices = np.stack([0.07 * u, 0.1 * v - 0.045, -0.09 * depth], -1).reshape(-1, 3)
    index = np.arange(rings * rings).reshape(rings, rings)
    a, b, c, d = index[:-1, :-1].ravel(), index[:-1, 1:].ravel(), index[1:, 1:].ravel(), index[1:, :-1].ravel()
    triangles = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])
    shapes = np.zeros((len(names), len(vertices), 3))
    for key in range(len(names)):
        shapes[key, key * 2, 2] = -0.01
    np.savez(path, vertices_m=vertices, triangles=triangles, shape_keys=shapes, shape_key_names=names)


def write_tone(path: Path, duration_s: float, rate: int = 16000) -> None:
    """A quiet 220 Hz tone, mono 16 bit."""
    time_s = np.arange(round(duration_s * rate)) / rate
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((8000 * np.sin(2 * np.pi * 220 * time_s)).astype("<i2").tobytes())


def flat(width: int, height: int, colour: tuple[float, float, float]) -> np.ndarray:
    """(height, width, 4) of one sRGB colour."""
    pixels = np.ones((height, width, 4), np.float32)
    pixels[..., :3] = colour
    return pixels


def disc(size: int) -> np.ndarray:
    """A matte: all four channels one inside a disc."""
    y, x = np.mgrid[:size, :size] + 0.5
    inside = np.hypot(x - size / 2, y - size / 2) < size * 0.3
    return np.repeat(inside[..., None], 4, -1).astype(np.float32)


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write (H, W, 4) sRGB values, top row first, by Blender itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = pixels.shape[:2]
    image = bpy.data.images.new("image", width, height, alpha=True)
    image.pixels.foreach_set(np.ascontiguousarray(pixels[::-1], np.float32).ravel())
    image.file_format = "PNG" if path.suffix == ".png" else "JPEG"
    image.save(filepath=str(path), quality=95)
    bpy.data.images.remove(image)


def read_image(path: Path) -> np.ndarray:
    """(H, W, 4) of the file's values, 0 to 1, top row first, without any colour management; alpha as stored."""
    image = bpy.data.images.load(str(path), check_existing=False)
    image.alpha_mode = "CHANNEL_PACKED"
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return pixels.reshape(height, width, 4)[::-1]
