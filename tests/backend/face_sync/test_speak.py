import numpy as np
import pytest
import soundfile

from backend.errors import AudioError, MediaError, SyncTalkError, WorkspaceError
from backend.face_sync import speech, stage
from backend.face_sync.audio_features import step_features
from backend.face_sync.speak import speak
from backend.media.audio import read_audio
from backend.progress import Reporter
from backend.protocol import BLENDSHAPE_NAMES
from backend.workspace.files import read_arrays
from backend.workspace.idle_part import longest, takes
from backend.workspace.store import Workspace

from .conftest import babble, index, make_subject

ABOVE = [k for k in range(52) if k not in set(speech.MOUTH_INDEX)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, face, shapes, brief_adaptation) -> Workspace:
    subject = make_subject(tmp_path_factory.mktemp("speak") / "subject", face, shapes, seconds=16)
    workspace = Workspace.open(subject.root)
    stage.run(workspace, Reporter())
    return workspace


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    sound, *_ = babble(7, seed=12)
    path = tmp_path_factory.mktemp("voice") / "voice.wav"
    soundfile.write(path, sound, 16000)
    return path


def _speak(workspace, audio, tmp_path, **options):
    path = speak(workspace, audio, tmp_path / "out", **options)
    assert path == tmp_path / "out" / "animation.npz"
    return read_arrays(path)


def test_animation_holds_what_the_format_states(workspace, voice, tmp_path):
    animation = _speak(workspace, voice, tmp_path)
    assert {name: array.shape for name, array in animation.items()} == {
        "frame_time_s": (175,),
        "rate": (2,),
        "blendshapes": (175, 52),
        "blendshape_names": (52,),
        "head_to_camera": (175, 4, 4),
        "focal_px": (),
        "principal_px": (2,),
        "plate_frame": (175,),
        "audio": (),
        "audio_offset_ms": (),
    }
    assert np.allclose(np.diff(animation["frame_time_s"]), 0.04)
    assert tuple(animation["blendshape_names"]) == BLENDSHAPE_NAMES
    assert str(animation["audio"]) == "speech.wav"
    assert abs(len(read_audio(tmp_path / "out" / "speech.wav")) - 7 * 16000) <= 16


def test_mouth_follows_the_new_audio_and_nothing_of_the_footage(workspace, voice, tmp_path):
    animation = _speak(workspace, voice, tmp_path)
    model = speech.SpeechModel.load(workspace.root / "speech.safetensors")
    expected = speech.predict(model, step_features(read_audio(voice), 175))
    assert np.allclose(animation["blendshapes"][:, speech.MOUTH_INDEX], expected, atol=1e-6)


def test_the_rest_of_the_face_and_the_head_come_from_the_footage(workspace, voice, tmp_path):
    animation, tracking = _speak(workspace, voice, tmp_path), read_arrays(workspace.tracking_path)
    frame = animation["plate_frame"]
    assert np.array_equal(animation["blendshapes"][:, ABOVE], tracking["blendshapes"][frame][:, ABOVE])
    assert np.array_equal(animation["head_to_camera"], tracking["head_to_camera"][frame])
    assert animation["blendshapes"][:, index("eyeBlinkLeft")].max() > 0.6, "the subject still blinks"


@pytest.mark.parametrize(("rate", "channels", "suffix"), [(44100, 2, ".wav"), (48000, 1, ".flac"), (8000, 1, ".wav")])
def test_any_rate_and_layout_is_spoken(workspace, tmp_path, rate, channels, suffix):
    sound, *_ = babble(5, seed=12)
    positions = np.arange(5 * rate) * 16000 / rate
    resampled = np.interp(positions, np.arange(len(sound)), sound)
    path = tmp_path / f"voice{suffix}"
    soundfile.write(path, np.stack([resampled] * channels, 1), rate)
    animation = _speak(workspace, path, tmp_path)
    assert len(animation["blendshapes"]) == 125
    reference = tmp_path / "reference.wav"
    soundfile.write(reference, sound, 16000)
    expected = _speak(workspace, reference, tmp_path)["blendshapes"][:, index("jawOpen")]
    assert np.corrcoef(animation["blendshapes"][:, index("jawOpen")], expected)[0, 1] > 0.9


def test_audio_longer_than_the_footage_plays_it_again_without_a_stop(workspace, tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.tile(babble(8, seed=12)[0], 6), 16000)
    animation = _speak(workspace, path, tmp_path)
    frame = animation["plate_frame"]
    assert len(frame) == 48 * 25 > 2.9 * workspace.subject.frames
    start, stop = longest(takes(workspace.head_track()))
    assert np.array_equal(frame[:50], np.arange(start, start + 50))
    assert start <= frame.min() and frame.max() < stop
    assert not (np.diff(frame) == 0).any(), "nothing freezes"
    assert read_arrays(workspace.tracking_path)["valid"][frame].all()


def test_without_audio_the_clip_is_repeated_as_tracked(workspace, tmp_path):
    animation, tracking = _speak(workspace, None, tmp_path), read_arrays(workspace.tracking_path)
    assert np.array_equal(animation["blendshapes"], tracking["blendshapes"])
    assert np.array_equal(animation["head_to_camera"], tracking["head_to_camera"])
    assert np.array_equal(animation["plate_frame"], np.arange(workspace.subject.frames))


