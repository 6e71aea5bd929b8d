"""Samples a second of the audio that the backend reads and writes."""

RATE = 16000
"""Of a clip's audio and of all that is measured in it: speech has little above 8 kHz."""

DELIVERY_RATE = 48000
"""Of the audio that users get: of animations and of rendered videos."""
