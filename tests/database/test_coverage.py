"""`eightbells coverage`: every slot is accounted for, once."""

from __future__ import annotations

import json
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

from eightbells.candles import gaps
from eightbells.candles.coverage import Month, coverage
from eightbells.errors import EightbellsError
from tests.books import list_symbol
from tests.conftest import Configure
from tests.crash.command import command
from tests.klines import FIRST, STEP, admitted, after, kline, klines

MARCH = 31 * 6


def _covered(engine: Engine, now: int, *symbols: str) -> list[Month]:
    with engine.connect() as connection:
        return coverage(connection, now, symbols or None)


def _ask(engine: Engine, times: int, slots: list[int], now: int) -> None:
    with engine.begin() as connection:
        for _ in range(times):
            gaps.record_asked(connection, "BTCUSDT", [FIRST + slot * STEP for slot in slots], now)


def test_each_slot_is_stored_quarantined_open_or_absent(engine: Engine) -> None:
    later = after(MARCH + 6)
    admitted(engine, [*klines(4), kline(6, low="200"), *klines(3, MARCH - 3)], later)
    _ask(engine, 2, [4, 5, 6], later)
    _ask(engine, 1, [7], later)
    assert _covered(engine, later) == [
        Month("BTCUSDT", date(2021, 3, 1), MARCH, 7, 1, MARCH - 10, 2),
        Month("BTCUSDT", date(2021, 4, 1), 6, 0, 0, 6, 0),
    ]


def test_a_slot_is_counted_once_whatever_came_for_it(engine: Engine) -> None:
    _ask(engine, 2, [0, 1], after(9))
    admitted(engine, [kline(0), kline(1, low="200"), kline(1, low="300"), kline(2, low="200")], after(9))
    admitted(engine, [kline(2)], after(9))
    assert _covered(engine, after(3)) == [Month("BTCUSDT", date(2021, 3, 1), 3, 2, 1, 0, 0)]


def test_rows_off_the_grid_and_of_the_future_are_no_slots(engine: Engine) -> None:
    admitted(engine, [kline(0), kline(1, open_time=FIRST + STEP + 1), kline(500)], after(2))
    assert _covered(engine, after(2)) == [Month("BTCUSDT", date(2021, 3, 1), 2, 1, 0, 1, 0)]


def test_a_symbol_that_is_not_traded_any_more_ends_with_its_newest_slot(engine: Engine) -> None:
    admitted(engine, klines(3), after(3))
    with engine.begin() as connection:
        list_symbol(connection)
    assert [it.slots for it in _covered(engine, after(10))] == [10]
    with engine.begin() as connection:
        connection.execute(text("UPDATE symbols SET status = 'BREAK'"))
    assert [it.slots for it in _covered(engine, after(10))] == [3]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fates=some.dictionaries(
        some.integers(0, 400), some.sampled_from(["stored", "quarantined", "absent", "open"]), min_size=1
    )
)
def test_the_months_of_any_history_add_up(engine: Engine, fates: dict[int, str]) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM candle_gaps; DELETE FROM quarantined_candles"))
        connection.execute(text("ALTER TABLE candles DISABLE TRIGGER candles_are_kept"))
        connection.execute(text("DELETE FROM candles"))
        connection.execute(text("ALTER TABLE candles ENABLE TRIGGER candles_are_kept"))
    of = {fate: [slot for slot, it in sorted(fates.items()) if it == fate] for fate in set(fates.values())}
    good, bad = of.get("stored", []), of.get("quarantined", [])
    admitted(engine, [*map(kline, good), *(kline(slot, low="200") for slot in bad)], after(450))
    _ask(engine, 2, of.get("absent", []), after(450))
    _ask(engine, 1, of.get("open", []), after(450))
    found = _covered(engine, after(450))
    assert sum(it.slots for it in found) == 450 - min(fates)
    assert sum(it.stored for it in found) == len(good)
    assert sum(it.quarantined for it in found) == len(bad)
    assert sum(it.absent for it in found) == len(of.get("absent", []))
    assert all(it.slots == it.stored + it.quarantined + it.open + it.absent for it in found)
    assert min(it.open for it in found) >= 0


def test_people_read_it_at_80_columns_and_scripts_as_json(
    engine: Engine, database: URL, configure: Configure
) -> None:
    configure(database=database, mode="paper")
    for symbol in ("1000LONGNAMEUSDT", "BTCUSDT"):
        admitted(engine, klines(MARCH - 1), after(MARCH), symbol)
        with engine.begin() as connection:
            list_symbol(connection, symbol)
            connection.execute(text("UPDATE symbols SET status = 'BREAK'"))
    shown = command({"COLUMNS": "80"}, "coverage")
    assert shown.code == 0, shown.complaint
    lines = shown.answer.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == ["1000LONGNAMEUSDT", "2021", "100"]
    assert f"{2 * MARCH - 2} slots: {2 * MARCH - 2} stored, 0 quarantined, 0 open, 0 absent" in lines
    (row,) = json.loads(command({}, "coverage", "--symbols", "BTCUSDT", "--json").answer)["coverage"]
    assert row == {
        "symbol": "BTCUSDT",
        "month": "2021-03",
        "slots": MARCH - 1,
        "stored": MARCH - 1,
        "quarantined": 0,
        "open": 0,
        "absent": 0,
        "share": 1.0,
    }


def test_what_is_unknown_is_one_line(engine: Engine) -> None:
    with pytest.raises(EightbellsError, match="nothing is known of NOPEUSDT"):
        _covered(engine, after(1), "NOPEUSDT")
    assert _covered(engine, after(1)) == []
