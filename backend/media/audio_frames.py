"""Decoded audio frames as arrays, by the count of their channels alone.

A file's channel *layout* is never asked for: naming some layouts raises, reading others crashes the process (PyAV
18.1),
and the loudspeaker of a channel does not show on which channel the person is heard.
"""

from __future__ import annotations

import av
import numpy as np

_TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}


def samples_of(frame: av.AudioFrame) -> np.ndarray:
    """The samples of a frame, any format, packed or planar.

    Returns:
        (channels, samples) float32, full scale at 1.

    Raises:
        ValueError: an unknown format, or fewer bytes than its channels need.
    """
    stored = stored_samples(frame)
    if stored.dtype == np.uint8:
        return (stored.astype(np.float32) - 128) / 128
    if stored.dtype.kind == "i":
        return (stored / 2.0 ** (8 * stored.itemsize - 1)).astype(np.float32)
    return np.ascontiguousarray(stored, np.float32)


def stored_samples(frame: av.AudioFrame) -> np.ndarray:
    """The samples of a frame as they were decoded: (channels, samples), of the frame's own type; same exceptions."""
    name = frame.format.name
    planar = name.endswith("p")
    kind = _TYPES.get(name[:-1] if planar else name)
    # A plain number of the frame; beyond so many planes there is memory that is not the frame's.
    channels, count = frame.layout.nb_channels, frame.samples
    if kind is None or channels < 1:
        raise ValueError(f"audio of the format {name} with {channels} channels")
    if planar:
        planes = frame.planes[:channels]
        return np.stack([np.frombuffer(plane, kind, count) for plane in planes])
    return np.frombuffer(frame.planes[0], kind, count * channels).reshape(count, channels).T
