"""Options of a command: declared once as a dataclass's fields, read from the command line or from a request's params."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from ..errors import ProtocolError, UsageError

_WORDS: dict[type, str] = {
    Path: "a path",
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}


def option(
    help_text: str,
    default: Any = MISSING,
    *,
    flag: str = "",
    metavar: str | tuple[str, ...] = "",
    choices: Sequence[str] = (),
    positional: bool = False,
    nargs: str | int = "",
) -> Any:
    """A field of `Options`; without a default it must be given.

    Args:
        help_text: its sentence in `--help`.
        flag: on the command line, where it is not the field's name.
        choices: the texts that it may be.
        nargs: of a tuple, how many values follow the flag; without it the flag is given once for each value.
    """
    shown = {"help": help_text, "flag": flag, "metavar": metavar, "choices": tuple(choices)}
    return dataclasses.field(
        default=default, kw_only=True, metadata={**shown, "positional": positional, "nargs": nargs}
    )


@dataclass(frozen=True)
class OptionField:
    """An option with its types taken apart: `float | str | None` is optional, of float or str."""

    name: str
    types: tuple[type, ...]
    several: bool
    optional: bool
    default: Any
    help: str
    flag: str
    metavar: str | tuple[str, ...]
    choices: tuple[str, ...]
    positional: bool
    nargs: str | int

    @property
    def required(self) -> bool:
        return self.default is MISSING

    @property
    def on_command_line(self) -> str:
        """Its flag."""
        return self.flag or f"--{self.name.replace('_', '-')}"

    @property
    def words(self) -> str:
        """What a value must be."""
        choices = f"one of {', '.join(self.choices)}" if self.choices else ""
        kinds = [_WORDS[kind] for kind in self.types if not (choices and kind is str)]
        one = " or ".join([*kinds, *([choices] if choices else [])])
        return f"a list, each {one}" if self.several else one

    def from_text(self, text: str) -> Any:
        """One value from the command line.

        Raises:
            ValueError: not what it must be.
        """
        if self.choices and text in self.choices:
            return text
        for kind in self.types:
            if kind is not str or not self.choices:
                try:
                    return kind(text)
                except ValueError:
                    continue
        raise ValueError(f"must be {self.words.removeprefix('a list, each ')}, not {text!r}")

    def from_json(self, value: Any) -> Any:
        """The value of a request's parameter, or of a key in a batch's file.

        Raises:
            ValueError: not what it must be.
        """
        if self.optional and (value is None or (value == "" and Path in self.types)):
            return None
        if not self.several:
            return self._checked(value)
        if not isinstance(value, list):
            raise self._wrong(value)
        return tuple(self._checked(item) for item in value)

    def _checked(self, value: Any) -> Any:
        if isinstance(value, str):
            if self.choices and value not in self.choices:
                raise self._wrong(value)
            if str in self.types:
                return value
            if Path in self.types and value:
                return Path(value)
        elif isinstance(value, bool):
            if bool in self.types:
                return value
        elif (isinstance(value, int) and int in self.types) or (isinstance(value, int | float) and float in self.types):
            return float(value) if float in self.types else value
        raise self._wrong(value)

    def _wrong(self, value: Any) -> ValueError:
        return ValueError(f"must be {self.words}, not {value!r}")

    def to_arguments(self, value: Any) -> list[str]:
        """The words of a command line that give this value."""
        if value is None or value is False:
            return []
        texts = [str(item) for item in (value if self.several else (value,))]
        if self.positional:
            return texts
        if value is True:
            return [self.on_command_line]
        if self.nargs:
            return [self.on_command_line, *texts]
        return [f"{self.on_command_line}={text}" for text in texts]


class CheckedOptions:
    """Base of options with choices: they are checked for a caller in Python too."""

    def __post_init__(self) -> None:
        """
        Raises:
            UsageError: a text is none of its choices.
        """
        declared: type = type(self)
        for item in option_fields(declared):
            value = getattr(self, item.name)
            for text in value if item.several else (value,):
                if item.choices and isinstance(text, str) and text not in item.choices:
                    raise UsageError(f"{item.name} must be {item.words}, not {text!r}")


@functools.cache
def option_fields(options: type) -> tuple[OptionField, ...]:
    """The options that a dataclass declares."""
    hints = typing.get_type_hints(options)
    return tuple(_option_field(item, hints[item.name]) for item in dataclasses.fields(options))


def _option_field(item: dataclasses.Field, hint: Any) -> OptionField:
    members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    optional = type(None) in members
    members = tuple(kind for kind in members if kind is not type(None))
    several = typing.get_origin(members[0]) is tuple
    if several:
        members = (typing.get_args(members[0])[0],)
    return OptionField(item.name, members, several, optional, item.default, **item.metadata)


def from_params(options: type, params: dict[str, Any], method: str) -> Any:
    """The options that a request's params give.

    Raises:
        ProtocolError: one is unknown, missing or of the wrong type.
    """
    declared = {item.name: item for item in option_fields(options)}
    for name in params:
        if name not in declared:
            raise ProtocolError(f"{method} has no parameter {name}: its parameters are {', '.join(declared)}.")
    for name, item in declared.items():
        if item.required and name not in params:
            raise ProtocolError(f"The parameter {name} of {method} is missing.")
    given = {}
    for name, value in params.items():
        try:
            given[name] = declared[name].from_json(value)
        except ValueError as error:
            raise ProtocolError(f"The parameter {name} {error}.") from None
    return options(**given)


def to_arguments(options: Any) -> list[str]:
    """The words after the verb that give these options on the command line; what has its default is left out."""
    # Positional ones first: after a flag of several values they would be taken for one more.
    kind: type = type(options)
    declared = sorted(option_fields(kind), key=lambda item: not item.positional)
    given = [(item, getattr(options, item.name)) for item in declared]
    return [word for item, value in given if value != item.default for word in item.to_arguments(value)]


def to_json(value: Any) -> Any:
    """A command's result as JSON: dataclasses become objects, paths strings."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_json(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(name): to_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return str(value) if isinstance(value, Path) else value
