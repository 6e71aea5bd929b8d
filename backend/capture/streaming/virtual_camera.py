"""The stream as a camera that other programs offer: through the device of OBS, v4l2loopback or Unity Capture."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from ...errors import DeviceError
from ...media.samples import Planes

_HOW = {
    "linux": "load v4l2loopback (modprobe v4l2loopback)",
    "darwin": "install OBS Studio 30 or newer and start its virtual camera once",
    "win32": "install OBS Studio, which brings one",
}


class VirtualCamera:
    """
    Args:
        size: width and height, even.

    Raises:
        DeviceError: there is no such device here.
    """

    def __init__(self, size: tuple[int, int], rate: Fraction) -> None:
        import sys

        import pyvirtualcam

        try:
            self._camera: Any = pyvirtualcam.Camera(*size, float(rate), fmt=pyvirtualcam.PixelFormat.I420)
        except RuntimeError as error:
            how = _HOW.get(sys.platform, "install OBS Studio")
            raise DeviceError(
                f"There is no virtual camera on this computer ({' '.join(str(error).split())}): {how}, or leave out "
                "--virtual-camera."
            ) from error

    @property
    def device(self) -> str:
        """Its name, as other programs list it."""
        return str(self._camera.device)

    def send(self, planes: Planes) -> None:
        """Show a frame."""
        self._camera.send(np.concatenate([plane.ravel() for plane in planes]))

    def close(self) -> None:
        self._camera.close()
