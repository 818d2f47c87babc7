"""Two workers on the same candle, one of them frozen at some point and woken when the other has done the work.

python -m tests.crash.two_workers [--times N] [--seed S]
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections import Counter

from tests.crash.cells import CROSSING, STOP
from tests.crash.jobs import Ended
from tests.crash.world import Trial, World, standing, strategy

# Between the commit that an order goes out and its answer.
WINDOW = (
    "commit begin_sending, done",
    "begin_sending, done",
    "order.place, not sent",
    "order.place, on the wire",
    "order.place, answered",
)
_SETTINGS = {
    "strategies": [strategy(stop_loss=STOP)],
    "trading__limit_offset": CROSSING,
    "trading__lease_seconds": 1,
}
_UNDISTURBED_SECONDS = (
    20  # the lease of the run that nobody contends: a busy machine may stall it for a second
)
_ENDED = ("Z", "gone")
_STILL = ("T", *_ENDED)


def points(world: World) -> list[str]:
    """Every point that a worker passes when it is alone."""
    with world.trial(**_SETTINGS) as trial:
        ended = trial.run()
        assert ended.told is not None
        return ended.told.passed


def meet(world: World, point: str, chance: random.Random) -> tuple[list[str], Counter[str]]:
    """Let two workers meet; the first is stopped at a point. What is wrong in the end, and what happened."""
    seen: Counter[str] = Counter()
    with world.trial(**_SETTINGS) as trial:
        first = trial.start(target=point, act=signal.SIGSTOP)
        if chance.random() < 0.7:  # else whoever is quicker takes the lease
            trial.until(lambda: first.state in _STILL)
        second = trial.start()
        early = chance.random() < 0.2
        if early:
            time.sleep(chance.uniform(0.0, 2.0))
        else:
            trial.until(lambda: second.state in _ENDED or trial.is_waiting(1.5))
        seen["stopped"] += first.state == "T"
        seen["woken while the other worked"] += early
        seen["the other waited for what it had locked"] += second.state not in _ENDED and not early
        if first.state == "T" and not early:
            seen["proven absent and sent by the other"] += _was_sent_again(trial)
        trial.until(lambda: first.state in _STILL)
        if first.state == "T":
            first.send(signal.SIGCONT)
        wrongs = _errors(first.wait()) + _errors(second.wait())
        trial.change(trading__lease_seconds=_UNDISTURBED_SECONDS)
        trial.leap()
        wrongs += _errors(trial.run()) + trial.wrongs()
    return wrongs, seen


def _was_sent_again(trial: Trial) -> int:
    states = trial.rows("SELECT state FROM orders WHERE leg = 'entry' ORDER BY attempt")
    return int(states == [("ABSENT",), ("FILLED",)])


def _errors(ended: Ended) -> list[str]:
    if ended.told is None:
        return [f"a worker died of {ended.exitcode}"]
    return [ended.told.error] if ended.told.error else []


def meetings(world: World, times: int, seed: int) -> tuple[int, Counter[str]]:
    """Let them meet so many times; how many meetings ended badly, and what happened."""
    chance, failed, seen = random.Random(seed), 0, Counter[str]()
    passed, begun = points(world), time.monotonic()
    for number in range(1, times + 1):
        point = chance.choice(WINDOW if chance.random() < 0.5 else passed)
        wrongs, more = meet(world, point, chance)
        seen += more
        if wrongs:
            failed += 1
            print(f"FAILED meeting {number} at {point}", *wrongs, sep="\n    ", flush=True)
        if number % 20 == 0:
            print(
                f"{time.monotonic() - begun:6.0f} s  {number} meetings, {failed} failed  {dict(seen)}",
                flush=True,
            )
    return failed, seen


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.two_workers", description=__doc__)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    chosen = parser.parse_args(arguments)
    print(f"two workers, {chosen.times} times, seed {chosen.seed}", flush=True)
    with standing() as world:
        failed, seen = meetings(world, chosen.times, chosen.seed)
    print(*(f"{many:5} x {what}" for what, many in seen.items()), sep="\n")
    print(f"{chosen.times} meetings, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
