"""The figures of `bench gaussians` as tables."""

from __future__ import annotations

import math
from typing import Any

from ..markdown import table
from .heads import KINDS
from .parts import BACKWARD, FORWARD


def in_words(result: dict[str, Any]) -> str:
    """All tables."""
    lines = [f"{result['machine']}; {result['clip']}, {result['gaussians']:,} Gaussians", ""]
    for section in (_frames(result), _parts(result), _memory(result), *_heads(result), _trainings(result)):
        lines += [*section, ""] if section else []
    return "\n".join(lines)


def _frames(result: dict[str, Any]) -> list[str]:
    rows = result["frames"]
    header = ("size", "Gaussians", "field", "ratio", "all passes", "`frame`, Gaussians", "`frame`, field")
    lines = table(
        header,
        (
            (
                f"{size}²", *(_spread(row[name]) for name in ("gaussians", "field")), f"{row['ratio']:.1f}x",
                f"{_spread(row['passes'])} ({row['passes_ratio']:.2f}x)", *(_spread(row["round_trip"][kind]) for kind in reversed(KINDS)),
            )
            for size, row in rows.items()
        ),
    )  # fmt: skip
    plain = result["plain"]
    return [
        "Milliseconds of a frame, the heads in turns: median (10th to 90th percentile). `frame` is a request to `serve` and its answer.",
        "",
        *lines,
        "",
        f"Plain PyTorch at {plain['size']}²: {plain['plain_ms']:,.0f} ms, compiled {plain['compiled_ms']:.2f} ms: {plain['ratio']:,.0f}x.",
    ]


def _parts(result: dict[str, Any]) -> list[str]:
    rows = {size: row["parts"] for size, row in result["frames"].items()}
    names = [*FORWARD, "forward", *BACKWARD, "backward"]
    lines = table(
        ("part, ms", *(f"{size}²" for size in rows)),
        ((name, *(_spread(row["parts"][name]) for row in rows.values())) for name in names),
    )
    lines += [
        f"| {label} | " + " | ".join(f"{result['frames'][size]['floor'][name]:.2f}" for size in rows) + " |"
        for label, name in (("floor of the arithmetic", "arithmetic_ms"), ("floor of the memory", "memory_ms"))
    ]
    rates = result["rates"]
    pairs = ", ".join(f"{row['pairs'] / 1e6:.1f} million at {size}²" for size, row in rows.items())
    return [
        *lines,
        "",
        f"Blended pairs of a Gaussian and a pixel: {pairs}. Measured alone on {next(iter(rows.values()))['threads']} threads: "
        f"{rates['pairs_per_s'] / 1e9:.2f} billion pairs a second, {rates['bytes_per_s'] / 1e9:.1f} GB/s.",
    ]


def _memory(result: dict[str, Any]) -> list[str]:
    rows = result["memory"]
    return table(
        ("head", "memory of a process that draws it", "checkpoint"),
        (
            (kind, f"{rows[kind]['rendering_mb']:.0f} MB", f"{rows[kind]['checkpoint_bytes'] / 1e6:.1f} MB")
            for kind in KINDS
        ),
    )


def _heads(result: dict[str, Any]) -> list[list[str]]:
    heads = result["heads"]
    quality = table(
        ("held-out", *_QUALITY),
        ((kind, *(_number(heads[kind], path) for path in _QUALITY.values())) for kind in KINDS),
    )
    faults = table(
        ("outside of the clip", *_FAULTS),
        ((kind, *(_number(heads[kind], path) for path in _FAULTS.values())) for kind in KINDS),
    )
    depth = [
        f"Depth of the Gaussians against the field's, {name}: median {1e3 * row['median_m']:.1f} mm, "
        f"95 % below {1e3 * row['p95_m']:.1f} mm."
        for name, row in heads["depth"].items()
        if row["median_m"] is not None
    ]
    grain = [
        f"Most grain, {kind}: {worst['at']}, {worst['largest']:.2f}x."
        for kind in KINDS
        if (worst := heads[kind]["grain"]["far"].get("chroma_rms"))
    ]
    return [quality, faults, [*depth, *grain]]


_QUALITY = {
    "head, dB": "psnr_head", "mouth, dB": "psnr_mouth", "worst 5 %, dB": "worst", "SSIM": "ssim", "LPIPS": "lpips",
    "lmd, px": "lmd_px", "lip amplitude": "lip_amplitude", "by audio: lip correlation": "audio.lip_correlation",
    "lip range": "audio.lip_range", "steadiness": "temporal_steadiness", "sharpness: mouth": "sharpness.mouth",
    "eyes": "sharpness.eyes", "hair": "sharpness.hair",
}  # fmt: skip
_FAULTS = {
    "grain in chroma, ±12° and shapes at 1: median": "grain.asked.chroma_rms.median",
    "95 %": "grain.asked.chroma_rms.p95",
    "in luminance, 95 %": "grain.asked.luminance_rms.p95",
    "±25° and shapes -0.3 to 1.3: chroma, 95 %": "grain.far.chroma_rms.p95",
    "luminance, 95 %": "grain.far.luminance_rms.p95",
    "own frames: chroma, 95 %": "grain.far.chroma_rms.trained_p95",
    "change by 1 µm": "continuity.shift",
    "jump at 0.01°": "continuity.jump",
}


def _trainings(result: dict[str, Any]) -> list[str]:
    if not result.get("trainings"):
        return []
    header = ("clip", "minutes", "trained", "complete run", "memory", "head, dB", "mouth, dB", "worst 5 %, dB", "lmd, px",
              "by audio: lip correlation", "lip range")  # fmt: skip
    return table(
        header,
        (
            (
                row["clip"], f"{row['minutes']:g}", row["head"], f"{row['wall_s']:.0f} s", f"{row['memory_mb']:.0f} MB",
                *(_number(row, path) for path in _TRAINED),
            )
            for row in result["trainings"]
        ),
    )  # fmt: skip


_TRAINED = ("psnr_head", "psnr_mouth", "worst", "lmd_px", "audio.lip_correlation", "audio.lip_range")


def _spread(value: dict[str, float]) -> str:
    return f"{value['ms']:.2f} ({value['p10']:.2f} to {value['p90']:.2f})"


def _number(row: dict[str, Any], path: str) -> str:
    """A figure, or what stands for one that could not be measured."""
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.2f}"
