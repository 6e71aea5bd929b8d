"""Compiled loops and the operations on images that they replace."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backend.portrait_sync import background, body_layer, fill, frame, hair_layer, matting, plate
from backend.portrait_sync.background import fill_unseen
from backend.portrait_sync.exemplar import continue_into
from backend.portrait_sync.frame import split_frame
from backend.portrait_sync.head_region import face_frame
from backend.portrait_sync.plate import PlateParts

pytest.importorskip("numba")


@pytest.mark.parametrize("parts", [PlateParts(), PlateParts(neck=False), PlateParts(light=False)])
def test_compiled_mattes_and_plates_are_those_of_plain_operations(scene, model, monkeypatch, parts) -> None:
    def split(index: int):
        return split_frame(scene.frames[index], model, scene.probability[index], scene.landmarks[index], parts=parts)

    indices = range(0, len(scene.frames), 4)
    compiled = [split(index) for index in indices]
    for module in (background, fill, frame, matting, plate):
        monkeypatch.setattr(module, "has_numba", lambda: False)
    for index, found in zip(indices, compiled, strict=True):
        for image, expected in zip(found, split(index), strict=True):
            assert np.abs(image.astype(int) - expected).max() <= 1  # roundings alone
            assert (image != expected).mean() < 1e-4
        assert (found[1] != scene.frames[index]).any()


def test_compiled_layers_are_those_of_plain_operations(scene, model, monkeypatch) -> None:
    def layers(index: int):
        landmarks = scene.landmarks[index]
        mattes, plate = split_frame(scene.frames[index], model, scene.probability[index], landmarks)[:2]
        axes = face_frame(landmarks)
        strip = body_layer.UnderJaw.of(scene.frames[index], landmarks)
        body = body_layer.body_layer(plate, mattes, scene.background, axes.height, axes.centre, strip)
        return body, hair_layer.hair_layer(scene.frames[index], plate, mattes, landmarks, model.seen)

    indices = range(0, len(scene.frames), 4)
    compiled = [layers(index) for index in indices]
    for module in (body_layer, hair_layer):
        monkeypatch.setattr(module, "has_numba", lambda: False)
    for index, (body, hair) in zip(indices, compiled, strict=True):
        plain_body, plain_hair = layers(index)
        assert (body.x, body.y, hair.x, hair.y) == (plain_body.x, plain_body.y, plain_hair.x, plain_hair.y)
        for image, expected in (
            (body.body, plain_body.body),
            (body.behind, plain_body.behind),
            (hair.head, plain_hair.head),
            (hair.weight, plain_hair.weight),
        ):
            assert image.any()
            assert np.abs(image.astype(int) - expected).max() <= 1  # roundings alone
            assert (image != expected).mean() < 1e-4


@pytest.mark.parametrize("cut", [0, 1])
def test_soft_borders_of_hair_drawn_at_half_the_size_are_those_of_the_full_size(scene, model, monkeypatch, cut) -> None:
    mattes, plate = split_frame(scene.frames[0], model, scene.probability[0], scene.landmarks[0])[:2]
    images = [cv2.resize(image, None, fx=3, fy=3)[cut:] for image in (scene.frames[0], plate, mattes)]
    weights = []
    for limit in (np.inf, hair_layer.HALVED_PX):
        monkeypatch.setattr(hair_layer, "HALVED_PX", limit)
        seen = np.ones(images[0].shape[:2], bool)
        layer = hair_layer.hair_layer(*images, 3 * scene.landmarks[0] - np.array([0, cut]), seen)
        weights.append(layer.weight.astype(int))
    apart = np.abs(weights[1] - weights[0])
    # Half a pixel of a border of 5 pixels is 10 levels of it.
    assert apart.mean() < 2.0 and apart.max() < 20, (apart.mean(), apart.max())
    assert (weights[0] > 128).any() and apart.any(), "nothing was drawn at half the size"


def test_an_installation_compiles_the_kernels_with_the_types_of_real_frames(scene, model) -> None:
    from backend.portrait_sync import exemplar_kernels, fill_kernels, frame_kernels, layer_kernels, region_kernels

    modules = exemplar_kernels, fill_kernels, frame_kernels, layer_kernels, region_kernels
    for module in modules:
        module.compile_kernels()
    kernels = [kernel for module in modules for kernel in vars(module).values() if hasattr(kernel, "signatures")]
    assert len(kernels) >= 10
    before = [list(kernel.signatures) for kernel in kernels]
    landmarks, axes = scene.landmarks[0], face_frame(scene.landmarks[0])
    mattes, plate = split_frame(scene.frames[0], model, scene.probability[0], landmarks)[:2]
    for strip in (None, body_layer.UnderJaw.of(scene.frames[0], landmarks)):
        body_layer.body_layer(plate, mattes, scene.background, axes.height, axes.centre, strip)
    hair_layer.hair_layer(scene.frames[0], plate, mattes, landmarks, model.seen)
    hole = mattes[..., 3] > 0
    continue_into(fill_unseen(plate, ~hole), ~hole, len(hole))
    assert [kernel.signatures for kernel in kernels] == before


@pytest.mark.parametrize(("shape", "channels"), [((64, 64), 3), ((175, 211), 3), ((40, 40), 1), ((9, 1), 3)])
def test_holes_are_filled_by_kernels_as_by_plain_operations(shape, channels) -> None:
    random = np.random.default_rng(0)
    values = random.uniform(0, 255, (*shape, channels)).astype(np.float32)
    weights = (random.uniform(size=shape) > 0.8).astype(np.float32)
    weights[: shape[0] // 2] = 0
    filled, expected = fill.push_pull_by_kernel(values, weights), fill.push_pull_by_numpy(values, weights)
    assert filled.shape == expected.shape
    assert np.abs(filled - expected).max() < 1e-3
