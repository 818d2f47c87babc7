"""Reads the settings; every mistake in them becomes one line with its file and line, or its variable."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eightbells.errors import EightbellsError
from eightbells.settings.model import Settings
from eightbells.settings.names import DELIMITER, PREFIX, known_names, suggestion, unknown_names
from eightbells.settings.places import Part, holds, line_of
from eightbells.settings.sections import StrategySettings
from eightbells.settings.sources import Environment, config_file, read_text, read_toml
from eightbells.settings.symbols import Several

_WORDS = {
    "missing": "is missing",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number, such as 1.5",
    "float_type": "must be a number, such as 1.5",
    "decimal_parsing": "must be a number, such as 0.05",
    "decimal_type": "must be a number, such as 0.05",
    "finite_number": "must be a number that is not infinite",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text in quotes",
    "date_from_datetime_parsing": "must be a date, such as 2021-03-01",
    "date_type": "must be a date, such as 2021-03-01",
    "date_from_datetime_inexact": "must be a date, such as 2021-03-01",
    "list_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
}
_EXAMPLES = {
    "urls": 'a list as in ["json://host/path"]',
    "strategies": 'a list as in [{"name": "trend", "kind": "ma_cross", "capital": "1000"}]',
}
_LONGEST_NAME = 40
_NO_JSON = {"list_type", "dict_type", "model_type"}


class SettingsRefused(EightbellsError):
    """Settings with mistakes in them.

    Attributes:
        lines: one for each mistake.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


