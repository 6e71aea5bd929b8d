"""Audio of many channels and of codecs that end late is decoded, whatever layout or index the file gives."""

from __future__ import annotations

import av
import numpy as np
import pytest

from backend.media.audio import clip_audio
from backend.media.audio_frames import samples_of
from backend.media.audio_rates import RATE
from backend.media.decoders import decoder_of
from backend.media.source import decoded, open_media
from backend.media.timeline import timeline_of


@pytest.mark.parametrize(
    ("codec", "suffix", "layout", "channels"),
    [
        ("pcm_s16le", ".mov", "7.1", 8),
        ("pcm_s24le", ".mov", "6.1", 7),
        ("pcm_f32le", ".mkv", "quad", 4),
        ("pcm_s32be", ".mov", "hexadecagonal", 16),
        ("pcm_u8", ".wav", "mono", 1),
        ("pcm_alaw", ".wav", "stereo", 2),
    ],
)
def test_pcm_is_decoded_by_its_number_of_channels(tmp_path, clips, codec, suffix, layout, channels):
    voice = clips.speech_like(1.0)
    path, levels = tmp_path / f"a{suffix}", np.linspace(0.2, 1.0, channels)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, layout=layout)
        samples = (levels[:, None] * voice).astype(np.float32)
        clips.mux_audio(container, stream, samples, RATE, "flt", layout, block=None)
    with open_media(path) as container:
        stream = container.streams.audio[0]
        assert decoder_of(stream) is not stream.codec_context, "its layout is never asked for"
        frames = list(decoded(container, stream, timeline_of(path).tracks[stream.index]))
        samples = np.concatenate([samples_of(frame) for frame in frames], axis=1)
        ends_s = [float(frame.pts * frame.time_base) + frame.samples / RATE for frame in frames]
    assert samples.shape == (channels, RATE)
    assert ends_s[-1] == pytest.approx(1.0, abs=0.002)
    assert np.abs(samples - levels[:, None] * voice).max() < 0.02


def test_a_codec_that_gives_its_last_frame_late_is_heard_to_the_end(tmp_path, clips):
    audio = clips.clicks([1.0, 3.8], 4.0, 44100), 44100
    path = clips.make(
        tmp_path / "clip.wmv",
        map(clips.numbered, range(100)),
        codec="wmv2",
        options={"b": "1M"},
        audio=audio,
        audio_codec="wmav2",
    )
    found = np.concatenate(list(clip_audio(path, 0.0, 4.0)))
    assert clips.click_times(found) == pytest.approx([1.0, 3.8], abs=0.1)
