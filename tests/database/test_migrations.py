"""Migrations: in order, all or none, twice without a change."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from eightbells.candles import grid
from eightbells.database.embedded import EmbeddedServer
from eightbells.database.engine import connect
from eightbells.database.migrations import current, migrate, newest, require_current
from eightbells.errors import EightbellsError
from eightbells.settings import Settings
from eightbells.strategies.decision import EvaluationContext, Refused
from eightbells.trading.capital import record_capital
from eightbells.trading.drift import Drift, Reason, accepted, begin, open_drifts, unknown_status
from eightbells.trading.refusals import record_refusals
from tests.books import OPENED, insert, proven_signal
from tests.klines import admitted, after, counts, kline, one, rows_of
from tests.surroundings import ROOT

EVERYTHING = """
SELECT
    string_agg(concat_ws(' ', table_name, column_name, data_type, is_nullable), ', ' ORDER BY table_name, column_name)
FROM information_schema.columns WHERE table_schema = 'public'
"""


@pytest.fixture
def empty(postgres: EmbeddedServer) -> Iterator[Engine]:
    postgres.ensure_database("test_empty", fresh=True)
    engine = connect(postgres.url("test_empty"))
    yield engine
    engine.dispose()
    postgres.drop_database("test_empty")


def test_a_fresh_database_is_brought_to_the_newest_migration(empty: Engine) -> None:
    assert current(empty) is None
    numbers = sorted(file.name[:4] for file in (ROOT / "sql").glob("0*.sql"))
    assert migrate(empty) == current(empty) == newest() == numbers[-1]
    require_current(empty)


def test_migrating_twice_changes_nothing(engine: Engine) -> None:
    before = one(engine, EVERYTHING), counts(engine)
    migrate(engine)
    assert (one(engine, EVERYTHING), counts(engine)) == before


def test_two_that_migrate_at_once_do_not_meet(empty: Engine) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(lambda _: migrate(empty), range(2))) == {newest()}
    require_current(empty)


def test_a_database_without_migrations_is_refused_with_what_to_do(empty: Engine) -> None:
    with pytest.raises(EightbellsError, match=r"at migration none, .*run `eightbells migrate`"):
        require_current(empty)


def test_a_database_of_a_later_version_is_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(EightbellsError, match="at migration 9999"):
        require_current(engine)


def test_every_file_of_sql_has_its_migration() -> None:
    files = {file.stem for file in (ROOT / "sql").glob("0*.sql")}
    assert files == {file.stem for file in (ROOT / "eightbells/database/versions").glob("0*.py")}


# What versions before the migration to data wrote, and the drift that it is.
NAME = "eb-0123456789012345678901234567-1"
OLD_DRIFTS = [
    (
        "order",
        f"order {NAME} is there 2 times, here as 7",
        7,
        Reason.DUPLICATE_ORDER,
        {"client_order_id": NAME, "times": "2"},
    ),
    (
        "order",
        f"order {NAME} is at the exchange and not in the books",
        7,
        Reason.UNKNOWN_ORDER,
        {"client_order_id": NAME},
    ),
    (
        "order",
        f"order {NAME} is PARTIALLY_FILLED at the exchange, OPEN in the books",
        7,
        Reason.ORDER_STATE,
        {"client_order_id": NAME, "exchange": "PARTIALLY_FILLED", "books": "OPEN"},
    ),
    (
        "fill",
        f"order {NAME}: 0.5 executed at the exchange, 0 booked",
        7,
        Reason.EXECUTED_QUANTITY,
        {"client_order_id": NAME, "exchange": "0.5", "books": "0"},
    ),
    (
        "balance",
        "2.5 ETH in the books, 0 at the exchange",
        None,
        Reason.BALANCE,
        {"asset": "ETH", "books": "2.5", "exchange": "0"},
    ),
]


def test_drifts_in_words_become_data_and_what_was_accepted_stays_accepted(empty: Engine) -> None:
    migrate(empty, "0006")
    with empty.begin() as connection:
        for number, (kind, detail, order, _, _) in enumerate(OLD_DRIFTS, 1):
            connection.execute(
                text(
                    "INSERT INTO drifts (account, symbol, kind, detail, exchange_order_id, found_at) "
                    "VALUES ('paper', 'ETHUSDT', :kind, :detail, :order, now())"
                ),
                {"kind": kind, "detail": detail, "order": order},
            )
            if order:
                connection.execute(
                    text("INSERT INTO drift_acceptances VALUES (:id, :order, 'by hand', 'me', now())"),
                    {"id": number, "order": order},
                )
    migrate(empty)
    expected = [Drift("ETHUSDT", reason, facts, order) for *_, order, reason, facts in OLD_DRIFTS]
    with empty.connect() as connection:
        assert open_drifts(connection, "paper") == expected
        assert sorted(accepted(connection, "paper"), key=lambda drift: drift.id or 0) == expected[:-1]


def test_a_drift_may_be_an_order_of_a_status_that_is_not_known(empty: Engine) -> None:
    migrate(empty, "0011")
    old = Drift(
        "ETHUSDT", Reason.ORDER_STATE, {"client_order_id": NAME, "exchange": "OPEN", "books": "DENIED"}, 7
    )
    new = unknown_status("BTCUSDT", NAME, "PENDING_LIQUIDATION", 8)
    with empty.begin() as connection:
        begin(connection, "paper", old, OPENED)
    with pytest.raises(IntegrityError, match="drifts_reason"), empty.begin() as connection:
        begin(connection, "paper", new, OPENED)
    migrate(empty)
    with empty.begin() as connection:
        begin(connection, "paper", new, OPENED)
        begin(connection, "paper", new, OPENED)
        assert open_drifts(connection, "paper") == [old, new]
    with pytest.raises(IntegrityError, match="drifts_reason"), empty.begin() as connection:
        connection.execute(text("UPDATE drifts SET reason = 'some_other'"))


def test_reasons_in_words_become_codes_in_quarantine_and_in_metrics(empty: Engine) -> None:
    migrate(empty, "0006")
    with empty.begin() as connection:
        batch = connection.execute(
            text(
                "INSERT INTO batches (source, \"interval\", known_at) VALUES ('rest', '4h', now()) RETURNING id"
            )
        ).scalar_one()
        connection.execute(
            text(
                'INSERT INTO quarantined_candles (batch_id, symbol, "interval", reasons, raw) VALUES '
                "(:batch, 'BTCUSDT', '4h', '{low above open,open missing or not exact,not closed}', '[]')"
            ),
            {"batch": batch},
        )
        connection.execute(
            text(
                "INSERT INTO metric_totals VALUES ('eightbells_validation_failures_total', "
                """'{"reason": "not on the four-hour grid"}', 3)"""
            )
        )
    migrate(empty)
    assert one(empty, "SELECT reasons FROM quarantined_candles") == [
        "low_above_open",
        "open_missing_or_inexact",
        "not_closed",
    ]
    assert one(empty, "SELECT labels ->> 'reason' FROM metric_totals") == "off_grid"


# An order as versions before that migration planned it.
OLD_ORDER = {
    "leg": "entry",
    "account": "paper",
    "strategy": "trend",
    "symbol": "BTCUSDT",
    "open_time": OPENED,
    "side": "BUY",
    "type": "LIMIT",
    "time_in_force": "GTC",
    "quantity": 1,
    "price": 100,
    "planned_at": OPENED,
}


def test_refused_orders_become_denied_or_rejected_by_whether_they_were_sent(empty: Engine) -> None:
    migrate(empty, "0010")
    signal = proven_signal(empty)
    with empty.begin() as connection:
        for attempt, way in ((1, ["REFUSED"]), (2, ["SENDING", "REFUSED"])):
            order = insert(
                connection,
                "orders",
                {**OLD_ORDER, "signal_id": signal, "attempt": attempt, "client_order_id": f"eb-{attempt}"},
            )
            connection.execute(
                text("UPDATE orders SET request_time = now() WHERE :sent"), {"sent": len(way) > 1}
            )
            for before, after in itertools.pairwise(["PLANNED", *way]):
                connection.execute(
                    text(
                        "INSERT INTO order_events (order_id, from_state, to_state, at) VALUES (:id, :b, :a, now())"
                    ),
                    {"id": order, "b": before, "a": after},
                )
    migrate(empty)
    assert rows_of(empty, "SELECT state FROM orders ORDER BY id") == [("DENIED",), ("REJECTED",)]
    moved = rows_of(empty, "SELECT to_state FROM order_events WHERE from_state IS NOT NULL ORDER BY id")
    assert moved == [("DENIED",), ("SENDING",), ("REJECTED",)]
    with pytest.raises(IntegrityError), empty.begin() as connection:
        connection.execute(text("UPDATE order_events SET to_state = 'OPEN'"))


_OF_BEFORE = (
    "INSERT INTO refusals (account, strategy, symbol, open_time, stage, reason, at) "
    "VALUES ('paper', 'one', 'BTCUSDT', :opened, :stage, :reason, :opened)"
)


def test_of_the_refusals_of_one_stage_the_newest_stays_and_is_reworded(empty: Engine) -> None:
    migrate(empty, "0019")
    with empty.begin() as connection:
        for stage, reason in (("risk", "first"), ("risk", "second"), ("age", "too old")):
            values = {"opened": OPENED, "stage": stage, "reason": reason}
            connection.execute(text(_OF_BEFORE), values)
    migrate(empty)
    with empty.begin() as connection:
        refused = [Refused("BTCUSDT", "one", "risk", "third"), Refused("BTCUSDT", "one", "risk", "third")]
        record_refusals(
            connection, refused, EvaluationContext("paper", grid.to_ms(OPENED), grid.to_ms(OPENED), None)
        )
    found = rows_of(empty, "SELECT stage, reason FROM refusals ORDER BY id")
    assert sorted(map(tuple, found)) == [("age", "too old"), ("risk", "third")]


def test_fees_of_before_are_valued_at_the_closes_of_then_and_the_capital_is_noted_with_the_first(
    empty: Engine, settings: Settings
) -> None:
    migrate(empty, "0016")
    signal = proven_signal(empty)
    priced = [kline(0, close="600", high="700", low="50"), kline(1, close="500", high="700", low="50")]
    admitted(empty, priced, after(2), "BNBUSDT")
    with empty.begin() as connection:
        order = insert(connection, "orders", {**OLD_ORDER, "signal_id": signal, "client_order_id": "eb-1"})
        for number, (asset, later) in enumerate(
            (("BNB", 0), ("BNB", 2), ("XYZ", 2), ("BTC", 2), ("USDT", 2)), 1
        ):
            connection.execute(
                text(
                    "INSERT INTO fills VALUES ('paper', 'BTCUSDT', :number, :order, 'BUY', 100, 0.1, 10, 0.01, :asset, "
                    ":at)"
                ),
                {"number": number, "order": order, "asset": asset, "at": OPENED + later * grid.STEP},
            )
        connection.execute(
            text(
                "INSERT INTO cycles (account, open_time, finished_at, equity, summary) VALUES "
                "('paper', now(), now(), 105, '{}')"
            )
        )
    migrate(empty)
    assert one(empty, "SELECT equity FROM cycles") == 100
    values = rows_of(empty, "SELECT commission_quote FROM fills ORDER BY trade_id")
    assert values == [(None,), (5,), (None,), (1,), (Decimal("0.01"),)]
    assert one(empty, "SELECT fees FROM positions") == 5
    assert rows_of(empty, "SELECT asset, amount FROM unvalued_fees ORDER BY asset") == [
        ("BNB", Decimal("0.01")),
        ("XYZ", Decimal("0.01")),
    ]
    with empty.begin() as connection:
        changes = record_capital(connection, settings, OPENED)
        assert sum(changes.values()) == sum(it.capital for it in settings.strategies) > 0
        assert record_capital(connection, settings, OPENED) == {}
    assert one(empty, "SELECT capital FROM cycles") == sum(changes.values())
