"""docker-compose.yml as Compose reads it, with the variables filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.surroundings import ROOT

# What a user's .env holds in paper mode. The passwords have signs that break URLs and shells which quote badly.
PAPER = {
    "COMPOSE_PROFILES": "paper",
    "POSTGRES_PASSWORD": "p@ss:w/rd '\"%20 $HOME",
    "GRAFANA_PASSWORD": "gr@fana 'pass",
}
_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:[-+?])([^}]*))?\})")


def raw() -> dict[str, Any]:
    """The file, its variables as they are written."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return content


def services(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The services by name. Raises KeyError where a variable is required and missing."""
    found: dict[str, dict[str, Any]] = _filled(raw()["services"], environment)
    return found


def ours(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The services of the image that is built here."""
    return {name: service for name, service in services(environment).items() if "build" in service}


def _filled(node: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _filled(value, environment) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, environment) for value in node]
    if not isinstance(node, str):
        return node

    def fill(found: re.Match[str]) -> str:
        escaped, name, rule, text = found.groups()
        if escaped:
            return "$"
        value = environment.get(name, "")
        if rule == ":?" and not value:
            raise KeyError(f"{name}: {text}")
        if rule == ":+":
            return text if value else ""
        return value or text or ""

    return _VARIABLE.sub(fill, node)
