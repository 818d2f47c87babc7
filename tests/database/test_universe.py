"""The universe by rule: what the cycle chooses close after close is what a backtest computes at once."""

from __future__ import annotations

import json
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError

from cli.doctor.universe import by_members, look_at_universe
from eightbells.backtest.history import read_folder
from eightbells.backtest.request import Request, backtest
from eightbells.candles import grid, store
from eightbells.candles.frame import candle_frame, concatenate
from eightbells.settings import Settings
from eightbells.universe import members
from eightbells.universe.candidates import Loaded, Series, Stored
from eightbells.universe.walk import walk
from tests.books import list_symbol
from tests.conftest import Configure
from tests.crash.command import command
from tests.exchange import running
from tests.klines import one, rows_of

STEP, DAY = 4 * 3_600_000, 86_400_000
FIRST = 1_606_780_800_000  # 2020-12-01
WEEKS = 12
LAST = FIRST + WEEKS * 7 * DAY - STEP
KNOWN = FIRST - 40 * DAY
REAL = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT"]
ENDS = {
    f"S{number:03}USDT": FIRST + days * DAY + STEP for number, days in ((6, 50), (7, 71), (8, 62), (9, -1))
}
Rows = dict[str, list[list[Any]]]


def real_rows(folder: Path) -> Rows:
    """The klines of the real symbols, as REST lists them, with their first candle."""
    found = {}
    for history in read_folder(folder, REAL):
        values = {
            name: history.column(name) for name in ("open", "high", "low", "close", "volume", "quote_volume")
        }
        found[history.symbol] = [
            [
                int(at),
                *(f"{values[it][index]:f}" for it in ("open", "high", "low", "close", "volume")),
                int(at) + STEP - 1,
                f"{values['quote_volume'][index]:f}",
                *(1, "0", "0", "0"),
            ]
            for index, at in enumerate(history.opens)
            if index == 0 or KNOWN <= at <= LAST
        ]
    return found


def made_up_rows(many: int) -> Rows:
    """The klines of a simulator's symbols that are not among the real ones; some of them end."""
    found: Rows = {}
    with running("--generate", str(len(REAL) + many)) as simulator:
        simulator.leap(LAST + STEP)
        names = [it["symbol"] for it in simulator.ask("/api/v3/exchangeInfo")["symbols"]]
        for symbol in (it for it in names if it not in REAL):
            found[symbol] = [
                row for row in simulator.klines(symbol, KNOWN, LAST) if row[0] < ENDS.get(symbol, LAST + 1)
            ]
    return found


def list_symbols(engine: Engine, rows: Rows) -> None:
    with engine.begin() as connection:
        for symbol, klines in rows.items():
            connection.execute(
                text(
                    "INSERT INTO symbols (symbol, status, base_asset, quote_asset, rules, seen_at, first_open_time) "
                    "VALUES (:symbol, 'TRADING', :base, 'USDT', '{}', now(), :first)"
                ),
                {
                    "symbol": symbol,
                    "base": symbol.removesuffix("USDT"),
                    # of made-up symbols it is not known: the first stored candle counts
                    "first": grid.to_time(klines[0][0]) if symbol in REAL else None,
                },
            )


def keep(engine: Engine, klines: list[tuple[str, list[Any]]]) -> None:
    by_symbol = defaultdict(list)
    for symbol, row in klines:
        by_symbol[symbol].append(row)
    frame = concatenate(candle_frame(symbol, rows) for symbol, rows in by_symbol.items())
    with engine.begin() as connection:
        store.write(connection, [store.lines_of(frame)], "rest", LAST, None)


def give_notice(engine: Engine, symbol: str, seen_ms: int, delist_ms: int) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO delisting_notices (symbol, delist_at, seen_at) VALUES (:symbol, :at, :seen)"),
            {"symbol": symbol, "at": grid.to_time(delist_ms), "seen": grid.to_time(seen_ms)},
        )


@pytest.fixture
def ruled(configure: Configure) -> Settings:
    return configure(universe={"top": 6, "older_than_days": 35, "days": 30}, strategies=[])


