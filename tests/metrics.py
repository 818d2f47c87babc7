"""What /metrics says of an installation, read as Prometheus reads it."""

from __future__ import annotations

import re
import urllib.request

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from eightbells import metrics
from eightbells.settings import Settings
from tests.conftest import Configure
from tests.surroundings import ROOT

DOCUMENTED = re.findall(r"^\| `(\w+)` \| ([^|]*)\|", (ROOT / "docs/metrics.md").read_text(), re.M)


def documented_metrics() -> dict[str, set[str]]:
    """The metrics of docs/metrics.md, each with its labels."""
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in DOCUMENTED}


def page(engine: Engine, configure: Configure) -> str:
    return page_of(engine, configure(metrics__port=0))


def page_of(engine: Engine, settings: Settings) -> str:
    with urllib.request.urlopen(
        f"http://127.0.0.1:{metrics.serve(engine, settings)}/metrics", timeout=10
    ) as answer:
        return str(answer.read().decode())


def families(engine: Engine, configure: Configure) -> dict[str, Metric]:
    """Every metric by the name that its samples bear; a histogram by the name before its suffixes."""
    found = text_string_to_metric_families(page(engine, configure))
    return {it.name + ("_total" if it.type == "counter" else ""): it for it in found}


def values(engine: Engine, configure: Configure) -> dict[str, float]:
    """Every sample by its name with its labels' values, a bucket's bound last: `eightbells_orders{paper,OPEN}`."""
    found = {}
    for family in families(engine, configure).values():
        for sample in family.samples:
            labels = ",".join(
                sample.labels[it] for it in sorted(sample.labels, key=lambda it: (it == "le", it))
            )
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found