def test_strength_scales_the_motion_about_the_resting_mouth(workspace, voice, tmp_path):
    jaw = index("jawOpen")
    still = _speak(workspace, voice, tmp_path, strength=0)["blendshapes"][:, jaw]
    own = _speak(workspace, voice, tmp_path)["blendshapes"][:, jaw]
    strong = _speak(workspace, voice, tmp_path, strength=1.5)["blendshapes"][:, jaw]
    assert np.ptp(still) < 1e-6
    assert strong.std() > 1.2 * own.std()
    assert strong.max() <= 1


def test_smoothing_calms_the_mouth_without_a_lag(workspace, voice, tmp_path):
    jaw = index("jawOpen")
    own = _speak(workspace, voice, tmp_path)["blendshapes"][:, jaw]
    calm = _speak(workspace, voice, tmp_path, smoothing_ms=200)["blendshapes"][:, jaw]
    assert np.abs(np.diff(calm)).mean() < 0.7 * np.abs(np.diff(own)).mean()
    lags = [np.corrcoef(np.roll(calm, lag)[5:-5], own[5:-5])[0, 1] for lag in (-2, -1, 0, 1, 2)]
    assert int(np.argmax(lags)) == 2


def test_offset_moves_the_mouth_against_the_audio(workspace, voice, tmp_path):
    jaw = index("jawOpen")
    own = _speak(workspace, voice, tmp_path)["blendshapes"][:, jaw]
    early = _speak(workspace, voice, tmp_path, offset_ms=120)["blendshapes"][:, jaw]
    assert np.corrcoef(early[10:-10], own[13:-7])[0, 1] > 0.98


def test_unusable_audio_is_refused_in_a_sentence(workspace, tmp_path):
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(32000), 16000)
    with pytest.raises(AudioError, match="silent"):
        speak(workspace, silent, tmp_path / "out")
    text = tmp_path / "text.wav"
    text.write_text("this is no sound")
    with pytest.raises((MediaError, AudioError)):
        speak(workspace, text, tmp_path / "out")
    with pytest.raises(SyncTalkError, match="finite"):
        speak(workspace, silent, tmp_path / "out", strength=float("nan"))
    assert not (tmp_path / "out" / "animation.npz").exists()


def test_an_unprocessed_workspace_is_reported(tmp_path):
    with pytest.raises(WorkspaceError, match="face_sync"):
        speak(Workspace.create(tmp_path / "new"), None, tmp_path / "out")


def test_speech_stays_in_the_idle_part(workspace, voice, tmp_path):
    start, stop = longest(takes(workspace.head_track()))
    first_s = start / 25
    frame = _speak(workspace, voice, tmp_path, idle_s=(first_s, first_s + 3.0))["plate_frame"]
    assert frame[0] == start
    assert frame.min() >= start and frame.max() < start + 75
    assert len(frame) == 175
    brief = _speak(workspace, voice, tmp_path, idle_s=(first_s + 0.4, stop / 25))["plate_frame"]
    assert np.array_equal(brief, np.arange(start + 10, start + 185))
    with pytest.raises(SyncTalkError, match="not inside the clip"):
        speak(workspace, voice, tmp_path / "out", idle_s=(2.0, 50.0))
    with pytest.raises(SyncTalkError, match="needs audio"):
        speak(workspace, None, tmp_path / "out", idle_s=(2.0, 5.0))


def test_lips_shut_in_silence_on_request_and_no_sooner(workspace, tmp_path):
    sound, *_ = babble(8, seed=12)
    sound[3 * 16000 : 5 * 16000] *= 1e-4
    path = tmp_path / "pause.wav"
    soundfile.write(path, sound, 16000)
    shapes = read_arrays(workspace.root / "face_mesh.npz")["shape_keys"]
    gap = shapes[:, 14, 1] - shapes[:, 13, 1]
    own = _speak(workspace, path, tmp_path)["blendshapes"] @ gap
    shut = _speak(workspace, path, tmp_path, close_in_silence=True)["blendshapes"] @ gap
    reach = np.subtract(*np.quantile(own, (0.95, 0.05)))
    inside = slice(int(3.2 * 25) + 1, 5 * 25 - 3)
    assert shut[inside].max() < np.quantile(own, 0.05) + 0.05 * reach
    assert np.abs(np.diff(shut[inside])).max() < 0.02 * reach, "still while it is silent"
    speaking = slice(1 * 25, int(2.5 * 25))
    assert np.corrcoef(own[speaking], shut[speaking])[0, 1] > 0.9


def test_long_audio_is_never_held_in_memory(workspace, tmp_path, monkeypatch):
    from backend.face_sync import speak as module
    from backend.media import audio as reading

    held = []

    def watch(place, name):
        blocks = getattr(place, name)

        def watched(*args, **options):
            for block in blocks(*args, **options):
                held.append(len(block))
                yield block

        monkeypatch.setattr(place, name, watched)

    # What the reader process sends, and what is read where a file is converted, here without that process.
    watch(module, "guarded_items")
    watch(reading, "audio_blocks")
    monkeypatch.setattr(module, "guarded", lambda run, *args, reporter, **_: run(*args, reporter=reporter))
    sound, *_ = babble(20, seed=12)
    soundfile.write(tmp_path / "long.wav", sound, 16000)
    _speak(workspace, tmp_path / "long.wav", tmp_path)
    assert max(held) < 3 * 48000
