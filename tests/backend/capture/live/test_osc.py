"""OSC: the VMC protocol and plain names become faces; what is none of either is counted, and changes nothing."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from backend.capture.live import osc
from backend.capture.live.sample import Unusable
from backend.protocol import BLENDSHAPE_NAMES
from tests.backend.capture.live.packets import bundle, every_shape, message, vmc

JAW = BLENDSHAPE_NAMES.index("jawOpen")


@pytest.mark.parametrize(
    "spelled",
    [
        str,
        str.upper,
        lambda name: name[0].upper() + name[1:],
        lambda name: "BlendShape." + name[0].upper() + name[1:],
        lambda name: name.replace("Left", "_L").replace("Right", "_R") if name.startswith("eye") else name,
    ],
)
def test_a_frame_of_vmc_gives_every_shape_in_every_spelling(spelled):
    face, faults = osc.OscDecoder().decode(vmc(every_shape(), spelled=spelled))
    np.testing.assert_allclose(face.blendshapes, list(every_shape().values()), atol=1e-6)
    assert face.present.all() and faults == []


def test_values_count_from_apply_on_even_over_several_packets():
    decoder = osc.OscDecoder()
    first = bundle(message("/VMC/Ext/Blend/Val", "jawOpen", 0.4), message("/VMC/Ext/Blend/Val", "cheekPuff", 0.2))
    assert decoder.decode(first)[0] is None
    face, _ = decoder.decode(bundle(message("/VMC/Ext/Blend/Val", "mouthPucker", 0.3), message("/VMC/Ext/Blend/Apply")))
    found = {name: float(face.blendshapes[i]) for i, name in enumerate(BLENDSHAPE_NAMES) if face.present[i]}
    assert found == pytest.approx({"jawOpen": 0.4, "cheekPuff": 0.2, "mouthPucker": 0.3})


def test_a_sender_that_never_applies_is_heard_too():
    decoder = osc.OscDecoder()
    decoder.decode(bundle(message("/VMC/Ext/Blend/Val", "jawOpen", 0.4)))
    face, _ = decoder.decode(bundle(message("/VMC/Ext/Blend/Val", "jawOpen", 0.5)))
    assert face.blendshapes[JAW] == pytest.approx(0.4)


@pytest.mark.parametrize(
    "plain",
    [
        message("/jawOpen", 0.3).dgram,
        message("/JAWOPEN", 0.3).dgram,
        message("/avatar/parameters/JawOpen", 0.3).dgram,
        message("/face", "jawOpen", 0.3).dgram,
    ],
)
def test_plain_names_are_taken_at_once(plain):
    face, faults = osc.OscDecoder().decode(plain)
    assert face.blendshapes[JAW] == pytest.approx(0.3)
    assert face.present.sum() == 1 and faults == []


def test_head_and_neck_turn_together_as_unity_has_them():
    """Unity's y is up and its rotations are left-handed: a positive one turns a figure to its own right, the image's left."""
    half = [0.0, np.sin(0.1), 0.0, np.cos(0.1)]
    face, _ = osc.OscDecoder().decode(vmc({"jawOpen": 0}, ("Neck", *half), ("Head", *half)))
    out_of_the_face = face.head_turn @ np.array([0.0, 0.0, -1.0])
    np.testing.assert_allclose(out_of_the_face, [-np.sin(0.4), 0, -np.cos(0.4)], atol=1e-6)
    nod = Rotation.from_euler("x", 0.2).as_quat()  # in Unity's axes a positive one looks down
    face, _ = osc.OscDecoder().decode(vmc({"jawOpen": 0}, ("Head", *nod)))
    np.testing.assert_allclose(face.head_turn @ [0.0, 0.0, -1.0], [0, np.sin(0.2), -np.cos(0.2)], atol=1e-6)


def test_faults_are_counted_and_leave_the_other_values():
    decoder = osc.OscDecoder()
    face, faults = decoder.decode(
        bundle(
            message("/face", "jawOpen", 0.3),
            message("/face", "jawOpen", float("nan")),
            message("/face", "jawOpen", 60.0),
            message("/face", "Joy", 0.5),
            message("/face", "jawOpen", "wide"),
            message("/VMC/Ext/Bone/Pos", "Head", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        )
    )
    assert face.blendshapes[JAW] == pytest.approx(0.3) and face.head_turn is None
    assert faults == [osc.BAD_NUMBERS, osc.OUTSIDE, osc.NO_SHAPES, osc.BAD_NUMBERS, osc.BAD_NUMBERS]


def test_a_bundle_older_than_the_newest_is_refused():
    decoder = osc.OscDecoder()
    decoder.decode(vmc({"jawOpen": 0.5}, when=1000.0))
    with pytest.raises(Unusable, match=osc.STALE):
        decoder.decode(vmc({"jawOpen": 0.1}, when=999.95))
    assert decoder.decode(vmc({"jawOpen": 0.1}, when=1000.02))[0] is not None
    assert decoder.decode(vmc({"jawOpen": 0.1}, when=500.0))[0] is not None  # its clock was set back


def nested(depth: int) -> bytes:
    inner = message("/jawOpen", 0.1).dgram
    for _ in range(depth):
        inner = b"#bundle\0" + struct.pack(">Qi", 1, len(inner)) + inner
    return inner


def test_no_half_of_a_message_is_taken():
    """python-osc itself takes the missing bytes of a number for zeros."""
    one = message("/face", "jawOpen", 0.3).dgram
    for length in range(1, len(one)):
        with pytest.raises(Unusable):
            osc.OscDecoder().decode(one[:length])
    two, refused = bundle(message("/jawOpen", 0.3), message("/cheekPuff", 0.3)), 0
    for length in range(1, len(two)):
        try:
            face, _ = osc.OscDecoder().decode(two[:length])
        except Unusable:
            refused += 1
        else:  # it ends between two messages, and so is whole
            assert face is None or (face.present.sum() == 1 and face.blendshapes[JAW] == pytest.approx(0.3))
    assert refused == len(two) - 3


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\0" * 100,
        b"jawOpen 0.3",
        b"/jawOpen",
        vmc(every_shape())[:1001],
        vmc(every_shape())[:20],
        message("/jawOpen", 0.3).dgram[:-2],
        b"#bundle\0" + b"\xff" * 40,
        bytes(range(256)) * 20,
        nested(700),
        b"/" * 20_000,
    ],
    ids=range(11),
)
def test_rubbish_is_refused_and_the_next_packet_is_taken(packet):
    decoder = osc.OscDecoder()
    try:
        face, _ = decoder.decode(packet)
    except Unusable:
        face = None
    assert face is None
    assert decoder.decode(vmc({"jawOpen": 0.5}))[0].blendshapes[JAW] == pytest.approx(0.5)
