"""Sequences keep what their format can hold, are marked, and say how fast they are."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from backend.media.sequence import SequenceWriter
from backend.protocol import SYNTHETIC_MARK


@pytest.mark.parametrize(("kind", "dtype"), [("png", np.uint8), ("png16", np.uint16)])
def test_png_keeps_straight_alpha_and_is_marked(tmp_path, kind, dtype):
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (31, 47, 4), dtype)
    image[:10, :, 3] = 0
    path = SequenceWriter(tmp_path / "frames", kind).write(7, image)
    assert path == tmp_path / "frames" / "000007.png"
    read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(cv2.cvtColor(read, cv2.COLOR_BGRA2RGBA), image)
    assert SYNTHETIC_MARK.encode() in path.read_bytes()
    assert [item.name for item in path.parent.iterdir()] == ["000007.png"]


def test_exr_is_half_float_and_states_what_it_is(tmp_path):
    OpenEXR = pytest.importorskip("OpenEXR")
    image = np.random.default_rng(0).random((31, 47, 4), np.float32)
    path = SequenceWriter(tmp_path, "exr", 24000 / 1001).write(3, image)
    with OpenEXR.File(str(path), separate_channels=True) as file:
        header, channels = dict(file.header()), file.channels()
        assert sorted(channels) == ["A", "B", "G", "R"]
        for index, name in enumerate("RGBA"):
            assert channels[name].pixels.dtype == np.float16
            np.testing.assert_array_equal(channels[name].pixels, image[..., index].astype(np.float16))
    assert path.name == "000003.exr"
    assert header["comments"] == SYNTHETIC_MARK
    assert header["compression"] == OpenEXR.ZIP_COMPRESSION
    assert header["framesPerSecond"] == Fraction(24000, 1001)
    assert b"framesPerSecond\0rational\0" in path.read_bytes()


def test_passes_lie_in_a_layer_beside_the_image(tmp_path):
    OpenEXR = pytest.importorskip("OpenEXR")
    rng = np.random.default_rng(1)
    image, stack = rng.random((31, 47, 4), np.float32), rng.random((31, 47, 2), np.float32)
    passes = {"Depth.Z": stack[..., 0], "Hair.X": stack[::-1, :, 1]}
    path = SequenceWriter(tmp_path, "exr").write(0, image, passes)
    with OpenEXR.File(str(path), separate_channels=True) as file:
        pixels = {name: channel.pixels for name, channel in file.channels().items()}
    assert sorted(pixels) == [*(f"Head.Combined.{name}" for name in "ABGR"), "Head.Depth.Z", "Head.Hair.X"]
    np.testing.assert_array_equal(pixels["Head.Combined.A"], image[..., 3].astype(np.float16))
    for name, plane in passes.items():
        np.testing.assert_array_equal(pixels[f"Head.{name}"], plane)


def test_a_frame_of_another_type_is_refused(tmp_path):
    with pytest.raises(ValueError, match="wanted"):
        SequenceWriter(tmp_path, "exr").write(0, np.zeros((4, 4, 4), np.uint8))
