"""Live Link Face's packet: each value arrives at its name, and a wrong packet is named."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from backend.capture.live import livelink
from backend.capture.live.sample import Unusable
from backend.protocol import BLENDSHAPE_NAMES
from tests.backend.capture.live.packets import LIVE_LINK_NAMES, live_link


def test_every_value_arrives_at_its_name():
    values = {name: (index + 1) / 100 for index, name in enumerate(LIVE_LINK_NAMES)}
    face = livelink.parse(live_link(values, frame=90.5, rate=(60, 1))).face()
    wanted = [values[name[0].upper() + name[1:]] for name in BLENDSHAPE_NAMES]
    np.testing.assert_allclose(face.blendshapes, wanted, atol=1e-6)
    assert face.present.all()
    assert face.sent_s == pytest.approx(90.5 / 60)


def test_jaw_left_comes_before_jaw_right():
    numbers = bytearray(live_link({}))
    numbers[-61 * 4 + 15 * 4 : -61 * 4 + 16 * 4] = struct.pack(">f", 0.75)
    face = livelink.parse(bytes(numbers)).face()
    assert face.blendshapes[BLENDSHAPE_NAMES.index("jawLeft")] == 0.75
    assert face.blendshapes[BLENDSHAPE_NAMES.index("jawRight")] == 0


def test_yaw_turns_the_face_to_the_right_of_the_image_and_pitch_nods():
    into_the_face = np.array([0.0, 0.0, 1.0])
    turned = -(livelink.parse(live_link({"HeadYaw": 0.3})).face().head_turn @ into_the_face)
    np.testing.assert_allclose(turned, [np.sin(0.3), 0, -np.cos(0.3)], atol=1e-6)
    nodded = -(livelink.parse(live_link({"HeadPitch": 0.3})).face().head_turn @ into_the_face)
    np.testing.assert_allclose(nodded, [0, np.sin(0.3), -np.cos(0.3)], atol=1e-6)


def test_what_is_written_is_read_again():
    shapes = np.linspace(0, 1, 52, dtype=np.float32)
    written = livelink.write("device", "Anna", 1234.25, (30000, 1001), shapes, (0.1, -0.2, 0.3))
    read = livelink.parse(written)
    np.testing.assert_array_equal(read.face().blendshapes, shapes)
    assert (read.device, read.subject, read.frame) == ("device", "Anna", 1234.25)
    assert read.rate == pytest.approx(30000 / 1001)
    assert written == live_link(
        {
            **{name[0].upper() + name[1:]: value for name, value in zip(BLENDSHAPE_NAMES, shapes, strict=True)},
            "HeadYaw": 0.1,
            "HeadPitch": -0.2,
            "HeadRoll": 0.3,
        },
        1234.25,
        (30000, 1001),
        "device",
        "Anna",
    )


@pytest.mark.parametrize("length", [0, 1, 5, 20, 41, 45, 60, 100, 276])
def test_half_a_packet_is_refused(length):
    whole = live_link({"JawOpen": 0.5})
    assert length < len(whole)
    with pytest.raises(Unusable):
        livelink.parse(whole[:length])


@pytest.mark.parametrize(
    ("packet", "fault"),
    [
        (b"\x05" + live_link({})[1:], livelink.NOT_LIVE_LINK),
        (b"\x06\x7f\xff\xff\xff" + bytes(500), livelink.NOT_LIVE_LINK),
        (b"\x06\xff\xff\xff\xff" + bytes(500), livelink.NOT_LIVE_LINK),
        (live_link({"JawOpen": float("nan")}), livelink.BAD_NUMBERS),
        (live_link({}, rate=(0, 1)), livelink.BAD_NUMBERS),
        (live_link({}, rate=(60, 0)), livelink.BAD_NUMBERS),
        (live_link({})[: 1 + 4 + 36 + 4 + 6], livelink.NO_FACE),
        (live_link({})[: -61 * 4 - 1] + b"\0", livelink.NO_FACE),
    ],
)
def test_a_wrong_packet_is_named(packet, fault):
    with pytest.raises(Unusable, match=fault):
        livelink.parse(packet)
