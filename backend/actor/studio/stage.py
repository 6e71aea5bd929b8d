"""Render settings, camera, lights and backdrop."""

from __future__ import annotations

import math
from typing import Any

import bpy
from mathutils import Vector

from .backdrop import add_backdrop

Vector3 = tuple[float, float, float]


def add_light(name: str, place: Vector3, target: Vector3, size: float, watts: float, colour: Vector3) -> None:
    light = bpy.data.lights.new(name, "AREA")
    light.shape, light.size, light.energy, light.color = "SQUARE", size, watts, colour
    thing = bpy.data.objects.new(name, light)
    bpy.context.scene.collection.objects.link(thing)
    thing.location = place
    thing.rotation_euler = (Vector(target) - Vector(place)).to_track_quat("-Z", "Y").to_euler()


def set_up(job: dict[str, Any]) -> bpy.types.Scene:
    """An empty scene with the camera at the origin, as the job asks."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    render: Any = scene.render  # the stubs know neither this engine nor these views
    view: Any = scene.view_settings
    cycles = scene.cycles
    render.engine = "CYCLES"
    cycles.device = "CPU"
    cycles.samples = job["samples"]
    cycles.use_adaptive_sampling = True
    cycles.adaptive_threshold = 0.03
    cycles.adaptive_min_samples = max(4, job["samples"] // 3)
    # The remaining noise is fine-grained, which the denoiser removes best.
    cycles.sampling_pattern = "BLUE_NOISE"
    cycles.seed = 0
    cycles.use_animated_seed = False
    cycles.use_denoising = True
    cycles.denoiser = "OPENIMAGEDENOISE"
    cycles.denoising_quality = "FAST"
    cycles.use_light_tree = True  # so that no sample of the face is lost on the lamp behind it
    cycles.denoising_input_passes = "RGB_ALBEDO_NORMAL"
    cycles.denoising_prefilter = "FAST"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 3, 1, 1
    cycles.transmission_bounces, cycles.transparent_max_bounces = 3, 4
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 2.0
    cycles.sample_clamp_direct = 8.0
    scene.cycles_curves.shape = "RIBBONS"
    scene.cycles_curves.subdivisions = 1
    render.use_persistent_data = True
    render.resolution_x = render.resolution_y = job["size"]
    render.filter_size = 1.2
    render.threads_mode, render.threads = "FIXED", job["threads"]
    if bpy.app.version >= (5, 0):
        render.image_settings.media_type = "IMAGE"
    render.image_settings.file_format = "PNG"
    render.image_settings.color_mode = "RGB"
    render.image_settings.compression = 30
    # A photographic curve: highlights on the forehead roll off instead of clipping.
    view.view_transform = "AgX"
    view.look = "AgX - Medium High Contrast"
    view.exposure = 0.5

    camera = bpy.data.cameras.new("camera")
    camera.sensor_width, camera.sensor_height, camera.sensor_fit = 36.0, 36.0, "HORIZONTAL"
    camera.lens = job["focal_px"] / job["size"] * 36.0
    thing = bpy.data.objects.new("camera", camera)
    thing.rotation_euler = (math.pi / 2, 0, 0)
    scene.collection.objects.link(thing)
    scene.camera = thing

    world = bpy.data.worlds.new("world")
    if bpy.app.version < (5, 0):
        world.use_nodes = True
    background = world.node_tree.nodes.get("Background") or world.node_tree.nodes.new("ShaderNodeBackground")
    background.inputs["Color"].default_value = (0.78, 0.76, 0.74, 1)
    background.inputs["Strength"].default_value = 0.10
    scene.world = world
    world.cycles.sampling_method = "NONE"  # a dim even sky: bounces find it, samples are for the lamps
    face = (0.0, 1.06, 0.03)
    # The key is high enough for the chin to shade the neck, and low enough to reach the eyes and the teeth.
    add_light("key", (-0.72, 0.02, 0.80), face, 0.6, 30, (1.0, 0.93, 0.85))
    add_light("fill", (1.0, 0.0, -0.05), face, 1.1, 4.6, (1.0, 0.94, 0.90))
    add_light("rim", (0.55, 2.1, 0.95), face, 0.6, 3, (1.0, 0.96, 0.92))
    add_backdrop(job)
    return scene
