"""Options are declared once: the command line and the server read the same fields."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, is_dataclass
from pathlib import Path

import pytest

from backend import server
from backend.cli import main
from backend.commands import VERBS, evaluate, option, process, render, train
from backend.commands.option import from_params, option_fields, to_json
from backend.errors import ProtocolError, UsageError


@dataclass(frozen=True)
class Options:
    workspace: Path = option.option("a folder", positional=True)
    offset: float | str | None = option.option("how late", None, choices=("auto",))
    count: int = option.option("how many", 3)
    names: tuple[str, ...] = option.option("which", ())
    closed: bool = option.option("whether", False)


def commands(verbs=VERBS, path=()):
    """Every command with its verbs."""
    for name, verb in verbs.items():
        if verb.verbs:
            yield from commands(verb.verbs, (*path, name))
        else:
            yield (*path, name), verb


def test_params_become_options():
    found = from_params(Options, {"workspace": "/w", "offset": 40, "names": ["a", "b"], "closed": True}, "job")
    assert found == Options(workspace=Path("/w"), offset=40.0, names=("a", "b"), closed=True)
    assert from_params(Options, {"workspace": "/w", "offset": "auto"}, "job").offset == "auto"
    assert from_params(Options, {"workspace": "/w", "offset": None}, "job").offset is None


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({}, "The parameter workspace of job is missing"),
        ({"workspace": 5}, "The parameter workspace must be a path, not 5"),
        ({"workspace": "/w", "nose": 1}, "job has no parameter nose: its parameters are workspace, offset"),
        ({"workspace": "/w", "offset": "late"}, "offset must be a number or one of auto, not 'late'"),
        ({"workspace": "/w", "count": True}, "count must be a whole number, not True"),
        ({"workspace": "/w", "count": 1.5}, "count must be a whole number, not 1.5"),
        ({"workspace": "/w", "names": "a"}, "names must be a list, each text"),
        ({"workspace": "/w", "closed": "yes"}, "closed must be true or false, not 'yes'"),
        ({"workspace": "/w", "count": None}, "count must be a whole number, not None"),
    ],
)
def test_params_of_the_wrong_kind_are_one_sentence(params, sentence):
    with pytest.raises(ProtocolError, match=sentence):
        from_params(Options, params, "job")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (lambda: process.Options(workspace=Path("/w"), stage="nose"), "stage must be one of media, landmarks"),
        (lambda: process.Options(workspace=Path("/w"), landmarker="none"), "landmarker must be one of auto"),
        (lambda: process.Options(workspace=Path("/w"), audio_offset_ms="late"), "must be a number or one of auto"),
        (lambda: train.Options(workspace=Path("/w"), preset="best"), "preset must be one of preview, standard, paper"),
        (lambda: render.Options(workspace=Path("/w"), out=Path("/o"), split="train"), "split must be one of test"),
        (lambda: evaluate.Options(workspace=Path("/w"), landmarks="none"), "landmarks must be one of auto"),
    ],
)
def test_a_text_that_is_none_of_the_choices_is_one_sentence_in_python_too(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        options()


def test_choices_allow_what_an_option_may_be_besides():
    found = process.Options(workspace=Path("/w"), audio_offset_ms=40.0)
    assert (found.stage, found.audio_offset_ms) == (None, 40.0)


def test_a_result_is_json():
    found = to_json({"options": Options(workspace=Path("/w")), "rows": [(1, Path("/x"))]})
    assert json.loads(json.dumps(found))["options"]["workspace"] == "/w"
    assert found["rows"] == [[1, "/x"]]


def test_every_job_of_the_server_is_a_command():
    for method in server.JOBS:
        assert callable(server._verb(method).load().run)


@pytest.mark.parametrize(
    ("path", "verb"), list(commands()), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_command_has_options_that_explain_themselves(path, verb, capsys):
    assert is_dataclass(verb.options)
    with pytest.raises(SystemExit, match="0"):
        main([*path, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for item in option_fields(verb.options):
        assert item.help.split(" (")[0].split(" ")[0] in text
        assert item.help


def test_help_imports_none_of_the_large_packages(root):
    code = (
        "import contextlib, io, sys\nfrom backend.cli import main\n"
        f"for path in {[path for path, _ in commands()]}:\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "        main([*path, '--help'])\n"
        "import backend.server\n"
        "print(sorted({'numpy', 'torch', 'cv2', 'scipy', 'av', 'numba', 'mediapipe', 'tqdm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stderr
