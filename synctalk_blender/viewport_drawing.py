"""Draws the image of the head into a 3D view.

An engine draws before Blender draws its overlays, and the camera's background images are overlays: footage would cover the
head. So where there is footage, the image is kept and drawn after the overlays.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader

_VERTEX = """
void main()
{
  uv = corner;
  gl_Position = vec4(place.xy + corner * place.zw, 0.0, 1.0);
}
"""
_FRAGMENT = """
void main()
{
  colour_out = texture(image, uv);
  if (encode) {
    /* After the overlays, colours are what the display gets: sRGB (IEC 61966-2-1). */
    vec3 linear = clamp(colour_out.rgb / max(colour_out.a, 1e-6), 0.0, 1.0);
    vec3 encoded = mix(1.055 * pow(linear, vec3(1.0 / 2.4)) - 0.055, linear * 12.92, lessThan(linear, vec3(0.0031308)));
    colour_out.rgb = (srgbTarget ? linear : encoded) * colour_out.a;
  }
}
"""


@dataclass(frozen=True)
class PlacedTexture:
    """A texture, premultiplied scene-linear, and where in a region it belongs."""

    texture: gpu.types.GPUTexture
    place: tuple[float, float, float, float]
    """x, y of the lower left corner, width and height, in clip space (-1 to 1)."""


_after_overlays: dict[int, PlacedTexture] = {}
"""Textures to draw after the overlays of their region, by the region's address."""
_handler: object | None = None


def draw(image: PlacedTexture, *, is_display: bool = False) -> None:
    """Draw `image` over what was drawn before.

    Args:
        is_display: the target holds display colours instead of scene-linear ones.
    """
    shader = _shader()
    shader.bind()
    shader.uniform_float("place", image.place)
    shader.uniform_bool("encode", [is_display])
    shader.uniform_sampler("image", image.texture)
    gpu.state.blend_set("ALPHA_PREMULT")
    _square().draw(shader)
    gpu.state.blend_set("NONE")


def draw_after_overlays(region: bpy.types.Region, image: PlacedTexture) -> None:
    """Draw `image` in this redraw of `region`, over its overlays."""
    _after_overlays[region.as_pointer()] = image


def texture_of(pixels: np.ndarray) -> gpu.types.GPUTexture:
    """Upload (H, W, 4) float32, bottom row first."""
    height, width = pixels.shape[:2]
    buffer = gpu.types.Buffer("FLOAT", pixels.size, np.ascontiguousarray(pixels).ravel())
    return gpu.types.GPUTexture((width, height), format="RGBA32F", data=buffer)


def register() -> None:
    global _handler
    _handler = bpy.types.SpaceView3D.draw_handler_add(_draw_kept, (), "WINDOW", "POST_PIXEL")


def unregister() -> None:
    bpy.types.SpaceView3D.draw_handler_remove(_handler, "WINDOW")
    _after_overlays.clear()


def _draw_kept() -> None:
    image = _after_overlays.pop(bpy.context.region.as_pointer(), None)
    if image is not None:
        draw(image, is_display=True)


@functools.cache
def _square() -> gpu.types.GPUBatch:
    return batch_for_shader(_shader(), "TRI_STRIP", {"corner": ((0, 0), (1, 0), (0, 1), (1, 1))})


@functools.cache
def _shader() -> gpu.types.GPUShader:
    between = gpu.types.GPUStageInterfaceInfo("synctalk_head_interface")
    between.smooth("VEC2", "uv")
    info = gpu.types.GPUShaderCreateInfo()
    info.push_constant("VEC4", "place")
    info.push_constant("BOOL", "encode")
    # Set by Blender, by its name: whether the target itself encodes what is written to it.
    info.push_constant("BOOL", "srgbTarget")
    info.sampler(0, "FLOAT_2D", "image")
    info.vertex_in(0, "VEC2", "corner")
    info.vertex_out(between)
    info.fragment_out(0, "VEC4", "colour_out")
    info.vertex_source(_VERTEX)
    info.fragment_source(_FRAGMENT)
    return gpu.shader.create_from_info(info)
