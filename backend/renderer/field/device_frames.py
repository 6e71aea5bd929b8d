"""Frames of one camera drawn on a GPU: rays are made there, and what is launched for a frame is recorded once and replayed.

Never run on a GPU so far; the tests compare it on the CPU with `FieldRenderer`, without the recording.
"""

from __future__ import annotations

import numpy as np
import torch

from ...workspace.camera import Camera
from ...workspace.shapes import Float, Int
from ..recording import Recording
from ..shared_copy import SharedCopy, scene_linear
from .field import Field
from .kernels import Kernel
from .rays import image_rays


class DeviceFrames:
    """Draws a field in a part of a camera's image. Holds the buffers of a frame: one thread at a time.

    Args:
        rows, columns: of the pixels in the part, neighbours together.
    """

    def __init__(
        self,
        field: Field,
        kernel: Kernel,
        camera: Camera,
        crop: tuple[int, int, int, int],
        rows: Int[np.ndarray, " pixels"],
        columns: Int[np.ndarray, " pixels"],
    ) -> None:
        self._field, self._kernel = field, kernel
        left, top, width, height = crop
        device = field.tables.device
        _, towards = image_rays(camera, np.eye(4), columns + left + 0.5, rows + top + 0.5)
        self._towards = torch.from_numpy(towards).to(device)
        self._places = torch.from_numpy(rows.astype(np.int64) * width + columns).to(device)
        self._pose = torch.eye(4, device=device)
        self._conditions: torch.Tensor | None = None
        self._seen = torch.zeros(height * width, 7, device=device)
        self._on_cuda = device.type == "cuda"
        self._host = torch.zeros(height, width, 7, pin_memory=self._on_cuda)
        self._copy = SharedCopy(device)
        # The other kernels ask the GPU for sizes, which a recording cannot.
        self._recording = Recording(self._launch, device, allowed=kernel.name == "triton")

    @torch.no_grad()
    def draw(
        self, head_to_camera: Float[np.ndarray, "4 4"], conditions: Float[np.ndarray, " conditions"]
    ) -> Float[np.ndarray, "height width 7"]:
        """What `Kernel.draw` returns, for each pixel; valid until the next frame."""
        self._draw(head_to_camera, conditions)
        self._host.copy_(self._seen.view_as(self._host), non_blocking=True)
        if self._on_cuda:
            torch.cuda.current_stream(self._pose.device).synchronize()
        return self._host.numpy()

    @torch.no_grad()
    def write_shared(
        self,
        head_to_camera: Float[np.ndarray, "4 4"],
        conditions: Float[np.ndarray, " conditions"],
        out: Float[np.ndarray, "height width 4"],
    ) -> None:
        """As `SharedRenderer.write_shared`."""
        self._draw(head_to_camera, conditions)
        self._copy.write(scene_linear(self._seen.view_as(self._host)[..., :4]), out)

    def _draw(self, head_to_camera: np.ndarray, conditions: np.ndarray) -> None:
        """Into `_seen`; nothing is waited for."""
        given = torch.from_numpy(np.array(conditions, np.float32))[None]
        if self._conditions is None:
            self._conditions = torch.empty_like(given, device=self._pose.device)
        self._pose.copy_(torch.from_numpy(np.array(head_to_camera, np.float32)))
        self._conditions.copy_(given)
        self._recording.run()

    def _launch(self) -> None:
        assert self._conditions is not None
        field, rotation = self._field, self._pose[:3, :3]
        origin = -self._pose[:3, 3] @ rotation
        given = field.in_cube(origin), self._towards @ rotation, field.grid(), field.tables, field.config.layout
        self._seen.index_copy_(0, self._places, self._kernel.draw(*given, field.networks(self._conditions)))
