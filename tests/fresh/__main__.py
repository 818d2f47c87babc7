"""The README's two commands on machines that have never seen the project: bare Debian 12 and 13, as root and as a user.

python -m tests.fresh [--quick] [MACHINE ...]     a machine is bookworm/root, bookworm/user, trixie/root or trixie/user

Each machine gets the last commit. It runs `make demo`, then `make test` (not with --quick), then `make demo` once more
without any network and with a project folder that is read-only. Needs root, and the programs debootstrap and ip, whose
packages it installs where they are missing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time

from tests.fresh.machine import CACHE, Machine, make_base

MACHINES = ["bookworm/root", "trixie/user", "bookworm/user", "trixie/root"]
DEMO = 'make demo ARGS="--once --json"'
TEST = "make test"
SECONDS = {DEMO: 1200, TEST: 3600}


def main() -> int:
    options = _options()
    if os.geteuid() != 0:
        return _complain("only root can make these machines: run it with sudo")
    if lacking := _install(["debootstrap", "ip"]):
        return _complain(f"{lacking} is not installed, and apt-get cannot install it")
    runs = [(DEMO, True), (TEST, True), (DEMO, False)]
    if options.quick:
        runs.remove((TEST, True))
    return max(_try(name, runs) for name in options.machines or MACHINES)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fresh")
    parser.add_argument("--quick", action="store_true", help="without `make test`")
    parser.add_argument("machines", nargs="*", metavar="MACHINE", help=f"of {', '.join(MACHINES)}")
    options = parser.parse_args()
    if unknown := set(options.machines) - set(MACHINES):
        parser.error(f"there is no machine {', '.join(unknown)}")
    return options


def _install(programs: list[str]) -> str:
    """Install what is missing; returns what is missing still."""
    if all(map(shutil.which, programs)):
        return ""
    for command in (["update"], ["install", "--yes", "debootstrap", "iproute2"]):
        subprocess.run(["apt-get", "-qq", *command], stdout=subprocess.DEVNULL, check=False)
    return ", ".join(program for program in programs if shutil.which(program) is None)


def _try(name: str, runs: list[tuple[str, bool]]) -> int:
    release, user = name.split("/")
    try:
        make_base(release)
    except subprocess.CalledProcessError:
        return _complain(f"there is no base system {release}: its log is {CACHE / release}.log")
    with Machine(release, user) as machine:
        for command, network in runs:
            began = time.monotonic()
            code, said = machine.run(command, network, SECONDS[command])
            lines = [line for line in said.splitlines() if line.strip()] or ["no word"]
            where = "" if network else ", without a network"
            print(f"{name:14} exit {code} {time.monotonic() - began:4.0f} s  {command}{where}", flush=True)
            print("\n".join(lines[-40:] if code else lines[-1:])[-8000:], flush=True)
            if code:
                kept = CACHE / f"{release}-{user}.log"
                kept.write_text(said)
                return _complain(f"all that it said is in {kept}")
    return 0


def _complain(words: str) -> int:
    print(f"fresh machines: {words}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
