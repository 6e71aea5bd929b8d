"""The encoders whose weights a user brings: what they see, and the error when something is missing or wrong.

The weights here are made up; the published ones cannot be part of the project.
"""

from __future__ import annotations

import os
import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from backend import models
from backend.errors import ModelError
from backend.face_sync.audio_features import step_features
from backend.face_sync.encoders import open_encoder, present
from backend.face_sync.research import authors_ave, self_supervised

pytestmark = pytest.mark.long

RATE = 16000
LAYOUT = [
    # channels in and out, kernel, stride, padding, residual: of the published file, block by block
    (1, 32, 3, 1, 1, False),
    (32, 32, 3, 1, 1, True),
    (32, 32, 3, 1, 1, True),
    (32, 64, 3, (3, 1), 1, False),
    (64, 64, 3, 1, 1, True),
    (64, 64, 3, 1, 1, True),
    (64, 128, 3, 3, 1, False),
    (128, 128, 3, 1, 1, True),
    (128, 128, 3, 1, 1, True),
    (128, 256, 3, (3, 2), 1, False),
    (256, 256, 3, 1, 1, True),
    (256, 512, 3, 1, 0, False),
    (512, 512, 1, 1, 0, False),
]
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The only model folder, empty; what is put there is taken as it is."""
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "user"))
    monkeypatch.setenv(models.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(models, "MODELS", tuple(replace(model, size=None, sha256=None) for model in models.MODELS))
    return tmp_path


def ave_weights(prefix: str = "") -> dict[str, torch.Tensor]:
    """Random weights by their published names; each layer keeps the size of what it is given."""
    draw = torch.Generator().manual_seed(1)
    weights = {}
    for number, (enters, leaves, kernel, *_) in enumerate(LAYOUT):
        scale = (2 / (enters * kernel * kernel)) ** 0.5
        first, second = f"{prefix}{number}.conv_block.0.", f"{prefix}{number}.conv_block.1."
        weights[first + "weight"] = scale * torch.randn(leaves, enters, kernel, kernel, generator=draw)
        weights[first + "bias"] = 0.1 * torch.randn(leaves, generator=draw)
        weights[second + "weight"] = 1 + 0.1 * torch.randn(leaves, generator=draw)
        weights[second + "bias"] = 0.1 * torch.randn(leaves, generator=draw)
        weights[second + "running_mean"] = 0.1 * torch.randn(leaves, generator=draw)
        weights[second + "running_var"] = 1 + 0.1 * torch.rand(leaves, generator=draw)
        weights[second + "num_batches_tracked"] = torch.tensor(7)
    return weights


@pytest.fixture
def ave(folder):
    torch.save(ave_weights(), folder / "audio_visual_encoder.pth")
    return open_encoder("ave")


def write_small(monkeypatch, folder, name: str, file: str = "", local: bool = False):
    """A small model of the architecture of `name`, saved as the published file is; the encoder that reads it.

    Args:
        local: no attention, so that what is far away does not matter.
    """
    transformers = pytest.importorskip("transformers", reason="needs the optional package transformers")
    published = self_supervised.PUBLISHED[name]
    small = replace(published, size=SMALL["hidden_size"], numbers={**published.numbers, **SMALL})
    monkeypatch.setitem(self_supervised.PUBLISHED, name, small)
    torch.manual_seed(3)
    configuration = getattr(transformers, f"{published.architecture}Config")(**small.numbers)
    network = getattr(transformers, f"{published.architecture}ForCTC")(configuration)
    weights = {}
    for key, value in network.state_dict().items():
        if key.endswith(".bias"):
            # A fresh model's are zero, and then a norm blows up what little there is in silence.
            value = 0.1 * torch.randn_like(value)
        # The published files are older than the library's present names of these two.
        key = key.replace("parametrizations.weight.original0", "weight_g")
        key = key.replace("parametrizations.weight.original1", "weight_v")
        weights[key] = torch.zeros_like(value) if local and ".attention.out_proj." in key else value
    assert published.prefix + "masked_spec_embed" in weights and "lm_head.weight" in weights
    path = folder / (file or models.record(name).file)
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(weights, path)
    else:
        torch.save(weights, path)
    return open_encoder(name)


@pytest.fixture(params=["ave", "hubert", "wav2vec2"])
def encoder(request, monkeypatch, folder):
    """Each of them, with made-up weights and short blocks."""
    if request.param == "ave":
        return request.getfixturevalue("ave")
    monkeypatch.setattr(self_supervised, "ROWS", 40)
    monkeypatch.setattr(self_supervised, "OVERLAP", 20)
    return write_small(monkeypatch, folder, request.param)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).astype(np.float32)


def cut(sound: np.ndarray, *lengths: int) -> list[np.ndarray]:
    """Blocks of these lengths in turn."""
    blocks, at, turn = [], 0, 0
    while at < len(sound):
        blocks.append(sound[at : at + lengths[turn % len(lengths)]])
        at += len(blocks[-1])
        turn += 1
    return blocks


def assert_one_sentence(message: str) -> None:
    assert "\n" not in message and message.endswith(".")


# All of them


def test_a_frame_gives_a_row(encoder):
    rows = encoder.features([noise(4.4)])
    assert rows.shape == (110, encoder.size) and rows.dtype == np.float32
    assert np.isfinite(rows).all() and np.ptp(rows, axis=0).max() > 0


@pytest.mark.parametrize("lengths", [(1000,), (1, 0, 17, 4096, 333), (RATE * 3,)], ids=str)
def test_how_the_audio_is_cut_changes_nothing(encoder, lengths):
    sound = noise(5.13)
    complete = encoder.features([sound])
    np.testing.assert_array_equal(encoder.features(iter(cut(sound, *lengths))), complete)


def test_a_reader_may_fill_the_same_array_again(encoder):
    sound = noise(2)
    buffer = np.empty(1600, np.float32)

    def reused():
        for block in cut(sound, 1600):
            buffer[:] = block
            yield buffer

    np.testing.assert_array_equal(encoder.features(reused()), encoder.features([sound]))


@pytest.mark.parametrize("samples", [0, 1, 399, 640, 3000])
def test_audio_shorter_than_a_window_works(encoder, samples):
    rows = encoder.features([noise(1)[:samples]])
    assert rows.shape == (len(step_features(noise(1)[:samples])), encoder.size) and np.isfinite(rows).all()
    assert encoder.features([]).shape == (1, encoder.size)
    assert encoder.features([], steps=0).shape == (0, encoder.size)


def test_silence_gives_finite_rows_that_are_all_alike(encoder):
    rows = encoder.features([np.zeros(RATE, np.float32)])
    assert rows.shape == (25, encoder.size) and np.isfinite(rows).all()
    if encoder.name == "ave":
        assert (rows == rows[0]).all()


def test_frames_beyond_the_audio_are_silent_and_fewer_are_its_start(encoder):
    sound = noise(1.2)
    rows = encoder.features([sound], steps=90)
    assert rows.shape == (90, encoder.size) and np.isfinite(rows).all()
    if encoder.name == "ave":
        assert np.ptp(rows[35:], axis=0).max() < 1e-3
        np.testing.assert_allclose(rows[:30], encoder.features([sound]), atol=1e-3)
        np.testing.assert_allclose(encoder.features([sound], steps=10), rows[:10], atol=1e-3)
    assert encoder.features([sound], steps=10).shape == (10, encoder.size)


@pytest.mark.parametrize("offset_ms", [0.0, 200.0, -200.0, 60.0])
def test_a_click_moves_the_row_of_its_frame(encoder, offset_ms):
    sound = noise(2.4)
    clicked = sound.copy()
    clicked[RATE : RATE + 160] += np.float32(0.5) * np.sign(noise(1, seed=1)[:160])
    change = np.abs(encoder.features([clicked], 60, offset_ms) - encoder.features([sound], 60, offset_ms)).sum(1)
    # The click lies from 1 s to 1.01 s.
    expected = (1005 - offset_ms) / 40
    change -= np.median(change)  # the level of its block moves all rows of a self-supervised model a little
    weight = np.where(change > 0.1 * change.max(), change, 0)
    assert abs((weight * np.arange(60)).sum() / weight.sum() - expected) < 0.6
    assert np.abs(np.flatnonzero(weight) - expected).max() < 5


def test_an_offset_of_full_frames_shifts_the_rows(ave):
    sound = noise(2)
    rows = ave.features([sound], 50)
    np.testing.assert_allclose(ave.features([sound], 45, 200.0), rows[5:], atol=1e-3)
    np.testing.assert_allclose(ave.features([sound], 55, -200.0)[5:], rows, atol=1e-3)


def test_the_audio_is_read_no_further_than_the_frames_need(encoder):
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield np.zeros(RATE, np.float32)

    assert encoder.features(endless(), steps=50).shape == (50, encoder.size)
    assert len(taken) < 10


@pytest.mark.parametrize("name", ["ave", "hubert", "wav2vec2"])
def test_missing_weights_are_reported_in_a_sentence(name, folder):
    with pytest.raises(ModelError) as caught:
        open_encoder(name)
    message = str(caught.value)
    assert_one_sentence(message)
    record = models.record("audio_visual_encoder" if name == "ave" else name)
    assert f"python -m backend models fetch {record.name}" in message and str(folder / record.file) in message
    assert ("--accept-licence" in message) == record.licence_opt_in
    assert name not in present()


class Code:
    """Makes a file where it is unpickled with its code."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def wrong_files(folder):
    """What may lie there instead of the weights."""
    weights = ave_weights()
    del weights["3.conv_block.0.weight"]
    yield "a web page", lambda path: path.write_text("<html>not found</html>")
    yield "nothing", lambda path: path.write_bytes(b"")
    yield "noise", lambda path: path.write_bytes(np.random.default_rng(0).bytes(100_000))
    yield "another object", lambda path: torch.save([1, 2], path)
    yield "other weights", lambda path: torch.save({"fc.weight": torch.zeros(3, 3)}, path)
    yield "a weight lacks", lambda path: torch.save(weights, path)
    yield "not finite", lambda path: torch.save({"0.conv_block.0.weight": torch.full((32, 1, 3, 3), np.nan)}, path)
    yield "code", lambda path: torch.save({"a": Code(folder / "ran")}, path)
    yield "code in a pickle", lambda path: path.write_bytes(pickle.dumps(Code(folder / "ran"), 2))


