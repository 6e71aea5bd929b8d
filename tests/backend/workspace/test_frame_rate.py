"""Frame rates are exact, time codes count as SMPTE ST 12-1 does, and workspaces of the first format are read."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from backend.workspace.frame_rate import STANDARD, Timecode, as_text, exact_rate, frames_of
from backend.workspace.store import Workspace
from backend.workspace.subject import FORMAT, Subject

NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize("rate", STANDARD, ids=as_text)
def test_a_rounded_rate_is_the_exact_one(rate):
    for rounded in (float(rate), round(float(rate), 2), round(float(rate), 3), rate.limit_denominator(500)):
        assert exact_rate(rounded) == rate


def test_other_rates_stay_what_they_are():
    assert exact_rate(12.5) == Fraction(25, 2)
    assert exact_rate(14.985) == Fraction(15000, 1001)
    assert exact_rate(40) == 40
    for none in (0, -25, float("nan"), float("inf")):
        with pytest.raises((ValueError, OverflowError)):
            exact_rate(none)


def test_a_time_is_at_least_one_frame():
    assert [frames_of(0.36, rate) for rate in (Fraction(24000, 1001), Fraction(25), Fraction(60))] == [9, 9, 22]
    assert frames_of(0.001, Fraction(25)) == 1


@pytest.mark.parametrize(
    ("rate", "before", "after"),
    [
        (Fraction(25), "00:00:59:24", "00:01:00:00"),
        (Fraction(24000, 1001), "00:59:59:23", "01:00:00:00"),
        (NTSC, "00:00:59;29", "00:01:00;02"),
        (NTSC, "00:09:59;29", "00:10:00;00"),
        (NTSC, "00:00:59:29", "00:01:00:00"),
        (2 * NTSC, "00:00:59;59", "00:01:00;04"),
        (Fraction(50), "23:59:59:49", "00:00:00:00"),
    ],
)
def test_the_code_after(rate, before, after):
    code = Timecode.parse(before, rate)
    assert (str(code), str(code.later(1))) == (before, after)


@pytest.mark.parametrize("rate", [NTSC, 2 * NTSC], ids=as_text)
def test_drop_frame_codes_follow_the_clock(rate):
    code = Timecode.parse("00:00:00;00", rate)
    for hours in range(1, 11):
        assert abs(Timecode.parse(f"{hours:02d}:00:00;00", rate).frame - 3600 * hours * rate) < 0.11 * hours * (
            rate / NTSC
        )
    for number in range(0, 20 * 60 * 60, 7):
        assert Timecode.parse(str(code.later(number)), rate).frame == number


def test_what_is_no_code_of_the_rate_is_none():
    for text in ("", "now", "01:00:00:25", "24:00:00:00", "00:61:00:00", "1:2:3:4"):
        assert Timecode.parse(text, Fraction(25)) is None
    assert not Timecode.parse("01:00:00;00", Fraction(25)).drops, "25 frames a second drop none"


def test_rate_and_time_code_are_written_and_read(tmp_path):
    workspace = Workspace(tmp_path, Subject(name="a", rate=NTSC, timecode="01:00:00;00", frames=10))
    workspace.save()
    record = json.loads((tmp_path / "subject.json").read_text())
    assert (record["rate"], "fps" in record) == ([30000, 1001], False)
    read = Workspace.open(tmp_path).subject
    assert (read.rate, read.fps, str(read.timecode_at(3))) == (NTSC, float(NTSC), "01:00:00;03")


@pytest.mark.parametrize("stated", [{"fps": 25.0}, {}])
def test_a_workspace_of_the_first_format_has_25_frames_a_second(tmp_path, stated):
    (tmp_path / "subject.json").write_text(json.dumps({"format": 1, "name": "a", "source_fps": 30.0, **stated}))
    workspace = Workspace.open(tmp_path)
    assert (workspace.subject.rate, workspace.subject.timecode_at(0)) == (25, None)
    workspace.save()
    assert Workspace.open(tmp_path).subject.rate == 25
    assert json.loads((tmp_path / "subject.json").read_text())["format"] == FORMAT == 2
