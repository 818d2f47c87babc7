"""Metrics that are read from the tables at each scrape: one SQL statement each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from sqlalchemy import Connection, text

from eightbells.candles.timeframe import CYCLE


@dataclass(frozen=True)
class Fact:
    """A gauge and the statement that gives its samples: a row each, the labels' values before the figure.

    `account` in its labels stands for the account in use and is no column. Where the figure is NULL there is nothing
    to tell yet, and no sample.
    """

    name: str
    what: str
    statement: str
    labels: tuple[str, ...] = ()

    def read(self, connection: Connection, values: dict[str, Any]) -> Metric:
        family = GaugeMetricFamily(self.name, self.what, labels=self.labels)
        account = [values["account"]] if "account" in self.labels else []
        for *labels, figure in connection.execute(text(self.statement), values):
            if figure is not None:
                family.add_metric([*account, *labels], float(figure))
        return family


def read_facts(connection: Connection, account: str, symbols: list[str]) -> Iterator[Metric]:
    """All of them, for the account and the symbols in use."""
    for fact in FACTS:
        yield fact.read(
            connection,
            {"account": account, "symbols": symbols, "interval": CYCLE.name, "step": CYCLE.step},
        )


# The newest candle of each symbol in use; a symbol that has none is left out.
_NEWEST = """
FROM unnest(CAST(:symbols AS text [])) AS used (symbol)
CROSS JOIN LATERAL (
    SELECT open_time, batch_id FROM candles WHERE symbol = used.symbol AND "interval" = :interval
    ORDER BY open_time DESC LIMIT 1
) AS newest
"""

FACTS = (
    # every candle was inserted by one batch: to count millions of rows at each scrape would take seconds
    Fact("eightbells_candles", "Candles in the store.", "SELECT coalesce(sum(inserted), 0) FROM batches"),
    Fact(
        "eightbells_quarantine_depth",
        "Rows in quarantine that nobody has decided on.",
        "SELECT count(*) FROM quarantine WHERE state = 'open'",
    ),
    Fact(
        "eightbells_candle_gaps_open",
        "Slots without a candle that are not settled.",
        "SELECT count(*) FROM candle_gaps WHERE state = 'open'",
    ),
    Fact(
        "eightbells_candle_lag_seconds",
        "From the newest candle's close to its storing, of the slowest symbol.",
        "SELECT extract(EPOCH FROM max(known_at - open_time - :step) FILTER (WHERE open_time = latest)) "
        f"FROM (SELECT newest.*, max(open_time) OVER () AS latest {_NEWEST}) AS n "
        "INNER JOIN batches AS b ON n.batch_id = b.id",
    ),
    Fact(
        "eightbells_candle_overdue_seconds",
        "Since the close of a candle that is not stored, of the latest symbol.",
        "SELECT greatest(0, extract(EPOCH FROM clock_timestamp() - min(open_time) - 2 * :step) + coalesce(("
        "SELECT total FROM metric_totals WHERE name = 'eightbells_clock_offset_seconds'), 0)) "
        f"{_NEWEST} HAVING count(*) > 0",
    ),
    Fact(
        "eightbells_candle_age_seconds",
        "Since the close of the newest candle, by symbol and source.",
        # of thirty days, since a source that brought none for long would be sought through all of the history
        "SELECT used.symbol, c.source, extract(EPOCH FROM clock_timestamp() - max(c.open_time) - :step) "
        "+ coalesce((SELECT total FROM metric_totals WHERE name = 'eightbells_clock_offset_seconds'), 0) "
        "FROM unnest(CAST(:symbols AS text [])) AS used (symbol) "
        'INNER JOIN candles AS c ON c.symbol = used.symbol AND c."interval" = :interval '
        "AND c.open_time > clock_timestamp() - interval '30 days' + make_interval(secs => coalesce("
        "(SELECT total FROM metric_totals WHERE name = 'eightbells_clock_offset_seconds'), 0)) "
        "LEFT JOIN symbols AS s ON s.symbol = used.symbol WHERE coalesce(s.status, 'TRADING') = 'TRADING' "
        "GROUP BY used.symbol, c.source",
        ("symbol", "source"),
    ),
    Fact(
        "eightbells_orders",
        "Orders in the books, by state.",
        "SELECT state, count(o.id) FROM (SELECT from_state AS state FROM order_transitions UNION SELECT to_state "
        "FROM order_transitions) AS known LEFT JOIN (SELECT id, state FROM orders WHERE account = :account) AS o "
        "USING (state) GROUP BY state",
        ("account", "state"),
    ),
    Fact(
        "eightbells_orders_unknown",
        "Orders whose outcome is not known.",
        "SELECT count(*) FROM orders WHERE account = :account AND state IN ('SENDING', 'UNKNOWN')",
        ("account",),
    ),
    Fact(
        "eightbells_oldest_unknown_order_age_seconds",
        "Since the oldest order whose outcome is not known was sent.",
        "SELECT coalesce(extract(EPOCH FROM clock_timestamp() - min(e.recorded_at)), 0) FROM orders AS o "
        "INNER JOIN order_events AS e ON e.order_id = o.id AND e.to_state = 'SENDING' "
        "WHERE o.account = :account AND o.state IN ('SENDING', 'UNKNOWN')",
        ("account",),
    ),
    Fact(
        "eightbells_drifts_open",
        "Open drifts: differences between books and exchange.",
        "SELECT count(*) FROM open_drifts WHERE account = :account",
        ("account",),
    ),
    Fact(
        "eightbells_unprotected_positions",
        "Holdings with a stop that have neither a live stop nor a sale under way.",
        "SELECT count(*) FROM unprotected WHERE account = :account",
        ("account",),
    ),
    Fact(
        "eightbells_held_symbols",
        "Symbols that wait for a person to explain a jump of their price or balance.",
        "SELECT count(DISTINCT symbol) FROM holds WHERE account = :account AND released_at IS NULL",
        ("account",),
    ),
    Fact(
        "eightbells_trading_enabled",
        "1 while trading is switched on.",
        "SELECT is_on::integer FROM switches WHERE name = 'trading'",
    ),
    Fact(
        "eightbells_last_cycle_candle_seconds",
        "Open time of the candle the last cycle served.",
        "SELECT extract(EPOCH FROM max(open_time)) FROM cycles WHERE account = :account",
        ("account",),
    ),
    Fact(
        "eightbells_last_cycle_end_timestamp_seconds",
        "When the last cycle ended.",
        "SELECT extract(EPOCH FROM max(finished_at)) FROM cycles WHERE account = :account",
        ("account",),
    ),
    Fact(
        "eightbells_equity",
        "Equity after the last cycle, in the quote asset.",
        "SELECT equity FROM cycles WHERE account = :account ORDER BY open_time DESC LIMIT 1",
        ("account",),
    ),
    Fact(
        "eightbells_drawdown_ratio",
        "What equity has lost since its peak, as a share of the peak.",
        # what was put in or taken out since does not move the peak
        "SELECT greatest(0, 1 - equity / nullif(greatest(0, max(equity - capital) OVER () + capital), 0)) FROM cycles "
        "WHERE account = :account ORDER BY open_time DESC LIMIT 1",
        ("account",),
    ),
    Fact(
        "eightbells_positions_value",
        "What the strategies hold, at the newest close, in the quote asset.",
        "SELECT coalesce(sum(p.quantity * value_price(p.account, p.symbol, 'infinity')), 0) FROM positions AS p "
        "WHERE p.account = :account AND p.quantity > 0",
        ("account",),
    ),
)
