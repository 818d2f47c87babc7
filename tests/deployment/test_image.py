"""Dockerfile and .dockerignore: what gets into the image, and what never does."""

from __future__ import annotations

import re
import tomllib

from tests.surroundings import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
LINES = [line for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
ADMITTED = {line.removeprefix("!") for line in IGNORED if line.startswith("!")}


def test_it_is_built_in_stages_on_a_pinned_python() -> None:
    bases = [line.split()[1] for line in LINES if line.startswith("FROM ")]
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", bases[0])


def test_packages_are_installed_by_hash_and_nothing_else_is() -> None:
    installs = [line for line in LINES if " install " in line and "pip" in line]
    assert "--no-deps --require-hashes -r requirements/runtime.txt" in installs[0]
    assert "--no-deps --no-build-isolation --editable ." in installs[1]
    assert len(installs) == 2


def test_it_runs_as_a_user_without_rights() -> None:
    assert [line for line in LINES if line.startswith("USER")] == ["USER 10001:10001"]
    assert LINES[-1] == 'ENTRYPOINT ["eightbells"]'


def test_no_secret_is_built_in() -> None:
    assert not re.search(r"^ARG|PASSWORD|SECRET|API_KEY", DOCKERFILE, re.M)
    assert not any(name.startswith(".") for name in ADMITTED)


def test_nothing_enters_but_what_is_named() -> None:
    assert IGNORED[0] == "*"
    assert all((ROOT / name).exists() for name in ADMITTED)
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    needed = {name.rstrip("*") for name in setuptools["packages"]["find"]["include"]}
    needed |= set(setuptools["script-files"])
    needed |= {"sql", "eightbells.toml", "prefect.yaml"}  # what the program reads beside itself
    needed |= {"pyproject.toml", "requirements/runtime.txt", "README.md"}  # what it is installed with
    assert needed == ADMITTED