def test_members_are_the_same_live_and_computed_at_once(
    engine: Engine, ruled: Settings, market_data: Path
) -> None:
    rows = real_rows(market_data) | made_up_rows(9)
    list_symbols(engine, rows)
    by_slot: dict[int, list[tuple[str, list[Any]]]] = defaultdict(list)
    for symbol, klines in rows.items():
        for row in klines:
            by_slot[row[0]].append((symbol, row))
    keep(engine, [it for slot, klines in by_slot.items() if slot < FIRST for it in klines])
    noticed, planted = FIRST + 24 * DAY, ""
    for opened in range(FIRST, LAST + 1, STEP):  # as time goes by
        if opened == noticed:
            with engine.connect() as connection:
                planted = next(it for it in members.resolved(connection, ruled).symbols if it not in REAL)
            give_notice(engine, planted, opened + STEP - 1, opened + 6 * DAY)
        keep(engine, by_slot[opened])
        with engine.begin() as connection:
            members.choose_due(connection, ruled, opened + STEP)
        with engine.begin() as connection:
            members.end_at_close(connection, ruled, opened + STEP)
    with engine.connect() as connection:
        live = members.read(connection, ruled, "cycle")
        source = Stored(connection, "USDT")
        computed = walk(source, ruled.universe, FIRST, LAST)
    assert computed.memberships == live
    assert one(engine, "SELECT count(*) FROM universe_choices") == len(computed.choices) == WEEKS + 1

    # what was planted
    by_symbol = {it.symbol: it for it in live}
    assert by_symbol[planted].left_ms == noticed + STEP < noticed + 6 * DAY
    assert str(by_symbol[planted].why_left).startswith("the exchange stops trading it at")
    ended = {it: by_symbol[it] for it in ENDS if it in by_symbol and it != planted}
    assert ended
    for symbol, membership in ended.items():
        assert ENDS[symbol] > FIRST, "it had ended before"
        assert membership.left_ms is not None
        assert membership.left_ms <= ENDS[symbol] + DAY, "a day after its last candle at the latest"
    assert len({it.symbol for it in live}) > 6
    assert {"BTCUSDT", "ETHUSDT"} <= {it.symbol for it in live if it.left_ms is None}

    # without a schedule of delistings the candles alone give the same, stored or in memory
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM delisting_notices"))
        stored = walk(Stored(connection, "USDT"), ruled.universe, FIRST, LAST)
    assert stored.memberships == walk(loaded(rows), ruled.universe, FIRST, LAST).memberships


def loaded(rows: Rows) -> Loaded:
    return Loaded(
        [
            Series(
                symbol,
                symbol.removesuffix("USDT"),
                np.array([row[0] for row in klines], dtype=np.int64),
                [Decimal(row[7]) for row in klines],
            )
            for symbol, klines in rows.items()
        ]
    )


@pytest.fixture
def market(engine: Engine) -> Rows:
    """Eighty days of four symbols, the second of which ends; volumes fall by name, and D has the highest at the end."""
    rows: Rows = {}
    for number, symbol in enumerate(("AUSDT", "BUSDT", "CUSDT", "DUSDT")):
        rows[symbol] = []
        for slot in range(480 if symbol != "BUSDT" else 300):
            at = FIRST + slot * STEP
            volume = 9000 if symbol == "DUSDT" and slot > 390 else 1000 - number
            prices = ("1", "1", "1", "1", "1000")
            rows[symbol].append([at, *prices, at + STEP - 1, str(volume), 1, "0", "0", "0"])
    list_symbols(engine, rows)
    keep(engine, [(symbol, row) for symbol, klines in rows.items() for row in klines])
    return rows


@pytest.fixture
def two(configure: Configure) -> Settings:
    return configure(universe={"top": 2, "older_than_days": 10, "days": 7}, strategies=[])


def test_a_backtest_chooses_for_the_time_before_the_cycle_and_reads_its_rows_after(
    engine: Engine, two: Settings, market: Rows
) -> None:
    assert market
    began = FIRST + 55 * DAY
    with engine.begin() as connection:
        members.choose_due(connection, two, began)
    traded = rows_of(engine, "SELECT symbol, joined_at FROM universe_members WHERE made_by = 'cycle'")
    for _ in range(2):  # another backtest replaces what the first has computed
        with engine.begin() as connection:
            timeline = members.span_timeline(connection, two, FIRST, LAST)
    chosen_at = grid.to_ms(one(engine, "SELECT chosen_at FROM universe_choices WHERE made_by = 'cycle'"))
    assert rows_of(engine, "SELECT symbol, joined_at FROM universe_members WHERE made_by = 'cycle'") == traded
    assert list(timeline) == ["AUSDT", "BUSDT", "CUSDT"]
    assert one(
        engine, "SELECT max(chosen_at) FROM universe_choices WHERE made_by = 'backtest'"
    ) < grid.to_time(chosen_at)
    for symbol in ("AUSDT", "CUSDT"):  # D rises later, and the cycle has not chosen since
        assert timeline.holds(symbol, chosen_at)
        assert timeline.holds(symbol, LAST)
    assert timeline.holds("BUSDT", FIRST + 20 * DAY)
    assert not timeline.holds("BUSDT", chosen_at)
    assert not timeline.holds("AUSDT", FIRST + 9 * DAY), "nobody is old enough"


