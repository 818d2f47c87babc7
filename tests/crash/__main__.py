"""The proof by crashing: the matrix, a random walk of 2,000 cycles, 200 meetings of two workers, 1,000 guarded days,
and a backfill that is killed twenty times.

python -m tests.crash [--quick] [--seed S]

In full all of it goes on side by side, in parts: what is killed waits, more than it works, for leases and for proofs.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys

from tests.crash import guard_walk, matrix, random_walk, two_workers

_PARTS = 4  # of the matrix, at once


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a part of everything, in some minutes")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    chosen = parser.parse_args()
    seed = ["--seed", str(chosen.seed)]
    print(f"seed {chosen.seed}", flush=True)
    return _some(seed) if chosen.quick else _everything(seed)


def _some(seed: list[str]) -> int:
    failed = matrix.main(["--sample", "100", *seed])
    failed += random_walk.main(["--cycles", "100", *seed])
    failed += two_workers.main(["--times", "10", *seed])
    failed += guard_walk.main(["--walks", "4", "--days", "10", *seed])
    return min(failed, 1)


def _everything(seed: list[str]) -> int:
    programs = [
        ["random_walk", *seed],
        ["two_workers", *seed],
        ["guard_walk", *seed],
        ["killed_backfill", *seed],
        *(["matrix", "--part", f"{part}/{_PARTS}"] for part in range(1, _PARTS + 1)),
    ]
    running = {
        " ".join(words): subprocess.Popen([sys.executable, "-m", f"tests.crash.{words[0]}", *words[1:]])
        for words in programs
    }
    failed = [words for words, process in running.items() if process.wait() != 0]
    print(*(f"FAILED: {words}" for words in failed) if failed else ["all of it held"], sep="\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
