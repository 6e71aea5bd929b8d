"""Speech comes out of a render as loud as its file: mono and stereo, into any output, beside other strips, faded by hand."""

from __future__ import annotations

import wave
from fractions import Fraction

import numpy as np
import pytest

RATE = 48000
SECONDS = 1.0
FPS = 5
"""Few frames to render; audio does not mind."""


@pytest.fixture
def kit(kit):
    import bpy

    if not bpy.app.build_options.audaspace:
        pytest.skip("this build of Blender has no audio")
    return kit


def write_voice(path, channels: int) -> float:
    """A second of a steady tone in all channels; its RMS."""
    tone = 0.25 * np.sin(2 * np.pi * 330 * np.arange(round(SECONDS * RATE)) / RATE)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.repeat(tone[:, None], channels, 1) * 32767).astype("<i2").tobytes())
    return float(np.sqrt((tone**2).mean()))


def speaking(kit, channels: int) -> float:
    """The scene with a voice strip; the voice's RMS."""
    path = kit.tmp_path / "voice.wav"
    rms = write_voice(path, channels)
    collection = kit.scene.collection
    camera = kit.record("camera").Camera(8, 8, 1.0, (4.0, 4.0))
    animation = kit.record("animation").Animation(*[np.zeros((FPS, 1))] * 2, camera, np.zeros(FPS), Fraction(FPS), path)
    subject = kit.record("subject").Subject(name="voice", id="0123")
    timing = kit.part("scene.timing").Timing(1, FPS, FPS)
    kit.part("scene.audio_strip").lay_strip(kit.scene, collection, subject, animation, timing)
    return rms


def rendered(kit) -> np.ndarray:
    """(channels) RMS of the film's audio, but for its ends."""
    import aud
    import bpy

    scene = kit.scene
    scene.frame_start, scene.frame_end, scene.render.fps = 1, round(SECONDS * FPS), FPS
    scene.render.resolution_x = scene.render.resolution_y = 32
    scene.render.use_sequencer = True
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 1
    scene.camera = bpy.data.objects.new("lens", bpy.data.cameras.new("lens"))
    scene.collection.objects.link(scene.camera)
    bpy.ops.render.render(animation=True)
    samples = aud.Sound(scene.render.filepath).data()[RATE // 8 : -RATE // 4]
    return np.sqrt((samples**2).mean(0))


def decibels(a: float, b: float) -> float:
    return float(abs(20 * np.log10(a / b)))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("output", ["MONO", "STEREO"])
def test_speech_comes_out_as_loud_as_its_file(kit, channels, output):
    rms = speaking(kit, channels)
    kit.part("scene.output").set_video(kit.scene, kit.tmp_path / "film.mp4")
    kit.scene.render.ffmpeg.audio_channels = output  # chosen after the import: the level follows
    levels = rendered(kit)
    assert len(levels) == {"MONO": 1, "STEREO": 2}[output]
    assert max(decibels(level, rms) for level in levels) < 0.1


def test_mono_speech_fills_the_centre_of_a_surround_output(kit):
    rms = speaking(kit, 1)
    kit.part("scene.output").set_video(kit.scene, kit.tmp_path / "film.mp4")
    kit.scene.render.ffmpeg.audio_channels = "SURROUND51"
    levels = rendered(kit)
    assert decibels(levels.max(), rms) < 0.1
    assert (np.sort(levels)[:-1] < 0.01 * rms).all()


def test_other_strips_keep_their_level_beside_speech(kit):
    rms = speaking(kit, 1)
    strips = kit.part("scene.audio_strip").strips_of(kit.scene.sequence_editor)
    music = kit.tmp_path / "music.wav"
    tone = 0.2 * np.sin(2 * np.pi * 777 * np.arange(RATE) / RATE)
    with wave.open(str(music), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.stack([tone, 0 * tone], 1) * 32767).astype("<i2").tobytes())
    strips.new_sound("music", str(music), 5, 1)
    kit.part("scene.output").set_video(kit.scene, kit.tmp_path / "film.mp4")
    left, right = rendered(kit)
    assert decibels(right, rms) < 0.1
    assert decibels(np.sqrt(left**2 - right**2), 0.2 / np.sqrt(2)) < 0.1


def test_the_level_is_the_artist_s_to_set_and_to_key(kit):
    rms = speaking(kit, 1)
    strip = next(iter(kit.part("scene.audio_strip").strips_of(kit.scene.sequence_editor)))
    strip.name = "voice, renamed"
    strip["level"] = 0.5
    strip.keyframe_insert('["level"]', frame=1)
    strip["level"] = 1.0
    kit.part("scene.output").set_video(kit.scene, kit.tmp_path / "film.mp4")
    assert decibels(rendered(kit).mean(), rms / 2) < 0.1


def test_new_speech_leaves_no_driver_behind(kit):
    speaking(kit, 1)
    speaking(kit, 2)
    assert len(kit.scene.animation_data.drivers) == 1


def test_a_fade_of_blender_s_own_is_heard(kit):
    """*Add Fades* keys the volume itself, which a driver would hide."""
    import bpy

    rms = speaking(kit, 1)
    scene = kit.scene
    bpy.context.view_layer.update()
    (strip,) = kit.part("scene.audio_strip").strips_of(scene.sequence_editor)
    loud = strip.volume
    assert loud == pytest.approx(2**0.5)
    action = bpy.data.actions.new("fade")
    scene.animation_data_create().action = action
    path = f"{strip.path_from_id()}.volume"
    if bpy.app.version >= (4, 4, 0):
        slot = action.slots.new(id_type="SCENE", name=scene.name)
        scene.animation_data.action_slot = slot
        curves = action.layers.new("fade").strips.new(type="KEYFRAME").channelbag(slot, ensure=True).fcurves
    else:
        curves = action.fcurves
    curve = curves.new(path)
    curve.keyframe_points.insert(0, loud / 2)
    curve.keyframe_points.insert(9, loud / 2)
    kit.part("scene.output").set_video(scene, kit.tmp_path / "film.mp4")
    assert decibels(rendered(kit).mean(), rms / 2) < 0.1
    kit.part("scene.audio_level").keep_level(scene, strip)
    assert not scene.animation_data.drivers, "new speech leaves it the artist's"
