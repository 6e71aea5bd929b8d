"""Encodings of light have the values of their specifications, and a head comes back as its clip encodes it."""

from __future__ import annotations

import numpy as np
import pytest

from backend.commands import process
from backend.errors import MediaError
from backend.media.encodings import BY_TAGS, ENCODINGS, HLG, LOGC3, LOGC4, OCIO, PQ, SDR, encoding_of, tagged_encoding


@pytest.mark.parametrize(
    ("encoding", "light", "signal"),
    [
        (PQ, 100 / 203, 0.5081),  # BT.2408, table 1
        (PQ, 1.0, 0.5807),
        (PQ, 1000 / 203, 0.7518),
        (PQ, 10000 / 203, 1.0),
        (HLG, 1.0, 0.75),  # BT.2408: HDR reference white
        (HLG, 1 / 12 / 0.26496, 0.5),  # BT.2100
        (HLG, 1 / 0.26496, 1.0),
        (LOGC3, 0.18, 400 / 1023),  # ARRI: middle grey at EI 800
        (LOGC3, 0.0, 0.0928),
        (LOGC3, 55.08, 1.0),
        (LOGC4, 0.18, 0.2784),  # ARRI's specification, section 2
        (LOGC4, 0.0, 95 / 1023),
        (LOGC4, 469.8, 1.0),
    ],
)
def test_light_and_signal_are_those_of_the_specifications(encoding, light, signal):
    assert float(encoding.encode(np.array(light))) == pytest.approx(signal, abs=6e-4)
    assert float(encoding.decode(np.array(signal))) == pytest.approx(light, rel=6e-3, abs=1e-4)


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_decoding_is_the_inverse_of_encoding(encoding):
    signal = np.linspace(0.0, 1.0, 1024)
    np.testing.assert_allclose(
        encoding.encode(np.maximum(encoding.decode(signal), encoding.decode(np.array(0.0)))), signal, atol=2e-5
    )


@pytest.mark.parametrize(
    ("encoding", "matrix"),
    [
        (PQ, [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]),  # BT.2087
        # ARRI, ALEXA LogC curve, usage in VFX: Wide Gamut 3 to BT.709.
        (LOGC3, [[1.617523, -0.537287, -0.080237], [-0.070573, 1.334613, -0.264040], [-0.021102, -0.226954, 1.248056]]),
    ],
)
def test_matrices_are_the_published_ones(encoding, matrix):
    np.testing.assert_allclose(encoding.to_bt709, matrix, atol=6e-4)


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_a_head_in_the_clips_encoding_shows_what_it_shows_in_bt709(encoding):
    levels = np.stack(np.meshgrid(*[np.arange(8, 250, 22)] * 3, indexing="ij"), -1).reshape(1, -1, 3)
    signal = encoding.from_working(levels.astype(np.float32) / 255)
    back = encoding.to_working(np.rint(signal * 65535).astype(np.uint16))
    assert np.abs(back.astype(int) - levels).max() <= 1


def test_hdr_white_and_middle_grey_are_where_the_shoulder_has_them():
    """Diffuse white of HLG and PQ becomes 0.85 of BT.709's light, middle grey of LogC the grey of the sRGB curve."""
    for encoding, signal in ((HLG, 0.75), (PQ, 0.5807)):
        shown = encoding.to_working(np.full((1, 1, 3), round(signal * 65535), np.uint16))
        assert np.abs(shown.astype(int) - 237).max() <= 1
    for encoding, signal in ((LOGC3, 0.3910), (LOGC4, 0.2784)):
        shown = encoding.to_working(np.full((1, 1, 3), round(signal * 65535), np.uint16))
        assert np.abs(shown.astype(int) - 118).max() <= 1


def test_names_and_tags():
    assert (tagged_encoding(16), tagged_encoding(18), tagged_encoding(1)) == ("pq", "hlg", "")
    assert encoding_of("") is encoding_of("bt709") is None
    with pytest.raises(MediaError, match="slog9 is not known.*logc3"):
        encoding_of("slog9")


def test_process_offers_every_encoding_and_to_trust_the_tags():
    assert (BY_TAGS, SDR, *ENCODINGS, OCIO) == process.COLOURS
