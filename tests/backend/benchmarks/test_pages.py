"""Benchmark pages are made of what was measured, and say what was missed."""

from __future__ import annotations

import json
import re

import pytest

from backend.benchmarks import pages, subject


def rendered(ms: float, first_image_s: float = 2.0) -> dict:
    """A result of `bench renderer`, reduced to what its page reads."""
    sizes = (256, 512, 1024)
    return {
        "machine": "2 cores, no GPU",
        "kernels": {"plain PyTorch": {str(size): {"ms": 3200.0} for size in sizes}},
        **{f"ms_{size}": ms for size in sizes},
        "ratio_512": 3200.0 / ms,
        "start": {"cached_s": first_image_s, "reinstalled_s": first_image_s, "memory_mb": 399.0},
    }


def test_a_page_names_command_machine_targets_and_what_was_measured(tmp_path):
    page = pages.write(
        "renderer", rendered(64.0), "| a | table |\n|---|---|", "bench renderer --workspace WS", tmp_path
    )
    text = page.read_text(encoding="utf-8")
    assert page == tmp_path / "benchmarks" / "renderer.md"
    assert "`bench renderer --workspace WS`" in text and subject.machine() in text
    assert "| a frame at 512² | ≤ 100 ms | **64 ms** | met |" in text
    assert "| a | table |" in text
    assert json.loads((tmp_path / "benchmarks" / "data" / "renderer.json").read_text(encoding="utf-8"))[
        "result"
    ] == rendered(64.0)


def test_a_missed_target_is_called_missed_on_the_page_and_in_the_index(tmp_path):
    page = pages.write("renderer", rendered(140.0), "", "bench renderer", tmp_path)
    for text in (page.read_text(encoding="utf-8"), (tmp_path / "benchmarks.md").read_text(encoding="utf-8")):
        assert re.search(r"a frame at 512²\]?.*≤ 100 ms.*140 ms.*\*\*missed\*\*", text)


def test_every_plot_that_a_page_shows_is_there(tmp_path):
    pages.write("renderer", rendered(64.0), "", "bench renderer", tmp_path)
    shown = re.findall(r"\]\((benchmarks/plots/[^)]+)\)", (tmp_path / "benchmarks.md").read_text(encoding="utf-8"))
    assert len(shown) == 4
    for plot in shown:
        assert (tmp_path / plot).read_text(encoding="utf-8").startswith("<?xml")


def test_the_index_keeps_what_other_benchmarks_measured(tmp_path):
    pages.write("renderer", rendered(64.0), "", "bench renderer", tmp_path)
    training = {"recipe": "gated", "minutes": 2.0, "psnr_head": 32.8, "gap": 0.1, "memory_mb": 890.0}
    pages.write("training", {"machine": "2 cores", "trainings": [training]}, "", "bench training", tmp_path)
    index = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "benchmarks/renderer.md" in index and "32.8 dB" in index


@pytest.mark.parametrize(("value", "rises", "met"), [(29.0, True, True), (28.9, True, False), (28.9, False, True)])
def test_a_figure_knows_which_side_of_its_target_is_good(value, rises, met):
    assert pages.Figure("", value, "dB", 29.0, rises).is_met is met


def test_a_page_shows_no_path_of_the_machine():
    from pathlib import Path

    from backend.benchmarks.training import Options

    options = Options(
        clip="/home/someone/clips/anchor.mp4", work=Path("/home/someone/work"), minutes=(1.0, 2.0), write=True
    )
    assert (
        pages.command("training", options)
        == "python -m backend bench training --clip anchor.mp4 --minutes 1.0 2.0 --work work"
    )
