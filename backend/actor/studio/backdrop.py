"""What is behind the actor: an out-of-focus room, painted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy
import numpy as np

from .materials import Shader


def backdrop_image(size: int = 512, seed: int = 4) -> np.ndarray:
    """An out-of-focus room, painted: a wall that falls off from a lamp's glow, a shelf with things on it, a plant."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[0:size, 0:size] / size
    wall = (
        np.array([0.098, 0.122, 0.132])
        * (0.62 + 0.75 * np.exp(-(((u - 0.70) / 0.42) ** 2) - ((v - 0.34) / 0.55) ** 2))[..., None]
    )
    image = wall * (1 - 0.18 * v[..., None])

    def block(u0: float, u1: float, v0: float, v1: float, colour: Sequence[float] | np.ndarray) -> None:
        image[(u >= u0) & (u < u1) & (v >= v0) & (v < v1)] = colour

    block(-1, 0.30, 0.30, 0.325, (0.10, 0.062, 0.036))
    block(-1, 0.30, 0.62, 0.645, (0.085, 0.052, 0.03))
    palette = (
        (0.16, 0.05, 0.035), (0.05, 0.085, 0.12), (0.19, 0.15, 0.08), (0.06, 0.09, 0.06), (0.22, 0.2, 0.17),
        (0.09, 0.05, 0.07),
    )  # fmt: skip
    for base in (0.30, 0.62):
        at = 0.0
        while at < 0.27:
            width, height = rng.uniform(0.016, 0.034), rng.uniform(0.13, 0.2)
            if rng.random() < 0.86:
                block(at, at + width, base - height, base, np.array(palette[rng.integers(6)]) * rng.uniform(0.7, 1.2))
            at += width + 0.002
    leaves = (
        (0.93, 0.60, 0.06, (0.035, 0.075, 0.03)),
        (0.99, 0.50, 0.07, (0.045, 0.095, 0.04)),
        (0.88, 0.69, 0.05, (0.03, 0.06, 0.03)),
        (0.98, 0.67, 0.07, (0.04, 0.08, 0.035)),
    )
    for cu, cv, radius, colour in leaves:
        image[(u - cu) ** 2 + (v - cv) ** 2 < radius**2] = colour
    # The lens's blur, wide: repeated box filters.
    for radius in (11, 11, 9):
        window = 2 * radius + 1
        for axis in (0, 1):
            padded = np.pad(image, [(radius, radius) if a == axis else (0, 0) for a in range(3)], mode="edge")
            total = np.cumsum(np.insert(padded, 0, 0.0, axis), axis)
            image = (
                np.take(total, range(window, total.shape[axis]), axis) - np.take(total, range(size), axis)
            ) / window
    return image


def add_backdrop(job: dict[str, Any]) -> None:
    distance, painted = 2.6, backdrop_image()
    size = len(painted)
    half = distance * job["size"] / job["focal_px"] / 2
    mesh = bpy.data.meshes.new("backdrop")
    mesh.from_pydata(
        [(-half, distance, -half), (half, distance, -half), (half, distance, half), (-half, distance, half)],
        [],
        [(0, 1, 2, 3)],
    )
    layer = mesh.uv_layers.new(name="uv")
    layer.data.foreach_set("uv", [0, 0, 1, 0, 1, 1, 0, 1])
    image = bpy.data.images.new("backdrop", size, size, float_buffer=True)
    pixels = np.ones((size, size, 4), np.float32)
    pixels[..., :3] = painted[::-1]
    image.pixels.foreach_set(pixels.ravel())
    image.update()
    shader = Shader("backdrop")
    texture = shader.node("TexImage", image=image, extension="EXTEND")
    shader.link(shader.node("UVMap").outputs[0], texture.inputs[0])
    emission = shader.node("Emission")
    shader.link(texture.outputs["Color"], emission.inputs["Color"])
    shader.link(emission.outputs[0], shader.output.inputs["Surface"])
    mesh.materials.append(shader.material)
    thing = bpy.data.objects.new("backdrop", mesh)
    for ray in ("visible_diffuse", "visible_glossy", "visible_shadow", "visible_transmission"):
        setattr(thing, ray, False)
    bpy.context.scene.collection.objects.link(thing)