@pytest.mark.parametrize("name", ["ave", "hubert"])
def test_a_wrong_file_is_a_sentence_and_its_code_never_runs(name, folder, monkeypatch):
    if name == "hubert":
        write_small(monkeypatch, folder, "hubert")
    file = models.record("audio_visual_encoder" if name == "ave" else name).file
    for _, write in wrong_files(folder):
        write(folder / file)
        encoder = open_encoder(name)  # reads nothing yet
        with pytest.raises(ModelError, match="delete it and run `python -m backend models fetch") as caught:
            encoder.features([noise(1)])
        assert_one_sentence(str(caught.value))
        assert str(folder / file) in str(caught.value)
    assert not (folder / "ran").exists()


def test_a_file_that_is_cut_off_is_a_sentence(ave, folder):
    path = folder / "audio_visual_encoder.pth"
    content = path.read_bytes()
    for length in (10, 1000, len(content) // 2, len(content) - 100):
        path.write_bytes(content[:length])
        with pytest.raises(ModelError, match="or it is damaged"):
            open_encoder("ave").features([noise(1)])


# The authors' encoder


def test_the_mel_spectrogram_is_the_familys():
    import librosa

    sound = noise(1)
    emphasised = np.append(sound[0], sound[1:] - 0.97 * sound[:-1])[1:]
    magnitude = np.abs(librosa.stft(emphasised, n_fft=800, hop_length=200, win_length=800, center=False))
    bands = librosa.filters.mel(sr=RATE, n_fft=800, n_mels=80, fmin=55, fmax=7600) @ magnitude
    decibel = 20 * np.log10(np.maximum(1e-5, bands)) - 20
    expected = np.clip(8 * (decibel + 100) / 100 - 4, -4, 4).T
    np.testing.assert_allclose(authors_ave.mel_spectra(sound), expected, atol=1e-4)
    assert (authors_ave.mel_spectra(np.zeros(5000, np.float32)) == -4).all()


def test_the_network_computes_what_the_published_layout_states(ave):
    sound = noise(1)
    weights = ave_weights()
    padded = np.pad(sound, (1 + 400, 2000))
    # Frame 10 is at 400 ms, spectrum 32: the window is spectra 25 to 40.
    spectra = authors_ave.mel_spectra(padded)[32 - 7 : 32 + 9]
    x = torch.from_numpy(spectra.T.copy())[None, None]
    for number, (_, _, _, stride, padding, residual) in enumerate(LAYOUT):
        conv, norm = f"{number}.conv_block.0.", f"{number}.conv_block.1."
        y = functional.conv2d(x, weights[conv + "weight"], weights[conv + "bias"], stride, padding)
        y = functional.batch_norm(
            y,
            *(weights[norm + part] for part in ("running_mean", "running_var")),
            *(weights[norm + part] for part in ("weight", "bias")),
        )
        x = torch.relu(x + y if residual else y)
    np.testing.assert_allclose(ave.features([sound])[10], x.flatten().numpy(), rtol=1e-3, atol=1e-3)


def test_the_weights_are_found_under_any_prefix_and_beside_a_face_encoder(ave, folder):
    rows = ave.features([noise(1)])
    path = folder / "audio_visual_encoder.pth"
    prefixed = ave_weights("module.audio_encoder.")
    face = {"module.face_encoder.0.conv_block.0.weight": torch.zeros(32, 15, 7, 7)}
    for saved in (prefixed, {**face, **prefixed}, {"state_dict": prefixed, "epoch": 3}):
        torch.save(saved, path)
        np.testing.assert_array_equal(open_encoder("ave").features([noise(1)]), rows)


# Self-supervised models


def test_a_missing_package_is_reported_with_the_command_that_installs_it(folder, monkeypatch):
    (folder / "hubert-large-ls960-ft.bin").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match="-m pip install transformers`") as caught:
        open_encoder("hubert")
    assert sys.executable in str(caught.value)
    assert_one_sentence(str(caught.value))


