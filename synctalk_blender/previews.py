"""The preview image that a training sends, as an icon that the Train panel draws."""

from __future__ import annotations

import logging
import time
from typing import Any

import bpy
import numpy as np

logger = logging.getLogger("synctalk")

icon = 0
"""Icon id of the newest preview; 0 without one."""
_collection: Any = None


def show(path: str) -> None:
    """Make the image file the current preview; one that cannot be read is only logged."""
    global icon
    if _collection is None or bpy.app.background:
        return
    try:
        image = bpy.data.images.load(path)
    except RuntimeError as error:
        logger.warning("the preview %s cannot be shown: %s", path, error)
        return
    size: Any = image.size
    width, height = size
    pixels = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(pixels)
    # An icon is square: it shows as many tiles of a wide contact sheet as fit.
    side = min(width, height)
    square = np.ones((side, side, 4), np.float32)
    square[..., : image.channels] = pixels.reshape(height, width, image.channels)[:side, :side]
    bpy.data.images.remove(image)
    _collection.clear()
    preview = _collection.new(f"preview {time.monotonic()}")
    preview.image_size = (side, side)
    preview.image_pixels_float.foreach_set(square.ravel())
    icon = preview.icon_id


def register() -> None:
    global _collection
    from bpy.utils import previews

    _collection = previews.new()


def unregister() -> None:
    global _collection, icon
    from bpy.utils import previews

    previews.remove(_collection)
    _collection, icon = None, 0
