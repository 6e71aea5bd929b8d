"""Stages and renders the actor. Runs inside Blender's Python only: `python studio.py JOB.json`, a process of its own.

The job names the character (npz), the performance (npz) and the folder of frames. A frame that is already there is
skipped, so the render can be stopped and resumed. Each finished frame is a line `frame K` on standard output.

Geometry is in the head frame (m, OpenCV axes). Blender's world is the camera's frame with its axes renamed: the camera
stands at the origin and looks along +Y, Z is up.
"""

import json
import math
import os
import sys
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

CAMERA_TO_WORLD = Matrix(((1, 0, 0, 0), (0, 0, 1, 0), (0, -1, 0, 0), (0, 0, 0, 1)))
HAIR_OBJECTS = ("brows", "lashes")


def world_matrix(pose):
    """World matrix of something whose pose (4,4) is given in the camera's OpenCV frame."""
    return CAMERA_TO_WORLD @ Matrix(np.asarray(pose, float).tolist())


def add_mesh(name, data, material):
    """A smooth mesh with its colours and, where there are any, its shape keys."""
    vertices, faces = data[name + ".vertices"], data[name + ".faces"]
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(vertices))
    mesh.vertices.foreach_set("co", vertices.ravel())
    mesh.loops.add(faces.size)
    mesh.loops.foreach_set("vertex_index", faces.ravel())
    mesh.polygons.add(len(faces))
    mesh.polygons.foreach_set("loop_start", np.arange(0, faces.size, faces.shape[1], dtype=np.int32))
    mesh.update(calc_edges=True)
    mesh.shade_smooth()
    colours = np.concatenate([data[name + ".colours"], np.ones((len(vertices), 1), np.float32)], 1)
    layer = mesh.color_attributes.new("colour", "FLOAT_COLOR", "POINT")
    layer.data.foreach_set("color", colours.ravel())
    if name + ".rest" in data:
        rest = mesh.attributes.new("rest", "FLOAT_VECTOR", "POINT")
        rest.data.foreach_set("vector", data[name + ".rest"].ravel())
    mesh.materials.append(material)
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(thing)
    prefix = name + ".shape."
    shapes = [key for key in data if key.startswith(prefix)]
    if shapes:
        thing.shape_key_add(name="Basis", from_mix=False)
        for key in shapes:
            block = thing.shape_key_add(name=key[len(prefix) :], from_mix=False)
            block.data.foreach_set("co", (vertices + data[key]).ravel())
            block.slider_max = 1.5
    return thing


def add_hair(data, material):
    paths, radii, colours = data["hair.paths"], data["hair.radii"], data["hair.colours"]
    curves = bpy.data.hair_curves.new("hair")
    curves.add_curves([paths.shape[1]] * len(paths))
    curves.attributes["position"].data.foreach_set("vector", paths.ravel())
    radius = curves.attributes.get("radius") or curves.attributes.new("radius", "FLOAT", "POINT")
    radius.data.foreach_set("value", radii.ravel())
    layer = curves.attributes.new("colour", "FLOAT_COLOR", "CURVE")
    layer.data.foreach_set("color", np.concatenate([colours, np.ones((len(colours), 1), np.float32)], 1).ravel())
    curves.materials.append(material)
    thing = bpy.data.objects.new("hair", curves)
    bpy.context.scene.collection.objects.link(thing)
    return thing


class Shader:
    """A material's node tree, with the few calls the studio needs."""

    def __init__(self, name):
        self.material = bpy.data.materials.new(name)
        if bpy.app.version < (5, 0):
            self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.tree.nodes.clear()
        self.output = self.node("OutputMaterial")

    def node(self, kind, **settings):
        node = self.tree.nodes.new("ShaderNode" + kind)
        for key, value in settings.items():
            setattr(node, key, value)
        return node

    def link(self, source, target):
        self.tree.links.new(source, target)

    def principled(self, **values):
        node = self.node("BsdfPrincipled")
        for key, value in values.items():
            node.inputs[key.replace("_", " ")].default_value = value
        self.link(node.outputs[0], self.output.inputs["Surface"])
        return node

    def attribute(self, name):
        return self.node("Attribute", attribute_name=name)

    def scaled(self, value, factor, base=0.0):
        node = self.node("Math", operation="MULTIPLY_ADD")
        self.link(value, node.inputs[0])
        node.inputs[1].default_value, node.inputs[2].default_value = factor, base
        return node.outputs[0]


def coloured(name, **values):
    shader = Shader(name)
    surface = shader.principled(**values)
    shader.link(shader.attribute("colour").outputs["Color"], surface.inputs["Base Color"])
    return shader, surface


