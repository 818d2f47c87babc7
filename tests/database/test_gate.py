"""The gate: good rows are stored, bad ones set aside with every reason, in one transaction."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from eightbells.candles import gaps, grid, store
from eightbells.quality.gate import admit
from eightbells.quality.windows import objection
from tests.klines import FIRST, STEP, admitted, after, counts, frame, kline, klines, one, rows_of

# what is wrong, the values that make it so, and every reason that must stand beside the row
BAD: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no open time": ({"open_time": None}, ["open_time_missing_or_inexact", "off_grid"]),
    "no close time": ({"close_time": None}, ["close_time_missing_or_inexact", "not_closed"]),
    "a float, digits may be lost": ({"close": 105.25}, ["close_missing_or_inexact"]),
    "not a number": ({"open": "NaN"}, ["open_missing_or_inexact"]),
    "infinite": ({"high": "Infinity"}, ["high_missing_or_inexact"]),
    "empty": ({"low": ""}, ["low_missing_or_inexact"]),
    "words": ({"volume": "many"}, ["volume_missing_or_inexact"]),
    "trades as a float": ({"trades": 42.0}, ["trades_missing_or_inexact"]),
    "null": ({"taker_buy_quote": None}, ["taker_buy_quote_missing_or_inexact"]),
    "price zero": ({"low": "0"}, ["low_not_positive"]),
    "price negative": ({"low": "-1"}, ["low_not_positive"]),
    "volume negative": ({"volume": "-1"}, ["volume_negative", "taker_volume_above_volume"]),
    "trades negative": ({"trades": -1}, ["trades_negative"]),
    "quote volume negative": ({"quote_volume": "-0.1"}, ["quote_volume_negative"]),
    "low above open": ({"open": "99"}, ["low_above_open"]),
    "low above close": ({"close": "99"}, ["low_above_close"]),
    "open above high": ({"open": "111"}, ["open_above_high"]),
    "close above high by a hair": ({"close": "110.5000000000000000001"}, ["close_above_high"]),
    "taker above volume": ({"taker_buy_base": "12.6"}, ["taker_volume_above_volume"]),
    "off the grid": ({"open_time": FIRST + 1}, ["off_grid", "closed_in_later_slot"]),
    "closed before it opened": ({"close_time": FIRST - 1}, ["closed_before_open"]),
    "closed in the next slot": ({"close_time": FIRST + 100 * STEP}, ["closed_in_later_slot", "not_closed"]),
    "in microseconds": (
        {"open_time": FIRST * 1000, "close_time": FIRST * 1000 + 1},
        [
            "open_time_missing_or_inexact",
            "off_grid",
            "close_time_missing_or_inexact",
            "not_closed",
        ],
    ),
    "from the future": ({"open_time": FIRST + 900 * STEP}, ["closed_before_open"]),
    "before all history": (
        {"open_time": FIRST - 1_000_000 * STEP},
        ["not_requested", "closed_in_later_slot"],
    ),
    "before all time": (
        {"open_time": -(10**18)},
        ["open_time_missing_or_inexact", "off_grid"],
    ),
    "a number too great for Postgres": ({"volume": "1E+200000"}, ["volume_missing_or_inexact"]),
    "a number too small for Postgres": (
        {"taker_buy_quote": "1E-20000"},
        ["taker_buy_quote_missing_or_inexact"],
    ),
    "a count too great for Postgres": ({"trades": 2**63}, ["trades_missing_or_inexact"]),
    "endless": ({"close": "1" * 20_000}, ["close_missing_or_inexact"]),
}


def test_every_kind_of_bad_row_goes_to_quarantine_with_its_reasons(engine: Engine) -> None:
    bad = {name: kline(slot, **changed) for slot, (name, (changed, _)) in enumerate(BAD.items(), 2)}
    good = [*klines(2), *klines(2, first=40)]
    admission = admitted(engine, [*good[:2], *bad.values(), *good[2:]], after(42))
    kept = rows_of(engine, "SELECT symbol, raw, reasons FROM quarantined_candles ORDER BY id")
    assert [raw for _, raw, _ in kept] == list(bad.values())
    assert {name: sorted(reasons) for name, (_, _, reasons) in zip(bad, kept, strict=True)} == {
        name: sorted(reasons) for name, (_, reasons) in BAD.items()
    }
    assert {symbol for symbol, _, _ in kept} == {"BTCUSDT"}
    assert (admission.inserted, admission.quarantined) == (len(good), len(bad))
    stored = rows_of(engine, "SELECT open_time FROM candles ORDER BY open_time")
    assert [grid.to_ms(opened) for (opened,) in stored] == [row[0] for row in good]
    assert rows_of(engine, "SELECT success, failed FROM validations") == [(False, len(bad))]


def test_a_short_row_is_refused_for_every_value_it_lacks(engine: Engine) -> None:
    admitted(engine, [kline(0), kline(1)[:5]], after(2))
    (reasons,) = rows_of(engine, "SELECT reasons FROM quarantined_candles")[0]
    assert {"volume_missing_or_inexact", "close_time_missing_or_inexact"} <= set(reasons)
    assert "open_missing_or_inexact" not in reasons


def test_two_versions_of_a_candle_in_one_answer_are_both_refused(engine: Engine) -> None:
    admission = admitted(engine, [kline(0), kline(1), kline(1, volume="13")], after(2))
    assert (admission.inserted, admission.quarantined) == (1, 2)
    reasons = rows_of(engine, "SELECT reasons FROM quarantined_candles")
    assert reasons == [(["duplicate"],)] * 2


def test_the_same_row_twice_in_one_answer_is_one_candle(engine: Engine) -> None:
    admission = admitted(engine, [kline(0), kline(1), kline(1)], after(2))
    assert (admission.inserted, admission.quarantined) == (2, 0)


def test_the_candle_that_still_runs_is_left_out(engine: Engine) -> None:
    admission = admitted(engine, klines(3), after(2))
    assert (admission.checked, admission.inserted) == (2, 2)
    assert admission.verdicts["BTCUSDT"].last_open == FIRST + STEP


def test_every_symbol_of_a_batch_has_a_verdict_of_its_own(engine: Engine) -> None:
    frames = [frame(klines(2)), frame([kline(0), kline(1, low="200")], "ETHUSDT")]
    verdicts = admit(engine, frames, "rest", after(2)).verdicts
    assert (verdicts["BTCUSDT"].success, verdicts["ETHUSDT"].success) == (True, False)
    assert verdicts["ETHUSDT"].reasons == {"low_above_open": 1, "low_above_close": 1}
    assert one(engine, "SELECT count(*) FROM candles WHERE symbol = 'ETHUSDT'") == 1


@pytest.mark.parametrize("bad", [False, True])
def test_the_same_answer_again_leaves_no_trace(engine: Engine, bad: bool) -> None:
    rows = [*klines(3), kline(3, low="200")] if bad else klines(4)
    first = admitted(engine, rows, after(4))
    before = counts(engine)
    again = admitted(engine, rows, after(5))
    assert counts(engine) == before
    assert (again.inserted, again.revised) == (0, 0)
    assert again.verdicts == first.verdicts


def test_a_bad_version_does_not_touch_the_good_one_that_is_stored(engine: Engine) -> None:
    admitted(engine, [kline(0)], after(1))
    admission = admitted(engine, [kline(0, low="0")], after(2))
    assert (admission.revised, admission.quarantined) == (0, 1)
    assert one(engine, "SELECT close FROM candles") == Decimal("105.25")


def test_no_rows_at_all_are_no_batch(engine: Engine) -> None:
    assert admitted(engine, [], after(1)).verdicts == {}
    assert admit(engine, [], "rest", after(1)).verdicts == {}
    assert one(engine, "SELECT count(*) FROM batches") == 0


@pytest.mark.parametrize(
    "junk", [[], [None] * 12, ["x"] * 12, [[], {}] * 6, None, 5, "eleven letters"], ids=str
)
def test_a_row_of_nothing_but_junk_is_kept_as_it_came(engine: Engine, junk: Any) -> None:
    admission = admitted(engine, [kline(0), junk, kline(1)], after(2))
    assert (admission.inserted, admission.quarantined) == (2, 1)
    assert one(engine, "SELECT raw FROM quarantined_candles") == junk


@pytest.mark.parametrize("close", ["1\0", "\ud800", float("nan")], ids=ascii)
def test_a_row_that_postgres_cannot_hold_is_kept_as_python_shows_it(engine: Engine, close: Any) -> None:
    row = kline(1, close=close)
    admission = admitted(engine, [kline(0), row, kline(2)], after(3))
    assert (admission.inserted, admission.quarantined) == (2, 1)
    assert one(engine, "SELECT raw FROM quarantined_candles") == repr(row)


def test_no_row_is_lost_among_those_that_cannot_be_read(engine: Engine) -> None:
    noise = random.Random(1).randbytes(5_000).hex()  # more than an index has room for
    rows = [["x"], ["y"], ["y"], kline(1, close="1.0.0"), kline(1, close="1.0.1"), [noise], [noise + "z"]]
    assert admitted(engine, [kline(0), *rows], after(2)).quarantined == len(rows) - 1
    kept = [raw for (raw,) in rows_of(engine, "SELECT raw FROM quarantined_candles ORDER BY id")]
    assert kept == [row for number, row in enumerate(rows) if number != 2]


def test_a_row_from_the_future_does_not_stand_for_what_has_been_delivered(engine: Engine) -> None:
    later = kline(9)
    admission = admitted(engine, [kline(0), later], after(2))
    assert (admission.inserted, admission.quarantined) == (1, 1)
    assert admission.verdicts["BTCUSDT"].last_open == FIRST


def objecting(
    engine: Engine, rows: list[Any], slot: int, window: int, max_pause: int = 6, split_ms: int | None = None
) -> str | None:
    verdict = admitted(engine, rows, after(slot + 1)).verdicts.get("BTCUSDT")
    opened = FIRST + slot * STEP
    with engine.connect() as connection:
        candles = store.read_window(connection, "BTCUSDT", opened, window)
        absent = gaps.absent(connection, ["BTCUSDT"], opened)["BTCUSDT"]
    return objection(verdict, opened, candles.opens, absent, max_pause, split_ms)


def test_a_proven_window_meets_no_objection(engine: Engine) -> None:
    assert objecting(engine, klines(4), 3, 4) is None


def test_a_candle_that_did_not_come_is_objected_to(engine: Engine) -> None:
    assert objecting(engine, klines(3), 3, 4) == "the exchange did not deliver the candle"
    assert objecting(engine, [], 3, 4) == "the exchange did not deliver the candle"


def test_a_bad_row_anywhere_in_the_answer_is_objected_to(engine: Engine) -> None:
    said = objecting(engine, [kline(0, trades=-1), *klines(3, first=1)], 3, 4)
    assert said == "validation failed: trades negative (1)"


def test_a_hole_anywhere_in_the_window_is_objected_to_and_one_before_it_is_not(engine: Engine) -> None:
    rows = [kline(slot) for slot in (0, 1, 2, 4, 7, 8)]
    assert objecting(engine, rows, 8, 2) is None
    said = "candle(s) of the window are missing, the first"
    assert objecting(engine, rows, 8, 3) == f"2 {said} 2021-03-01 20:00"
    absent = [FIRST + slot * STEP for slot in (5, 6)]
    with engine.begin() as connection:
        for _ in range(2):
            gaps.record_asked(connection, "BTCUSDT", absent, after(20))
    assert objecting(engine, rows, 8, 3) is None  # what the exchange never had is no hole
    assert objecting(engine, rows, 8, 4) == f"1 {said} 2021-03-01 12:00"


def test_a_pause_that_is_too_long_is_objected_to_until_the_window_lies_behind_it(engine: Engine) -> None:
    rows = [kline(slot) for slot in (0, 1, 2, 6, 7, 8)]
    admitted(engine, rows, after(9))
    absent = [FIRST + slot * STEP for slot in (3, 4, 5)]
    with engine.begin() as connection:
        for _ in range(2):
            gaps.record_asked(connection, "BTCUSDT", absent, after(20))
    assert objecting(engine, rows, 8, 4, max_pause=3) is None
    assert objecting(engine, rows, 8, 4, max_pause=2) == (
        "the window spans a pause of 3 candles from 2021-03-01 12:00 to 2021-03-02 00:00, 2 is the most "
        "(candles.max_pause)"
    )
    assert objecting(engine, rows, 8, 3, max_pause=2) is None


def test_a_window_that_joins_old_and_new_coins_is_objected_to(engine: Engine) -> None:
    split = FIRST + 3 * STEP
    said = "the window joins candles before and after the split of 2021-03-01 12:00"
    assert objecting(engine, klines(6), 5, 4, split_ms=split) == said
    assert objecting(engine, klines(6), 5, 3, split_ms=split) is None
