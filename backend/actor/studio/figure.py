"""The staged character: meshes, hair, rig and the state of one frame."""

from __future__ import annotations

import math
from collections.abc import Mapping

import bpy
import numpy as np
from mathutils import Matrix

from .materials import coloured, cornea_material, hair_material, skin_material, sweater_material

Arrays = Mapping[str, np.ndarray]
CAMERA_TO_WORLD = Matrix(((1, 0, 0, 0), (0, 0, 1, 0), (0, -1, 0, 0), (0, 0, 0, 1)))


def world_matrix(pose: np.ndarray) -> Matrix:
    """World matrix of something whose pose (4,4) is given in the camera's OpenCV frame."""
    return CAMERA_TO_WORLD @ Matrix(np.asarray(pose, float).tolist())


def add_mesh(name: str, data: Arrays, material: bpy.types.Material) -> bpy.types.Object:
    """A smooth mesh with its colours and its shape keys, if it has any."""
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
    wet = data[name + ".wet"] if name + ".wet" in data else np.zeros(len(vertices), np.float32)
    # Alpha says how dry a vertex is.
    colours = np.concatenate([data[name + ".colours"], 1 - wet[:, None]], 1)
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


def add_hair(data: Arrays, material: bpy.types.Material) -> bpy.types.Object:
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


class Actor:
    """The staged character; `pose` sets the state of one frame."""

    def __init__(self, data: Arrays) -> None:
        skin = skin_material(True)
        wet, wet_surface = coloured("teeth", Roughness=0.18, Specular_IOR_Level=0.5, Emission_Strength=0.26)
        flesh, flesh_surface = coloured("flesh", Roughness=0.3, Specular_IOR_Level=0.5, Emission_Strength=0.10)
        # One bounce leaves the mouth blacker than light that scatters through cheeks and lips would.
        for shader, surface in ((wet, wet_surface), (flesh, flesh_surface)):
            shader.link(shader.attribute("colour").outputs["Color"], surface.inputs["Emission Color"])
        eye, _ = coloured("eye", Roughness=0.3, Specular_IOR_Level=0.4, Coat_Weight=0.6, Coat_Roughness=0.08)
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

    def _add_rig(self, weight: np.ndarray) -> None:
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

    def pose(
        self, names: list[str], values: np.ndarray, head: np.ndarray, torso: np.ndarray, gaze_range_deg: float
    ) -> None:
        """Set blendshapes (52,), the poses (4, 4) of head and torso, and the gaze."""
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
