"""Compiled loops and the operations on images that they replace."""

from __future__ import annotations

import numpy as np
import pytest

from backend.portrait_sync import matting, plate
from backend.portrait_sync.frame import split_frame
from backend.portrait_sync.plate import PlateParts

pytest.importorskip("numba")


@pytest.mark.parametrize("parts", [PlateParts(), PlateParts(neck=False), PlateParts(light=False)])
def test_compiled_mattes_and_plates_are_those_of_plain_operations(scene, model, monkeypatch, parts) -> None:
    def split(index: int):
        return split_frame(scene.frames[index], model, scene.probability[index], scene.landmarks[index], parts=parts)

    indices = range(0, len(scene.frames), 4)
    compiled = [split(index) for index in indices]
    for module in (matting, plate):
        monkeypatch.setattr(module, "has_numba", lambda: False)
    for index, found in zip(indices, compiled, strict=True):
        for image, expected in zip(found, split(index), strict=True):
            assert np.abs(image.astype(int) - expected).max() <= 1  # roundings alone
            assert (image != expected).mean() < 1e-4
        assert (found[1] != scene.frames[index]).any()


def test_an_installation_compiles_the_kernels_with_the_types_of_real_frames(scene, model) -> None:
    from backend.portrait_sync import frame_kernels

    frame_kernels.compile_kernels()
    kernels = frame_kernels.measure_band, frame_kernels.strip_sums, frame_kernels.cover_head
    before = [list(kernel.signatures) for kernel in kernels]
    split_frame(scene.frames[0], model, scene.probability[0], scene.landmarks[0])
    assert [kernel.signatures for kernel in kernels] == before
