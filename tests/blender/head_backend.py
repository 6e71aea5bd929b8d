"""A child process that answers `frame` (docs/protocol.md) with a ball for a head: `python head_backend.py [FAULT]`.

The ball lies where the face is in the head frame; its colour gives the point of the head that a ray meets, and `jawOpen`
makes it grow, so that a test can check pose, expression and camera from the image; a `field` is half as bright. `speak` is
answered with the animation that the workspace holds, and its params are written beside that, those of `render` and
`measure` into the workspace; `train` refines the track. Needs NumPy alone.
FAULT: `dies` at the first frame, `slow` takes 3 s for one, `prepares` reports a stage before, `untrained` answers
with an error, `huge` answers with a wrong size.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

CENTRE_M = np.array([0.0, -0.045, 0.0])
RADIUS_M = 0.09
JAW_OPEN = 24


def send(message: dict) -> None:
    sys.stdout.buffer.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    sys.stdout.buffer.flush()


def hit(params: dict) -> tuple[np.ndarray, np.ndarray, float]:
    """Where rays meet the ball: (height, width) whether they do, (height, width, 3) the points less its centre in the head frame, and its
    radius."""
    width, height, (cx, cy) = params["width"], params["height"], params["principal_px"]
    pose = np.array(params["head_to_camera"]).reshape(4, 4)
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([(u - cx) / params["focal_px"], (v - cy) / params["focal_px"], np.ones_like(u)], -1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    rays = rays @ pose[:3, :3]
    origin = -pose[:3, :3].T @ pose[:3, 3] - CENTRE_M
    radius = RADIUS_M * (1 + 0.2 * params["blendshapes"][JAW_OPEN])
    half = rays @ origin
    root = half**2 - origin @ origin + radius**2
    return root > 0, origin + rays * (-half - np.sqrt(np.where(root > 0, root, 0)))[..., None], radius


def draw(params: dict) -> np.ndarray:
    """(height, width, 4) float32, premultiplied linear, top row first."""
    is_hit, point, radius = hit(params)
    image = np.zeros((*is_hit.shape, 4), np.float32)
    image[..., :3] = np.clip(0.5 + 0.5 * point / radius, 0, 1) * is_hit[..., None]
    image[..., 3] = is_hit
    image[..., :3] *= 0.5 if params.get("head") == "field" else 1.0
    return image


def draw_passes(params: dict) -> list[np.ndarray]:
    """Each (height, width, channels) float32, top row first: the ball's depth, normals and motion; all of it is head and hair."""
    is_hit, point, radius = hit(params)
    pose = np.array(params["head_to_camera"]).reshape(4, 4)
    places = (point + CENTRE_M) @ pose[:3, :3].T + pose[:3, 3]
    x, y, z = np.moveaxis((point / radius) @ pose[:3, :3].T, -1, 0)
    found = {"Depth": np.where(is_hit, places[..., 2], 1e10)[..., None], "Normal": np.stack([x, z, -y], -1)}
    if "Vector" in params["passes"]:
        here, *beside = (
            _pixels(numbers, point / radius)
            for numbers in (
                [params["focal_px"], *params["principal_px"], *params["head_to_camera"], *params["blendshapes"]],
                params["before"],
                params["after"],
            )
        )
        found["Vector"] = np.concatenate([beside[0] - here, here - beside[1]], -1) * [1, -1, 1, -1]
    found |= {name: np.ones((*is_hit.shape, 1)) for name in ("Head", "Hair")}
    found |= {name: np.zeros((*is_hit.shape, 1)) for name in ("Mouth", "Skin", "Neck")}
    return [
        (found[name] * (is_hit[..., None] if name != "Depth" else 1)).astype(np.float32) for name in params["passes"]
    ]


def _pixels(numbers: list[float], point: np.ndarray) -> np.ndarray:
    """(height, width, 2) where points of the ball, in its radii, are seen: focal length, principal point, pose and shapes in a row."""
    pose = np.array(numbers[3:19]).reshape(4, 4)
    radius = RADIUS_M * (1 + 0.2 * numbers[19 + JAW_OPEN])
    places = (point * radius + CENTRE_M) @ pose[:3, :3].T + pose[:3, 3]
    return places[..., :2] / places[..., 2:] * numbers[0] + numbers[1:3]


def refine(path: Path) -> None:
    """As training does: another focal length, and depths that follow it."""
    arrays = dict(np.load(path))
    arrays["focal_px"] = arrays["focal_px"] * 1.25
    arrays["head_to_camera"][:, 2, 3] *= 1.25
    np.savez(path, **arrays)


def main(fault: str) -> None:
    """Serve until the input ends."""
    for line in sys.stdin:
        message = json.loads(line)
        method, params, request_id = message["method"], message["params"], message.get("id")
        if method == "hello":
            hello = {"protocol": 2, "backend": "0", "python": "3", "torch": "none"}
            send({"id": request_id, "result": hello | {"pid": os.getpid()}})
        elif method == "device":
            send({"id": request_id, "result": {"device": "cpu", "kernel": "none"}})
        elif method == "frame":
            if fault == "dies":
                os._exit(9)
            if fault == "slow":
                time.sleep(3)
            if fault == "prepares":
                note = {
                    "job": request_id,
                    "stage": "preparing the renderer",
                    "total": 1,
                    "eta_s": None,
                    "message": "a while",
                }
                send({"method": "progress", "params": note | {"done": 0}})
                time.sleep(0.5)
                send({"method": "progress", "params": note | {"done": 1}})
            if fault == "untrained":
                text = f"{params['workspace']} has no trained head yet: train it first."
                send({"id": request_id, "error": {"code": -32000, "message": text, "data": {"kind": "workspace"}}})
                continue
            begun = time.perf_counter()
            planes = [draw(params), *(draw_passes(params) if params.get("passes") else [])]
            with open(params["memory"], "r+b") as file:
                for plane in planes:
                    file.write(np.ascontiguousarray(plane[::-1]).tobytes())
            width = params["width"] * (2 if fault == "huge" else 1)
            send(
                {
                    "id": request_id,
                    "result": {"width": width, "height": params["height"], "ms": (time.perf_counter() - begun) * 1e3},
                }
            )
        elif method == "speak":
            folder = Path(params["workspace"], "renders", "speech")
            (folder / "params.json").write_text(json.dumps(params))
            result = {"animation": str(folder / "animation.npz"), "audio": str(folder / "speech.wav")}
            send({"id": request_id, "result": result | {"frames": 20, "duration_s": 0.8}})
        elif method in ("render", "measure"):
            Path(params["workspace"], f"{method}.json").write_text(json.dumps(params))
            result = {"out": params["out"], "frames": 0, "width": 1, "height": 1} if method == "render" else {}
            send({"id": request_id, "result": result | {"readiness": None}})
        elif method == "train":
            refine(Path(params["workspace"], "tracking.npz"))
            send({"id": request_id, "result": {"step": 600, "minutes": 0.1, "psnr": 30.0, "checkpoint": ""}})
        elif method == "shutdown":
            send({"id": request_id, "result": {}})
            return
        elif request_id is not None:
            send({"id": request_id, "result": {}})


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