def test_the_first_choice_counts_whatever_comes_later(engine: Engine, two: Settings, market: Rows) -> None:
    assert market
    at = FIRST + 28 * DAY
    with engine.begin() as connection:
        members.choose_due(connection, two, at)
    before = rows_of(engine, "SELECT * FROM universe_members ORDER BY symbol")
    assert [row[2] for row in before] == ["AUSDT", "BUSDT"]
    with engine.begin() as connection:
        connection.execute(text("UPDATE candles SET quote_volume = 10 WHERE symbol = 'AUSDT'"))
        members.choose_due(connection, two, at)
        members.choose_due(connection, two, at - 7 * DAY)
        assert members.end_at_close(connection, two, at - DAY) == {}
        assert members.resolved(connection, two).symbols == ["AUSDT", "BUSDT"]
    assert rows_of(engine, "SELECT * FROM universe_members ORDER BY symbol") == before


def test_another_rule_has_members_of_its_own(
    engine: Engine, configure: Configure, two: Settings, market: Rows
) -> None:
    assert market
    with engine.begin() as connection:
        members.choose_due(connection, two, FIRST + 28 * DAY)
        other = configure(universe={"top": 2, "older_than_days": 10, "days": 7, "exclude": ["AUSDT"]})
        assert members.newest_choice(connection, other) is None
        members.choose_due(connection, other, FIRST + 28 * DAY)
        assert members.resolved(connection, other).symbols == ["BUSDT", "CUSDT"]
        assert members.resolved(connection, two).symbols == ["AUSDT", "BUSDT"]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO universe_members (rule, made_by, symbol, joined_at, why_joined) "
        "SELECT rule, made_by, symbol, joined_at + interval '1 day', 'again' FROM universe_members",
        "INSERT INTO universe_members SELECT rule, made_by, symbol, joined_at - interval '1 day', why_joined, "
        "joined_at + interval '1 hour', 'over' FROM universe_members",
        "DELETE FROM universe_members",
        "UPDATE universe_members SET left_at = joined_at, why_left = 'at once'",
        "UPDATE universe_members SET left_at = now()",
        "UPDATE universe_members SET joined_at = joined_at + interval '1 day'",
    ],
)
def test_memberships_do_not_overlap_and_are_kept(
    engine: Engine, two: Settings, market: Rows, statement: str
) -> None:
    assert market
    with engine.begin() as connection:
        members.choose_due(connection, two, FIRST + 28 * DAY)
        connection.execute(
            text(
                "INSERT INTO universe_choices (rule, made_by, chosen_at, settings, wanted, found, left_out) "
                "SELECT rule, made_by, chosen_at + days * interval '1 day', settings, wanted, found, left_out "
                "FROM universe_choices CROSS JOIN (VALUES (1), (-1)) AS d (days)"
            )
        )
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(text(statement))


def test_a_membership_ends_once(engine: Engine, two: Settings, market: Rows) -> None:
    assert market
    with engine.begin() as connection:
        members.choose_due(connection, two, FIRST + 28 * DAY)
        connection.execute(text("UPDATE universe_members SET left_at = now(), why_left = 'over'"))
    with pytest.raises(IntegrityError, match="only ends, and once"), engine.begin() as connection:
        connection.execute(text("UPDATE universe_members SET left_at = NULL, why_left = NULL"))


