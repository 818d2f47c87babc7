"""What processes count while they work; `totals.flush` hands it on before they end.

The values of a label that are known beforehand are named here, so that they are there as 0 before the first event:
Prometheus sees no increase in a series that begins with its first.
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

COUNTED = CollectorRegistry()

ENDPOINTS = (
    "time",
    "exchangeInfo",
    "apiRestrictions",
    "delist-schedule",
    "klines",
    "ticker/price",
    "account",
    "order.place",
    "order.get",
    "order.cancel",
    "order.cancelReplace",
    "orderList.oco",
    "openOrders",
    "allOrders",
    "myTrades",
)
# Failures of a hundred codes are possible: these are the ones that alerts and people ask for first.
USUAL_ERRORS = ("-1003", "http-418", "http-429", "network", "timeout")
USUAL_REASONS = ("not_closed", "off_grid", "not_requested")
WARNINGS = (
    "odd_close_time",
    "volume_without_trades",
    "quote_volume_out_of_range",
    "jump",
    "long_pause",
)
BUDGETS = ("klines", "orders", "account", "weight")
STAGES = ("rules", "fetch", "validate", "settle", "evaluate", "trade", "books", "report")
LOSSES = ("silence", "closed", "garbage", "server-shutdown", "subscription")


class Reading(Gauge):
    """A gauge that knows how often it was set here: only a process that has just read something may tell of it."""

    readings = 0

    @property
    def name(self) -> str:
        return str(self._name)

    @property
    def value(self) -> float:
        return float(self._value.get())

    def set(self, value: float) -> None:
        super().set(value)
        self.readings += 1


def _counter(name: str, what: str, label: str = "", known: Sequence[str] = ()) -> Counter:
    counter = Counter(name, what, [label] if label else [], registry=COUNTED)
    for value in known:
        counter.labels(value)
    return counter


def _histogram(
    name: str, what: str, buckets: Sequence[float], label: str = "", known: Sequence[str] = ()
) -> Histogram:
    histogram = Histogram(name, what, [label] if label else [], buckets=buckets, registry=COUNTED)
    for value in known:
        histogram.labels(value)
    return histogram


REQUESTS = _counter("binance_api_requests", "Requests sent to Binance.", "endpoint", ENDPOINTS)
FAILURES = _counter("binance_api_requests_failed", "Requests that failed, by code.", "error", USUAL_ERRORS)
REQUEST_DURATION = _histogram(
    "binance_api_request_duration_seconds",
    "From a request's permit to its answer or failure.",
    (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    "endpoint",
    ENDPOINTS,
)
BUDGET_WAIT = _counter(
    "eightbells_budget_wait_seconds", "Time spent waiting for a permit.", "budget", BUDGETS
)
USED_WEIGHT = Reading(
    "eightbells_used_weight", "Weight used in the minute, as the exchange says.", registry=COUNTED
)
CLOCK_OFFSET = Reading(
    "eightbells_clock_offset_seconds", "The exchange's clock less this machine's.", registry=COUNTED
)

CANDLES_STORED = _counter("eightbells_candles_stored", "Candles stored for the first time.")
CANDLES_REVISED = _counter("eightbells_candles_revised", "Candles the exchange restated.")
CANDLES_QUARANTINED = _counter("eightbells_candles_quarantined", "Rows set aside as unsound.")
VALIDATION_FAILURES = _counter(
    "eightbells_validation_failures",
    "Expectations that a row did not meet.",
    "reason",
    USUAL_REASONS,
)
CANDLE_WARNINGS = _counter(
    "eightbells_candle_warnings", "Stored candles about which something is odd.", "warning", WARNINGS
)

CYCLES = _counter("eightbells_cycles", "Cycles that ended, by outcome.", "outcome", ("complete", "problems"))
STAGE_DURATION = _histogram(
    "eightbells_cycle_stage_duration_seconds",
    "How long a stage of a cycle took, with its retries.",
    (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
    "stage",
    STAGES,
)
SIGNALS = _counter(
    "eightbells_signals", "Signals, by what the strategy wants to hold.", "target", ("long", "flat")
)
ORDERS_SENT = _counter("eightbells_orders_sent", "Orders handed to the exchange.", "side", ("BUY", "SELL"))
LAST_RECONCILIATION = Reading(
    "eightbells_last_reconciliation_timestamp_seconds",
    "When books and exchange were last compared.",
    registry=COUNTED,
)
LAST_BACKUP = Reading(
    "eightbells_last_backup_timestamp_seconds", "When the last backup was written.", registry=COUNTED
)

STREAM_MESSAGES = _counter("eightbells_stream_messages", "Frames received from the streams.")
STREAM_CANDLES = _counter("eightbells_stream_candles", "Closed candles that came over the streams.")
STREAM_LOST = _counter("eightbells_stream_lost", "Stream connections lost, by reason.", "reason", LOSSES)
STREAM_LAG = _histogram(
    "eightbells_stream_lag_seconds",
    "From a candle's close to its commit.",
    (0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 30, 60),
)
STREAM_LAST_FRAME = Reading(
    "eightbells_stream_last_frame_timestamp_seconds", "When the last frame came.", registry=COUNTED
)
STREAM_FALLBACK = Reading(
    "eightbells_stream_fallback", "1 while a stream is down and its candles come over REST.", registry=COUNTED
)
STREAM_QUEUE = Reading("eightbells_stream_queue", "Closed candles that wait to be stored.", registry=COUNTED)

READINGS = (
    USED_WEIGHT,
    CLOCK_OFFSET,
    LAST_RECONCILIATION,
    LAST_BACKUP,
    STREAM_LAST_FRAME,
    STREAM_FALLBACK,
    STREAM_QUEUE,
)
