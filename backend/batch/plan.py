"""The jobs of a batch's file: process, train, speak, render and the like, each after those that it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..commands.export import SUFFIXES
from ..commands.option import to_arguments
from ..commands.speak import Delivery
from ..media.codecs import CODECS, H264
from .file import DELIVERIES, SUBJECTS, TAKES, BatchFile, Entry, Verbs
from .job import Job

_SPOKEN = {item.name for item in fields(Delivery)}
ANIMATION = "animation.npz"
_OF_A_SEQUENCE = ("format", "complete", "passes", "split")
_NEEDS_NO_TAKE = {"split", "audio", "directions"}


def plan(path: Path, out: Path) -> list[Job]:
    """The jobs, each after those that it needs.

    Args:
        path: of the TOML file.
        out: the batch's folder, which takes what has no `out` of its own.

    Raises:
        UsageError: a mistake in the file: the table and the key.
    """
    return _Plan(BatchFile(path), out).jobs


class _Plan:
    def __init__(self, file: BatchFile, out: Path) -> None:
        self.jobs: list[Job] = []
        self._file, self._out = file, out
        self._written: dict[str, str] = {}
        """What each output is of, so that none is written twice."""
        self._workspaces: dict[str, Path] = {}
        self._heads: dict[str, str] = {}
        """Of each subject the last job that changes its workspace."""
        self._directions: dict[tuple[str, str], tuple[Path, str]] = {}
        """Of a subject's take the animation, and the job that makes it, if one does."""
        for name, entry in file.subjects.items():
            self._subject(name, entry)
        takes = {name: file.chosen(TAKES, take, "subjects", file.subjects) for name, take in file.takes.items()}
        for subject in file.subjects:
            for name, subjects in takes.items():
                if subject in subjects:
                    self._take(subject, name, file.takes[name])
        for name, delivery in file.deliveries.items():
            chosen = file.chosen(DELIVERIES, delivery, "takes", file.takes)
            for subject in file.chosen(DELIVERIES, delivery, "subjects", file.subjects):
                self._delivery(subject, [take for take in chosen if subject in takes[take]], name, delivery)

    def _subject(self, name: str, entry: Entry) -> None:
        names = {"subject": name}
        place = self._file.path_of(entry, "workspace", names)
        if place is None:
            raise self._file.error((SUBJECTS, name), "workspace", "is missing: the subject's folder")
        self._claim(place, (SUBJECTS, name), "workspace")
        self._workspaces[name] = place
        for verb in entry.commands:
            job, _ = self._job(entry, verb, names, {"workspace": place}, self._needed(name), made=[place])
            self._heads[name] = job.name
        if not entry.commands and not (place / "subject.json").exists():
            raise self._file.error((SUBJECTS, name), "workspace", f"is none yet ({place}): give the subject a video")

    def _take(self, subject: str, name: str, entry: Entry) -> None:
        names, workspace = {"subject": subject, "take": name}, self._workspaces[subject]
        path = self._file.path_of(entry, "directions", names)
        if path is not None:
            if entry.commands:
                raise self._file.error((TAKES, name), "directions", "and a command do not go together: leave one out")
            if not path.exists():
                raise self._file.error((TAKES, name), "directions", f"names {path}, which does not exist")
            self._directions[subject, name] = path, ""
            return
        if not entry.commands:
            sources = "audio to speak, a file of face data, or directions"
            raise self._file.error((TAKES, name), "audio", f"is missing: give {sources}")
        if len(entry.commands) > 1:
            raise self._file.error((TAKES, name), ".".join(min(entry.commands)), "is one command too many for a take")
        (verb,) = entry.commands
        folder = workspace / "renders" / name
        out = folder if verb == ("speak",) else folder / ANIMATION
        job, options = self._job(
            entry, verb, names, {"workspace": workspace, "out": out}, self._needed(subject), reads=workspace
        )
        made = options.out if options.out.suffix == Path(ANIMATION).suffix else options.out / ANIMATION
        self._directions[subject, name] = made, job.name

    def _delivery(self, subject: str, takes: list[str], name: str, entry: Entry) -> None:
        workspace, videos = self._workspaces[subject], dict[str, Path]()
        for verb, given in entry.commands.items():
            if verb == ("render",):
                for take in [""] if _NEEDS_NO_TAKE & set(given) else takes or [""]:
                    self._check_speech(take, entry)
                    job, options = self._directed(verb, subject, take, name, entry)
                    if options.is_video:
                        videos[job.name] = options.out
            elif verb == ("export",):  # the still head; once for each take that the delivery names, as that moves it
                for take in takes if "takes" in entry.own else [""]:
                    self._directed(verb, subject, take, name, entry)
            else:
                if not given.get("no_report"):
                    self._claim(workspace / "reports" / "report.html", (DELIVERIES, name, *verb), "no_report")
                filled = {"workspace": workspace, "rendered": tuple(videos.values())}
                needs, made = [*self._needed(subject), *videos], [workspace, *videos.values()]
                self._job(
                    entry, verb, {"subject": subject, "delivery": name}, filled, needs, made=made, reads=workspace
                )

    def _check_speech(self, take: str, entry: Entry) -> None:
        """Raise where the delivery of a take says how that is spoken."""
        verb = ("render",)
        for key in _SPOKEN & set(entry.commands[verb]) if take else ():
            where = entry.where[verb][key].split(".")
            raise self._file.error(where, key, f"is of how a take is spoken: put it into [{TAKES}.{take}.speak]")

    def _directed(self, verb: Verbs, subject: str, take: str, name: str, entry: Entry) -> tuple[Job, Any]:
        """A delivery of a take, or of the head alone where that is empty."""
        workspace = self._workspaces[subject]
        file_name = "-".join(filter(None, [take, name])) + _SUFFIX[verb](entry.commands[verb])
        filled: dict[str, Any] = {"workspace": workspace, "out": self._out / "deliveries" / subject / file_name}
        needs, made = self._needed(subject), [workspace]
        if take:
            filled[_DIRECTIONS[verb]], spoken = self._directions[subject, take]
            needs, made = [*needs, *filter(None, [spoken])], [*made, filled[_DIRECTIONS[verb]]]
        names = {"subject": subject, "take": take, "delivery": name}
        return self._job(entry, verb, names, filled, needs, made=made, reads=workspace)

    def _needed(self, subject: str) -> list[str]:
        return [self._heads[subject]] if subject in self._heads else []

    def _job(
        self,
        entry: Entry,
        verb: Verbs,
        names: Mapping[str, str],
        filled: Mapping[str, Any],
        needs: Iterable[str],
        *,
        made: Iterable[Path] = (),
        reads: Path | None = None,
    ) -> tuple[Job, Any]:
        """Add a job.

        Args:
            names: the subject, take and delivery that it is of.
            filled: options that the batch gives where the file does not.
            made: paths that need not be there yet.
            reads: the workspace whose state it depends on.

        Returns:
            The job and its options.
        """
        options = self._file.options(entry, verb, names, **filled)
        for key in ("out", "report"):
            if (path := getattr(options, key, None)) is not None:
                self._claim(path, (*entry.table.split("."), *verb), key)
        known = [names.get(key, "") for key in ("subject", "take", "delivery")]
        job = Job(
            "+".join(["-".join(verb), *filter(None, known)]),
            verb,
            tuple(to_arguments(options)),
            tuple(needs),
            tuple(path for path in self._file.inputs(entry, verb, options, made) if path != reads),
            reads,
            *known,
        )
        self.jobs.append(job)
        return job, options

    def _claim(self, path: Path, table: Verbs, key: str) -> None:
        place = str(path).casefold()
        if place in self._written:
            other = self._written[place]
            raise self._file.error(
                table,
                key,
                f"would be written twice, also by [{other}] ({path}): put {{subject}} or {{take}} into it, or leave one out",
            )
        self._written[place] = ".".join(table)


def _of_render(given: Mapping[str, Any]) -> str:
    """The usual suffix of a delivery; none of a sequence."""
    codec = CODECS.get(str(given.get("codec", H264)))
    return "" if codec is None or any(given.get(key) for key in _OF_A_SEQUENCE) else codec.containers[0]


def _of_export(given: Mapping[str, Any]) -> str:
    return SUFFIXES.get(str(given.get("format")), ("",))[0]


_SUFFIX: dict[Verbs, Callable[[Mapping[str, Any]], str]] = {("render",): _of_render, ("export",): _of_export}
_DIRECTIONS: dict[Verbs, str] = {("render",): "directions", ("export",): "animation"}
"""The option that takes an animation."""
