"""Decoders that PyAV would not choose: where the track's own loses data or crashes."""

from __future__ import annotations

import re

import av

_ALPHA_DECODERS = {"vp9": "libvpx-vp9", "vp8": "libvpx"}
"""WebM keeps alpha beside the frames, where only these decoders read it."""

_PLAIN_PCM = re.compile(r"pcm_(?:[suf](\d+)(?:[lb]e)?|alaw|mulaw)")


def decoder_of(stream: av.VideoStream | av.AudioStream) -> av.CodecContext:
    """What decodes a track's packets: its own decoder except for WebM with alpha, and PCM.

    PCM gets one that knows how many channels there are and not what they mean: from the channel layouts that
    cameras and editors write into MOV, PyAV 18.1 makes frames that corrupt the memory of the process.
    """
    context = stream.codec_context
    if stream.type == "audio" and (channels := _pcm_channels(context)):
        decoder = av.CodecContext.create(context.name, "r")
        decoder.sample_rate, decoder.layout = context.sample_rate, f"{channels} channels"
        return decoder
    modes = {key.lower(): value for key, value in stream.metadata.items()}
    if stream.type == "video" and context.name in _ALPHA_DECODERS and modes.get("alpha_mode") == "1":
        decoder = av.CodecContext.create(_ALPHA_DECODERS[context.name], "r")
        decoder.thread_type = "AUTO"
        return decoder
    return context


def _pcm_channels(context: av.CodecContext) -> int:
    """How many channels plain PCM has, without asking for them: the answer would be such a layout. 0 for other audio."""
    pcm = _PLAIN_PCM.fullmatch(context.name)
    bits = int(pcm[1] or 8) if pcm else 0
    return context.bit_rate // (context.sample_rate * bits) if bits and context.sample_rate and context.bit_rate else 0
