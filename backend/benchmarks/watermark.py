"""`bench watermark`: what the watermark survives, how often it is found where there is none, what it costs."""

from __future__ import annotations

import contextlib
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..delivery.watermark import MOST_PIECES, PIECE_FRAMES, Detection, Detector, Marker, Message, detect
from ..media.decode import frames as read_frames
from ..media.encode import VideoWriter
from ..portrait_sync.pixels import opencv_on_one_thread
from ..progress import Reporter
from ..workspace.files import write_json
from . import pages
from .markdown import table
from .options import Watermark as Options
from .subject import SAMPLE

Frames = Iterable[np.ndarray]
Change = Callable[[np.ndarray], np.ndarray]

MESSAGE = Message.of("bench watermark")
_COST_SIDE, _COST_FRAMES = 512, 60


@dataclass(frozen=True)
class Attack:
    """What a delivered video goes through.

    Attributes:
        change: of each frame, before it is encoded.
        crf: of each H.264 encoding, one after the other.
    """

    name: str
    crf: tuple[float, ...]
    change: Change = np.asarray
    target: float | None = 99.0


def halved(frame: np.ndarray) -> np.ndarray:
    """Half the size, sides even."""
    size = (frame.shape[1] // 4 * 2, frame.shape[0] // 4 * 2)
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def cropped(frame: np.ndarray) -> np.ndarray:
    """70 % of each side, off the middle."""
    height, width = (round(side * 0.7) // 2 * 2 for side in frame.shape[:2])
    top, left = frame.shape[0] // 6, frame.shape[1] // 14
    return frame[top : top + height, left : left + width]


def brightened(frame: np.ndarray) -> np.ndarray:
    return cv2.convertScaleAbs(frame, alpha=1.1)


ATTACKS = (
    Attack("delivered, not changed", ()),
    Attack("CRF 28", (28,)),
    Attack("scaled to 50 %, CRF 23", (23,), halved),
    Attack("cropped to 70 %, CRF 23", (23,), cropped),
    Attack("+10 % brightness, CRF 23", (23,), brightened),
    Attack("three generations of CRF 23", (23, 23, 23)),
    Attack("three generations of CRF 28", (28, 28, 28)),
    Attack("+10 % brightness, CRF 28", (28,), brightened, None),
    Attack("cropped to 70 %, CRF 28", (28,), cropped, None),
    Attack("scaled to 50 %, CRF 28", (28,), halved, None),
)

_UNMARKED = ("unmarked", "unmarked, CRF 28")


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """The pieces of two seconds of all clips, marked and unmarked.

    Raises:
        SyncTalkError: a sentence on what is wrong with a clip.
    """
    rows = []
    for done, clip in enumerate(options.clip):
        path = SAMPLE / "speaker.mp4" if clip == "sample" else Path(clip)
        kept = None if options.work is None else options.work / f"{path.stem}.json"
        reporter.progress("bench watermark", done, len(options.clip), "clips", path.stem)
        if kept is None or not kept.exists():
            row = measured(path, options.preset, reporter)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                write_json(kept, row)
        else:
            row = json.loads(kept.read_text(encoding="utf-8"))
        rows.append(row)
    readings = [reading for row in rows for reading in row["unmarked"]]
    result = {
        "attacks": [_summary(rows, attack) for attack in ATTACKS],
        "unmarked": {"pieces": len(readings), "found": len(readings) - _count(readings, "absent")},
        "clips": rows, "preset": options.preset, "cost": cost(Path(options.clip[0])),
    }  # fmt: skip
    return pages.kept("watermark", options, result, in_words(result))


def measured(clip: Path, preset: str, reporter: Reporter) -> dict[str, Any]:
    """Pieces of a clip: each attack's readings, readings without a mark, and how far marked frames are from unmarked ones.

    The clip's frames are the host: marked, delivered as `render` delivers H.264, attacked as one video, then parted.
    """
    with tempfile.TemporaryDirectory(prefix="bench-watermark-") as folder:
        delivered = Path(folder, "delivered.mp4")
        distances: list[tuple[float, float]] = []
        _encoded(_marked(_frames(clip), distances), delivered)
        changed, attacks, together = _changed(delivered, Path(folder), preset), {}, {}
        for number, attack in enumerate(ATTACKS):
            reporter.progress("watermark", number, len(ATTACKS) + 1, "attacks", f"{clip.stem}, {attack.name}")
            path = changed[attack.change, attack.crf[:1]]
            for generation, crf in enumerate(attack.crf[1:]):
                again = Path(folder, f"again-{generation}.mp4")
                _encoded(_frames(path), again, crf, preset)
                path = again
            attacks[attack.name], together[attack.name] = _readings(path)
        reporter.progress("watermark", len(ATTACKS), len(ATTACKS) + 1, "attacks", f"{clip.stem}, unmarked")
        coarse = Path(folder, "coarse.mp4")
        _encoded(_frames(clip), coarse, 28, preset)
        unmarked = [reading for path in (clip, coarse) for reading in _unmarked(path, path is coarse)]
        together |= {name: _readings(path)[1] for name, path in zip(_UNMARKED, (clip, coarse), strict=True)}
    all_db, luminance_db = np.min(distances, 0)
    return {
        "clip": clip.stem, "attacks": attacks, "together": together, "unmarked": unmarked,
        "least_db": float(all_db), "least_luminance_db": float(luminance_db),
    }  # fmt: skip


def _changed(delivered: Path, folder: Path, preset: str) -> dict[tuple[Change, tuple[float, ...]], Path]:
    """What each attack makes of a delivered video with its first encoding: by both, since attacks share them."""
    wanted = dict.fromkeys((attack.change, attack.crf[:1]) for attack in ATTACKS)
    paths = {pair: folder / f"changed-{number}.mp4" if pair[1] else delivered for number, pair in enumerate(wanted)}
    with contextlib.ExitStack() as stack:
        videos: dict[tuple[Change, tuple[float, ...]], VideoWriter] = {}
        for frame in _frames(delivered):
            images = {change: np.ascontiguousarray(change(frame)) for change, _ in paths}
            for (change, crf), path in paths.items():
                if not crf:
                    continue
                if (change, crf) not in videos:
                    height, width = images[change].shape[:2]
                    video = VideoWriter(path, width, height, crf=crf[0], preset=preset)
                    videos[change, crf] = stack.enter_context(video)
                videos[change, crf].write(images[change])
    return paths


def cost(clip: Path) -> dict[str, float]:
    """Milliseconds of marking a frame of 512², median and least, in one thread; seconds of reading a piece."""
    clip = SAMPLE / "speaker.mp4" if str(clip) == "sample" else clip
    frames = [cv2.resize(frame, (_COST_SIDE, _COST_SIDE)) for frame in itertools.islice(_frames(clip), _COST_FRAMES)]
    marker, seconds = Marker(_COST_SIDE, _COST_SIDE, MESSAGE), []
    with opencv_on_one_thread():
        for frame in frames:
            begun = time.perf_counter()
            marker.embed(frame)
            seconds.append(time.perf_counter() - begun)
    begun = time.process_time()
    detect(frames)
    return {
        "embed_ms": float(np.median(seconds) * 1e3),
        "least_embed_ms": min(seconds) * 1e3,
        "detect_cpu_s": time.process_time() - begun,
    }


def _marked(frames: Frames, distances: list[tuple[float, float]]) -> Iterator[np.ndarray]:
    marker = None
    for frame in frames:
        marker = marker or Marker(frame.shape[1], frame.shape[0], MESSAGE)
        marked = marker.embed(frame)
        difference = marked.astype(np.float32) - frame
        luminance = difference @ np.float32([0.2126, 0.7152, 0.0722])
        distances.append((_decibels(difference), _decibels(luminance)))
        yield marked


def _decibels(difference: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(float(np.mean(difference**2)), 1e-9)))


def _frames(path: Path) -> Iterator[np.ndarray]:
    return (frame for _, frame in read_frames(path))


def _encoded(frames: Frames, path: Path, crf: float | None = None, preset: str | None = None) -> None:
    frames = iter(frames)
    first = next(frames)
    with VideoWriter(path, first.shape[1], first.shape[0], crf=crf, preset=preset) as video:
        for frame in itertools.chain([first], frames):
            video.write(np.ascontiguousarray(frame))


def _pieces(path: Path) -> Iterator[list[np.ndarray]]:
    """The pieces of a video, one after the other; a rest that is shorter is left out."""
    frames = _frames(path)
    while len(piece := list(itertools.islice(frames, PIECE_FRAMES))) == PIECE_FRAMES:
        yield piece


def _readings(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Those of a video's pieces, each by itself, and that of `MOST_PIECES` of them, spread over it, together."""
    pieces = list(_pieces(path))
    spread = set(np.linspace(0, len(pieces) - 1, min(len(pieces), MOST_PIECES)).round().astype(int).tolist())
    detector = Detector()
    alone = [_reading((detector if i in spread else Detector()).piece(piece)) for i, piece in enumerate(pieces)]
    return alone, _reading(detector.together())


def _reading(found: Detection) -> dict[str, Any]:
    state = "absent" if found.message is None else "read" if found.message == MESSAGE else "wrong"
    return {"state": state, "confidence": round(found.confidence, 2), "sync": round(found.sync, 2)}


def _unmarked(path: Path, is_coarse: bool) -> Iterator[dict[str, Any]]:
    """Readings of unmarked pieces: each as a whole and its four quarters, as they are and turned by 180°, or of a coarse
    encoding mirrored and turned by 90°. Against the pattern, which has no symmetry, a turned piece is another one."""
    for piece in _pieces(path):
        height, width = (side // 2 for side in piece[0].shape[:2])
        regions = [(slice(None), slice(None))]
        regions += [(slice(y, y + height), slice(x, x + width)) for y in (0, height) for x in (0, width)]
        turns = (np.fliplr, np.rot90) if is_coarse else (np.asarray, lambda frame: frame[::-1, ::-1])
        for rows, columns in regions:
            for turn in turns:
                yield _reading(detect([turn(frame[rows, columns]) for frame in piece]))


def _summary(rows: list[dict[str, Any]], attack: Attack) -> dict[str, Any]:
    """Of all clips' pieces: how many are read after an attack, and which clips are below the target."""
    readings = [row["attacks"][attack.name] for row in rows]
    read, wrong = (sum(_count(found, state) for found in readings) for state in ("read", "wrong"))
    pieces = sum(map(len, readings))
    missed = [
        row["clip"] for row, found in zip(rows, readings, strict=True) if _count(found, "read") < 0.99 * len(found)
    ]
    return {
        "name": attack.name, "target": attack.target, "pieces": pieces, "read": read, "wrong": wrong,
        "percent": 100 * read / max(1, pieces), "missed_in": missed,
        "files": sum(row["together"][attack.name]["state"] == "read" for row in rows),
    }  # fmt: skip


def _count(readings: list[dict[str, Any]], state: str) -> int:
    return sum(reading["state"] == state for reading in readings)


def in_words(result: dict[str, Any]) -> str:
    """A row for each attack with each clip's share, then what unmarked pieces gave."""
    clips, unmarked, spent = result["clips"], result["unmarked"], result["cost"]
    bare = [row["together"][name] for row in clips for name in _UNMARKED]
    rows = []
    for attack in result["attacks"]:
        found = [row["attacks"][attack["name"]] for row in clips]
        shares = [f"{_count(readings, 'read')} of {len(readings)}" for readings in found]
        files = f"{attack['files']} of {len(clips)}"
        rows.append([attack["name"], *shares, f"{attack['percent']:.1f} %", files])
    return "\n".join(
        [
            "Pieces of two seconds (50 frames) of which all 64 bits are read. The clips' own frames are marked, delivered (x264 "
            f"`medium`, CRF 16), then changed and encoded with x264 `{result['preset']}`, as one video.",
            "",
            *table(["after", *(row["clip"] for row in clips), "all", "files"], rows),
            "",
            f"“files”: those that are read by up to {MOST_PIECES} of their pieces together, as `verify` does where none is read by "
            "itself. "
            f"Unmarked files in which that finds a message: {sum(together['state'] != 'absent' for together in bare)} of {len(bare)}.",
            "",
            f"Wrong messages: {sum(attack['wrong'] for attack in result['attacks'])}. Unmarked pieces in which one was found: "
            f"{unmarked['found']} of {unmarked['pieces']:,} (disjoint pieces of the clips, each as a whole and its four quarters, "
            "as they are, turned by 180°, and, of a CRF 28 encoding, mirrored and turned by 90°).",
            "",
            *table(
                ["clip", "least PSNR of a marked frame, R, G, B", "its luminance alone"],
                [[row["clip"], f"{row['least_db']:.2f} dB", f"{row['least_luminance_db']:.2f} dB"] for row in clips],
            ),
            "",
            f"A frame of 512² in one thread: {spent['embed_ms']:.1f} ms (median), {spent['least_embed_ms']:.1f} ms (least). "
            f"Reading a piece: {spent['detect_cpu_s']:.2f} s of processor time.",
        ]
    )
