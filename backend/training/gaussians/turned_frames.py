"""Images of the clip seen from elsewhere: warped over the head's surface as a sheet that stretches and never tears.

A clip in which the head turns little leaves the depth of a field open, by a centimetre or two, and what it never shows empty: turned by
10 degrees an eyebrow is seen twice, and before the ears one sees through the head. The tracked face knows its depth. So what is taught of
turned heads is an image of the clip over that surface, which continues beside the face as that of the field.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.interpolate import LinearNDInterpolator

from ...portrait_sync.fill import disc, push_pull
from ...portrait_sync.pixels import not_steeper
from ...renderer.surface import along_axis, points_m
from ...workspace.camera import PIXEL_CENTRE, Camera
from ...workspace.face_mesh import FaceMesh
from ...workspace.shapes import Bool, Float

SURFACE_SIZE = 256
"""Longer side of the images in which surfaces are computed, pixels: they are smooth."""
FEATHER = 0.03
"""Width in which the tracked face passes into the field's surface, of the image's width; gaps of the face's mesh of up to twice that
are closed: eyes, an open mouth."""
SMOOTH_FACE, SMOOTH_BESIDE = 0.008, 0.025
"""Standard deviations of the blurs of depth at the face and beside it, of the image's width."""
STEEPEST = 3.0
"""Slope of the sheet at most, depth by width: what is steeper stretches. It folds nowhere when the head turns by up to 18 degrees."""
OUTLIER_M = 0.03
"""A difference between field and face that counts no more: hair before the face."""
LIFTED_M = 0.004
"""How far a sheet is from the head's surface where it is not that surface any more."""
OPAQUE = 0.9
_ITERATIONS = 30


def row_of(camera: Camera, head_to_camera: Float[np.ndarray, "4 4"], point_m: Float[np.ndarray, " 3"]) -> int:
    """The row of an image that shows a point of the head."""
    pixels, _ = camera.project(head_to_camera, point_m[None])
    return round(float(pixels[0, 1]))


@dataclass(frozen=True)
class Surface:
    """A head's surface in a view, as two sheets along whose depth it is nowhere steeper than `STEEPEST`.

    Attributes:
        front_m, back_m: depth along the optical axis of the sheet that lies nowhere behind the head, and of that which lies nowhere before
            it; every pixel has one.
        lifted: where the front sheet lies before the head's surface, and the back one no further behind it: what is seen there is the back
            sheet's.
        on_back: where the back sheet has what is seen.
    """

    front_m: Float[np.ndarray, "rows columns"]
    back_m: Float[np.ndarray, "rows columns"]
    lifted: Float[np.ndarray, "rows columns"]
    on_back: Float[np.ndarray, "rows columns"]


def surface_of(
    depth_m: Float[np.ndarray, "height width"],
    alpha: Float[np.ndarray, "height width"],
    camera: Camera,
    head_to_camera: Float[np.ndarray, "4 4"],
    face: FaceMesh,
    blendshapes: Float[np.ndarray, " shapes"],
) -> Surface:
    """The surface of a head: the tracked face, and beside it the field's surface moved to fit. It is continued beyond the head.

    Args:
        depth_m: the field's distance along each pixel's ray, metres; 0 where there is none.
        alpha: the field's.
        camera: of the images.
        blendshapes: of the face.
    """
    width = camera.width
    known = (alpha > OPAQUE) & (depth_m > 0)
    field_m = along_axis(depth_m, camera)
    face_m, on_face = _face_depth(camera, head_to_camera, face, blendshapes)
    both = known & on_face
    moved_m = np.zeros_like(field_m)
    if both.any():
        difference_m = face_m - field_m
        fits = both & (np.abs(difference_m - np.median(difference_m[both])) < OUTLIER_M)
        moved_m = push_pull(difference_m[..., None], fits.astype(np.float32))[..., 0]
    fitted_m = push_pull((field_m + moved_m)[..., None], known.astype(np.float32))[..., 0]
    beside_m = cv2.GaussianBlur(fitted_m, (0, 0), SMOOTH_BESIDE * width)
    inside = np.clip(cv2.distanceTransform(on_face.astype(np.uint8), cv2.DIST_L2, 5) / (FEATHER * width), 0, 1)
    face_m = np.where(on_face, face_m, 0)
    step_m = float(STEEPEST * np.median(beside_m) / camera.focal_px)

    def sheet(beside: np.ndarray, sign: int) -> np.ndarray:
        """In front for a sign of 1, in the back for -1."""
        depth = sign * np.where(on_face, beside + inside * (face_m - beside), beside).astype(np.float32)
        return sign * cv2.GaussianBlur(not_steeper(depth, step_m), (0, 0), SMOOTH_FACE * width)

    front_m, back_m = sheet(beside_m, 1), sheet(cv2.GaussianBlur(fitted_m, (0, 0), SMOOTH_FACE * width), -1)
    lifted = (inside < 1) & (fitted_m - front_m > np.maximum(LIFTED_M, back_m - fitted_m))
    beside = cv2.dilate(lifted.astype(np.uint8), disc(2.0)) > 0  # what is lifted ends softly
    on_back = beside | ((inside < 1) & (back_m - fitted_m < 2 * LIFTED_M))
    return Surface(front_m, back_m, lifted.astype(np.float32), on_back.astype(np.float32))


