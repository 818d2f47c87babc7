"""What differs between machines and must not matter: locale, time zone, home, umask, names of folders, line ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eightbells.settings import PROJECT


@pytest.mark.parametrize(
    "given",
    [
        {"LC_ALL": "C", "TZ": "Asia/Kathmandu", "PYTHONCOERCECLOCALE": "0"},
        {"LANG": "tlh_KX.UTF-8", "TZ": "Nowhere/AtAll", "HOME": "/nowhere"},
    ],
    ids=["without a home", "with nonsense"],
)
def test_the_database_starts_whatever_the_environment_says(folder: Path, given: dict[str, str]) -> None:
    place = folder / "ma\xf1ana's data"
    config = folder / "my $HOME, größer.toml"
    shutil.copy(PROJECT / "eightbells.toml", config)
    done = eightbells(
        "migrate",
        umask=0o077,
        **given,
        EIGHTBELLS_CONFIG=f"{config}\r",
        EIGHTBELLS_MODE="paper\r",
        EIGHTBELLS_DATABASE__DIRECTORY=f"{place}\r",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("the database is at migration")
    assert (place / "postgres" / "PG_VERSION").exists()


def eightbells(*arguments: str, umask: int, **given: str) -> subprocess.CompletedProcess[str]:
    """The command as it is installed, with nothing in its environment but what is given."""
    command = [str(Path(sys.executable).with_name("eightbells")), *arguments]
    return subprocess.run(
        command,
        env={"PATH": os.defpath, **given},
        cwd="/",
        capture_output=True,
        encoding="utf-8",
        timeout=150,
        umask=umask,
        check=False,
    )
