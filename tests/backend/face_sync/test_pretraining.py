"""Training of the audio-visual encoder on items made up here, and on the embedded speaker's own clip."""

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.errors import MediaError, ModelError, WorkspaceError
from backend.face_sync import blendshape_basis
from backend.face_sync.audio_features import COLUMNS, PER_STEP
from backend.face_sync.encoders import open_encoder
from backend.face_sync.encoders.speech_encoder import SIZE, load_weights
from backend.face_sync.research.pretraining import face_windows, generated_speech, training
from backend.face_sync.research.pretraining.batches import FARTHEST, NEAREST, SEEN, draw, spread_of
from backend.face_sync.research.pretraining.network import AudioVisualEncoder, similarity
from backend.face_sync.research.pretraining.prepared import FACE_SIDE, Item, read_items, write_item
from backend.face_sync.research.pretraining.run import pretrain
from backend.face_sync.research.pretraining.training import Processes, Recipe, train
from backend.progress import Reporter
from backend.protocol import BLENDSHAPE_NAMES

pytestmark = pytest.mark.long

ALONE = Processes()


def invented_item(seed: int, faces: bool, frames: int = 260) -> Item:
    """Audio whose third band rises and falls, and a mouth that does the same: curves, or a bright bar in a image."""
    rng = np.random.default_rng(seed)
    mouth = np.clip(np.cumsum(rng.normal(0, 0.25, frames)) % 2 - 0.5, 0, 1)
    spectra = rng.normal(0, 0.3, (frames, PER_STEP, COLUMNS))
    spectra[:, :, 3:9] += 4 * mouth[:, None, None]
    features = spectra.reshape(frames, -1).astype(np.float16)
    ends = np.array([frames])
    if faces:
        images = np.full((frames, FACE_SIDE, FACE_SIDE), 90, np.uint8)
        for image, open_by in zip(images, mouth, strict=True):
            image[34 : 34 + 2 + int(20 * open_by), 20:44] = 220
        return Item(features, ends, faces=images, valid=np.ones(frames, bool))
    curves = np.zeros((frames, len(generated_speech.CURVES)), np.float16)
    curves[:, 0] = mouth
    return Item(features, np.array([frames // 2, frames]), visemes=(mouth > 0.5).astype(np.int64), curves=curves)


@pytest.mark.parametrize("faces", [True, False], ids=["clips", "generated speech"])
def test_held_out_sync_loss_falls_and_pairs_in_sync_outscore_others(tmp_path, faces):
    items = [invented_item(seed, faces) for seed in range(6)]
    recipe = Recipe(steps=60, batch=4)
    _, history = train(items[:5], items[5:], recipe, tmp_path / "state.pt", Reporter(), ALONE)
    before, after = history[0], history[-1]
    assert after["sync"] < 0.85 * before["sync"]
    assert after["sync_accuracy"] > 0.7
    assert after["reconstruction"] < before["reconstruction"]


def test_an_interrupted_training_ends_as_it_would_have(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "EVALUATE_EVERY", 4)
    items, recipe = [invented_item(0, False)], Recipe(steps=8, batch=3)
    complete, _ = train(items, items, recipe, tmp_path / "whole.pt", Reporter(), ALONE)

    class Stopped(Exception):
        pass

    class Stopping(Reporter):
        def progress(self, stage, done, total, unit="frames", note=""):
            if done == 6:
                raise Stopped

    with pytest.raises(Stopped):
        train(items, items, recipe, tmp_path / "again.pt", Stopping(), ALONE)
    again, history = train(items, items, recipe, tmp_path / "again.pt", Reporter(), ALONE)
    assert [row["step"] for row in history] == [0, 4, 8]
    for one, other in zip(complete.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    with pytest.raises(WorkspaceError, match="other settings"):
        train(items, items, dataclasses.replace(recipe, steps=9), tmp_path / "again.pt", Reporter(), ALONE)
    (tmp_path / "again.pt").write_bytes(b"cut off")
    with pytest.raises(WorkspaceError, match="delete it"):
        train(items, items, recipe, tmp_path / "again.pt", Reporter(), ALONE)


def test_frames_out_of_sync_come_from_the_same_speech():
    item = invented_item(0, False)
    batch = draw([item], 20, spread_of([item]), np.random.default_rng(0))
    away = (batch["at"] - batch["elsewhere"]).abs()
    assert batch["at"].shape == (20, SEEN)
    assert away.min() >= NEAREST
    assert away.max() <= FARTHEST


def test_similarity_is_the_cosine_of_equation_1():
    a, b = torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, 3.0]])
    torch.testing.assert_close(similarity(a, b), torch.tensor([24 / 25]))


def test_the_opening_that_generated_speech_teaches_is_that_of_the_shape_keys(shapes):
    opening = 1000 * (shapes[:, 14, 1] - shapes[:, 13, 1])
    for name, reported in generated_speech.OPENING_MM.items():
        both = [name, name.replace("Left", "Right")] if name.endswith("Left") else [name]
        true = sum(opening[BLENDSHAPE_NAMES.index(part)] for part in both)
        assert abs(reported - true) < 0.3 * abs(true) + 0.2, name
    assert blendshape_basis.BLENDSHAPE_NAMES is BLENDSHAPE_NAMES


def test_held_out_recordings_stay_the_same_when_others_are_added(tmp_path):
    for seed in range(40):
        write_item(tmp_path / f"clip_{seed}.npz", invented_item(seed, True, 40))
    training, held = read_items(tmp_path)
    assert held
    assert len(training) + len(held) == 40
    before = {item.features.tobytes() for item in held}
    for seed in range(40, 50):
        write_item(tmp_path / f"clip_{seed}.npz", invented_item(seed, True, 40))
    assert before <= {item.features.tobytes() for item in read_items(tmp_path)[1]}


def test_a_single_clip_is_judged_by_its_end(tmp_path):
    item = invented_item(0, True, 220)
    write_item(tmp_path / "one.npz", item)
    (training,), (held,) = read_items(tmp_path)
    assert len(training.features) == 200
    assert np.array_equal(held.faces, item.faces[200:])


def test_lists_of_a_data_set_say_what_is_held_out(tmp_path):
    for speaker in ("a", "b"):
        (tmp_path / "main" / speaker).mkdir(parents=True)
        for name in ("00001", "00002"):
            (tmp_path / "main" / speaker / f"{name}.mp4").write_bytes(b"-")
    clips = face_windows.find_clips(tmp_path)
    assert len(clips) == 4
    assert face_windows.held_out_of_lists(tmp_path) is None
    (tmp_path / "val.txt").write_text("b/00002\n", "utf-8")
    held = face_windows.held_out_of_lists(tmp_path)
    assert [path.parent.name + path.stem for name, path in clips.items() if name in held] == ["b00002"]


def test_a_folder_of_clips_is_trained_on_and_what_cannot_be_used_is_reported(sample, tmp_path):
    folder = tmp_path / "clips" / "main" / "speaker"
    folder.mkdir(parents=True)
    shutil.copyfile(sample / "speaker.mp4", folder / "00001.mp4")
    (folder / "00002.mp4").write_bytes(b"no video")
    reported = []
    reporter = Reporter(on_log=lambda level, text: reported.append(text))
    out = tmp_path / "encoder.safetensors"
    result = pretrain(tmp_path / "clips", 0.0, out, Recipe(steps=3, batch=2), reporter)
    assert any("00002.mp4 is left out" in text for text in reported)
    assert result["training_s"] + result["held_out_s"] == pytest.approx(10.0, abs=0.1)
    load_weights(out)
    page = out.with_suffix(".html").read_text("utf-8")
    assert "Eq. 2" in page
    assert "data:image/png" in page
    figures = json.loads(out.with_suffix(".json").read_text("utf-8"))
    assert figures["course"][-1]["step"] == 3
    assert not out.with_suffix(".state.pt").exists()
    (item,) = (np.load(path) for path in out.with_suffix(".prepared").glob("*.npz"))
    assert item["valid"].mean() > 0.95
    mouth = item["faces"][:, 24:60, 16:48].astype(float)
    assert np.abs(np.diff(mouth, axis=0)).mean() > 0.5, "the lips move in the window"
    assert open_encoder(out).features([np.zeros(16000, np.float32)]).shape == (25, SIZE)


def test_nothing_to_learn_from_is_one_sentence(tmp_path):
    with pytest.raises(WorkspaceError, match="--generate"):
        pretrain(None, 0.0, tmp_path / "e.safetensors", Recipe(), Reporter())
    with pytest.raises(MediaError, match="not a folder"):
        pretrain(tmp_path / "nowhere", 0.0, tmp_path / "e.safetensors", Recipe(), Reporter())
    (tmp_path / "empty").mkdir()
    with pytest.raises(WorkspaceError, match="no video"):
        pretrain(tmp_path / "empty", 0.0, tmp_path / "e.safetensors", Recipe(), Reporter())
    with pytest.raises(ModelError, match="choose one of"):
        open_encoder("nonesuch")


@pytest.mark.skipif(shutil.which("flite") is None or shutil.which("espeak-ng") is None, reason="needs flite, espeak-ng")
def test_generated_speech_repeats_itself_and_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr(generated_speech, "PART_S", 8)
    generated_speech.generate(tmp_path / "a", 16 / 3600, Reporter())
    generated_speech.generate(tmp_path / "b", 16 / 3600, Reporter())
    one, other = ([Item(**np.load(path)) for path in sorted((tmp_path / name).glob("*.npz"))] for name in "ab")
    assert len(one) == len(other) == 2
    for a, b in zip(one, other, strict=True):
        assert np.array_equal(a.features, b.features)
        assert len(a.features) >= 8 * 25
        assert set(np.unique(a.visemes)) <= set(range(len(generated_speech.VISEMES)))
        assert a.curves.max() > 0.3
        rest = a.curves[a.visemes == 0, 0].mean()
        assert a.curves[a.visemes == generated_speech.VISEMES.index("open"), 0].mean() > rest + 0.2
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").glob("*.npz")}
    generated_speech.generate(tmp_path / "a", 24 / 3600, Reporter())
    assert len(list((tmp_path / "a").glob("*.npz"))) == 3
    assert all(path.stat().st_mtime_ns == then for path, then in written.items())


@pytest.mark.skipif(sys.platform == "win32", reason="torchrun's rendezvous is tested where it is used")
def test_two_processes_train_one_encoder(tmp_path):
    for seed in range(2):
        write_item(tmp_path / "prepared" / f"clip_{seed}.npz", invented_item(seed, True, 120))
    clips = tmp_path / "clips"
    clips.mkdir()
    names = {}
    for seed in range(2):
        (clips / f"{seed}.mp4").write_bytes(b"-")
        names[f"clip_{seed}"] = face_windows.prepared_name(Path(f"{seed}.mp4"))
        os.replace(tmp_path / "prepared" / f"clip_{seed}.npz", tmp_path / "prepared" / f"{names[f'clip_{seed}']}.npz")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out = tmp_path / "encoder.safetensors"
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1",
            "--master-port", str(port), "-m", "backend", "encoder", "pretrain", str(clips), "--out", str(out), "--steps", "3",
            "--batch", "2", "--prepared", str(tmp_path / "prepared"), "--json",
        ],
        capture_output=True, text=True, timeout=240, check=False, cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["processes"] == 2
    load_weights(out)


def test_the_network_gives_a_code_for_every_frame():
    model = AudioVisualEncoder()
    windows = torch.zeros(2, 5, FACE_SIDE, FACE_SIDE)
    lips, trunk = model.see(windows)
    assert lips.shape == (2, SIZE)
    assert model.decoder(torch.cat([trunk, lips], 1)).shape == (2, FACE_SIDE, FACE_SIDE)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_ctrl_c_stops_a_training_that_the_next_run_resumes_with(tmp_path):
    for seed in range(2):
        write_item(
            tmp_path / "e.prepared" / f"{generated_speech.GENERATED}0_{seed:04d}.npz", invented_item(seed, False)
        )
    arguments = [
        sys.executable, "-m", "backend", "encoder", "pretrain", "--generate", "0.1", "--out", str(tmp_path / "e.safetensors"),
        "--steps", "100000", "--batch", "2",
    ]  # fmt: skip
    process = subprocess.Popen(arguments, cwd=Path(__file__).parents[3], stderr=subprocess.PIPE, text=True)
    state = tmp_path / "e.state.pt"
    for _ in range(1200):
        if state.exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "resume from here" in error
    assert torch.load(state, weights_only=True)["done"] >= 100