def test_the_command_shows_members_and_who_left(
    engine: Engine, configure: Configure, database: URL, market: Rows
) -> None:
    assert market
    rule = {"top": 2, "older_than_days": 10, "days": 7, "exclude": ["CUSDT"]}
    settings = configure(database=database, universe=rule, strategies=[])
    assert [it.verdict for it in look_at_universe(settings)] == ["warn"]
    assert json.loads(command({}, "universe", "--json").answer)["members"] == []
    for day in (28, 55):
        with engine.begin() as connection:
            members.choose_due(connection, settings, FIRST + day * DAY)
    asked = f"--at={grid.to_time(FIRST + 55 * DAY):%Y-%m-%d}"
    found = json.loads(command({}, "universe", asked, "--json").answer)
    assert [it["symbol"] for it in found["members"]] == ["AUSDT", "DUSDT"]
    (left,) = found["left"]
    assert left["symbol"] == "BUSDT"
    assert left["why_left"].startswith("it has")
    assert found["left_out"]["CUSDT"] == "universe.exclude names it"
    earlier = f"--at={grid.to_time(FIRST + 30 * DAY):%Y-%m-%d}"
    found = json.loads(command({}, "universe", earlier, "--json").answer)
    assert [(it["symbol"], it["left_at"]) for it in found["members"]] == [("AUSDT", None), ("BUSDT", None)]
    shown = command({"COLUMNS": "80"}, "universe", asked).answer
    assert max(map(len, shown.splitlines())) <= 80
    assert "2 members, 2 are asked for; chosen by the cycle at" in shown
    assert [it.verdict for it in look_at_universe(settings)] == ["ok"]
    assert by_members(settings).symbols == ["AUSDT", "DUSDT"]


def test_doctor_says_when_the_rule_finds_fewer_than_asked(
    engine: Engine, configure: Configure, database: URL, market: Rows
) -> None:
    assert market
    settings = configure(
        database=database, universe={"top": 9, "older_than_days": 10, "days": 7}, strategies=[]
    )
    with engine.begin() as connection:
        members.choose_due(connection, settings, FIRST + 28 * DAY)
    (finding,) = look_at_universe(settings)
    assert (finding.verdict, finding.what[:24]) == ("warn", "4 of 9 members found at ")
    assert list(look_at_universe(configure(universe={"top": 0}))) == []


def test_without_a_rule_the_command_shows_the_list(configure: Configure) -> None:
    configure(universe={"top": 0}, symbols=["BTCUSDT", "ETHUSDT"])
    assert json.loads(command({}, "universe", "--json").answer) == {
        "rule": None,
        "symbols": ["BTCUSDT", "ETHUSDT"],
    }
    assert command({}, "universe").answer.strip().endswith("the universe is BTCUSDT, ETHUSDT")


def test_a_symbol_without_candles_is_told(engine: Engine, two: Settings, market: Rows) -> None:
    assert market
    with engine.begin() as connection:
        list_symbol(connection, "NEWUSDT")
        members.choose_due(connection, two, FIRST + 28 * DAY)
        choice = members.newest_choice(connection, two)
    assert choice is not None
    assert choice.left_out == {"NEWUSDT": "it has no candle in the last 7 days"}


def test_a_backtest_of_stored_candles_buys_members_while_they_are_members(
    engine: Engine, configure: Configure, market: Rows
) -> None:
    assert market
    above = {
        "name": "above",
        "kind": "tests.backtest.levels:Above",
        "capital": "1000",
        "parameters": {"level": 0.5},
    }
    settings = configure(
        universe={"top": 2, "older_than_days": 10, "days": 7, "sell_left": True},
        strategies=[above],
        trading__order_type="market",
        budgets__klines=50,
    )
    give_notice(engine, "BUSDT", FIRST + 45 * DAY - 1, FIRST + 50 * DAY)
    result, histories, _ = backtest(settings, Request(), engine)
    with engine.connect() as connection:
        rows = {it.symbol: it for it in members.read(connection, settings, "backtest")}
    assert {it.symbol for it in histories} == set(rows) == {"AUSDT", "BUSDT", "CUSDT", "DUSDT"}
    at = {(fill.order.symbol, fill.order.side): fill.at_ms for fill in result.fills}
    assert at["AUSDT", "BUY"] == rows["AUSDT"].joined_ms
    assert at["AUSDT", "BUY"] == at["BUSDT", "BUY"] < at["CUSDT", "BUY"] < at["DUSDT", "BUY"]
    assert at["BUSDT", "SELL"] == rows["BUSDT"].left_ms == FIRST + 45 * DAY
    assert at["CUSDT", "BUY"] == rows["CUSDT"].joined_ms > FIRST + 45 * DAY
    assert at["CUSDT", "SELL"] == rows["CUSDT"].left_ms == rows["DUSDT"].joined_ms
    assert ("AUSDT", "SELL") not in at
