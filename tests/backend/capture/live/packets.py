"""Packets as face trackers send them, built independently of the code that reads them."""

from __future__ import annotations

import struct

from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from backend.protocol import BLENDSHAPE_NAMES

_LIVE_LINK_NAMES = (
    "EyeBlinkLeft EyeLookDownLeft EyeLookInLeft EyeLookOutLeft EyeLookUpLeft EyeSquintLeft EyeWideLeft EyeBlinkRight "
    "EyeLookDownRight EyeLookInRight EyeLookOutRight EyeLookUpRight EyeSquintRight EyeWideRight JawForward JawLeft "
    "JawRight JawOpen MouthClose MouthFunnel MouthPucker MouthLeft MouthRight MouthSmileLeft MouthSmileRight "
    "MouthFrownLeft MouthFrownRight MouthDimpleLeft MouthDimpleRight MouthStretchLeft MouthStretchRight MouthRollLower "
    "MouthRollUpper MouthShrugLower MouthShrugUpper MouthPressLeft MouthPressRight MouthLowerDownLeft MouthLowerDownRight "
    "MouthUpperUpLeft MouthUpperUpRight BrowDownLeft BrowDownRight BrowInnerUp BrowOuterUpLeft BrowOuterUpRight CheekPuff "
    "CheekSquintLeft CheekSquintRight NoseSneerLeft NoseSneerRight TongueOut HeadYaw HeadPitch HeadRoll LeftEyeYaw "
    "LeftEyePitch LeftEyeRoll RightEyeYaw RightEyePitch RightEyeRoll"
)
LIVE_LINK_NAMES = _LIVE_LINK_NAMES.split()


def live_link(values, frame=0.0, rate=(60, 1), device="8C5E2C8A-2A5F-4C62-9C1B-0C8A3D4B5E6F", subject="iPhone"):
    """A packet of Live Link Face; `values` by the names of the app."""
    numbers = [float(values.get(name, 0.0)) for name in LIVE_LINK_NAMES]
    head = (
        b"\x06" + struct.pack(">i", len(device)) + device.encode() + struct.pack(">i", len(subject)) + subject.encode()
    )
    time = struct.pack(">ifii", int(frame), frame % 1.0, *rate)
    return head + time + struct.pack(">B61f", 61, *numbers)


def message(address, *arguments):
    """One OSC message; numbers go out as float32."""
    builder = OscMessageBuilder(address)
    for argument in arguments:
        builder.add_arg(argument, "f" if isinstance(argument, float) else None)
    return builder.build()


def bundle(*messages, when=IMMEDIATELY):
    """A bundle, `when` in seconds since 1970."""
    builder = OscBundleBuilder(when)
    for item in messages:
        builder.add_content(item)
    return builder.build().dgram


def vmc(values, *bones, when=IMMEDIATELY, spelled=str):
    """A frame of the VMC protocol; bones as (name, qx, qy, qz, qw)."""
    shapes = [message("/VMC/Ext/Blend/Val", spelled(name), float(value)) for name, value in values.items()]
    turns = [message("/VMC/Ext/Bone/Pos", name, 0.0, 0.0, 0.0, *map(float, turn)) for name, *turn in bones]
    return bundle(message("/VMC/Ext/OK", 1), *turns, *shapes, message("/VMC/Ext/Blend/Apply"), when=when)


def every_shape(scale=1.0):
    """All 52 shapes, each at a value of its own."""
    return {name: scale * (index + 1) / 60 for index, name in enumerate(BLENDSHAPE_NAMES)}
