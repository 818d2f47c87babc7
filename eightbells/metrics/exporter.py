"""`/metrics`: the sums over all processes, the facts of the tables, and the disk, for Prometheus. And `/data-docs`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, Engine, text

from eightbells.metrics.counted import COUNTED
from eightbells.metrics.facts import read_facts
from eightbells.settings import Settings

Labels = dict[str, str]
Resolve = Callable[[Connection, Settings], Settings]


class _Exporter(Collector):
    """Every metric by its name, also where there is nothing to tell of it yet."""

    def __init__(self, engine: Engine, settings: Settings, resolve: Resolve) -> None:
        self._engine, self._settings, self._resolve = engine, settings, resolve

    def collect(self) -> Iterator[Metric]:
        with self._engine.connect() as connection:
            yield from _counted(connection)
            symbols = self._resolve(connection, self._settings).symbols
            yield from read_facts(connection, self._settings.account, symbols)
        yield _disk(self._settings.directory)


def _counted(connection: Connection) -> Iterator[Metric]:
    """What processes have counted, as the table has it; 0 where a label's value is known and nothing has happened."""
    rows: dict[str, list[tuple[Labels, float]]] = {}
    for name, labels, total in connection.execute(text("SELECT name, labels, total FROM metric_totals")):
        rows.setdefault(name, []).append((labels, total))
    for declared in COUNTED.collect():
        found = {
            (sample.name, _key(sample.labels)): (sample.name, sample.labels, 0.0)
            for sample in declared.samples
            if declared.type != "gauge" and not sample.name.endswith("_created")
        }
        for suffix in ("", "_total", "_bucket", "_count", "_sum"):
            name = declared.name + suffix
            found |= {(name, _key(labels)): (name, labels, total) for labels, total in rows.get(name, [])}
        family = Metric(declared.name, declared.documentation, declared.type)
        for sample in sorted(found.values(), key=_in_order):
            family.add_sample(*sample)
        yield family


def _key(labels: Labels) -> str:
    return json.dumps(labels, sort_keys=True)


def _in_order(sample: tuple[str, Labels, float]) -> tuple[str, str, float]:
    """A histogram's buckets stand together and grow, as the format wants them."""
    name, labels, _ = sample
    others = {label: value for label, value in labels.items() if label != "le"}
    return _key(others), name, float(labels.get("le", 0))


def _disk(directory: Path) -> Metric:
    place = next(folder for folder in (directory, *directory.resolve().parents) if folder.exists())
    usage = shutil.disk_usage(place)
    return GaugeMetricFamily(
        "eightbells_disk_free_ratio",
        "What is free of the data folder's disk.",
        value=usage.free / usage.total,
    )


Pages = Callable[[str], tuple[str, bytes] | None]


def serve(
    engine: Engine,
    settings: Settings,
    resolve: Resolve = lambda _, settings: settings,
    pages: Pages | None = None,
) -> int:
    """Serve `/metrics` from a thread of its own; returns the port (one that is free where `metrics.port` is 0).

    Args:
        resolve: gives the settings with the symbols that are traded at the moment, where a rule chooses them.
        pages: gives content type and content of what lies below `/data-docs`.
    """
    registry = CollectorRegistry()
    registry.register(_Exporter(engine, settings, resolve))
    server, _ = start_http_server(settings.metrics.port, settings.metrics.host, registry)
    if pages is not None:
        server.set_app(_with_pages(server.get_app(), pages))
    return int(server.server_port)


def _with_pages(others: Any, pages: Pages) -> Any:
    """A WSGI application that answers for `/data-docs`, and leaves the rest to another one."""

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/data-docs":  # so that links in the index are relative to it
            start("301 Moved Permanently", [("Location", "/data-docs/"), ("Content-Length", "0")])
            return [b""]
        if not path.startswith("/data-docs/"):
            return list(others(environ, start))
        found = pages(path.removeprefix("/data-docs/"))
        if found is None:
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"There is no such page. A backfill or housekeeping makes the Data Docs.\n"]
        kind, content = found
        start("200 OK", [("Content-Type", kind), ("Cache-Control", "no-cache")])
        return [content]

    return answer
