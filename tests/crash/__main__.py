"""The proof by crashing: the whole matrix, a random walk of 2,000 cycles, and two workers that meet 200 times.

python -m tests.crash [--quick] [--seed S]
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys

from tests.crash import matrix, random_walk, two_workers

_SIDE_BY_SIDE = (
    5  # parts of the matrix at once: what is killed waits, more than it works, for leases and for proofs
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a part of everything, in some minutes")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    chosen = parser.parse_args()
    seed = ["--seed", str(chosen.seed)]
    print(f"seed {chosen.seed}", flush=True)
    failed = matrix.main(["--sample", "100", *seed]) if chosen.quick else _whole_matrix()
    failed += random_walk.main(["--cycles", "100" if chosen.quick else "2000", *seed])
    failed += two_workers.main(["--times", "10" if chosen.quick else "200", *seed])
    return min(failed, 1)


def _whole_matrix() -> int:
    parts = [
        subprocess.Popen([sys.executable, "-m", "tests.crash.matrix", "--part", f"{part}/{_SIDE_BY_SIDE}"])
        for part in range(1, _SIDE_BY_SIDE + 1)
    ]
    return sum(part.wait() != 0 for part in parts)


if __name__ == "__main__":
    sys.exit(main())
