"""What prefect.yaml declares, readable without Prefect."""

from __future__ import annotations

from typing import Any

import yaml

from eightbells.settings import PROJECT


def declared() -> list[dict[str, Any]]:
    """The entries of prefect.yaml."""
    entries: list[dict[str, Any]] = yaml.safe_load((PROJECT / "prefect.yaml").read_text(encoding="utf-8"))[
        "deployments"
    ]
    return entries
