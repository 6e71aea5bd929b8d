"""Materials of the actor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy


class Shader:
    """A material's node tree, with the few calls the studio needs."""

    def __init__(self, name: str) -> None:
        self.material = bpy.data.materials.new(name)
        if bpy.app.version < (5, 0):
            self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.tree.nodes.clear()
        self.output = self.node("OutputMaterial")

    def node(self, kind: str, **settings: Any) -> Any:
        node = self.tree.nodes.new("ShaderNode" + kind)
        for key, value in settings.items():
            setattr(node, key, value)
        return node

    def link(self, source: Any, target: Any) -> None:
        self.tree.links.new(source, target)

    def principled(self, **values: float) -> Any:
        node = self.node("BsdfPrincipled")
        for key, value in values.items():
            node.inputs[key.replace("_", " ")].default_value = value
        self.link(node.outputs[0], self.output.inputs["Surface"])
        return node

    def attribute(self, name: str) -> Any:
        return self.node("Attribute", attribute_name=name)

    def scaled(self, value: Any, factor: float, base: float) -> Any:
        node = self.node("Math", operation="MULTIPLY_ADD")
        self.link(value, node.inputs[0])
        node.inputs[1].default_value, node.inputs[2].default_value = factor, base
        return node.outputs[0]

    def mottled(self, place: Any, colour: Any, scale: float, depth: Sequence[float]) -> Any:
        """`colour` times a noise of `scale` a metre about 1, which reaches `depth` in each channel."""
        noise = self.node("TexNoise")
        noise.inputs["Scale"].default_value, noise.inputs["Detail"].default_value = scale, 2.0
        self.link(place, noise.inputs["Vector"])
        factor = self.node("VectorMath", operation="MULTIPLY_ADD")
        product = self.node("VectorMath", operation="MULTIPLY")
        self.link(noise.outputs["Color"], factor.inputs[0])
        factor.inputs[1].default_value = [2 * part for part in depth]
        factor.inputs[2].default_value = [1 - part for part in depth]
        self.link(colour, product.inputs[0])
        self.link(factor.outputs[0], product.inputs[1])
        return product.outputs[0]


def coloured(name: str, **values: float) -> tuple[Shader, Any]:
    """A principled surface with the colour of its vertices."""
    shader = Shader(name)
    surface = shader.principled(**values)
    shader.link(shader.attribute("colour").outputs["Color"], surface.inputs["Base Color"])
    return shader, surface


def skin_material(rest: bool) -> bpy.types.Material:
    """Skin: vertex colour with mottling, oily and matte patches, pores, moist lips."""
    # Light that scatters through 1 or 2 mm of skin spreads over a pixel or two here: its noise is worth less than what
    # the same time buys in samples.
    shader, surface = coloured("skin", Roughness=0.46, Specular_IOR_Level=0.42)
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
    # Texture in the colour is in the denoiser's guide and survives it; texture in the light alone is smoothed away.
    colour = shader.attribute("colour")
    mottled = shader.mottled(place, colour.outputs["Color"], 330.0, (0.20, 0.34, 0.36))
    shader.link(shader.mottled(place, mottled, 90.0, (0.14, 0.26, 0.26)), surface.inputs["Base Color"])
    dry = shader.scaled(patches.outputs["Fac"], 0.26, 0.31)
    wet = shader.node("Math", operation="MULTIPLY_ADD")
    shader.link(colour.outputs["Alpha"], wet.inputs[0])
    wet.inputs[1].default_value = 0.2
    shader.link(dry, wet.inputs[2])
    shader.link(shader.scaled(wet.outputs[0], 1.0, -0.2), surface.inputs["Roughness"])
    return shader.material


def cornea_material() -> bpy.types.Material:
    """Clear except for its reflections: cheaper and cleaner than refraction, and the catchlight is what is seen."""
    shader = Shader("cornea")
    mix = shader.node("MixShader")
    fresnel = shader.node("Fresnel")
    fresnel.inputs["IOR"].default_value = 1.8  # above a tear's 1.34: few samples would lose the catchlight
    glossy = shader.node("BsdfGlossy")
    glossy.inputs["Roughness"].default_value = 0.06
    shader.link(fresnel.outputs[0], mix.inputs[0])
    shader.link(shader.node("BsdfTransparent").outputs[0], mix.inputs[1])
    shader.link(glossy.outputs[0], mix.inputs[2])
    shader.link(mix.outputs[0], shader.output.inputs["Surface"])
    return shader.material


def hair_material() -> bpy.types.Material:
    shader = Shader("hair")
    surface = shader.node("BsdfHairPrincipled", parametrization="COLOR")
    surface.inputs["Roughness"].default_value = 0.38
    surface.inputs["Radial Roughness"].default_value = 0.5
    shader.link(shader.attribute("colour").outputs["Color"], surface.inputs["Color"])
    shader.link(surface.outputs[0], shader.output.inputs["Surface"])
    return shader.material


def sweater_material() -> bpy.types.Material:
    """Knitted wool: fine ribs, a soft sheen, colour that varies a little."""
    shader, surface = coloured(
        "sweater", Roughness=0.9, Specular_IOR_Level=0.15, Sheen_Weight=0.12, Sheen_Roughness=0.4
    )
    place = shader.node("TexCoord").outputs["Object"]
    yarn = shader.mottled(place, shader.attribute("colour").outputs["Color"], 420.0, (0.35, 0.35, 0.35))
    shader.link(shader.mottled(place, yarn, 25.0, (0.2, 0.2, 0.2)), surface.inputs["Base Color"])
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
