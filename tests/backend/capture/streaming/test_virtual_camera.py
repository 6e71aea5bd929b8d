"""A virtual camera where this computer has one, else one sentence."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from backend.capture.streaming.virtual_camera import VirtualCamera
from backend.errors import DeviceError

SIZE = (128, 96)


def test_frames_are_shown_or_the_missing_device_is_named_in_one_sentence():
    try:
        camera = VirtualCamera(SIZE, Fraction(25))
    except DeviceError as error:
        assert str(error).startswith("There is no virtual camera on this computer (")
        assert str(error).endswith(", or leave out --virtual-camera.") and "\n" not in str(error)
        return
    grey = np.full((96, 128), 128, np.uint8)
    camera.send((grey, grey[::2, ::2], grey[::2, ::2]))
    assert camera.device
    camera.close()


def test_a_device_that_does_not_take_frames_is_named_too(monkeypatch):
    import pyvirtualcam

    def refused(*_, **__):
        raise RuntimeError("'v4l2loopback' backend: No v4l2 loopback device found at /dev/video[0-99].\nMore.")

    monkeypatch.setattr(pyvirtualcam, "Camera", refused)
    with pytest.raises(DeviceError, match=r"\('v4l2loopback' backend: No v4l2 .* More\.\)"):
        VirtualCamera(SIZE, Fraction(25))
