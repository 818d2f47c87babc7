"""`eightbells quarantine`: a person decides on rows that failed validation, within what a person may decide."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError

from eightbells import quarantine
from eightbells.candles import gaps
from eightbells.candles.coverage import Month, coverage
from eightbells.candles.frame import candle_frame
from eightbells.errors import EightbellsError
from eightbells.quality.gate import admit
from eightbells.quarantine import BY_HAND
from tests.conftest import Configure
from tests.crash.command import Said, command
from tests.klines import FIRST, STEP, admitted, after, counts, kline, klines, one, rows_of

CLAIMED = frozenset({"mode", "quote"})  # by the first command that may write
RIGHT, WRONG = kline(1, volume="13.10"), kline(1, volume="14")


@pytest.fixture
def kept(engine: Engine, database: URL, configure: Configure) -> Engine:
    """In quarantine: 1 and 2, two rows of one slot; 3, one that contradicts itself."""
    configure(database=database, mode="paper")
    admitted(engine, [kline(0), RIGHT, WRONG], after(3))
    admitted(engine, [kline(2, low="200")], after(3))
    return engine


def _quarantine(*arguments: str, code: int = 0) -> Said:
    said = command({"SUDO_USER": "ann"}, "quarantine", *arguments)
    assert said.code == code, said.complaint
    return said


def _states(engine: Engine) -> list[str]:
    return [state for (state,) in rows_of(engine, "SELECT state FROM quarantine ORDER BY id")]


def test_open_rows_are_listed_with_every_rule_that_they_break(kept: Engine) -> None:
    lines = _quarantine("list").answer.splitlines()
    assert lines[0] == "3 BTCUSDT 2021-03-01 08:00: low above open, low above close"
    assert lines[1:] == [f"{number} BTCUSDT 2021-03-01 04:00: duplicate" for number in (2, 1)]
    (row, _) = json.loads(_quarantine("list", "--json", "--limit", "2").answer)["quarantined"]
    assert (row["id"], row["state"], row["raw"]) == (3, "open", kline(2, low="200"))
    assert _quarantine("list", "--state", "released").answer == "no row in quarantine is released\n"


def test_a_released_row_is_a_candle_of_its_own_batch_and_validation(kept: Engine) -> None:
    said = _quarantine("release", "1", "--reason", "as Binance shows it").answer
    batch = one(kept, "SELECT max(id) FROM batches")
    assert said == f"released: row 1, BTCUSDT 2021-03-01 04:00, stored by batch {batch}\n"
    assert rows_of(
        kept, "SELECT volume::text, batch_id, source FROM candles WHERE batch_id = :b", b=batch
    ) == [("13.10", batch, "rest")]
    assert rows_of(
        kept, "SELECT suite, success, checked, failed FROM validations WHERE batch_id = :b", b=batch
    ) == [(BY_HAND, True, 1, 0)]
    assert rows_of(kept, "SELECT checked, inserted, revised FROM batches WHERE id = :b", b=batch) == [
        (1, 1, 0)
    ]
    assert rows_of(kept, "SELECT state, why, by_whom, released_by FROM quarantine WHERE id = 1") == [
        ("released", "as Binance shows it", "ann", batch)
    ]
    assert rows_of(kept, "SELECT account, command, arguments FROM commands") == [
        ("paper", "release", {"quarantined": 1})
    ]


def test_a_release_keeps_the_old_version_of_what_it_replaces_and_repairs_the_gap(kept: Engine) -> None:
    with kept.begin() as connection:
        gaps.record_asked(connection, "BTCUSDT", [FIRST + STEP], after(3))
    _quarantine("release", "2", "--reason", "first thought")
    assert one(kept, "SELECT state FROM candle_gaps") == "repaired"
    _quarantine("release", "1", "--reason", "second thought")
    assert one(kept, "SELECT volume FROM candles ORDER BY open_time DESC LIMIT 1") == Decimal("13.1")
    assert one(kept, "SELECT volume FROM candle_revisions") == 14


def test_a_dismissed_row_no_longer_keeps_its_slot_open(kept: Engine) -> None:
    now = after(10)
    with kept.begin() as connection:
        for _ in range(2):
            assert gaps.record_asked(connection, "BTCUSDT", [FIRST + 2 * STEP], now) == 0
    _quarantine("dismiss", "3", "1", "--reason", "no such candle")
    assert _states(kept) == ["dismissed", "open", "dismissed"]
    with kept.begin() as connection:
        assert gaps.record_asked(connection, "BTCUSDT", [FIRST + 2 * STEP], now) == 1
        assert coverage(connection, after(3)) == [Month("BTCUSDT", date(2021, 3, 1), 3, 1, 1, 0, 1)]


def test_the_same_bad_row_stays_dismissed_when_it_comes_again(kept: Engine) -> None:
    _quarantine("dismiss", "3", "--reason", "no such candle")
    admitted(kept, [kline(2, low="200")], after(4))
    assert _states(kept) == ["open", "open", "dismissed"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (kline(5, low="200"), "low above open"),
        (kline(5, volume="-1"), "volume negative"),
        (kline(5, open="0", low="0"), "open not positive"),
        (kline(5, taker_buy_base="20"), "taker volume above volume"),
        (kline(5, close_time=FIRST), "closed before open"),
        (kline(5, open_time=FIRST + 1), "off grid"),
        (kline(5, open=100.0), "open missing or inexact"),
        (kline(5, open_time="x"), "open time missing or inexact"),
        ("nonsense", "missing or inexact"),
    ],
)
def test_what_no_person_may_decide_is_refused_and_changes_nothing(
    kept: Engine, row: list[object], words: str
) -> None:
    admit(kept, [candle_frame("XUSDT", [row])], "rest", after(9))
    number = one(kept, "SELECT max(id) FROM quarantined_candles")
    before = counts(kept, without=CLAIMED)
    said = _quarantine("release", str(number), "1", "--reason", "I like it", code=1)
    assert words in said.complaint
    assert len(said.complaint.splitlines()) == 1
    assert counts(kept, without=CLAIMED) == before


def test_a_candle_that_still_ran_is_not_released_once_it_is_over(kept: Engine) -> None:
    admit(kept, [candle_frame("XUSDT", [kline(5, close_time=FIRST + 7 * STEP)])], "rest", after(6))
    said = _quarantine("release", "4", "--reason", "it is over", code=1)
    assert "cannot be released: closed in later slot, not closed" in said.complaint


def test_a_row_that_was_not_asked_for_can_be_released(kept: Engine) -> None:
    admit(kept, [candle_frame("XUSDT", klines(1, 5), asked=[FIRST])], "archive", after(9))
    _quarantine("release", "4", "--reason", "it is sound")
    assert rows_of(kept, "SELECT source FROM candles WHERE symbol = 'XUSDT'") == [("archive",)]


def test_rows_of_different_slots_are_released_together_those_of_one_are_not(kept: Engine) -> None:
    admit(kept, [candle_frame("XUSDT", klines(2, 5), asked=[FIRST])], "rest", after(9))
    assert (
        "rows 1, 2 of BTCUSDT are for one slot"
        in _quarantine("release", "1", "2", "--reason", "both", code=1).complaint
    )
    _quarantine("release", "1", "4", "5", "--reason", "all sound")
    assert _states(kept) == ["released", "open", "open", "released", "released"]
    written = rows_of(kept, "SELECT inserted, revised FROM batches ORDER BY id DESC LIMIT 3")
    assert written == [(1, 0)] * 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["release", "99", "--reason", "why"], "no row 99 is in quarantine"),
        (["dismiss", "1", "--reason", " "], "a reason is needed"),
        (["dismiss", "3", "--reason", "again"], "row 3 was dismissed already, by ann: no such candle"),
    ],
)
def test_a_mistake_is_one_line(kept: Engine, arguments: list[str], words: str) -> None:
    _quarantine("dismiss", "3", "--reason", "no such candle")
    assert words in _quarantine(*arguments, code=1).complaint


def test_a_decision_is_never_changed(kept: Engine) -> None:
    quarantine.decide(kept, "paper", "dismiss", [3], "no such candle", "ann")
    with pytest.raises(IntegrityError), kept.begin() as connection:
        connection.execute(text("DELETE FROM quarantine_decisions"))
    with pytest.raises(EightbellsError, match="no row is named"):
        quarantine.decide(kept, "paper", "dismiss", [], "none", "ann")
