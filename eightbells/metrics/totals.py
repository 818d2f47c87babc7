"""How the figures of processes that end outlive them: each adds its own to the table `metric_totals`.

A flow run lives for seconds, Prometheus asks every fifteen. Counters and histograms are added up over all processes.
A gauge has no sum: the table holds what the process that read it last has read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from threading import Lock

from sqlalchemy import Connection, Engine, text

from eightbells.metrics.counted import COUNTED, READINGS

Key = tuple[str, str]
_ADD = "metric_totals.total + excluded.total"
_REPLACE = "excluded.total"

_added: dict[Key, float] = {}
_told: dict[str, int] = {}
_flushing = Lock()


def flush(engine: Engine) -> None:
    """Add what this process has counted since its last flush to the table; a gauge only if it was set since then."""
    with _flushing:
        counted = {key: value for key, value in _totals() if value != _added.get(key, 0.0)}
        readings = {it.name: it.readings for it in READINGS if it.readings != _told.get(it.name, 0)}
        values = {(it.name, "{}"): it.value for it in READINGS if it.name in readings}
        with engine.begin() as connection:
            _write(connection, {key: value - _added.get(key, 0.0) for key, value in counted.items()}, _ADD)
            _write(connection, values, _REPLACE)
        _added.update(counted)
        _told.update(readings)


def _totals() -> Iterator[tuple[Key, float]]:
    for metric in COUNTED.collect():
        for sample in metric.samples:
            if metric.type != "gauge" and not sample.name.endswith("_created"):
                yield (sample.name, json.dumps(sample.labels, sort_keys=True)), sample.value


def _write(connection: Connection, values: dict[Key, float], change: str) -> None:
    """One statement for all: a histogram has a dozen rows a label. Always in the same order, so that two processes
    never wait for each other."""
    rows = sorted(values.items())
    if rows:
        connection.execute(
            text(
                "INSERT INTO metric_totals (name, labels, total) SELECT name, CAST(labels AS jsonb), total "
                "FROM unnest(CAST(:names AS text []), CAST(:labels AS text []), "
                "CAST(:totals AS double precision [])) AS counted (name, labels, total) "
                f"ON CONFLICT (name, labels) DO UPDATE SET total = {change}"
            ),
            {
                "names": [name for (name, _), _ in rows],
                "labels": [labels for (_, labels), _ in rows],
                "totals": [value for _, value in rows],
            },
        )
