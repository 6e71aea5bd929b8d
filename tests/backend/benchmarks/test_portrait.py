"""`bench portrait` compares ways to put the same rendered head into its footage."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("numba")

from backend.benchmarks import pages, portrait
from backend.benchmarks.portrait import comparison, rows
from backend.errors import UsageError
from backend.progress import Reporter
from backend.workspace.images import read_image
from backend.workspace.store import Workspace

SIZE = 96


def test_a_workspace_with_both_heads_is_measured_and_has_a_page(twin, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "TIMED_FRAMES", 2)
    before = {path: path.stat().st_mtime_ns for path in twin.rglob("*") if path.is_file()}
    options = portrait.Options(workspace=(twin,), size=SIZE, out=tmp_path / "images")
    result = json.loads(json.dumps(portrait.run(options, Reporter()), allow_nan=False))
    assert before == {path: path.stat().st_mtime_ns for path in twin.rglob("*") if path.is_file()}
    assert [clip["head"] for clip in result["clips"]] == ["gaussians", "field"]
    for clip in result["clips"]:
        found = clip["rows"]
        assert {rows.ALONE, rows.PAPERS, rows.GAP_LEFT, rows.OUR_PORTRAIT, rows.SOFT, *rows.WITHOUT} <= found.keys()
        ours, alone = found[rows.OUR_PORTRAIT], found[rows.ALONE]
        assert alone["psnr"] is None and alone["seam"] is None and alone["psnr_head"] > 5
        assert ours["psnr"] > ours["psnr_head"] > 5, "the plate is exact around the head"
        assert 0 < ours["seam"]["ratio"] < 5 and 0 < ours["steadiness"] < 5
        assert ours["seam"]["worst"] >= ours["seam"]["ratio"] and ours["seam"]["worst_part"] in ("hair", "jaw", "skin")
        assert found["ours, neck not extended"]["psnr"] != ours["psnr"]
        assert found[rows.SOFT]["seam"]["ratio"] < found[rows.RENDERED_HAIR]["seam"]["ratio"]
        assert all(row["ms"] > 0 for row in found.values()) and clip["rendering_ms"] > 0
        assert found[rows.PAPERS]["psnr_edge"] > ours["psnr_edge"], "the paper's jaw is the frame's own"
        assert ours["psnr_head"] > found[rows.RENDERED_HAIR]["psnr_head"], "the hair is the frame's own"
        assert clip["audio"].keys() == {
            rows.OUR_PORTRAIT,
            rows.PAPERS,
            rows.GAP_LEFT,
            rows.FIXED_NECK,
            rows.RENDERED_HAIR,
        }
        assert clip["audio"][rows.PAPERS]["seam"]["ratio"] > 0
        sheet = read_image(tmp_path / "images" / f"{clip['clip']}-{clip['head']}.png")
        assert sheet.shape[1] == 3 * Workspace.open(twin).subject.size, "at the working frame's own size"
        for name in ("mouths", "shut"):
            assert (tmp_path / "images" / f"{clip['clip']}-{clip['head']}-{name}.png").is_file()
    page = pages.write("portrait", result, portrait.in_words(result), "bench portrait", tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "| ours, edge softened |" in text and "seam at its worst place" in text


def test_another_name_is_no_head(tmp_path):
    with pytest.raises(UsageError, match="head must be one of both, gaussians, field"):
        portrait.Options(workspace=(tmp_path,), head="mesh")
