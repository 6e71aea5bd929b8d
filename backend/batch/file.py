"""A batch's TOML file, checked by the commands' own options and unfolded into jobs."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..commands import VERBS, Verb
from ..commands.option import OptionField, option_fields
from ..errors import SyncTalkError, UsageError

Verbs = tuple[str, ...]

SUBJECTS, TAKES, DELIVERIES, DEFAULTS = "subjects", "takes", "deliveries", "defaults"
COMMANDS: dict[str, tuple[Verbs, ...]] = {
    SUBJECTS: (("process",), ("train",)),
    TAKES: (("speak",), ("capture", "import")),
    DELIVERIES: (("render",), ("export",), ("evaluate",)),
}
"""The commands that a table of each kind may have."""

IMPLIED = {"video": ("process",), "file": ("capture", "import"), "audio": ("speak",)}
"""A key of the table itself that asks for a command where no other take's command is there; the first that is found."""

_OWN: dict[str, tuple[str, ...]] = {
    SUBJECTS: ("workspace",),
    TAKES: ("subjects", "directions"),
    DELIVERIES: ("subjects", "takes"),
}
"""Keys that are no option of the table's commands."""

_BY_THE_BATCH = ("workspace",)
"""Options that no command's table has."""

WRITTEN = ("out", "report", "workspace")
"""Options that name what a command writes, or works in."""

_NAME = re.compile(r"[\w.+-]+")


@dataclass(frozen=True)
class Entry:
    """A table of a subject, a take or a delivery.

    Attributes:
        table: its name in the file, such as `subjects.anna`.
        own: keys that are no option: which subjects and takes it is for.
        commands: the options of each command in it, as they stand in the file.
        where: how a mistake names each option's table.
    """

    name: str
    table: str
    own: Mapping[str, Any]
    commands: Mapping[Verbs, Mapping[str, Any]]
    where: Mapping[Verbs, Mapping[str, str]]