def skin_material(rest):
    """Skin: vertex colour, scattering under the surface, oily and matte patches, pores and fine mottling."""
    shader, surface = coloured(
        "skin", Subsurface_Weight=1.0, Subsurface_Scale=0.0016, Roughness=0.46, Specular_IOR_Level=0.5
    )
    surface.subsurface_method = "BURLEY"
    surface.inputs["Subsurface Radius"].default_value = (1.0, 0.38, 0.2)
    place = shader.attribute("rest").outputs["Vector"] if rest else shader.node("TexCoord").outputs["Object"]
    pores = shader.node("TexNoise")
    pores.inputs["Scale"].default_value, pores.inputs["Detail"].default_value = 620.0, 2.0
    patches = shader.node("TexNoise")
    patches.inputs["Scale"].default_value, patches.inputs["Detail"].default_value = 70.0, 2.0
    for texture in (pores, patches):
        shader.link(place, texture.inputs["Vector"])
    bump = shader.node("Bump")
    bump.inputs["Strength"].default_value, bump.inputs["Distance"].default_value = 0.10, 0.0005
    shader.link(pores.outputs["Fac"], bump.inputs["Height"])
    shader.link(bump.outputs["Normal"], surface.inputs["Normal"])
    shader.link(shader.scaled(patches.outputs["Fac"], 0.26, 0.29), surface.inputs["Roughness"])
    return shader.material


def cornea_material():
    """Clear but for its reflections: cheaper and cleaner than refraction, and the catchlight is what is seen."""
    shader = Shader("cornea")
    mix = shader.node("MixShader")
    fresnel = shader.node("Fresnel")
    fresnel.inputs["IOR"].default_value = 1.45
    glossy = shader.node("BsdfGlossy")
    glossy.inputs["Roughness"].default_value = 0.04
    shader.link(fresnel.outputs[0], mix.inputs[0])
    shader.link(shader.node("BsdfTransparent").outputs[0], mix.inputs[1])
    shader.link(glossy.outputs[0], mix.inputs[2])
    shader.link(mix.outputs[0], shader.output.inputs["Surface"])
    return shader.material


def hair_material():
    shader = Shader("hair")
    surface = shader.node("BsdfHairPrincipled", parametrization="COLOR")
    surface.inputs["Roughness"].default_value = 0.32
    surface.inputs["Radial Roughness"].default_value = 0.5
    shader.link(shader.attribute("colour").outputs["Color"], surface.inputs["Color"])
    shader.link(surface.outputs[0], shader.output.inputs["Surface"])
    return shader.material


def sweater_material():
    """Knitted wool: fine ribs, a soft sheen, colour that varies a little."""
    shader, surface = coloured(
        "sweater", Roughness=0.9, Specular_IOR_Level=0.15, Sheen_Weight=0.12, Sheen_Roughness=0.4
    )
    place = shader.node("TexCoord").outputs["Object"]
    wave = shader.node("TexWave", wave_type="BANDS", bands_direction="X")
    wave.inputs["Scale"].default_value, wave.inputs["Distortion"].default_value = 75.0, 1.2
    wave.inputs["Detail Scale"].default_value = 40.0
    noise = shader.node("TexNoise")
    noise.inputs["Scale"].default_value = 350.0
    height = shader.node("Math", operation="ADD")
    for texture, slot in ((wave, 0), (noise, 1)):
        shader.link(place, texture.inputs["Vector"])
        shader.link(texture.outputs["Fac"], height.inputs[slot])
    bump = shader.node("Bump")
    bump.inputs["Strength"].default_value, bump.inputs["Distance"].default_value = 0.5, 0.0016
    shader.link(height.outputs[0], bump.inputs["Height"])
    shader.link(bump.outputs["Normal"], surface.inputs["Normal"])
    return shader.material


