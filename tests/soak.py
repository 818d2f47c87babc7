"""`make soak`: compressed weeks of the stream among faults, then a compressed month of `eightbells up`.

make soak                                  # both, most of an hour
make soak ARGS="stream --symbols 1000"     # the stream alone
make soak ARGS="month --day-seconds 36"    # the month alone, quicker, on a machine that does nothing else
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence

from tests.control_room import month
from tests.control_room.scale import EVENTS_KEPT_DAYS, LENGTHS, Scale
from tests.stream import soak as stream


def main(arguments: Sequence[str] | None = None) -> int:
    given = _read(arguments)
    if given.part == "stream":
        return _stream(given)
    if given.part == "month":
        return month.main(given.days, Scale(given.day_seconds, given.keep_days, given.keep_events))
    return _stream(_read(["stream"])) or main(["month"])


def _read(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make soak", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parts = parser.add_subparsers(dest="part")
    of_stream = parts.add_parser("stream", help="compressed weeks of the stream among faults")
    of_stream.add_argument("--symbols", type=int, default=1000)
    of_stream.add_argument("--days", type=int, default=30)
    of_stream.add_argument("--seed", type=int, default=None, help="of the faults; default: another each time")
    of_stream.add_argument("--close-seconds", type=float, default=4.0, help="real seconds a candle lasts")
    of_month = parts.add_parser("month", help="a compressed month of `eightbells up`")
    of_month.add_argument("--days", type=int, default=30)
    of_month.add_argument("--day-seconds", type=int, default=60, choices=LENGTHS)
    of_month.add_argument("--keep-days", type=int, default=3, help="of Prefect's runs, in compressed days")
    of_month.add_argument("--keep-events", type=int, default=EVENTS_KEPT_DAYS, help="the same of its events")
    return parser.parse_args(arguments)


def _stream(given: argparse.Namespace) -> int:
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    print(f"stream: {given.symbols} symbols, {given.days} days, seed {seed}", flush=True)
    result = stream.soak(given.symbols, given.days, seed, given.close_seconds)
    stream.show(result, seed)
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main())
