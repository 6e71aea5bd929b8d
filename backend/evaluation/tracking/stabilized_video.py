"""A video to judge poses by: left the footage with the tracked points, right the head stabilised by its pose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ...media.encode import VideoWriter
from ...workspace.camera import PIXEL_CENTRE
from ...workspace.images import read_image
from ...workspace.landmarks import LEFT_EYE, RIGHT_EYE
from ...workspace.poses import project
from ..captions import draw_text, text_width
from .stabilized_view import StabilizedView
from .tracked import GROUND, NEUTRAL, QUIET, TEXT, Tracked, cut_out, error_colours, in_cut_out, reduced, to_aspect

PANEL = (280, 256)
"""Height and width of each half, pixels."""

CAPTION = 28
GAP = 2
CAUTION = (255, 176, 32)
CUT_SHOWN_S = 0.6
"""How long the caption reports a cut: one frame cannot be read."""

_CROSSES = np.array([10, 127, 356, 168, RIGHT_EYE[0], LEFT_EYE[0]])
"""Landmarks marked by fixed crosses: top of the forehead, temples, bridge of the nose, outer corners of the eyes."""


def write_stabilized_video(
    path: Path, tracked: Tracked, frame_path: Callable[[int], Path], size: int, on_frame: Callable[[int], None]
) -> None:
    """Write the video, one frame for each frame of the clip.

    Args:
        frame_path: of a frame number. size: side of the working frame, pixels.
        on_frame: called with the number of frames finished; may raise to stop, which leaves no file.
    """
    panels = _Panels(tracked, size)
    metadata = {"comment": "Recorded footage, warped to show how the head was tracked"}
    height, width = panels.shape
    with VideoWriter(path, width, height, tracked.fps, crf=22, metadata=metadata, preset="ultrafast") as video:
        for frame in range(tracked.frames):
            video.write(panels.draw(frame, read_image(frame_path(frame), divisor=panels.divisor)))
            on_frame(frame + 1)


_AROUND = [(dx, dy, (dx - 0.5) ** 2 + (dy - 0.5) ** 2) for dx in range(-2, 4) for dy in range(-2, 4)]
_DOT = [(dx, dy) for dx, dy, squared in _AROUND if squared < 3]
_RING = [(dx, dy) for dx, dy, squared in _AROUND if 3 < squared < 7]
"""Pixels of a round dot about (0.5, 0.5), and those about it."""


class _Panels:
    def __init__(self, tracked: Tracked, size: int) -> None:
        self._tracked = tracked
        reference = tracked.median_frame()
        aspect = PANEL[1] / PANEL[0]
        left, top, right, bottom = tracked.head_box(np.flatnonzero(tracked.valid))
        # The panel stays where a head leaves the frame.
        seen = max(left, 0.0), max(top, 0.0), min(right, float(size)), min(bottom, float(size))
        self._footage = to_aspect(seen, aspect, 0.06)
        window = to_aspect(tracked.head_box(np.array([reference])), aspect, 0.1)
        # Frames far larger than the panels are read at half or a quarter of their size, which costs less.
        step = min((box[2] - box[0]) / PANEL[1] for box in (self._footage, window))
        self.divisor = 4 if step >= 4 else 2 if step >= 2 else 1
        self._focal = tracked.camera.focal_px / self.divisor
        self._principal = tracked.principal_px / self.divisor
        self._cut, window = reduced(self._footage, self.divisor), reduced(window, self.divisor)
        pose = tracked.head_to_camera[reference]
        self._view = StabilizedView(
            pose, tracked.surface_head_m, self._focal, self._principal, size // self.divisor, window=window, shape=PANEL
        )
        crosses = project(pose[None], tracked.face_head_m[_CROSSES], self._focal, self._principal)[0]
        marked = np.zeros(PANEL, bool)
        for x, y in (in_cut_out(crosses, window, PANEL) - PIXEL_CENTRE).round().astype(int):
            marked[y, max(x - 5, 0) : x + 6] = True
            marked[max(y - 5, 0) : y + 6, x] = True
        self._crosses = np.nonzero(marked)
        self._cut_frames = np.flatnonzero(tracked.cuts)
        self.shape = (PANEL[0] + CAPTION, 2 * PANEL[1] + GAP)
        self._empty = np.full((*self.shape, 3), GROUND, np.uint8)
        self._empty[: PANEL[0], PANEL[1] + GAP :] = NEUTRAL

    def draw(self, frame: int, image: np.ndarray) -> np.ndarray:
        """The video's frame, `shape` and three channels, from the clip's (S, S, 3) read by `divisor`."""
        tracked = self._tracked
        canvas = self._empty.copy()
        footage, still = canvas[: PANEL[0], : PANEL[1]], canvas[: PANEL[0], PANEL[1] + GAP :]
        footage[:] = cut_out(image, self._cut, PANEL, NEUTRAL)
        if tracked.finite[frame]:
            at, _, error = tracked.point_errors(frame)
            _dots(footage, in_cut_out(at, self._footage, PANEL), error_colours(error))
            still[:] = self._view.take(image, tracked.head_to_camera[frame], NEUTRAL, cv2.INTER_LINEAR)
        still[self._crosses] = still[self._crosses] // 3 + 170
        self._caption(canvas, frame)
        return canvas

    def _caption(self, canvas: np.ndarray, frame: int) -> None:
        tracked, baseline = self._tracked, PANEL[0] + 19
        time_s = frame / tracked.fps
        end = draw_text(canvas, f"{time_s:.2f} s", (10, baseline), TEXT, 12)
        draw_text(canvas, f"frame {frame}", (max(end + 10, 66), baseline), QUIET, 12)
        start = PANEL[1] + GAP
        if not tracked.valid[frame]:
            draw_text(canvas, "bridged: no measured pose", (start + 10, baseline), CAUTION, 12)
            still = canvas[: PANEL[0], start:]
            still[:3], still[-3:], still[:, :3], still[:, -3:] = CAUTION, CAUTION, CAUTION, CAUTION
            return
        error = f"error {tracked.reprojection_px[frame]:.1f} px"
        draw_text(canvas, error, (PANEL[1] - text_width(error, 12) - 10, baseline), QUIET, 12)
        before = self._cut_frames[self._cut_frames <= frame]
        if len(before) and (frame - before[-1]) / tracked.fps < CUT_SHOWN_S:
            draw_text(canvas, f"cut at {before[-1] / tracked.fps:.2f} s", (start + 10, baseline), CAUTION, 12)
        else:
            draw_text(canvas, "stabilised", (start + 10, baseline), TEXT, 12)


def _dots(image: np.ndarray, at: np.ndarray, colours: np.ndarray) -> None:
    """Draw points (M, 2) into (H, W, 3), four pixels wide with a dark ring; those outside are omitted."""
    x, y = np.floor(at - PIXEL_CENTRE).astype(int).T
    inside = (x > 1) & (y > 1) & (x < image.shape[1] - 3) & (y < image.shape[0] - 3)
    x, y, colours = x[inside], y[inside], colours[inside]
    for dx, dy in _RING:
        image[y + dy, x + dx] //= 2
    for dx, dy in _DOT:
        image[y + dy, x + dx] = colours