def load_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Raises:
        SettingsRefused: values that are none, unknown names; all of them.
        EightbellsError: the file is missing or is not TOML.
    """
    file = config_file()
    written = read_toml(file)
    unknown = unknown_names(known_names(Settings))
    lines = [f"{name} is not a setting{_meant(meant)}" for name, meant in unknown.items()]
    lines += [f"{file}:{line}: {text}" for line, text in _secrets_in(written, read_text(file))]
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        reader = _Reader(file, read_text(file), written, Environment(Settings)(), overrides, set(unknown))
        lines += reader.lines(error)
        raise SettingsRefused(lines) from None
    if lines:
        raise SettingsRefused(lines)
    return settings


def _meant(name: str) -> str:
    return f"; did you mean {name}?" if name else "; eightbells.toml lists all settings"


def _secrets_in(written: Mapping[str, Any], content: str) -> Iterator[tuple[int | None, str]]:
    """Secrets that stand in the file, which others may read and which is easily shared."""
    for name, field in Settings.model_fields.items():
        variable = field.validation_alias
        for key in (name, variable):
            if variable is not None and key in written:
                yield (
                    line_of(content, [str(key)]),
                    f"{key} must not stand here: set {variable} in the environment",
                )


@dataclass(frozen=True)
class _Reader:
    """Turns pydantic's errors into lines. Values are never repeated: one may be a secret."""

    file: Path
    content: str
    written: Mapping[str, Any]
    environment: Mapping[str, Any]
    overrides: Mapping[str, Any]
    unknown: set[str]

    def lines(self, error: ValidationError) -> list[str]:
        found: dict[str, list[str]] = {}
        for path, text, kind in self._expanded(error):
            place, variable = self._place(path)
            if variable in self.unknown:
                continue  # told by its name
            said = self._said(text, kind, path, variable)
            texts = found.setdefault(f"{place}: {self._called(path)}", [])
            if kind == "value_error" or not texts:
                texts.append(said if said.startswith(("must ", "is ")) else f"- {said}")
            elif said not in texts:  # the members of a union each say what they take
                texts[-1] += f" or {said.removeprefix('must be ')}"
        told = [f"{setting} {text}" for setting, texts in found.items() for text in texts]
        return [" ".join(line.split()) for line in told]  # a quoted key of TOML may have several lines

    def _expanded(self, error: ValidationError) -> Iterator[tuple[tuple[Part, ...], str, str]]:
        """Path, text and type of every mistake."""
        for item in error.errors(include_input=False, include_url=False):
            path, context = self._shortened(item["loc"]), item.get("ctx", {})
            cause = context.get("error")
            if isinstance(cause, Several):
                yield from (((*path, *inner), text, "value_error") for inner, text in cause.found)
            elif isinstance(cause, Exception):
                yield path, str(cause), "value_error"
            else:
                yield path, self._reworded(item["type"], item["msg"], path), item["type"]

    def _data(self, path: Sequence[Part]) -> Mapping[str, Any]:
        """The source that the path's value was taken from: tables are merged, everything else comes from one."""
        for source in (self.overrides, self.environment):
            data: Any = source
            for part in path:
                if not isinstance(data, dict):
                    return source
                if part not in data:
                    break
                data = data[part]
            else:
                return source
        return self.written

    def _shortened(self, path: tuple[Part, ...]) -> tuple[Part, ...]:
        """Without what pydantic appends for the members of a union."""
        data: Any = self._data(path)
        for length, part in enumerate(path):
            if not isinstance(data, dict | list):
                return path[:length]
            data = _at(data, [part]) if holds(data, [part]) else {}
        return path

    def _reworded(self, kind: str, text: str, path: tuple[Part, ...]) -> str:
        value = _at(self._data(path), path) if holds(self._data(path), path) else None
        if kind == "extra_forbidden":
            return f"is unknown{self._near(path)}"
        if kind == "literal_error":
            words = text.removeprefix("Input should be ")
            options = [word for word in words.split("'") if word.isidentifier() and word != "or"]
            return f"must be {words}{suggestion(str(value).lower(), options)}"
        if kind == "string_pattern_mismatch" and path[-1] == "name":
            return "must be made of lower-case letters, digits and _ only, and not too long"
        return _WORDS.get(kind, text.replace("Input should be", "must be").replace(" should ", " must "))

    def _near(self, path: tuple[Part, ...]) -> str:
        """A setting of the same section whose name is near, or one of that name in another section."""
        names = [name.removeprefix(PREFIX).lower().replace(DELIMITER, ".") for name in known_names(Settings)]
        if path[0] == "strategies":
            return suggestion(str(path[-1]), list(StrategySettings.model_fields))
        elsewhere = {name.rpartition(".")[2]: name for name in names}
        if path[-1] in elsewhere:
            return f"; did you mean {elsewhere[str(path[-1])]}?"
        section = "".join(f"{part}." for part in path[:-1])
        own = [name.removeprefix(section) for name in names if name.startswith(section)]
        return suggestion(str(path[-1]), [name for name in own if "." not in name])

    def _said(self, text: str, kind: str, path: tuple[Part, ...], variable: str) -> str:
        if variable and not os.environ.get(variable, variable).strip():
            return "is empty: give it a value, or unset it"
        if variable and kind in _NO_JSON:
            return f"must be JSON, {_EXAMPLES.get(str(path[-1]), 'an object')}"
        if kind == "list_type" and path == ("strategies",):
            return "must be a list: write [[strategies]] above each of them"
        return text

    def _place(self, path: tuple[Part, ...]) -> tuple[str, str]:
        """Where the value stands, and the variable if it is one."""
        source = self._data(path)
        if source is self.overrides:
            return "in the program", ""
        if source is self.environment:
            name = self._variable(path)
            return name, name
        line = line_of(self.content, path)
        return f"{self.file}:{line}" if line else str(self.file), ""

    def _variable(self, path: Sequence[Part]) -> str:
        alias = Settings.model_fields.get(str(path[0]))
        by_upper = {name.upper(): name for name in os.environ}
        if alias is not None and alias.validation_alias:
            return by_upper.get(str(alias.validation_alias), str(path[0]))
        names = [str(part).upper() for part in path]
        for length in range(len(names), 0, -1):
            wanted = PREFIX + DELIMITER.join(names[:length])
            nested = [it for it in by_upper if it == wanted or it.startswith(f"{wanted}{DELIMITER}")]
            if nested:
                return by_upper[min(nested, key=len)]
        return str(path[0])

    def _called(self, path: tuple[Part, ...]) -> str:
        """The setting's name, or that of the strategy with its setting."""
        if path[0] == "strategies" and len(path) > 1:
            entry = _at(self._data(path), path[:2]) if holds(self._data(path), path[:2]) else {}
            name = entry.get("name") if isinstance(entry, dict) else None
            called = repr(name[:_LONGEST_NAME]) if isinstance(name, str) else f"number {int(path[1]) + 1}"
            return f"strategy {called}" + (f", {'.'.join(map(str, path[2:]))}" if path[2:] else "")
        shown = path if len(path) < 2 or not isinstance(path[-1], int) else path[:-1]
        default = "" if holds(self._data(path), path[:1]) else " (its default)"
        return f"setting {'.'.join(map(str, shown))}{default}"


def _at(data: Any, path: Sequence[Part]) -> Any:
    for part in path:
        data = data[part]
    return data