def backdrop_picture(size=512, seed=4):
    """An out-of-focus room, painted: a wall that falls off from a lamp's glow, a shelf with things on it, a plant."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[0:size, 0:size] / size
    wall = (
        np.array([0.175, 0.160, 0.140])
        * (0.62 + 0.75 * np.exp(-(((u - 0.70) / 0.42) ** 2) - ((v - 0.34) / 0.55) ** 2))[..., None]
    )
    picture = wall * (1 - 0.18 * v[..., None])

    def block(u0, u1, v0, v1, colour):
        picture[(u >= u0) & (u < u1) & (v >= v0) & (v < v1)] = colour

    block(-1, 0.30, 0.30, 0.325, (0.10, 0.062, 0.036))
    block(-1, 0.30, 0.62, 0.645, (0.085, 0.052, 0.03))
    palette = [
        (0.16, 0.05, 0.035),
        (0.05, 0.085, 0.12),
        (0.19, 0.15, 0.08),
        (0.06, 0.09, 0.06),
        (0.22, 0.2, 0.17),
        (0.09, 0.05, 0.07),
    ]
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
        picture[(u - cu) ** 2 + (v - cv) ** 2 < radius**2] = colour
    # The lens's blur, wide: repeated box filters.
    for radius in (11, 11, 9):
        for axis in (0, 1):
            padded = np.pad(picture, [(radius, radius) if a == axis else (0, 0) for a in range(3)], mode="edge")
            total = np.cumsum(np.insert(padded, 0, 0.0, axis), axis)
            window = 2 * radius + 1
            picture = (
                np.take(total, range(window, total.shape[axis]), axis) - np.take(total, range(size), axis)
            ) / window
    return picture


def add_backdrop(job):
    distance, size = 2.6, backdrop_picture().shape[0]
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
    pixels[..., :3] = backdrop_picture()[::-1]
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


def add_light(name, place, target, size, watts, colour):
    light = bpy.data.lights.new(name, "AREA")
    light.shape, light.size, light.energy, light.color = "SQUARE", size, watts, colour
    thing = bpy.data.objects.new(name, light)
    bpy.context.scene.collection.objects.link(thing)
    from mathutils import Vector

    thing.location = place
    thing.rotation_euler = (Vector(target) - Vector(place)).to_track_quat("-Z", "Y").to_euler()


def set_up(job):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.device = "CPU"
    cycles.samples = job["samples"]
    cycles.use_adaptive_sampling = True
    cycles.adaptive_threshold = 0.03
    cycles.adaptive_min_samples = max(4, job["samples"] // 3)
    # What is left of the noise is fine-grained, which the denoiser removes best.
    cycles.sampling_pattern = "BLUE_NOISE"
    cycles.seed = 0
    cycles.use_animated_seed = False
    cycles.use_denoising = True
    cycles.denoiser = "OPENIMAGEDENOISE"
    cycles.denoising_quality = "BALANCED"
    cycles.use_light_tree = False  # four lamps need no tree
    cycles.denoising_input_passes = "RGB_ALBEDO_NORMAL"
    cycles.denoising_prefilter = "FAST"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 3, 1, 1
    cycles.transmission_bounces, cycles.transparent_max_bounces = 3, 4
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 2.0
    cycles.sample_clamp_direct = 8.0
    scene.cycles_curves.shape = "RIBBONS"
    scene.cycles_curves.subdivisions = 1
    render = scene.render
    render.use_persistent_data = True
    render.resolution_x = render.resolution_y = job["size"]
    render.filter_size = 1.2
    render.threads_mode, render.threads = "FIXED", job["threads"]
    if bpy.app.version >= (5, 0):
        render.image_settings.media_type = "IMAGE"
    render.image_settings.file_format = "PNG"
    render.image_settings.color_mode = "RGB"
    render.image_settings.compression = 30
    scene.view_settings.view_transform = "Standard"
    scene.view_settings.look = "None"
    scene.view_settings.exposure = 0.42

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
    background.inputs["Color"].default_value = (0.62, 0.70, 0.82, 1)
    background.inputs["Strength"].default_value = 0.13
    scene.world = world
    face = (0.0, 1.06, 0.03)
    add_light("key", (-0.85, 0.05, 0.75), face, 0.75, 30, (1.0, 0.93, 0.85))
    add_light("fill", (1.1, 0.1, 0.1), face, 1.1, 4.2, (0.88, 0.94, 1.0))
    add_light("rim", (0.55, 2.2, 0.95), face, 0.6, 5, (1.0, 0.95, 0.9))
    add_light("rim2", (-0.6, 2.2, 0.8), face, 0.6, 3.5, (0.9, 0.95, 1.0))
    add_backdrop(job)
    return scene


class Actor:
    """The staged character: `pose(...)` puts it into the state of one frame."""

    def __init__(self, data):
        skin = skin_material(True)
        wet, wet_surface = coloured("teeth", Roughness=0.22, Specular_IOR_Level=0.5, Emission_Strength=0.05)
        flesh, flesh_surface = coloured("flesh", Roughness=0.3, Specular_IOR_Level=0.5, Emission_Strength=0.10)
        # One bounce leaves the mouth blacker than light that scatters through cheeks and lips would.
        for shader, surface in ((wet, wet_surface), (flesh, flesh_surface)):
            shader.link(shader.attribute("colour").outputs["Color"], surface.inputs["Emission Color"])
        eye, _ = coloured("eye", Roughness=0.25, Specular_IOR_Level=0.5, Coat_Weight=1.0, Coat_Roughness=0.06)
        fur, _ = coloured("fur", Roughness=0.6, Specular_IOR_Level=0.15)
        self.head = add_mesh("head", data, skin)
        self.rigid = [
            add_mesh("ears", data, skin_material(False)),
            add_mesh("teeth", data, wet.material),
            add_mesh("tongue", data, flesh.material),
            add_mesh("corners", data, flesh.material),
            add_mesh("brows", data, fur.material),
            add_mesh("lashes", data, fur.material),
            add_hair(data, hair_material()),
        ]
        self.sweater = add_mesh("sweater", data, sweater_material())
        self.centres = data["eye.centres"].astype(float)
        clear = cornea_material()
        self.eyes = []
        for side in ("Left", "Right"):
            ball, front = add_mesh("eye", data, eye.material), add_mesh("cornea", data, clear)
            front.visible_shadow = False
            self.eyes.append((side, ball, front))
        self.keyed = [thing for thing in (self.head, *self.rigid) if thing.type == "MESH" and thing.data.shape_keys]
        self._add_rig(data["head.weight"].astype(float))

    def _add_rig(self, weight):
        """Two bones, head and torso, that the skin's weights share along the neck."""
        armature = bpy.data.armatures.new("rig")
        self.rig = bpy.data.objects.new("rig", armature)
        bpy.context.scene.collection.objects.link(self.rig)
        bpy.context.view_layer.objects.active = self.rig
        bpy.ops.object.mode_set(mode="EDIT")
        for name in ("head", "torso"):
            bone = armature.edit_bones.new(name)
            bone.head, bone.tail, bone.roll = (0, 0, 0), (0, 0.1, 0), 0.0
        bpy.ops.object.mode_set(mode="OBJECT")
        self.rig.matrix_world = CAMERA_TO_WORLD
        for name, share in (("head", weight), ("torso", 1 - weight)):
            group = self.head.vertex_groups.new(name=name)
            levels = np.round(share * 200).astype(int)
            for level in np.unique(levels[levels > 0]):
                group.add(np.flatnonzero(levels == level).tolist(), level / 200, "REPLACE")
        modifier = self.head.modifiers.new("rig", "ARMATURE")
        modifier.object = self.rig
        self.head.matrix_world = CAMERA_TO_WORLD

    def pose(self, names, values, head, torso, gaze_range_deg):
        value = dict(zip(names, values.tolist(), strict=True))
        for side in ("Left", "Right"):
            blink = value["eyeBlink" + side]
            value[f"eyeBlink{side}Mid"] = 4 * blink * (1 - blink)
        for thing in self.keyed:
            for block in thing.data.shape_keys.key_blocks[1:]:
                block.value = value[block.name]
        for name, pose in (("head", head), ("torso", torso)):
            self.rig.pose.bones[name].matrix = Matrix(pose.tolist())
        for thing in self.rigid:
            thing.matrix_world = world_matrix(head)
        self.sweater.matrix_world = world_matrix(torso)
        for (side, *things), centre in zip(self.eyes, self.centres, strict=True):
            outwards = value["eyeLookOut" + side] - value["eyeLookIn" + side]
            # The subject's left is +x: looking out turns the left eye to +x, the right eye to -x.
            yaw = math.radians(gaze_range_deg) * outwards * (1 if side == "Left" else -1)
            pitch = math.radians(gaze_range_deg) * (value["eyeLookDown" + side] - value["eyeLookUp" + side])
            turn = Matrix.Translation(centre.tolist()) @ Matrix.Rotation(-yaw, 4, "Y") @ Matrix.Rotation(pitch, 4, "X")
            for thing in things:
                thing.matrix_world = world_matrix(head) @ turn