def turned_image(
    rgba: Float[np.ndarray, "height width 4"],
    surface: Surface,
    camera: Camera,
    head_to_camera: Float[np.ndarray, "4 4"],
    turned_to_camera: Float[np.ndarray, "4 4"],
    margin: int = 0,
) -> tuple[Float[np.ndarray, "height width 4"], Bool[np.ndarray, "height width"]]:
    """An image of a head as if the head were in another pose, and where it would show what is outside the image.

    What lies behind a step in depth, such as an ear behind a cheek, is where the back sheet has it. Where that turns towards the camera the
    sheet stretches before it; where it turns away it goes behind what is nearer.

    Args:
        rgba: premultiplied, of `camera`, with `margin` more pixels on each side.
        surface: of the same view, with any number of pixels.
        turned_to_camera: the other pose; up to 18 degrees away.
    """
    size = camera.width, camera.height
    rows, columns = surface.front_m.shape
    small = camera.scaled(columns, rows)
    motion = turned_to_camera @ np.linalg.inv(head_to_camera)
    front, back = (_origins(depth, small, motion) for depth in (surface.front_m, surface.back_m))
    down, across = np.gradient(back, axis=(0, 1))
    stretched = across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0] < 1
    behind = cv2.GaussianBlur(_at(surface.lifted, front), (0, 0), 1)
    shown = behind * np.maximum(_at(surface.on_back, back), cv2.GaussianBlur(stretched.astype(np.float32), (0, 0), 1))
    scale = np.float32([camera.width / columns, camera.height / rows])

    def full(values: np.ndarray) -> np.ndarray:
        return cv2.resize(values, size, interpolation=cv2.INTER_LINEAR)

    front, back = (full((origin + PIXEL_CENTRE) * scale) - PIXEL_CENTRE for origin in (front, back))
    image = sum(
        full(weight)[..., None] * cv2.remap(rgba, origin + np.float32(margin), None, cv2.INTER_CUBIC)
        for origin, weight in ((front, 1 - behind), (back, shown))
    )
    # Below the image a neck or hair continues, and nobody knows where it ends.
    last = np.float32([camera.width - 1 + margin, camera.height - 1])
    outside = ((front < -margin) | (front > last)).any(-1)
    alpha = np.clip(image[..., 3:], 0, 1)
    return np.concatenate([np.clip(image[..., :3], 0, alpha), alpha], -1), outside


def _origins(depth_m: Float[np.ndarray, "h w"], camera: Camera, motion: Float[np.ndarray, "4 4"]) -> np.ndarray:
    """(h, w, 2) where each pixel of the moved sheet was, x and y as OpenCV counts them.

    The fixed point of `origin = pixel - shift(origin)`: a contraction, as the sheet is not steep.
    """
    x, y = _pixel_centres(camera.width, camera.height)
    here = np.stack([x, y], -1)
    place, _ = camera.project(motion, points_m(depth_m, camera).reshape(-1, 3))
    shift = (place.reshape(here.shape) - here).astype(np.float32)
    pixel = here - np.float32(PIXEL_CENTRE)
    origin = pixel - np.median(shift, (0, 1))
    for _ in range(_ITERATIONS):
        origin = pixel - _at(shift, origin)
    return origin


def _at(image: np.ndarray, origin: Float[np.ndarray, "h w 2"]) -> np.ndarray:
    """What an image has at (h, w, 2) places; at its border beyond it."""
    return cv2.remap(image, origin, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _pixel_centres(width: int, height: int) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) + np.float32(PIXEL_CENTRE)
    return x, y


def _face_depth(
    camera: Camera, head_to_camera: np.ndarray, face: FaceMesh, blendshapes: np.ndarray
) -> tuple[Float[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Depth along the optical axis of the tracked face, and where it is; 0 elsewhere. What faces away is left out."""
    if not len(face.triangles):
        return np.zeros((camera.height, camera.width), np.float32), np.zeros((camera.height, camera.width), bool)
    pixels, depth_m = camera.project(head_to_camera, face.deformed(blendshapes))
    corners = pixels[face.triangles]
    turn = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    seen = turn * np.sign(np.median(turn)) > 0
    mask = np.zeros((camera.height, camera.width), np.uint8)
    for corner in np.round((corners[seen] - PIXEL_CENTRE) * 16).astype(np.int32):
        cv2.fillConvexPoly(mask, corner, 1, shift=4)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc(FEATHER * camera.width))
    vertices = np.unique(face.triangles[seen])
    x, y = _pixel_centres(camera.width, camera.height)
    found = LinearNDInterpolator(pixels[vertices], depth_m[vertices])(x, y)
    on_face = (mask > 0) & np.isfinite(found)
    return np.where(on_face, found, 0).astype(np.float32), on_face
