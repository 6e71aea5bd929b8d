"""An imperceptible watermark in the luminance of a frame: 64 bits that survive re-encoding, scaling and cropping.

A keyed pattern repeats over the frame as a tile; the tile's spectrum carries the message (spread spectrum, Cox, Kilian,
Leighton, Shamoon 1997, "Secure spread spectrum watermarking for multimedia"). docs/provenance.md has what it survives.

    mark = Marker(width, height, Message.of("what the delivery is"))
    marked = mark.embed(frame)

    detection = detect(frames)  # RGB frames of a piece, two seconds or more
    if detection.found:
        detection.message
"""

from .detector import MOST_PIECES, PIECE_FRAMES, Detection, Detector, detect
from .marker import Marker
from .message import Kind, Message
from .pattern import PUBLIC_KEY

__all__ = ["MOST_PIECES", "PIECE_FRAMES", "PUBLIC_KEY", "Detection", "Detector", "Kind", "Marker", "Message", "detect"]
