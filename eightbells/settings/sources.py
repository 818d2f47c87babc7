"""Where settings come from: the file, and the environment. What a value should be, the sections say."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource, TomlConfigSettingsSource

from eightbells.errors import EightbellsError

PROJECT = Path(__file__).resolve().parents[2]


def config_file() -> Path:
    """`EIGHTBELLS_CONFIG`, or `eightbells.toml` here, or the project's own."""
    if chosen := os.environ.get("EIGHTBELLS_CONFIG", "").strip():
        return Path(chosen).expanduser()
    here = Path("eightbells.toml")
    return here.absolute() if here.exists() else PROJECT / "eightbells.toml"


def read_text(file: Path) -> str:
    """The file as text, without the mark that some editors put at its beginning.

    Raises:
        EightbellsError: it is missing or cannot be read.
    """
    if not file.is_file():
        raise EightbellsError(f"there is no configuration file {file}")
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise EightbellsError(f"{file}:{line}: not UTF-8: save the file with that encoding") from None
    except OSError as error:
        raise EightbellsError(f"{file} cannot be read: {error.strerror}") from None


def read_toml(file: Path) -> dict[str, Any]:
    """What the file says.

    Raises:
        EightbellsError: it is missing, cannot be read, or is not TOML.
    """
    content = read_text(file)
    try:
        return tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" \(at line (\d+), column \d+\)| \(at end of document\)", str(error))
        line = found[1] if found and found[1] else str(content.count("\n") + 1)
        what = str(error).replace(found[0], "") if found else str(error)
        raise EightbellsError(f"{file}:{line}: not TOML: {what}") from None


class File(TomlConfigSettingsSource):
    """The configuration file."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        return read_toml(Path(file_path))


class Environment(EnvSettingsSource):
    """The environment, without what files of variables leave around a value: spaces, the end of a Windows line."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        found = super()._load_env_vars()
        return {name: value.strip() if value else value for name, value in found.items()}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:  # no JSON: the field itself says what it takes
            return value
