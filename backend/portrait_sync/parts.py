"""A frame in five mattes that sum to one: head, hair, neck, torso, background; from what the stage has written."""

from __future__ import annotations

import threading
from collections.abc import Callable

import cv2
import numpy as np

from ..workspace.arrays import smoothstep
from ..workspace.head_track import HeadTrack
from ..workspace.shapes import Float, UInt8
from ..workspace.store import Workspace
from .colours import colour_bins
from .fill import push_pull
from .head_region import BROW, MAP_SHAPE, FaceFrame, face_frame, face_oval, from_map, into_map, smooth_landmarks
from .model_file import finished_model
from .segmenter import HAIR_MODEL, HairSegmenter

PARTS = ("head", "hair", "neck", "torso", "background")
"""The head is without its hair. Skin below the jaw is neck, down to where clothing begins; hair also hangs over the torso."""
VERSION = 2  # of these: raise it when results change, and written ones become stale
SAMPLES = 64
_COLLAR_M = 0.20
"""The middle of the map of the neck, below the head frame's origin: about the collar bones."""
_FACE_M = 0.18
_BROW_HEIGHT = 0.14
"""From between the brows to above them, in face heights."""
_STEADY_FRAMES = 3.0
"""Standard deviation of the neck frame's smoothing in time: the collar does not nod."""


