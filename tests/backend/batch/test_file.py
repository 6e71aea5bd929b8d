"""A batch's file: what it unfolds into, and the sentence for each mistake in it."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from backend.batch.plan import plan
from backend.cli import add_verbs
from backend.commands import VERBS
from backend.commands.option import option_fields, to_arguments
from backend.errors import UsageError

WHOLE = """
[defaults.process]
consent = "nobody: a synthetic speaker"
size = 128
[defaults.train]
steps = 100

[subjects.anna]
workspace = "heads/anna"
video = "anna.mp4"
train.seed = 3
[subjects.ben]
workspace = "heads/ben"
process = { video = "ben.mp4", size = 256 }

[takes.hello]
audio = "hello.wav"
speak.strength = 1.2
[takes.mine]
subjects = ["anna"]
file = "take.csv"
capture.import.take = ["mouth", "brows"]
[takes.edited]
subjects = ["anna"]
directions = "edited.npz"

[deliveries.film]
render.codec = "prores422hq"
evaluate.size = 64
[deliveries.frames]
takes = ["hello"]
subjects = ["ben"]
render = { format = "png", out = "frames/{subject}/{take}" }
[deliveries.model.export]
format = "glb"
[deliveries.moving]
takes = ["mine"]
export = { format = "usd", part = "face" }
"""


@pytest.fixture
def written(tmp_path):
    for name in ("anna.mp4", "ben.mp4", "hello.wav", "take.csv", "edited.npz"):
        (tmp_path / name).write_bytes(b"any")

    def write(text: str) -> Path:
        path = tmp_path / "jobs.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def jobs_of(path: Path) -> dict:
    return {job.name: job for job in plan(path, path.with_suffix(".batch"))}


def test_a_file_becomes_jobs_that_need_one_another(written):
    jobs = jobs_of(written(WHOLE))
    assert {name: job.needs for name, job in jobs.items()} == {
        "process+anna": (),
        "train+anna": ("process+anna",),
        "process+ben": (),
        "speak+anna+hello": ("train+anna",),
        "capture-import+anna+mine": ("train+anna",),
        "speak+ben+hello": ("process+ben",),
        "render+anna+hello+film": ("train+anna", "speak+anna+hello"),
        "render+anna+mine+film": ("train+anna", "capture-import+anna+mine"),
        "render+anna+edited+film": ("train+anna",),
        "evaluate+anna+film": (
            "train+anna",
            "render+anna+hello+film",
            "render+anna+mine+film",
            "render+anna+edited+film",
        ),
        "render+ben+hello+film": ("process+ben", "speak+ben+hello"),
        "evaluate+ben+film": ("process+ben", "render+ben+hello+film"),
        "render+ben+hello+frames": ("process+ben", "speak+ben+hello"),
        "export+anna+model": ("train+anna",),
        "export+ben+model": ("process+ben",),
        "export+anna+mine+moving": ("train+anna", "capture-import+anna+mine"),
    }
    order = list(jobs)
    assert all(order.index(need) < order.index(name) for name, job in jobs.items() for need in job.needs)


def test_options_come_from_the_nearest_table_and_paths_from_the_files_folder(written, tmp_path):
    jobs = jobs_of(written(WHOLE))
    words = {name: " ".join(job.arguments) for name, job in jobs.items()}
    assert str(tmp_path / "anna.mp4") in words["process+anna"] and "--size=128" in words["process+anna"]
    assert "--size=256" in words["process+ben"] and "--consent=nobody" in words["process+ben"]
    assert "--steps=100" in words["train+anna"] and "--seed=3" in words["train+anna"]
    assert f"--directions={tmp_path / 'heads/anna/renders/mine/animation.npz'}" in words["render+anna+mine+film"]
    assert f"--directions={tmp_path / 'edited.npz'}" in words["render+anna+edited+film"]
    assert "--take mouth brows" in words["capture-import+anna+mine"]
    assert f"--out={tmp_path / 'jobs.batch/deliveries/anna/hello-film.mov'}" in words["render+anna+hello+film"]
    assert f"--animation={tmp_path / 'heads/anna/renders/mine/animation.npz'}" in words["export+anna+mine+moving"]
    assert "--animation" not in words["export+anna+model"]
    assert f"--out={tmp_path / 'frames/ben/hello'}" in words["render+ben+hello+frames"]


def test_the_commands_arguments_mean_the_options_that_were_checked(written):
    """What the command line reads of a job's words is what the file says: flags, lists, pairs, positional ones."""
    text = WHOLE.replace("speak.strength = 1.2", "speak = { strength = 1.25, offset_ms = -40.5, idle_s = [0.5, 1.5] }")
    jobs = jobs_of(written(text))
    for job in jobs.values():
        parser = argparse.ArgumentParser()
        add_verbs(parser, VERBS, job.verb)
        args = parser.parse_args([*job.verb, *job.arguments])
        options = args.chosen.options
        given = {item.name: getattr(args, item.name) for item in option_fields(options) if hasattr(args, item.name)}
        read = options(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})
        assert tuple(to_arguments(read)) == job.arguments
    spoken = jobs["speak+anna+hello"].arguments
    assert "--strength=1.25" in spoken and "--offset-ms=-40.5" in spoken
    assert spoken[spoken.index("--idle") + 1 :][:2] == ("0.5", "1.5")