class BatchFile:
    """The checked tables of a file.

    Args:
        path: of the TOML file.

    Raises:
        UsageError: it cannot be read, or something in it is not what it must be: the file, the table, the key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._tables = _read(self.path)
        for name in self._tables:
            if name not in (*COMMANDS, DEFAULTS):
                raise self.error((), name, f"is not known; a batch has {_listed([*COMMANDS, DEFAULTS])}")
        defaults = self._table((), self._tables.get(DEFAULTS, {}), DEFAULTS)
        every = [verb for verbs in COMMANDS.values() for verb in verbs]
        self._defaults = self._commands((DEFAULTS,), defaults, every)
        for verb, options in self._defaults.items():
            self._check_keys((DEFAULTS, *verb), options, verb)
        self.subjects, self.takes, self.deliveries = map(self._entries, COMMANDS)
        if not self.subjects:
            raise UsageError(f"{self.path} has no [{SUBJECTS}.NAME]: add one with its workspace.")

    def error(self, table: Iterable[str], key: str, text: str) -> UsageError:
        """A mistake, in one sentence."""
        place = ".".join(table)
        return UsageError(f"{self.path}: {f'[{place}] ' if place else ''}{key} {text}.")

    def chosen(self, kind: str, entry: Entry, key: str, among: Mapping[str, Entry]) -> list[str]:
        """The names that `key` of an entry lists; all, where it lists none."""
        if key not in entry.own:
            return list(among)
        value = entry.own[key]
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise self.error((kind, entry.name), key, f"must be a list, each text, not {value!r}")
        for name in value:
            if name not in among:
                raise self.error(
                    (kind, entry.name), key, f"names {name!r}, which is not in the file{_hint(name, among)}"
                )
        return value

    def value(self, where: str, item: OptionField, value: Any, names: Mapping[str, str]) -> Any:
        """An option's value: `{subject}` and the like filled in, paths from the file's folder on."""
        try:
            found = item.from_json(_filled(value, names))
        except ValueError as error:
            raise UsageError(f"{self.path}: [{where}] {item.name} {error}.") from None
        if isinstance(found, tuple):
            return tuple(map(self._absolute, found))
        return self._absolute(found)

    def options(self, entry: Entry, verb: Verbs, names: Mapping[str, str], **filled_in: Any) -> Any:
        """A command's options; `filled_in` are the batch's own.

        Raises:
            UsageError: one is missing or wrong, or they do not go together.
        """
        declared = _declared(verb)
        given = {name: value for name, value in filled_in.items() if name in declared}
        for name, value in entry.commands[verb].items():
            given[name] = self.value(entry.where[verb][name], declared[name], value, names)
        table = ".".join([entry.table, *verb])
        for name, item in declared.items():
            if item.required and name not in given:
                raise UsageError(f"{self.path}: [{table}] {name} is missing: {item.help}.")
        try:
            return _verb(verb).options(**given)
        except SyncTalkError as error:
            raise UsageError(f"{self.path}: [{table}] {str(error).rstrip('.')}.") from None

    def path_of(self, entry: Entry, key: str, names: Mapping[str, str]) -> Path | None:
        """The path that a table's own key names; None without it."""
        if key not in entry.own:
            return None
        value = _filled(entry.own[key], names)
        if not isinstance(value, str) or not value:
            raise self.error((entry.table,), key, f"must be a path, not {value!r}")
        found: Path = self._absolute(Path(value))
        return found

    def inputs(self, entry: Entry, verb: Verbs, options: Any, made: Iterable[Path]) -> list[Path]:
        """The files and folders that a command reads.

        Args:
            made: paths that need not be there yet.

        Raises:
            UsageError: another one is missing.
        """
        found, expected = [], set(made)
        for item in _declared(verb).values():
            if Path not in item.types or item.name in WRITTEN:
                continue
            value = getattr(options, item.name)
            for path in value if item.several else (value,):
                if not isinstance(path, Path):
                    continue
                if path not in expected and not path.exists():
                    table = entry.where[verb].get(item.name, entry.table)
                    raise UsageError(f"{self.path}: [{table}] {item.name}: {path} does not exist.")
                found.append(path)
        return found

    def _absolute(self, value: Any) -> Any:
        """A path from the file's folder on, without `..`."""
        return Path(os.path.normpath(self.path.parent / value.expanduser())) if isinstance(value, Path) else value

    def _entries(self, kind: str) -> dict[str, Entry]:
        tables = self._table((), self._tables.get(kind, {}), kind)
        entries: dict[str, Entry] = {}
        folded: dict[str, str] = {}
        for name, table in tables.items():
            if not _NAME.fullmatch(name):
                raise self.error((kind,), repr(name), "is no name: use letters, digits, '-', '_', '+' and '.'")
            other = folded.setdefault(name.casefold(), name)
            if other != name:
                raise self.error((kind,), name, f"and {other} differ in capitals alone: rename one")
            entries[name] = self._entry(kind, name, self._table((kind,), table, name))
        return entries

    def _entry(self, kind: str, name: str, table: Mapping[str, Any]) -> Entry:
        place, verbs = (kind, name), COMMANDS[kind]
        given = self._commands(place, {key: value for key, value in table.items() if isinstance(value, dict)}, verbs)
        plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
        own = {key: plain.pop(key) for key in _OWN[kind] if key in plain}
        for key, verb in IMPLIED.items():
            if key in plain and verb in verbs and not (given and kind == TAKES):
                given.setdefault(verb, {})
        known = {key for verb in verbs for key in _declared(verb) if key not in _BY_THE_BATCH}
        for key in plain:
            if key not in known:
                names = [*_OWN[kind], *sorted(known), *verbs_in_words(verbs)]
                raise self.error(place, key, f"is not known{_hint(key, names)}")
        commands, where = {}, {}
        for verb in [verb for verb in verbs if verb in given]:
            self._check_keys((*place, *verb), given[verb], verb)
            declared = _declared(verb)
            layers = [
                (".".join([DEFAULTS, *verb]), self._defaults.get(verb, {})),
                (".".join(place), {key: value for key, value in plain.items() if key in declared}),
                (".".join([*place, *verb]), given[verb]),
            ]
            commands[verb] = {key: value for _, layer in layers for key, value in layer.items()}
            where[verb] = {key: table for table, layer in layers for key in layer}
        return Entry(name, ".".join(place), own, commands, where)

    def _commands(self, place: Verbs, table: Mapping[str, Any], verbs: Iterable[Verbs]) -> dict[Verbs, dict[str, Any]]:
        """The tables of commands below one; a verb of two words is a table in a table."""
        given: dict[Verbs, dict[str, Any]] = {}
        known = list(verbs)
        for key, value in table.items():
            inner = self._table(place, value, key)
            deeper = [verb for verb in known if verb[0] == key and len(verb) > 1]
            if deeper:
                for second, options in inner.items():
                    if (key, second) not in deeper:
                        raise self.error((*place, key), second, f"is not known; it has {_listed(v[1] for v in deeper)}")
                    given[key, second] = dict(self._table((*place, key), options, second))
            elif (key,) in known:
                given[(key,)] = dict(inner)
            else:
                names = list(verbs_in_words(known))
                raise self.error(
                    place, key, f"is no command of such a table{_hint(key, names)}; it takes {_listed(names)}"
                )
        return given

    def _check_keys(self, place: Verbs, options: Mapping[str, Any], verb: Verbs) -> None:
        declared = _declared(verb)
        for key in options:
            if key in _BY_THE_BATCH:
                raise self.error(place, key, f"is given once, in [{SUBJECTS}.NAME]")
            if key not in declared:
                raise self.error(place, key, f"is no option of {' '.join(verb)}{_hint(key, declared)}")

    def _table(self, place: Verbs, value: Any, key: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self.error(place, key, f"must be a table, not {value!r}")
        return value


def verbs_in_words(verbs: Iterable[Verbs]) -> Iterable[str]:
    return (".".join(verb) for verb in verbs)


def _read(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): give the TOML file of a batch.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text: save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}.") from error


def _verb(verb: Verbs) -> Verb:
    found = VERBS[verb[0]]
    for name in verb[1:]:
        found = found.verbs[name]
    return found


@cache
def _declared(verb: Verbs) -> dict[str, OptionField]:
    return {item.name: item for item in option_fields(_verb(verb).options)}


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_filled(item, names) for item in value]
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(f"{{{name}}}", text)
    return value


def _hint(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), 1)
    return f" (is it {close[0]}?)" if close else ""


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