class PartSplitter:
    """The parts of any frame of a workspace; after `learn` it may be used from several threads."""

    def __init__(self, workspace: Workspace) -> None:
        """
        Raises:
            WorkspaceError: the stage is not done, or its files are missing or damaged.
        """
        self._workspace, self._model = workspace, finished_model(workspace)
        track = workspace.head_track(refined=False)
        self._landmarks, self._usable = smooth_landmarks(track.landmarks_px, track.valid, track.fps)
        self._necks = neck_frames(track, self._usable)
        self._neck_map = np.zeros(MAP_SHAPE, np.float32)
        self._hair, self._one_at_a_time = HairSegmenter.installed(), threading.Lock()

    @property
    def networks(self) -> list[str]:
        """The optional ones that are used."""
        return [] if self._hair is None else [HAIR_MODEL]

    def learn(self, each: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Find where the neck is from frames spread over the clip; `each` takes how many are done, and of how many."""
        shown = np.flatnonzero(self._usable)
        chosen = shown[np.unique(np.linspace(0, len(shown) - 1, min(SAMPLES, len(shown))).astype(int))]
        head, body, skin = np.zeros((3, *MAP_SHAPE), np.float32)
        for done, index in enumerate(chosen.tolist(), 1):
            frame, mattes = self._halved(index)
            matte = mattes[..., 2] * (1.0 - from_map(self._model.hair_map, self._face(index), mattes.shape[:2], 0.5))
            for total, mask in ((head, mattes[..., 0]), (body, matte), (skin, matte * self._skin(frame))):
                total += into_map(mask, self._necks[index], 0.5)
            each(done, len(chosen))
        count = max(len(chosen), 1)
        self._neck_map = bare_neck(*(cv2.GaussianBlur(total / count, (0, 0), 1.0) for total in (head, body, skin)))

    def split(self, index: int) -> UInt8[np.ndarray, "parts height width"]:
        """The parts of a frame in the order of `PARTS`; they sum to 255 in every pixel."""
        mattes = self._workspace.read_matte(index).astype(np.int32)
        head, body = mattes[..., 0], mattes[..., 2]
        if not self._usable[index]:  # without a face nothing is head, and where the neck is, is not known
            nothing = np.zeros_like(head)
            return _packed(nothing, nothing, nothing, head + body)
        frame = self._workspace.read_frame(index)
        hair, neck = self.shares(index, frame, mattes)
        hair_of_head, hanging = (np.rint(hair * part).astype(np.int32) for part in (head, body))
        bare = np.rint(neck * (body - hanging)).astype(np.int32)
        return _packed(head - hair_of_head, hair_of_head + hanging, bare, body - hanging - bare)

    def shares(
        self, index: int, frame: UInt8[np.ndarray, "size size 3"], mattes: np.ndarray
    ) -> tuple[Float[np.ndarray, "size size"], Float[np.ndarray, "size size"]]:
        """How much of the person is hair at each pixel, and how much of the body below the head is neck, in [0, 1].

        Where they are comes from maps in the head's and in the neck's frame, averaged over the clip, so they are steady (and from
        the hair's network, where it was fetched); within
        the maps' soft borders the pixel's own colour decides, and a guided filter makes the border the image's. At soft edges the
        colour is half the background's, so there they are those of the opaque pixels nearby.

        Args:
            mattes: of the workspace, (S, S, 4), 0 to 255.
        """
        shape, colours, bins = frame.shape[:2], self._model.colours, colour_bins(frame)
        face, points = self._face(index), self._landmarks[index]
        height, neck = face.height, self._necks[index]
        down = face.coordinates(shape, 1.0)[1]
        brow = float((points[BROW] - face.chin) @ face.down) / height
        # Brows and beard have the hair's colours; above them what has these in a face is a fringe.
        bare = face_oval(points, shape, 1.0) * smoothstep(brow - _BROW_HEIGHT, brow - 0.5 * _BROW_HEIGHT, down)
        bare = cv2.GaussianBlur(bare, (0, 0), 0.02 * height)
        place = cv2.GaussianBlur(from_map(self._model.hair_map, face, shape, 1.0), (0, 0), 0.02 * height) * (1.0 - bare)
        if self._hair is not None:  # the map is steady, this frame's own answer follows hair that swings
            with self._one_at_a_time:
                now = self._hair(frame)
            place = 0.5 * (place + cv2.resize(now, shape[::-1]))
        table = np.where(down < -0.3, colours.scalp[bins], colours.hair[bins])
        guide = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255.0
        radius = max(1, round(0.012 * height))
        hair = guided_filter(guide, extended(decided(place, table), mattes[..., 3]), radius)
        place = cv2.GaussianBlur(from_map(self._neck_map, neck, shape, 1.0), (0, 0), 0.02 * height)
        bare = extended(decided(place, self._skin(frame)), mattes[..., 2])
        return hair, guided_filter(guide, bare, radius)

    def _skin(self, frame: np.ndarray) -> np.ndarray:
        """How likely each pixel below the head is skin rather than clothing, (H, W) float32."""
        bins, colours = colour_bins(frame), self._model.colours
        return np.maximum(self._model.neck.likeness, colours.skin * (1.0 - colours.clothing))[bins]

    def _face(self, index: int) -> FaceFrame:
        return face_frame(self._landmarks[index])

    def _halved(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Frame (h, w, 3) uint8 and mattes (h, w, 4) float32 in [0, 1] at half the size."""
        half = (self._workspace.subject.size // 2,) * 2
        frame, mattes = self._workspace.read_frame(index), self._workspace.read_matte(index)
        small = cv2.resize(mattes, half, interpolation=cv2.INTER_AREA)
        return cv2.resize(frame, half, interpolation=cv2.INTER_AREA), small.astype(np.float32) / 255.0


def neck_frames(track: HeadTrack, usable: np.ndarray) -> list[FaceFrame]:
    """The neck's frame in each image: it follows where the head is and not how it is turned, upright and smooth in time.

    Its “chin” is the middle of the collar bones.
    """
    places = track.head_to_camera[:, :3, 3].astype(np.float64)
    known = np.flatnonzero(np.isfinite(places).all(axis=1) & usable)
    if not known.size:
        return [FaceFrame(np.zeros(2), np.zeros(2), np.array([0.0, 1.0]), 1.0)] * len(places)
    times = np.arange(len(places))
    places = np.stack([np.interp(times, known, places[known, axis]) for axis in range(3)], axis=1)
    places = cv2.GaussianBlur(places, (1, 0), sigmaX=0.1, sigmaY=_STEADY_FRAMES, borderType=cv2.BORDER_REPLICATE)
    depth = np.maximum(places[:, 2], 1e-3)
    middle = track.camera.focal_px * (places[:, :2] + np.array([0.0, _COLLAR_M])) / depth[:, None]
    middle = middle + track.camera.principal_px
    heights = track.camera.focal_px * _FACE_M / depth
    down = np.array([0.0, 1.0])
    return [FaceFrame(point, point, down, float(height)) for point, height in zip(middle, heights, strict=True)]


def bare_neck(head: np.ndarray, body: np.ndarray, skin: np.ndarray) -> Float[np.ndarray, "rows columns"]:
    """Where the neck is in its frame, in [0, 1]: skin that begins at the head and reaches down without a gap. A hand is none.

    Args:
        head, body, skin: (MAP_SHAPE) float32, how often each place is head, body below it, and bare body.
    """
    likely = smoothstep(0.25, 0.6, skin / (body + 0.05)) * smoothstep(0.02, 0.15, body)
    begins = cv2.dilate(smoothstep(0.1, 0.4, head), np.ones((5, 5), np.uint8))
    result = np.minimum(likely, begins)
    for row in range(1, len(likely)):
        above = cv2.dilate(result[row - 1][None], np.ones((1, 3), np.uint8))[0]
        result[row] = np.minimum(likely[row], np.maximum(above, begins[row]))
    # Above a neck no clothing begins: what is not of its colour there is in the chin's shadow.
    return np.maximum.accumulate(result[::-1])[::-1]


def decided(place: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Bayes' rule for a place that is likely by `place` and a colour that is so by `colour`, (H, W) float32 in [0, 1] each.

    Colours are never certain: in noise, gloss and shadow.
    """
    colour = 0.1 + 0.8 * colour
    yes, no = place * colour, (1.0 - place) * (1.0 - colour)
    return yes / (yes + no)


def extended(share: np.ndarray, matte: np.ndarray) -> Float[np.ndarray, "height width"]:
    """`share` (H, W) float32 of the opaque pixels of `matte` (H, W), 0 to 255, extended smoothly to all others."""
    opaque = cv2.erode((matte > 250).astype(np.uint8), np.ones((3, 3), np.uint8))
    return push_pull(share[..., None], opaque.astype(np.float32))[..., 0]


def guided_filter(guide: np.ndarray, values: np.ndarray, radius: int, contrast: float = 0.04) -> np.ndarray:
    """`values` smoothed, with the edges of `guide` (He, Sun and Tang 2013, “Guided image filtering”).

    Args:
        guide, values: (H, W) float32 in [0, 1].
        radius: of the window, pixels.
        contrast: standard deviation of the guide in a window above which its edge is kept.

    Returns:
        (H, W) float32 in [0, 1].
    """
    size = (2 * radius + 1, 2 * radius + 1)
    mean, mean_values = cv2.blur(guide, size), cv2.blur(values, size)
    variance = cv2.blur(guide * guide, size) - mean * mean
    slope = (cv2.blur(guide * values, size) - mean * mean_values) / (variance + contrast**2)
    offset = mean_values - slope * mean
    return np.clip(cv2.blur(slope, size) * guide + cv2.blur(offset, size), 0.0, 1.0)


def _packed(head: np.ndarray, hair: np.ndarray, neck: np.ndarray, torso: np.ndarray) -> np.ndarray:
    """With the background as what is left."""
    parts = np.stack([head, hair, neck, torso])
    # Head and body are rounded each for itself, so together they may exceed one by a level.
    parts[3] -= np.maximum(parts.sum(axis=0) - 255, 0)
    return np.concatenate([parts, 255 - parts.sum(axis=0, keepdims=True)]).clip(0, 255).astype(np.uint8)