SUBJECT = '[subjects.anna]\nworkspace = "anna"\nvideo = "anna.mp4"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[subjects", "jobs.toml is not TOML"),
        ("", "has no [subjects.NAME]"),
        (SUBJECT + "[takess.x]\n", "takess is not known; a batch has subjects, takes, deliveries and defaults."),
        ('[subjects.anna]\nvideo = "anna.mp4"', "[subjects.anna] workspace is missing"),
        ('[subjects.anna]\nworkspace = "anna"', "[subjects.anna] workspace is none yet"),
        (SUBJECT + "sise = 3", "[subjects.anna] sise is not known (is it size?)."),
        (SUBJECT + "process.sise = 3", "[subjects.anna.process] sise is no option of process (is it size?)."),
        (SUBJECT + 'size = "big"', "[subjects.anna] size must be a whole number, not 'big'."),
        (SUBJECT + 'train.preset = "best"', "[subjects.anna.train] preset must be one of preview, standard, paper"),
        (SUBJECT + "trian = {}", "[subjects.anna] trian is no command of such a table (is it train?)"),
        (SUBJECT + "train = 3", "[subjects.anna] train is not known"),
        (SUBJECT + 'train.workspace = "x"', "[subjects.anna.train] workspace is given once, in [subjects.NAME]"),
        (SUBJECT.replace("anna.mp4", "gone.mp4"), "[subjects.anna] video: "),
        (SUBJECT + '[takes.a]\naudio = "gone.wav"', "gone.wav does not exist."),
        (SUBJECT + "[takes.a]", "[takes.a] audio is missing: give audio to speak, a file of face data, or directions."),
        (SUBJECT + '[takes.a]\nsubjects = ["bob"]\naudio = "hello.wav"', "[takes.a] subjects names 'bob', which is not"),
        (SUBJECT + '[takes.a]\naudio = "hello.wav"\ncapture.export = {}', "[takes.a.capture] export is not known"),
        (SUBJECT + "[deliveries.d.render]\npasses = true", "[deliveries.d.render] --passes are of EXR frames"),
        (SUBJECT + "[deliveries.d.export]\n", "[deliveries.d.export] format is missing"),
        (SUBJECT + '[takes."a/b"]', "[takes] 'a/b' is no name"),
        (SUBJECT + SUBJECT.replace("anna]", "Anna]"), "[subjects] Anna and anna differ in capitals alone"),
        (SUBJECT + SUBJECT.replace("s.anna", "s.ben"), "would be written twice, also by [subjects.anna]"),
        (
            SUBJECT + '[takes.a]\naudio = "hello.wav"\n[takes.b]\naudio = "hello.wav"\n[deliveries.d.render]\nout = "x.mp4"',
            "put {subject} or {take} into it",
        ),
        (
            SUBJECT + '[takes.a]\naudio = "hello.wav"\n[deliveries.d.render]\nstrength = 2.0',
            "[deliveries.d.render] strength is of how a take is spoken: put it into [takes.a.speak].",
        ),
        ("[defaults.process]\nsise = 3\n" + SUBJECT, "[defaults.process] sise is no option of process"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_with_file_table_and_key(written, text, sentence):
    path = written(text)
    with pytest.raises(UsageError) as caught:
        plan(path, path.with_suffix(".batch"))
    assert sentence in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("kind", "suffix"), [("glb", ".glb"), ("usd", ".usda"), ("livelink", ".csv")])
def test_an_export_without_a_path_has_the_suffix_of_its_format(written, tmp_path, kind, suffix):
    text = f"{SUBJECT}[takes.t]\ndirections = 'edited.npz'\n[deliveries.d]\ntakes = ['t']\nexport.format = '{kind}'\n"
    (job,) = [job for job in jobs_of(written(text)).values() if job.delivery]
    assert f"--out={tmp_path / 'jobs.batch/deliveries/anna' / f't-d{suffix}'}" in job.arguments


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(UsageError, match="nothing.toml cannot be read"):
        plan(tmp_path / "nothing.toml", tmp_path)
