"""Every metric, and how the figures of processes that end outlive them.

A flow run lives for seconds, Prometheus asks every fifteen: what a process counted is added to the table
`metric_totals` when it ends (`flush`), and one exporter serves the sums (`serve`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine, text

COUNTED = CollectorRegistry()

REQUESTS = Counter("binance_api_requests", "Requests sent to Binance.", ["endpoint"], registry=COUNTED)
FAILURES = Counter(
    "binance_api_requests_failed", "Requests that failed, by code.", ["error"], registry=COUNTED
)
CANDLES_STORED = Counter("eightbells_candles_stored", "Candles stored for the first time.", registry=COUNTED)
CANDLES_REVISED = Counter("eightbells_candles_revised", "Candles the exchange restated.", registry=COUNTED)
CANDLES_QUARANTINED = Counter(
    "eightbells_candles_quarantined", "Rows set aside as unsound.", registry=COUNTED
)
VALIDATION_FAILURES = Counter(
    "eightbells_validation_failures", "Expectations that a row did not meet.", ["reason"], registry=COUNTED
)
BUDGET_WAIT = Counter(
    "eightbells_budget_wait_seconds", "Time spent waiting for a permit.", ["budget"], registry=COUNTED
)
CLOCK_OFFSET = Gauge(
    "eightbells_clock_offset_seconds", "The exchange's clock less this machine's.", registry=COUNTED
)
USED_WEIGHT = Gauge(
    "eightbells_used_weight", "Weight used in the minute, as the exchange says.", registry=COUNTED
)
ORDERS_SENT = Counter("eightbells_orders_sent", "Orders handed to the exchange.", ["side"], registry=COUNTED)
STREAM_MESSAGES = Counter("eightbells_stream_messages", "Frames received from the streams.", registry=COUNTED)
STREAM_CANDLES = Counter(
    "eightbells_stream_candles", "Closed candles that came over the streams.", registry=COUNTED
)
STREAM_LOST = Counter(
    "eightbells_stream_lost", "Stream connections lost, by reason.", ["reason"], registry=COUNTED
)
STREAM_LAG = Histogram(
    "eightbells_stream_lag_seconds", "From a candle's close to its commit.",
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 30, 60), registry=COUNTED,
)  # fmt: skip
STREAM_SILENCE = Gauge("eightbells_stream_silence_seconds", "Since the last frame.", registry=COUNTED)
STREAM_FALLBACK = Gauge(
    "eightbells_stream_fallback", "1 while a stream is down and REST stands in.", registry=COUNTED
)
STREAM_QUEUE = Gauge("eightbells_stream_queue", "Closed candles that wait to be stored.", registry=COUNTED)
CYCLES = Counter("eightbells_cycles", "Cycles that ended, by outcome.", ["outcome"], registry=COUNTED)

_flushed: dict[tuple[str, str], float] = {}
_flushing = Lock()


def flush(engine: Engine) -> None:
    """Add what this process has counted since the last flush to the table; gauges take the newest value."""
    with _flushing, engine.begin() as connection:
        for name, labels, value, is_total in _samples():
            key = (name, labels)
            change = value - _flushed.get(key, 0.0) if is_total else value
            if is_total and change == 0:
                continue
            connection.execute(
                text(
                    "INSERT INTO metric_totals (name, labels, total) VALUES (:name, CAST(:labels AS jsonb), :change) "
                    "ON CONFLICT (name, labels) DO UPDATE SET total = "
                    + ("metric_totals.total + excluded.total" if is_total else "excluded.total")
                ),
                {"name": name, "labels": labels, "change": change},
            )
            _flushed[key] = value


def _samples() -> Iterator[tuple[str, str, float, bool]]:
    for metric in COUNTED.collect():
        for sample in metric.samples:
            if not sample.name.endswith("_created"):
                yield (
                    sample.name, json.dumps(sample.labels, sort_keys=True), sample.value, metric.type != "gauge",
                )  # fmt: skip


class _Totals(Collector):
    """The sums in the table, under the names and labels they were counted with."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        with self._engine.connect() as connection:
            rows = connection.execute(
                text("SELECT name, labels, total FROM metric_totals ORDER BY name")
            ).all()
            yield from _facts(connection.execute(text(_FACTS)).one()._mapping)
        described = {metric.name: metric for metric in COUNTED.collect()}
        for name, metric in described.items():
            family = _family(metric)
            for sample_name, labels, total in rows:
                if sample_name in (name, f"{name}_total", f"{name}_sum", f"{name}_count", f"{name}_bucket"):
                    family.add_sample(sample_name, labels, total)
            yield family


def _family(metric: Metric) -> Metric:
    if metric.type == "counter":
        return CounterMetricFamily(metric.name, metric.documentation)
    if metric.type == "histogram":
        return HistogramMetricFamily(metric.name, metric.documentation)
    return GaugeMetricFamily(metric.name, metric.documentation)


_FACTS = """
SELECT
    (SELECT count(*) FROM candles) AS candles,
    (SELECT count(*) FROM quarantined_candles) AS quarantined,
    (SELECT count(*) FROM candle_gaps WHERE state = 'open') AS open_gaps,
    (SELECT count(*) FROM orders WHERE state IN ('SENDING', 'UNKNOWN')) AS unknown_orders,
    (SELECT extract(EPOCH FROM max(open_time)) FROM cycles) AS last_cycle,
    (SELECT equity FROM cycles ORDER BY open_time DESC LIMIT 1) AS equity
"""
_FACT_NAMES = {
    "candles": ("eightbells_candles", "Candles in the store."),
    "quarantined": ("eightbells_quarantine_depth", "Rows in quarantine."),
    "open_gaps": ("eightbells_candle_gaps_open", "Slots without a candle that are not settled."),
    "unknown_orders": ("eightbells_orders_unknown", "Orders whose fate is not known."),
    "last_cycle": ("eightbells_last_cycle_candle_seconds", "Open time of the candle the last cycle served."),
    "equity": ("eightbells_equity", "Equity after the last cycle, in the quote asset."),
}


def _facts(row: object) -> Iterator[Metric]:
    values = dict(row)  # type: ignore[call-overload]
    for column, (name, documentation) in _FACT_NAMES.items():
        if values[column] is not None:
            yield GaugeMetricFamily(name, documentation, value=float(values[column]))


def serve(engine: Engine, host: str, port: int) -> int:
    """Serve `/metrics` from a thread of its own; returns the port (one that is free where `port` is 0)."""
    registry = CollectorRegistry()
    registry.register(_Totals(engine))
    server, _ = start_http_server(port, host, registry)
    return int(server.server_port)
