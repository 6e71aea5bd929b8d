"""Trains the speech encoder on generated speech: `python -m backend.face_sync.encoder_pretraining --out FILE`.

The teacher is the project's synthetic speaker: texts are spoken by flite's and espeak-ng's voices, whose own phoneme
times give visemes and, through `backend.actor.articulation`, mouth curves. Speed, pitch, equaliser, room and noise are
changed at random. No recorded clip of any subject is used. Needs flite and espeak-ng.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from pathlib import Path

import numpy as np
import torch
from scipy.signal import fftconvolve, resample_poly
from torch import nn

from ..actor.articulation import mouth_curves, visemes_of
from ..actor.speech import SILENCES, Utterance, synthesize
from ..errors import SyncTalkError
from ..progress import terminal_reporter
from ..protocol import BLENDSHAPE_NAMES
from ..workspace import atomic_path
from .audio_features import RATE, frame_features
from .augmentation import warped
from .encoder import SIZE, WINDOW, SpeechEncoder

FPS = 25
FLITE_VOICES = ("rms", "slt", "awb")
ESPEAK_LANGUAGES = ("en-us", "en-gb", "de", "es", "it", "pt", "nl", "pl", "sv", "fi", "tr", "id")
ESPEAK_VARIANTS = (
    "",
    "+m1",
    "+m3",
    "+m5",
    "+m7",
    "+f1",
    "+f2",
    "+f3",
    "+f5",
    "+Annie",
    "+Andy",
    "+Lee",
    "+Alicia",
    "+Michael",
)
VISEMES = (
    "rest", "closed", "labiodental", "dental", "alveolar", "sibilant", "postalveolar", "velar", "rhotic", "lateral",
    "glide_w", "open", "open_front", "mid_front", "close_front", "central", "open_round", "mid_round", "close_round",
)  # fmt: skip
CURVES = (
    "jawOpen", "mouthDimpleLeft", "mouthFunnel", "mouthLowerDownLeft", "mouthPressLeft", "mouthPucker",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthSmileLeft", "mouthStretchLeft", "mouthUpperUpLeft",
    "tongueOut",
)  # fmt: skip
"""Curves that speech moves; left and right are alike here."""

BATCH = 24


def english_sentences(rng: np.random.Generator) -> list[str]:
    """Plain sentences of a few seconds from the texts that every Python carries (its reference manual and licence)."""
    from pydoc_data.topics import topics

    text = " ".join(topics.values())
    text = re.sub(r"[^A-Za-z,.'\s-]+", " ", text)
    sentences = [" ".join(part.split()) for part in re.split(r"[.\n]{2,}|\. ", text)]
    sentences = [
        part for part in sentences if 35 < len(part) < 130 and sum(c.islower() for c in part) > 0.7 * len(part)
    ]
    rng.shuffle(sentences)
    return sentences


def invented_sentence(rng: np.random.Generator) -> str:
    """Words of made-up open and closed syllables: every language's rules read them in their own way."""
    onsets = [*"bdfgklmnprstvwz", "sh", "ch", "st", "pl", "tr", "br", "fl", "sp"]
    nuclei = [*"aeiouaeo", "ai", "au", "ou", "ie"]
    codas = ["", "", "", "n", "m", "s", "r", "l", "t", "p", "f"]
    words = []
    for _ in range(rng.integers(7, 13)):
        syllables = rng.choice([1, 2, 2, 3])
        words.append("".join(rng.choice(onsets) + rng.choice(nuclei) for _ in range(syllables)) + rng.choice(codas))
        if rng.random() < 0.12:
            words[-1] += ","
    return " ".join(words) + "."


def spoken(rng: np.random.Generator, seconds: float, report) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """About `seconds` of speech: (features (N, D) float16, visemes (N) int64, curves (N, len(CURVES)) float16) of each
    utterance."""
    sentences = english_sentences(rng)
    found, total = [], 0.0
    while total < seconds:
        flite = rng.random() < 0.55
        voice = rng.choice(FLITE_VOICES) if flite else rng.choice(ESPEAK_LANGUAGES) + rng.choice(ESPEAK_VARIANTS)
        english = flite or str(voice).startswith("en")
        text = sentences[rng.integers(len(sentences))] if english and rng.random() < 0.85 else invented_sentence(rng)
        try:
            utterance = synthesize(text, str(voice))
        except SyncTalkError:
            continue
        found.append(varied(utterance, rng))
        total += len(found[-1][0]) / FPS
        report(min(total, seconds), seconds)
    return found


