"""Names of environment variables: those that are settings, and what somebody may have meant by another one."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Iterator

from pydantic import BaseModel

PREFIX = "EIGHTBELLS_"
DELIMITER = "__"
# Names with the prefix that are no settings: of the file itself, of prefect.yaml, of the tests.
_OTHERS = {"EIGHTBELLS_CONFIG", "EIGHTBELLS_HOME", "EIGHTBELLS_FULL"}
_CLOSE, VERY_CLOSE = 0.6, 0.85


def known_names(model: type[BaseModel]) -> set[str]:
    """Every variable that a setting is read from."""
    return set(_names(model, PREFIX))


def _names(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if field.validation_alias is not None:
            yield str(field.validation_alias)
            continue
        yield f"{prefix}{name.upper()}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _names(field.annotation, f"{prefix}{name.upper()}{DELIMITER}")


def unknown_names(known: Collection[str]) -> dict[str, str]:
    """Variables that look like settings and are none, each with the name that was probably meant, or ''."""
    found = {}
    for name in sorted(os.environ):
        upper = name.upper()
        if upper in known or upper in _OTHERS or upper.startswith(f"{PREFIX}ERRORS{DELIMITER}"):
            continue
        if upper.startswith(PREFIX):
            found[name] = nearest_name(upper, known)
        elif upper.startswith("EIG") and (meant := _closest(upper, known, VERY_CLOSE)):
            found[name] = meant  # the prefix itself is misspelt
    return found


def nearest_name(name: str, known: Collection[str]) -> str:
    """The known name that is nearest, or ''. Single or double underscores and a missing section do not matter."""
    plain = {_plain(it): it for it in sorted(known)}
    wanted = _plain(name)
    found = plain.get(wanted) or plain.get(_closest(wanted, plain, _CLOSE), "")
    return found or next((it for it in sorted(known) if it.endswith(f"_{wanted}")), "")


def misspelt(missing: Collection[str], known: Collection[str]) -> dict[str, str]:
    """Variables of another name that may hold what is missing: BINANCE_KEY for BINANCE_API_KEY."""
    others = [name for name in os.environ if name.upper().startswith("BINANCE") and name not in known]
    wanted = {name for name in known if name.startswith("BINANCE")}
    meant = {name: _closest(name.upper(), wanted, 0.5) for name in sorted(others)}
    return {name: it for name, it in meant.items() if it in missing}


def suggestion(word: str, candidates: Collection[str], cutoff: float = _CLOSE) -> str:
    """`; did you mean x?`, or nothing where no candidate is near."""
    found = _closest(word, candidates, cutoff)
    return f"; did you mean {found}?" if found else ""


def _plain(name: str) -> str:
    return name.removeprefix(PREFIX).strip("_").replace(DELIMITER, "_")


def _closest(word: str, candidates: Collection[str], cutoff: float) -> str:
    return next(iter(difflib.get_close_matches(word, list(candidates), 1, cutoff)), "")
