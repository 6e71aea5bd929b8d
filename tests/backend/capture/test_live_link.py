"""Live Link Face's CSV, with each thing that real files do."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from backend.capture.axes import angles_of, turn_of
from backend.capture.face_capture import FaceCapture
from backend.capture.files import read_capture
from backend.errors import CaptureError
from backend.media.encode import VideoWriter
from backend.progress import Reporter
from backend.protocol import BLENDSHAPE_NAMES
from tests.backend.capture_samples import COUNT, codes, drop_codes, live_link_rows, make_take, write_rows

NTSC_60, NTSC_30 = Fraction(60000, 1001), Fraction(30000, 1001)


@pytest.fixture
def take():
    return make_take()


@pytest.fixture
def rows(take):
    """Of a take at 60 frames a second that begins at 10:00:00:45."""
    return live_link_rows(take, codes(COUNT, 60, first=36_000 * 60 + 45))


def read(path: Path, **options) -> FaceCapture:
    return read_capture(path, Reporter(), **options)


def assert_same(capture: FaceCapture, take, rate: Fraction | int) -> None:
    assert np.allclose(capture.blendshapes, take.shapes, atol=1e-7) and capture.present.all()
    assert capture.rate == rate
    assert np.allclose(capture.times_s, np.arange(COUNT) / float(rate), atol=1e-6)
    assert capture.head_turn is not None and np.allclose(angles_of(capture.head_turn), take.angles, atol=1e-6)


def test_a_take_is_read_by_the_names_of_its_columns(tmp_path, take, rows):
    order = np.random.default_rng(1).permutation(len(rows[0]))
    assert_same(read(write_rows(tmp_path / "plain.csv", rows)), take, 60)
    shuffled = [[row[k] for k in order] for row in rows]
    assert_same(read(write_rows(tmp_path / "shuffled.csv", shuffled)), take, 60)


def test_left_and_right_stay_the_subjects(tmp_path, take, rows):
    capture = read(write_rows(tmp_path / "take.csv", rows))
    for name in ("JawRight", "JawLeft", "MouthSmileLeft", "EyeLookOutRight"):
        values = [float(row[rows[0].index(name)]) for row in rows[1:]]
        assert np.allclose(capture.blendshapes[:, BLENDSHAPE_NAMES.index(name[0].lower() + name[1:])], values)


@pytest.mark.parametrize("a_second", [24, 25, 30, 50, 60])
def test_the_codes_show_their_rate(tmp_path, take, a_second):
    rows = live_link_rows(take, codes(COUNT, a_second, first=17))
    capture = read(write_rows(tmp_path / "take.csv", rows))
    assert_same(capture, take, a_second)
    assert str(capture.start) == f"00:00:00:{17:02d}"


@pytest.mark.parametrize(("a_second", "rate"), [(60, NTSC_60), (30, NTSC_30)])
@pytest.mark.parametrize("is_marked", [True, False])
def test_drop_frame_codes_follow_the_clock(tmp_path, take, a_second, rate, is_marked):
    """Over the minute at which codes are left out, marked by a semicolon or not."""
    timecodes = drop_codes(COUNT, a_second, first=60 * a_second - 50)
    if not is_marked:
        timecodes = [code.replace(";", ":") for code in timecodes]
    assert_same(read(write_rows(tmp_path / "take.csv", live_link_rows(take, timecodes))), take, rate)


def test_60_codes_a_second_are_of_5994_where_the_user_or_the_video_states_it(tmp_path, take, rows):
    path = write_rows(tmp_path / "take.csv", rows)
    slower = read(path, fps=NTSC_60)
    assert slower.rate == NTSC_60 and np.isclose(slower.times_s[-1], (COUNT - 1) * 1001 / 60000)
    write_video(tmp_path / "take.mov", NTSC_60, "10:00:00;45")
    assert read(path).rate == NTSC_60


def test_60_rows_a_second_with_30_codes_are_spread_over_the_codes(tmp_path, take):
    twice = [code for code in codes(COUNT // 2, 30, first=5) for _ in range(2)]
    assert_same(read(write_rows(tmp_path / "twice.csv", live_link_rows(take, twice))), take, 60)
    with_parts = [code.replace(".000", part) for code in codes(COUNT // 2, 30, first=5) for part in (".000", ".500")]
    assert_same(read(write_rows(tmp_path / "parts.csv", live_link_rows(take, with_parts))), take, 60)


def test_parts_of_a_frame_count(tmp_path, take):
    rows = live_link_rows(take, codes(COUNT, 60, part=".250"))
    assert np.allclose(read(write_rows(tmp_path / "take.csv", rows)).times_s, (np.arange(COUNT) + 0.25) / 60)


def test_of_a_repeated_code_the_last_row_counts(tmp_path, take, rows):
    repeated = [*rows[:40], [rows[40][0], *rows[39][1:]], *rows[40:]]
    assert_same(read(write_rows(tmp_path / "take.csv", repeated)), take, 60)


def test_dropped_codes_leave_a_gap_in_time(tmp_path, take, rows):
    capture = read(write_rows(tmp_path / "take.csv", rows[:31] + rows[41:]))
    kept = np.r_[:30, 40:COUNT]
    assert np.allclose(capture.times_s, kept / 60) and np.allclose(capture.blendshapes, take.shapes[kept])


def test_codes_run_through_midnight(tmp_path, take):
    timecodes = (codes(50, 60, first=24 * 3600 * 60 - 50) + codes(COUNT - 50, 60))[:COUNT]
    assert_same(read(write_rows(tmp_path / "take.csv", live_link_rows(take, timecodes))), take, 60)


def test_less_than_a_second_warns_that_the_rate_is_not_shown(tmp_path, take):
    rows = live_link_rows(take, codes(COUNT, 60))[:21]
    reporter = Reporter()
    path = write_rows(tmp_path / "take.csv", rows)
    assert read_capture(path, reporter).rate == 30 and "--fps" in reporter.warnings[0]
    assert read(path, fps=Fraction(60)).rate == 60


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_byte_order_marks_and_encodings_are_read(tmp_path, take, rows, encoding):
    assert_same(read(write_rows(tmp_path / "take.csv", rows, encoding=encoding)), take, 60)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_decimal_commas_are_read(tmp_path, take, rows, delimiter):
    comma = [rows[0], *([row[0], row[1], *(cell.replace(".", ",") for cell in row[2:])] for row in rows[1:])]
    assert_same(read(write_rows(tmp_path / "take.csv", comma, delimiter)), take, 60)


def test_quoted_decimal_commas_are_read(tmp_path, take, rows):
    quoted = [rows[0], *([row[0], row[1], *(f'"{cell.replace(".", ",")}"' for cell in row[2:])] for row in rows[1:])]
    assert_same(read(write_rows(tmp_path / "take.csv", quoted)), take, 60)


def test_percents_are_read(tmp_path, take, rows):
    percents = [
        [code, count, *(f"{float(value) * 100:.5f}" for value in row[:52]), *row[52:]] for code, count, *row in rows[1:]
    ]
    assert_same(read(write_rows(tmp_path / "take.csv", [rows[0], *percents])), take, 60)


def test_blank_rows_and_rows_without_a_face_are_left_out(tmp_path, take, rows):
    spaced = [rows[0], [], *rows[1:20], [""] * len(rows[0]), *rows[20:60], [rows[60][0], "0"], *rows[61:]]
    capture = read(write_rows(tmp_path / "take.csv", spaced))
    kept = np.delete(np.arange(COUNT), 59)
    assert np.allclose(capture.blendshapes, take.shapes[kept]) and np.allclose(capture.times_s, kept / 60)


def test_a_last_row_that_was_cut_off_is_left_out(tmp_path, take, rows):
    path = write_rows(tmp_path / "take.csv", rows)
    path.write_bytes(path.read_bytes()[:-200])
    assert np.allclose(read(path).blendshapes, take.shapes[:-1])


def test_columns_that_are_missing_are_not_present(tmp_path, take, rows):
    without = {"TongueOut", "CheekPuff", "HeadRoll"}
    kept = [k for k, name in enumerate(rows[0]) if name not in without]
    capture = read(write_rows(tmp_path / "take.csv", [[row[k] for k in kept] for row in rows]))
    assert {BLENDSHAPE_NAMES[k] for k in np.flatnonzero(~capture.present)} == {"tongueOut", "cheekPuff"}
    assert capture.head_turn is None


def test_calibrated_values_may_leave_0_to_1(tmp_path, rows):
    rows[3][rows[0].index("JawOpen")] = "-0.08"
    rows[4][rows[0].index("JawOpen")] = "1.21"
    jaw = read(write_rows(tmp_path / "take.csv", rows)).blendshapes[:, BLENDSHAPE_NAMES.index("jawOpen")]
    assert jaw[2] == -0.08 and jaw[3] == 1.21


# -- takes' folders ----------------------------------------------------------------------------------------------------


def write_video(path: Path, rate: Fraction, timecode: str) -> None:
    seconds = 2.5
    tone = 0.3 * np.sin(np.arange(round(48_000 * seconds)) * 0.05).astype(np.float32)
    with VideoWriter(path, 64, 64, fps=rate, audio=(iter([tone]), 48_000), metadata={"timecode": timecode}) as video:
        for _ in range(round(seconds * rate)):
            video.write(np.full((64, 64, 3), 90, np.uint8))


def test_a_folder_gives_the_calibrated_take_with_its_videos_audio(tmp_path, take, rows):
    raw = live_link_rows(make_take(), [row[0] for row in rows[1:]])
    for row in raw[1:]:
        row[2:54] = ["0.5"] * 52
    write_rows(tmp_path / "Slate_1_iPhone_raw.csv", raw)
    write_rows(tmp_path / "Slate_1_iPhone_cal.csv", rows)
    write_rows(tmp_path / "frame_log.csv", [["kind", "index"], ["V", "0"]])
    (tmp_path / "take.json").write_text("{}")
    write_video(tmp_path / "Slate_1_iPhone.mov", Fraction(60), "10:00:00:45")
    capture = read(tmp_path)
    assert_same(capture, take, 60)
    assert capture.audio == tmp_path / "Slate_1_iPhone.mov"


def test_face_data_lies_where_its_time_code_is_in_the_video(tmp_path, rows):
    write_video(tmp_path / "take.mov", Fraction(60), "10:00:00:15")
    assert np.isclose(read(write_rows(tmp_path / "take.csv", rows)).times_s[0], 0.5)


def test_time_codes_of_two_clocks_are_warned_of(tmp_path, rows):
    write_video(tmp_path / "take.mov", Fraction(60), "01:00:00:00")
    reporter = Reporter()
    assert read_capture(write_rows(tmp_path / "take.csv", rows), reporter).times_s[0] == 0
    assert "other clocks" in reporter.warnings[0]


def test_a_folder_of_several_takes_asks_for_one(tmp_path, rows):
    for name in ("A_1.csv", "A_2.csv"):
        write_rows(tmp_path / name, rows)
    with pytest.raises(CaptureError, match="2 takes: give one of its files"):
        read(tmp_path)


# -- refusals ----------------------------------------------------------------------------------------------------------


def changed(rows, line: int, column: str, value: str):
    made = [list(row) for row in rows]
    made[line - 1][made[0].index(column)] = value
    return made


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda rows: changed(rows, 9, "JawOpen", "abc"), r"line 9: JawOpen is 'abc', which is no number"),
        (lambda rows: changed(rows, 9, "JawOpen", "nan"), r"line 9: JawOpen is 'nan', which is no number"),
        (lambda rows: changed(rows, 9, "JawOpen", "7.5"), r"line 9: jawOpen is 7.5, which is neither from 0 to 1 nor"),
        (lambda rows: changed(rows, 9, "Timecode", "10:00:00"), r"line 9: '10:00:00' is no time code"),
        (
            lambda rows: changed(rows, 9, "Timecode", "09:59:00:00.000"),
            r"line 9: the time code goes back to 09:59:00:00",
        ),
        (
            lambda rows: [*rows[:20], *changed(rows, 21, "Timecode", "11:00:00:00.000")[20:21]],
            r"line 21: the time jumps",
        ),
        (lambda rows: [*rows[:8], rows[8][:-3], *rows[9:]], r"line 9: it has 60 values for 63 columns"),
        (lambda rows: [*rows[:8], [*rows[8], "1"], *rows[9:]], r"line 9: it has 64 values for 63 columns"),
        (lambda rows: rows[:1], r"a header and no values"),
        (lambda rows: rows[:2], r"one moment only"),
        (lambda rows: [[*rows[0][:-1], "jaw_open"], *rows[1:]], r"jawOpen twice, as 'JawOpen' and 'jaw_open'"),
        (lambda rows: [["Timecode", "Smile"], *([row[0], "1"] for row in rows[1:])], r"none of ARKit's blendshapes"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(tmp_path, rows, change, match):
    path = write_rows(tmp_path / "take.csv", change(rows))
    with pytest.raises(CaptureError, match=match) as refused:
        read(path)
    assert str(path) in str(refused.value)


def test_head_angles_turn_about_the_heads_axes():
    """x to the right of the image, y down, z into the head."""
    forward = np.array([0.0, 0.0, -1.0])
    yaw, pitch, roll = turn_of(np.eye(3) * 0.3)
    assert (yaw @ forward)[0] > 0.2, "positive yaw faces the right of the image"
    assert (pitch @ forward)[1] > 0.2, "positive pitch nods"
    assert (roll @ np.array([0.0, -1.0, 0.0]))[0] < -0.2, "positive roll leans to the left of the image"
