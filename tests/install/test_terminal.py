"""What a user sees of an installation, and the steps of the demo."""

from __future__ import annotations

import io

import pytest

from install import cli, demo, terminal
from install.progress import Progress, megabytes

EVENTS = [
    Progress("prepare", "2 packages, 30 MB to download", 0, 2, 0, 30_000_000),
    Progress("download", "numpy", 0, 2, 10_000_000, 30_000_000),
    Progress("install", "putting packages in place", 1, 2, 30_000_000, 30_000_000),
    Progress("ready", "complete", 2, 2, 30_000_000, 30_000_000),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_a_line_a_step():
    stream = io.StringIO()
    terminal.follow("backend:", EVENTS, stream)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "backend: 2 packages, 30 MB to download"
    assert lines[-1] == "backend: complete"
    assert "\r" not in stream.getvalue()


def test_a_terminal_gets_one_moving_line():
    stream = Terminal()
    terminal.follow("backend:", EVENTS, stream)
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().rstrip().endswith("backend: complete")


def test_an_error_ends_the_line_and_passes_through():
    def failing():
        yield EVENTS[0]
        raise ValueError("wrong")

    stream = Terminal()
    with pytest.raises(ValueError, match="wrong"):
        terminal.follow("backend:", failing(), stream)
    assert stream.getvalue().endswith("\n")


@pytest.mark.parametrize(
    ("size", "words"), [(6_009, "0.0 MB"), (3_758_596, "3.8 MB"), (515e6, "515 MB"), (2.9e9, "2.9 GB")]
)
def test_sizes_are_shown_as_people_read_them(size, words):
    assert megabytes(size) == words


def test_models_are_listed_for_a_program_that_calls_the_command_line(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["another-program"])
    assert cli.main(["models", "list"]) == 0
    assert "face_landmarker" in capsys.readouterr().out


def test_other_verbs_need_nothing_of_the_backend(monkeypatch):
    monkeypatch.setattr(cli, "import_module", lambda name: pytest.fail(f"{name} was imported"))
    assert cli._parser(["test", "list"]).parse_known_args(["test", "list"])[0].verb == "test"


def test_seconds_are_shown_as_people_read_them():
    assert [terminal.duration(seconds) for seconds in (48.4, 119.7, 7800)] == ["48 s", "2 min 00 s", "2 h 10 min"]


def test_the_demo_refuses_a_file_that_is_not_there(tmp_path, capsys):
    assert cli.main(["demo", "--video", str(tmp_path / "none.mp4"), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.strip() == f"{tmp_path / 'none.mp4'} does not exist: give another file."


def test_the_demos_sample_and_a_clip_of_ones_own_have_separate_folders(root, tmp_path):
    clip = tmp_path / "me.mp4"
    clip.write_bytes(b"")
    (tmp_path / "words.wav").write_bytes(b"")
    own = demo.job(root, clip, tmp_path / "words.wav", tmp_path / "out")
    assert own.workspace == tmp_path / "out/workspace-me"
    assert own.consent.endswith("who ran the demo on this clip")
    assert own.minutes > demo.SAMPLE_MINUTES


def test_the_demo_asks_on_a_terminal_whether_the_person_agrees(root, tmp_path, monkeypatch):
    clip = tmp_path / "me.mp4"
    clip.write_bytes(b"")
    answers = iter(["A. Person", " "])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: next(answers) if "me.mp4 agrees" in prompt else "?")
    assert demo.job(root, clip, clip, tmp_path / "out").consent == "A. Person"
    with pytest.raises(demo.DemoError, match="Consent is needed"):
        demo.job(root, clip, clip, tmp_path / "out")
    assert demo.job(root, clip, clip, tmp_path / "out", consent="B. Person").consent == "B. Person"
