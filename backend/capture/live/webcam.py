"""A webcam as a live source, through OpenCV; a video file takes its place and runs at its own rate."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import CaptureError
from ...head_sync.landmarks import Face, choose_face, open_landmarker
from ...media.native_log import quiet_native_libraries
from .face_tracker import FaceTracker
from .thread_source import Source

CALIBRATION_S, CALIBRATION_FACES = 3.0, 30
"""How long, and from how many images at least, the person's own face is found."""

_SIZE = 640, 480
"""Of the image to ask the camera for: landmarks need no more, and more takes longer to arrive."""

_REOPEN_S = 1.0

NO_SHAPE = "images in which the face has no shape"


class WebcamSource(Source):
    """Sees a face.

    Args:
        camera: the system's number of it, or a video file.

    Raises:
        CaptureError: it cannot be opened.
        ModelError: there are no landmarks.
    """

    def __init__(self, camera: int | Path) -> None:
        super().__init__(f"camera {camera}" if isinstance(camera, int) else str(camera))
        self._camera = camera
        self._tracker: FaceTracker | None = None
        self._calibrating: list[tuple[float, Face]] = []
        self._landmarker = open_landmarker("mesh")
        self._opened: Any = _open(camera)

    def _free(self) -> None:
        self._opened.release()

    def _receive(self) -> None:
        last: Face | None = None
        pace = None if isinstance(self._camera, int) else _Pace(self._opened)
        while not self._closing.is_set():
            image, seen_s = self._image(pace)
            if image is None:
                continue
            faces = self._landmarker.detect(image)
            last = choose_face(faces, last) or choose_face(faces, None)
            if last is None:
                self.inbox.note = f"No face is seen by {self.place}: look into it, in even light."
                continue
            self._tracker = self._tracker or FaceTracker(image.shape[1], image.shape[0])
            try:
                self._take(self._tracker, last, seen_s)
            except np.linalg.LinAlgError:
                self.inbox.refuse(NO_SHAPE, seen_s)
        self._landmarker.close()

    def _take(self, tracker: FaceTracker, seen: Face, seen_s: float) -> None:
        if tracker.is_calibrated:
            self.inbox.note = ""
            self.inbox.take(tracker.face(seen), seen_s, 0.0)
            return
        self._calibrating = [*self._calibrating, (seen_s, seen)]
        left_s = CALIBRATION_S - (seen_s - self._calibrating[0][0])
        self.inbox.note = (
            "Finding your face: look into the camera with a relaxed, shut mouth and turn your head a little "
            f"({max(left_s, 0.0):.0f} s)."
        )
        if left_s <= 0 and len(self._calibrating) >= CALIBRATION_FACES:
            faces = [face for _, face in self._calibrating]
            self._calibrating = []
            tracker.calibrate(faces)

    def _image(self, pace: _Pace | None) -> tuple[np.ndarray | None, float]:
        """The newest image, RGB, and when it was seen; None where there is none now."""
        if pace is not None and not pace.wait(self._closing):
            if pace.has_ended:  # skipping may have come to the end as well as reading
                self.inbox.note = f"{self.place} has ended."
            self._closing.wait(0.1)
            return None, 0.0
        came, image = self._opened.read()
        seen_s = time.monotonic()
        if not came:
            if pace is None:
                self.inbox.note = f"No image comes from {self.place}: is it unplugged, or used by another program?"
                self._closing.wait(_REOPEN_S)
                self._opened.release()
                with contextlib.suppress(CaptureError):
                    self._opened = _open(self._camera)
            else:
                pace.has_ended = True
            return None, seen_s
        return np.ascontiguousarray(image[..., ::-1]), seen_s


class _Pace:
    """Shows a file's frames at their own times: those that nobody was in time for are skipped, as by a camera."""

    def __init__(self, opened: Any) -> None:
        import cv2

        self._opened = opened
        self._interval_s = 1 / (opened.get(cv2.CAP_PROP_FPS) or 25.0)
        self._began_s: float | None = None
        self._shown = 0
        self.has_ended = False

    def wait(self, closing: threading.Event) -> bool:
        """Until the next frame is due; whether there may be one."""
        if self._began_s is None:
            self._began_s = time.monotonic()
        while not self.has_ended and time.monotonic() - self._began_s > (self._shown + 1) * self._interval_s:
            self.has_ended = not self._opened.grab()
            self._shown += 1
        closing.wait(max(0.0, self._began_s + self._shown * self._interval_s - time.monotonic()))
        self._shown += 1
        return not self.has_ended and not closing.is_set()


def _open(camera: int | Path) -> Any:
    import cv2

    if isinstance(camera, Path) and not camera.is_file():
        raise CaptureError(f"There is no video {camera}: check the path.")
    with quiet_native_libraries():
        opened = cv2.VideoCapture(camera if isinstance(camera, int) else str(camera))
    if not opened.isOpened():
        what = (
            "close the program that uses it, or choose another number"
            if isinstance(camera, int)
            else "convert it to MP4"
        )
        raise CaptureError(f"{'Camera ' if isinstance(camera, int) else ''}{camera} cannot be opened: {what}.")
    if isinstance(camera, int):
        for name, value in (
            (cv2.CAP_PROP_BUFFERSIZE, 1), (cv2.CAP_PROP_FRAME_WIDTH, _SIZE[0]), (cv2.CAP_PROP_FRAME_HEIGHT, _SIZE[1])
        ):  # fmt: skip
            opened.set(name, value)
    return opened
