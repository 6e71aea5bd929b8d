"""Names of the live sources, and where they listen by default; without the packages that open them."""

from __future__ import annotations

OSC, LIVELINK, WEBCAM, MICROPHONE = "osc", "livelink", "webcam", "microphone"
FACE_SOURCES = (OSC, LIVELINK, WEBCAM)
"""Of a face; these `source.open_source` opens."""
SOURCES = (*FACE_SOURCES, MICROPHONE)
LOOPBACK = "127.0.0.1"
"""Only this computer's own programs reach it."""