@pytest.mark.parametrize("name", ["hubert", "wav2vec2"])
def test_a_row_is_the_mean_of_the_two_features_around_its_frame(name, monkeypatch, folder):
    encoder = write_small(monkeypatch, folder, name)
    sound = noise(3)
    rows = encoder.features([sound])
    # One block: the network sees the sound from 22.5 ms before the first frame, to where the last row's features end.
    padded = np.pad(sound, (360, 0))[: 74 * 640 + 720]
    normal = (padded - padded.mean()) / np.sqrt(padded.var() + 1e-7)
    with torch.no_grad():
        hidden = encoder._network(torch.from_numpy(normal.astype(np.float32))[None]).last_hidden_state[0].numpy()
    np.testing.assert_allclose(rows, (hidden[0::2] + hidden[1::2]) / 2, atol=1e-5)


@pytest.mark.parametrize("name", ["hubert", "wav2vec2"])
def test_safetensors_hold_the_same_weights(name, monkeypatch, folder):
    rows = write_small(monkeypatch, folder, name).features([noise(1)])
    path = folder / models.record(name).file
    path.unlink()
    encoder = write_small(monkeypatch, folder, name, path.with_suffix(".safetensors").name)
    np.testing.assert_array_equal(encoder.features([noise(1)]), rows)
    path.with_suffix(".safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="or it is damaged"):
        open_encoder(name).features([noise(1)])


def test_long_audio_goes_through_in_blocks_without_seams(monkeypatch, folder):
    encoder = write_small(monkeypatch, folder, "hubert", local=True)
    sound = noise(45)
    lengths = []
    encode = self_supervised._encode
    monkeypatch.setattr(
        self_supervised, "_encode", lambda network, samples: lengths.append(len(samples)) or encode(network, samples)
    )
    blocks = encoder.features(cut(sound, RATE))
    assert max(lengths) <= 20.1 * RATE and len(lengths) == 3
    monkeypatch.setattr(self_supervised, "ROWS", 10_000)
    complete = encoder.features([sound])
    apart = np.abs(complete[1:] - complete[:-1]).max(1).mean()
    # Blocks differ in their mean and variance only, and this noise has the same everywhere.
    assert np.abs(blocks - complete).max() < 0.2 * apart
