"""What each benchmark's page states: its figures, and the targets that they are held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..media.codecs import H264
from .figure import Figure

Result = dict[str, Any]


def _renderer(result: Result) -> Iterator[Figure]:
    plain = result["kernels"]["plain PyTorch"]
    for size, limit in ((256, 30.0), (512, 100.0), (1024, None)):
        reference = ("plain PyTorch", plain[str(size)]["ms"])
        yield Figure(
            f"a frame at {size}²", result[f"ms_{size}"], "ms", limit, in_index=size == 512, reference=reference
        )
    yield Figure("times as fast as plain PyTorch, 512²", result["ratio_512"], "x", 20.0, rises=True, in_index=True)
    if start := result.get("start"):
        yield Figure("first image of a new process", start["cached_s"], "s", 3.0, in_index=True)
        yield Figure("first image after reinstalling elsewhere", start["reinstalled_s"], "s", 3.0)
        yield Figure("memory while rendering", start["memory_mb"], "MB", 600.0, in_index=True)


def _gpu(result: Result) -> Iterator[Figure]:
    row = result["kernels"].get("triton") or result["kernels"]["torch"]
    for size, ms in row["frames"].items():
        wanted = 1000.0 if size == "512" else None
        yield Figure(f"frames a second on a GPU, {size}²", 1e3 / ms, "", wanted, rises=True, in_index=size == "512")
        yield Figure(f"times as fast as PyTorch there, {size}²", row["frames_ratio"][size], "x", 10.0, rises=True)
    for rays, ratio in row["steps_ratio"].items():
        yield Figure(f"times as fast as PyTorch there, a step of {rays} rays", ratio, "x", 10.0, rises=True)
    yield Figure("image from PyTorch's in single precision", row["levels_from_torch"], "of 255", 2.5)
    if training := result.get("training"):
        yield Figure("validation frames after a minute on a GPU", training["psnr_validation"], "dB", 33.0, rises=True)


def _gaussians(result: Result) -> Iterator[Figure]:
    limits_ms = {"256": 2.5, "512": 5.0, "1024": 10.0}
    for size, row in result["frames"].items():
        shown = size == "512"
        ms, reference = row["gaussians"]["ms"], ("field", row["field"]["ms"])
        yield Figure(
            f"a frame of Gaussians at {size}²", ms, "ms", limits_ms.get(size), in_index=shown, reference=reference
        )
        wanted = 12.0 if shown else None
        yield Figure(f"times as fast as the field, {size}²", row["ratio"], "x", wanted, rises=True, in_index=shown)
        yield Figure(f"with depth and mattes, {size}²", row["passes_ratio"], "x", 1.5)
        yield Figure(
            f"a live frame of Gaussians from request to answer, {size}²", row["round_trip"]["gaussians"]["ms"], "ms"
        )
        yield Figure(f"times of its floor, {size}²", ms / row["floor"]["floor_ms"], "x")
    heads = result["heads"]
    for name, key in (("head", "psnr_head"), ("mouth", "psnr_mouth"), ("worst 5 % of frames", "worst")):
        ours, field = heads["gaussians"][key], heads["field"][key]
        if ours is not None and field is not None:
            name = f"held-out PSNR of Gaussians, {name}; target: the field's"
            yield Figure(name, ours, "dB", field, rises=True, in_index=key == "psnr_head")
    for name, where in (("asked", "±12° and shapes at 1"), ("far", "±25° and shapes -0.3 to 1.3")):
        ours, field = (heads[kind]["grain"][name].get("chroma_rms") for kind in ("gaussians", "field"))
        if ours and field:
            yield Figure(f"grain of Gaussians, {where}; target: the field's", ours["p95"], "x", field["p95"])
    yield Figure("largest jump of a pixel in a turn of 0.01°", heads["gaussians"]["continuity"]["jump"], "of 255", 1.0)
    yield Figure("memory while rendering Gaussians", result["memory"]["gaussians"]["rendering_mb"], "MB", 350.0)
    yield Figure("checkpoint of Gaussians", result["memory"]["gaussians"]["checkpoint_bytes"] / 1e6, "MB", 6.0)
    yield from _gaussian_trainings(result["trainings"])


def _gaussian_trainings(rows: list[dict[str, Any]]) -> Iterator[Figure]:
    """Both heads beside the field alone in the same minutes."""
    alone = {(row["clip"], row["minutes"]): row["psnr_head"] for row in rows if row["head"] == "field"}
    for row in rows:
        if row["head"] == "both":
            field = alone.get((row["clip"], row["minutes"]))
            name = f"{row['clip']} after {row['minutes']:g} min, Gaussians; target: the field alone"
            yield Figure(name, row["psnr_head"], "dB", field, rises=True)


def _training(result: Result) -> Iterator[Figure]:
    wanted = {2.0: 29.0, 10.0: 31.5}
    rows = [row for row in result["trainings"] if row["recipe"] == "gated"]
    for row in rows:
        minutes = row["minutes"]
        name = f"held-out head after {minutes:g} min, PSNR"
        yield Figure(name, row["psnr_head"], "dB", wanted.get(minutes), rises=True, in_index=minutes == 2)
    if rows:
        yield Figure("gap to frames trained on", rows[-1]["gap"], "dB", 1.5, in_index=True)
        yield Figure("memory of a training", rows[-1]["memory_mb"], "MB", 1500.0)


def _head_sync(result: Result) -> Iterator[Figure]:
    tables = {name: table["rows"] for name, table in result.items() if isinstance(table, dict) and "rows" in table}
    if "sample" in tables:
        ours, mediapipe = tables["sample"][-1], tables["sample"][0]
        for key, name, unit, limit in (
            ("rotation_mean_deg", "rotation error on the sample, mean", "°", 0.3),
            ("rotation_max_deg", "rotation error on the sample, largest", "°", 1.0),
            ("translation_percent", "translation error on the sample", "%", 0.5),
            ("focal_percent", "focal length error on the sample", "%", 10.0),
        ):
            reference = (mediapipe["method"], mediapipe[key]) if key in mediapipe else None
            yield Figure(name, ours[key], unit, limit, in_index=key == "rotation_mean_deg", reference=reference)
    ratios = {
        name: rows[-1]["jitter_deg"] / rows[0]["jitter_deg"] for name, rows in tables.items() if rows[0]["jitter_deg"]
    }
    if ratios:
        worst = max(ratios, key=lambda name: ratios[name])
        name = f"jitter as a part of MediaPipe's, worst clip ({worst})"
        why = "true acceleration of a lively head counts as jitter"
        yield Figure(name, ratios[worst], "", 0.2, in_index=True, why=why)
    for name, rows in tables.items():
        yield Figure(f"reprojection error, {name}", rows[-1]["reprojection_px"], "px", 0.5)


def _face_sync(result: Result) -> Iterator[Figure]:
    if space := result.get("lip_space"):
        encoder, mel = space["encoder"]["opening"], space["log-mel"]["opening"]
        reference = ("log-mel", mel["across"]["correlation"])
        yield Figure(
            "lip opening across speakers, correlation", encoder["across"]["correlation"], "", 0.5, True, True, reference
        )
        adapted = space["adapted"]["opening"]["same"]["correlation"]
        yield Figure("lip opening after adaptation, correlation", adapted, "", 0.68, rises=True)
        yield Figure("time of an adaptation", space["adapted"]["seconds"], "s", 60.0)
    if sync := result.get("sync"):
        sure = [row for row in sync["clips"].values() if row["sure"] == len(sync["shifts_ms"])]
        largest = max((abs(error) for row in sure for error in row["errors_ms"]), default=float("nan"))
        yield Figure(f"error of a shifted audio, {len(sure)} clips that are sure", largest, "ms", in_index=True)
    for row in result.get("cost", [])[-1:]:
        yield Figure(f"features of {row['minutes']} min of audio", row["seconds"], "s", 90.0)


_QUIET_CORES = 0.2
"""Kept busy by other processes: with more, frames a second are those of a busy machine."""


def _process(result: Result) -> Iterator[Figure]:
    for number, row in enumerate(result["clips"]):
        shown, name = number == 0, row["clip"]
        earlier, others = row.get("earlier"), row.get("other_cores", 0.0)
        why = f"other processes kept {others:.1f} cores busy meanwhile" if others > _QUIET_CORES else ""
        # Of two runs that had unequal shares of the machine only the processor time can be compared.
        fair = earlier is not None and max(others, earlier["other_cores"]) <= _QUIET_CORES
        version = "" if earlier is None else f"version {earlier['commit']}"
        reference, frames_per_s = (version, earlier["frames_per_s"]) if fair else None, row["frames_per_s"]
        yield Figure(f"frames a second, {name}", frames_per_s, "frames/s", 30.0, True, shown, reference, why)
        if "cpu_ms" in row:
            reference = None if earlier is None else (version, earlier["cpu_ms"])
            spent = f"processor time of a frame, {name}; target: two cores at 30 frames/s"
            yield Figure(spent, row["cpu_ms"], "ms", 2e3 / 30.0, in_index=shown, reference=reference)
        if fair:
            yield Figure(
                f"frames a second as times those of {version}, {name}", earlier["speedup"], "x", 1.6, rises=True
            )
        if earlier is not None:
            yield Figure(f"processor time of {version} as times this one's, {name}", earlier["saving"], "x")
        yield Figure(f"peak memory of process, {name}", row["memory_mb"], "MB", 1500.0, in_index=shown)


def _delivery(result: Result) -> Iterator[Figure]:
    for number, row in enumerate(result["rows"]):
        others, wanted = row["other_cores"], 10.0 if row["codec"] == H264 and row["size"][1] == 1080 else None
        why = f"other processes kept {others:.1f} cores busy meanwhile" if others > _QUIET_CORES else ""
        name = f"{row['clip']}, {row['codec']}, {row['audio']}"
        reference = ("without a head", row["without_head"]["frames_per_s"])
        shown = number == 0
        yield Figure(f"frames a second, {name}", row["frames_per_s"], "frames/s", wanted, True, shown, reference, why)
        yield Figure(f"peak memory, {name}", row["memory_mb"], "MB")
    by_clip: dict[str, list[Result]] = {}
    for row in result["rows"]:
        by_clip.setdefault(f"{row['clip']}, {row['codec']}", []).append(row)
    for name, rows in by_clip.items():
        short, long = (choose(rows, key=lambda row: row["frames"]) for choose in (min, max))
        if long["frames"] > short["frames"]:
            ratio = f"memory of {long['frames']:,} frames as times that of {short['frames']:,}, {name}"
            yield Figure(ratio, long["memory_mb"] / short["memory_mb"], "x", 1.1, in_index=True)


def _readiness(result: Result) -> Iterator[Figure]:
    for head in result["heads"]:
        if head["readiness"] and head["speech_gain"] is not None:
            difference = abs(head["readiness"]["mouth"]["gain"] - head["speech_gain"])
            yield Figure(
                f"grade against new speech, {head['workspace']}, {head['step']:,} steps", difference, "of the gain", 0.1
            )


def _capture(result: Result) -> Iterator[Figure]:
    faces = [pair for pair in result["pairs"] if "head" not in pair["take"]]
    lips, shape = (
        "lips of a driven head follow the driver's, correlation",
        "face of a driven head from its own neutral, over the same in its own clip",
    )
    yield Figure(f"{lips}, least", min(pair["lips"] for pair in faces), "", 0.8, rises=True, in_index=True)
    yield Figure(f"{shape}, most", max(pair["shape_ratio"] for pair in faces), "x", 1.1, in_index=True)
    for pair in result["pairs"]:
        turned = "head" in pair["take"]
        name = f"{pair['subject']} driven by {pair['driver']}{', head and all' if turned else ''}"
        why = "turned further than its clip ever shows it" if turned else ""
        yield Figure(f"{lips}: {name}", pair["lips"], "", 0.8, rises=True)
        yield Figure(f"{shape}: {name}", pair["shape_ratio"], "x", 1.1, why=why)


_PORTRAIT_DB = {
    ("anchor-en-71s", 512): {"psnr": 37.4, "psnr_head": 34.0, "psnr_mouth": 32.0},
    ("speech-en-8s-long-hair", 256): {"psnr_head": 26.0},
    ("presenter-7s-30fps-700px", 256): {"psnr_head": 26.0},
}
"""Targets of PSNR, by clip and size."""


def _portrait(result: Result) -> Iterator[Figure]:
    for number, clip in enumerate(result["clips"]):
        where, first = f"{clip['clip']}, {clip['head']}, {clip['size']}²", number == 0
        ours, papers, alone = (clip["rows"][name] for name in ("ours", "paper's", "head alone"))
        spoken = (clip["audio"] or {}).get("ours", {})
        decibels = _PORTRAIT_DB.get((clip["clip"], clip["size"]), {})
        for name, row, path, target in (
            ("PSNR of complete frames", ours, ("psnr",), decibels.get("psnr")),
            ("PSNR of the head", ours, ("psnr_head",), decibels.get("psnr_head")),
            ("PSNR of the mouth", ours, ("psnr_mouth",), decibels.get("psnr_mouth")),
            ("seam, 1 as in the footage", ours, ("seam", "ratio"), 1.15),
            ("seam at its worst place", ours, ("seam", "worst"), None),
            ("change from frame to frame, 1 as in the footage", ours, ("steadiness",), 1.15),
            ("change from frame to frame, mouth driven by the audio", spoken, ("steadiness",), 1.15),
        ):
            value, paper = _at(row, path), _at(papers, path) if first and row is ours else None
            if value is not None:
                rises = len(path) == 1 and path[0].startswith("psnr")
                reference = ("paper's", paper) if paper else None
                yield Figure(
                    f"{name}, {where}",
                    value,
                    "dB" if rises else "x",
                    target,
                    rises,
                    first and target is not None,
                    reference,
                )
        gain = ours["psnr_head"] - alone["psnr_head"]
        yield Figure(f"gain of the portrait over the head alone, {where}", gain, "dB", 2.0, rises=True)
        drawn, limit = clip["rendering_ms"], 1.25 if clip["size"] == 512 else None
        cost = (drawn + ours["ms"]) / (drawn + alone["ms"])
        yield Figure(f"a complete frame in times of the head alone, {where}", cost, "x", limit, in_index=first)


def _watermark(result: Result) -> Iterator[Figure]:
    for row in result["attacks"]:
        why = f"fewer in {', '.join(row['missed_in'])}" if row["missed_in"] else ""
        name, shown = f"pieces read, {row['name']}", row["target"] is not None
        yield Figure(name, row["percent"], "%", row["target"], rises=True, in_index=shown, why=why)
    for row in result["attacks"]:
        if row["missed_in"]:
            name = f"files of {len(result['clips'])} read by their pieces together, {row['name']}"
            yield Figure(name, row["files"], "", rises=True)
    unmarked, least = result["unmarked"], min(row["least_db"] for row in result["clips"])
    yield Figure(f"false ones in {unmarked['pieces']:,} unmarked pieces", unmarked["found"], "", 0.0, in_index=True)
    yield Figure("marking a frame of 512²", result["cost"]["embed_ms"], "ms", 8.0, in_index=True)
    yield Figure("PSNR of a marked frame, least of all", least, "dB", 46.0, rises=True, in_index=True)


def _live(result: Result) -> Iterator[Figure]:
    for row in result["latency"]:
        is_fast, where = row["size"] == 512, f"{row['head']}, {row['size']}²{', over the footage' * row['footage']}"
        limit = 60.0 if is_fast else 120.0
        yield Figure(f"packet to image, p95, {where}", row["image"]["p95"], "ms", limit, in_index=not row["footage"])
        yield Figure(f"images a second, {where}", row["frames_per_s"], "", 25.0 if is_fast else None, rises=True)
    if (minutes := result.get("endurance", {}).get("minutes", [])) and len(minutes) > 2:
        growth = minutes[-1]["memory_mb"] - minutes[1]["memory_mb"]
        yield Figure(f"memory grown in {len(minutes) - 2} minutes", growth, "MB", 5.0)
        delay = minutes[-1]["packet"]["p95"] - minutes[1]["packet"]["p95"]
        yield Figure("delay grown in them, p95", delay, "ms", 5.0)


def _at(row: Result, path: tuple[str, ...]) -> float | None:
    value: Any = row
    for key in path:
        value = None if value is None else value.get(key)
    return value


FIGURES: dict[str, Callable[[Result], Iterator[Figure]]] = {
    "renderer": _renderer,
    "gpu": _gpu,
    "gaussians": _gaussians,
    "training": _training,
    "process": _process,
    "delivery": _delivery,
    "head-sync": _head_sync,
    "face-sync": _face_sync,
    "readiness": _readiness,
    "portrait": _portrait,
    "watermark": _watermark,
    "live": _live,
    "capture": _capture,
}