def main(job_path):
    with open(job_path, encoding="utf-8") as file:
        job = json.load(file)
    scene = set_up(job)
    with np.load(job["character"]) as archive:
        actor = Actor({key: archive[key] for key in archive.files})
    with np.load(job["performance"]) as archive:
        acted = {key: archive[key] for key in archive.files}
    names = [str(name) for name in acted["blendshape_names"]]
    for k in job.get("frames") or range(len(acted["head_to_camera"])):
        path = Path(job["folder"]) / f"{k:05d}.png"
        if not path.exists():
            actor.pose(
                names,
                acted["blendshapes"][k],
                acted["head_to_camera"][k],
                acted["torso_to_camera"][k],
                job["gaze_range_deg"],
            )
            scene.render.filepath = str(path.with_suffix(".part.png"))
            bpy.ops.render.render(write_still=True)
            os.replace(scene.render.filepath, path)
        print(f"frame {k}", flush=True)
    if job.get("blend"):
        bpy.ops.wm.save_as_mainfile(filepath=job["blend"], compress=True)


if __name__ == "__main__":
    status = 0
    try:
        main(sys.argv[-1])
    except BaseException:  # noqa: BLE001, whatever it was must be told before the hard exit
        import traceback

        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # Blender 4.2 and 4.5 may crash or hang in their own clean-up when the interpreter ends.
    os._exit(status)