def varied(utterance: Utterance, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One recording of the utterance: another speed and pitch, colour, room, distance and noise."""
    speed = float(np.exp(rng.uniform(-0.16, 0.16)))
    samples = resample_poly(utterance.samples, *_ratio(RATE / utterance.rate / speed)).astype(np.float32)
    start, end = utterance.start_s / speed, utterance.end_s / speed
    lead = rng.uniform(0, 0.5)
    samples = np.pad(samples, (round(lead * RATE), round(rng.uniform(0, 0.5) * RATE)))
    start, end = start + lead, end + lead
    samples = fftconvolve(samples, _equaliser(rng), mode="same")
    if rng.random() < 0.5:
        samples = _room(samples, rng)
    level = np.sqrt(np.mean(samples**2)) * 10 ** (-rng.uniform(12, 50) / 20)
    noise = rng.normal(size=len(samples))
    if rng.random() < 0.5:
        noise = np.convolve(noise, [0.25, 0.25, 0.25, 0.25], mode="same") * 2
    samples = (samples + level * noise).astype(np.float32)
    features = frame_features(samples)
    time_s = np.arange(len(features)) / FPS
    labels = [*utterance.phonemes]
    curves = mouth_curves(labels, start, end, time_s)[:, [BLENDSHAPE_NAMES.index(name) for name in CURVES]]
    visemes = np.zeros(len(features), np.int64)
    for label, a, b in zip(labels, start, end, strict=True):
        parts = ["rest"] if label in SILENCES or label == "pau" else visemes_of(label)
        for k, part in enumerate(parts):
            low, high = a + (b - a) * k / len(parts), a + (b - a) * (k + 1) / len(parts)
            visemes[(time_s >= low) & (time_s < high)] = VISEMES.index(part)
    return features.astype(np.float16), visemes, curves.astype(np.float16)


def _ratio(value: float) -> tuple[int, int]:
    down = 200
    return max(1, round(value * down)), down


def _equaliser(rng: np.random.Generator) -> np.ndarray:
    """A smooth random frequency response within about +-8 dB, linear phase."""
    gains = np.interp(np.linspace(0, 1, 129), np.linspace(0, 1, 7), rng.normal(0, 4, 7))
    response = np.fft.irfft(10 ** (gains / 20))
    return np.roll(response, 128) * np.hanning(256)


def _room(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    decay = rng.uniform(0.05, 0.3)
    length = int(decay * RATE)
    tail = rng.normal(size=length) * np.exp(-6.9 * np.arange(length) / length)
    tail *= rng.uniform(0.1, 0.6) / np.sqrt((tail**2).sum())
    tail[0] += 1
    return fftconvolve(samples, tail)[: len(samples)]


class Pupil(nn.Module):
    """The encoder with the two heads it is taught by: visemes and mouth curves."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = SpeechEncoder()
        self.visemes = nn.Linear(SIZE, len(VISEMES))
        self.curves = nn.Linear(SIZE, len(CURVES))

    def forward(self, features):
        code = self.encoder(features)
        return self.visemes(code), self.curves(code)


def batch(data, rng: np.random.Generator):
    rows = []
    for k in rng.integers(len(data), size=BATCH):
        features, visemes, curves = data[k]
        start = int(rng.integers(max(len(features) - WINDOW, 0) + 1))
        part = slice(start, start + WINDOW)
        missing = WINDOW - len(features[part])
        rows.append(
            (
                warped(np.pad(features[part].astype(np.float32), ((0, missing), (0, 0)), mode="edge"), rng),
                np.pad(visemes[part], (0, missing), constant_values=-100),
                np.pad(curves[part].astype(np.float32), ((0, missing), (0, 0)), constant_values=np.nan),
            )
        )
    return tuple(torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True))


def train(data, steps: int, state: Path, report, seed: int = 0) -> Pupil:
    """Train for `steps`, going on from `state` where it exists; saved there every 100 steps."""
    torch.manual_seed(seed)
    pupil = Pupil()
    optimiser = torch.optim.AdamW(pupil.parameters(), lr=2e-3, weight_decay=0.01)
    done = 0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        pupil.load_state_dict(saved["pupil"])
        optimiser.load_state_dict(saved["optimiser"])
        done = saved["done"]
    spread = torch.from_numpy(np.concatenate([curves for *_, curves in data[:200]]).astype(np.float32).std(0)) + 0.02
    held, taught = data[: len(data) // 20], data[len(data) // 20 :]
    while done < steps:
        rng = np.random.default_rng((seed, done))
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1, (done + 1) / 50) * 0.5 * (1 + math.cos(math.pi * done / steps))
        loss = _loss(pupil, batch(taught, rng), spread)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(pupil.parameters(), 1.0)
        optimiser.step()
        done += 1
        if done % 100 == 0 or done == steps:
            with torch.no_grad():
                rng = np.random.default_rng(1)
                unseen = float(np.mean([float(_loss(pupil, batch(held, rng), spread)) for _ in range(4)]))
            report(done, steps, f"loss {loss.item():.3f}, unseen {unseen:.3f}")
            with atomic_path(state) as temporary:
                torch.save({"pupil": pupil.state_dict(), "optimiser": optimiser.state_dict(), "done": done}, temporary)
    return pupil


def _loss(pupil: Pupil, rows, spread):
    features, visemes, curves = rows
    logits, drawn = pupil(features)
    told = torch.nn.functional.cross_entropy(logits.transpose(1, 2), visemes, ignore_index=-100)
    known = ~torch.isnan(curves)
    error = ((drawn - torch.nan_to_num(curves)) / spread)[known]
    return told + torch.nn.functional.smooth_l1_loss(error, torch.zeros_like(error))


def save(pupil: Pupil, path: Path) -> None:
    """Half precision: twice as small, and exact to more than the weights mean."""
    from safetensors.torch import save_file

    tensors = {name: tensor.half().contiguous() for name, tensor in pupil.encoder.state_dict().items()}
    tensors |= {
        f"heads.{name}": tensor.half().contiguous()
        for name, tensor in pupil.state_dict().items()
        if not name.startswith("encoder.")
    }
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, {"source": "generated speech (flite, espeak-ng); no recorded clip"})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=3.0, help="speech to generate")
    parser.add_argument("--steps", type=int, default=2500)
    args = parser.parse_args()
    reporter = terminal_reporter()
    data = args.out.with_suffix(".data.pt")
    if data.exists():
        rows = [tuple(part.numpy() for part in row) for row in torch.load(data, weights_only=True)]
    else:
        rows = spoken(np.random.default_rng(0), args.hours * 3600, lambda d, t: reporter.progress("speech", d, t, "s"))
        with atomic_path(data) as temporary:
            torch.save([tuple(map(torch.from_numpy, row)) for row in rows], temporary)
    state = args.out.with_suffix(".state.pt")
    pupil = train(rows, args.steps, state, lambda d, t, m: reporter.progress("encoder", d, t, "steps", m))
    save(pupil, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
