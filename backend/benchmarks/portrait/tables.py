"""The figures of `bench portrait` as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..markdown import table

_COLUMNS: dict[str, tuple[str, ...]] = {
    "PSNR frame": ("psnr",), "head": ("psnr_head",), "mouth": ("psnr_mouth",), "border": ("psnr_edge",),
    "SSIM": ("ssim",), "MS-SSIM": ("ms_ssim",), "LPIPS": ("lpips",), "LMD, px": ("lmd_px",),
    "sharp mouth": ("sharpness", "mouth"), "sharp eyes": ("sharpness", "eyes"), "sharp hair": ("sharpness", "hair"),
    "seam": ("seam", "ratio"), "seam, hair": ("seam", "hair"), "seam, jaw": ("seam", "jaw"), "seam, worst": ("seam", "worst"),
    "steadiness": ("steadiness",), "ms": ("ms",),
}  # fmt: skip
_SPOKEN = ("LMD, px", "sharp mouth", "seam", "seam, hair", "seam, jaw", "seam, worst", "steadiness", "ms")
_DIGITS = {"psnr": 2, "psnr_head": 2, "psnr_mouth": 2, "psnr_edge": 2, "ssim": 4, "ms_ssim": 4, "lpips": 4}


def in_words(result: Mapping[str, Any]) -> str:
    """A table of every clip and head."""
    lines = [
        f"{result['machine']}; held-out frames, each row of the same rendered heads.",
        "",
        "PSNR in dB. Sharpness, seam and steadiness are ratios to the true video, 1 as there: sharpness is gradient energy; seam the",
        "steepest step across the head's contour, along hair, along jaw and neck, and at its worst place; steadiness the",
        "difference of neighbouring frames after warping by the true video's optical flow. ms: composing a frame, in turns.",
        "Of a mouth that the audio drives, frames that the source repeats do not count: it speaks on where the true video stands still.",
        "",
    ]
    for clip in result["clips"]:
        lines += [
            f"{clip['clip']}, {clip['head']}, {clip['frames']} frames, {clip['size']}²; rendering: {clip['rendering_ms']:.1f} ms.",
            "",
            *_table(clip["rows"], _COLUMNS),
            "",
        ]
        if clip["audio"]:
            spoken = {name: _COLUMNS[name] for name in _SPOKEN}
            lines += ["Mouth driven by the audio:", "", *_table(clip["audio"], spoken), ""]
    return "\n".join(lines)


def _table(rows: Mapping[str, Mapping[str, Any]], columns: Mapping[str, Sequence[str]]) -> list[str]:
    header = ["", *columns]
    body = [[name, *(_number(row, path) for path in columns.values())] for name, row in rows.items()]
    return table(header, body)


def _number(row: Mapping[str, Any], path: Iterable[str]) -> str:
    value: Any = row
    for key in path:
        value = None if value is None else value[key]
    return "–" if value is None else f"{value:.{_DIGITS.get(key, 2)}f}"
