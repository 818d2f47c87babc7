"""The dashboards: that Grafana can load them, and that what they ask for exists."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Connection, Engine, text

from tests.deployment import composed, promql
from tests.deployment.test_prometheus import RECORDED
from tests.surroundings import ROOT

FOLDER = ROOT / "monitoring/grafana"
FILES = sorted((FOLDER / "dashboards").glob("*.json"))
DASHBOARDS = {file.stem: json.loads(file.read_text()) for file in FILES}
SOURCES = yaml.safe_load((FOLDER / "provisioning/datasources/datasources.yml").read_text())["datasources"]
KINDS = {source["uid"]: source["type"] for source in SOURCES}
MACROS = {
    r"\$__timeFilter\(([^)]*)\)": r"\1 BETWEEN '2021-01-01' AND '2031-01-01'",
    r"\$\{(account|symbol):sqlstring\}": r"'\1'",
}

every_dashboard = pytest.mark.parametrize("board", DASHBOARDS.values(), ids=DASHBOARDS)


def asked(board: dict[str, Any], uid: str) -> Iterator[tuple[str, str]]:
    """Every question to a datasource, with the title of what asks it."""
    for panel in board["panels"]:
        if panel["datasource"]["uid"] == uid:
            for target in panel["targets"]:
                yield panel["title"], target.get("expr") or target["rawSql"]
    for entry in (*board["templating"]["list"], *board["annotations"]["list"]):
        if entry["datasource"]["uid"] == uid:
            yield entry["name"], entry.get("query") or entry["target"]["rawSql"]


def run(connection: Connection, query: str) -> list[str]:
    """Let Postgres run a dashboard's query; returns the names of its columns."""
    for macro, meaning in MACROS.items():
        query = re.sub(macro, meaning, query)
    assert "$" not in query
    return list(connection.exec_driver_sql(query.replace("%", "%%")).keys())


def test_there_are_the_three_dashboards() -> None:
    assert set(DASHBOARDS) == {"operations", "trading", "data-quality"}
    assert len({board["uid"] for board in DASHBOARDS.values()}) == len(DASHBOARDS)


@every_dashboard
def test_panels_are_whole_and_do_not_overlap(board: dict[str, Any]) -> None:
    assert board["title"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        assert panel["type"] in {"stat", "timeseries", "table", "candlestick"}
        assert panel["description"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for one, other in combinations([panel["gridPos"] for panel in board["panels"]], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


@every_dashboard
def test_datasources_are_those_that_are_provisioned(board: dict[str, Any]) -> None:
    entries = (*board["panels"], *board["templating"]["list"], *board["annotations"]["list"])
    for entry in entries:
        assert KINDS[entry["datasource"]["uid"]] == entry["datasource"]["type"]


@every_dashboard
def test_metrics_exist(board: dict[str, Any], exported: set[str]) -> None:
    for title, expression in asked(board, "prometheus"):
        assert promql.names(expression) <= exported | RECORDED | {"up", "ALERTS"}, title


def test_expressions_are_promql(promtool: Callable[..., str], tmp_path: Path) -> None:
    rules = [
        {"record": f"board:{name.replace('-', '_')}:{number}", "expr": expression}
        for name, board in DASHBOARDS.items()
        for number, (_, expression) in enumerate(asked(board, "prometheus"))
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "boards", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "rules.yml")


@every_dashboard
def test_queries_run_and_have_the_columns_that_are_spoken_of(board: dict[str, Any], engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SET default_transaction_read_only = on"))
        connection.commit()
        for _, query in asked(board, "postgres"):
            run(connection, query)
        for panel in board["panels"]:
            if panel["datasource"]["uid"] == "postgres":
                columns = set(run(connection, panel["targets"][0]["rawSql"]))
                named = {entry["matcher"]["options"] for entry in panel["fieldConfig"]["overrides"]}
                assert named <= columns, panel["title"]
                assert set(panel["options"].get("fields", {}).values()) <= columns, panel["title"]


def test_a_candle_shows_the_mean_price_of_its_fills(engine: Engine) -> None:
    """Two buys of one candle, weighted; the exact end of a candle still belongs to it, the next moment does not."""
    query = DASHBOARDS["trading"]["panels"][0]["targets"][0]["rawSql"]
    for macro, meaning in MACROS.items():
        query = re.sub(macro, meaning, query)
    with engine.connect() as connection:
        connection.exec_driver_sql(_TRADES)
        rows = [(row.time.hour, row.buy, row.sell) for row in connection.exec_driver_sql(query)]
        connection.rollback()
    assert rows == [(0, 95, None), (4, None, 130), (8, None, None)]


_TRADES = """
INSERT INTO candles
SELECT 'symbol', '4h', t, t + interval '4 hours' - interval '1 ms', 100, 130, 90, 120, 9, 900, 5, 1, 100, 'rest', 1
FROM generate_series('2026-01-01 00:00Z'::timestamptz, '2026-01-01 08:00Z', '4 hours') AS t;
SET LOCAL session_replication_role = replica;  -- the chain from fill to validation is not what is tested here
INSERT INTO fills
VALUES ('account', 'symbol', 1, 1, 'BUY', 90, 3, 270, 0, 'USDT', '2026-01-01 01:00Z'),
       ('account', 'symbol', 2, 1, 'BUY', 110, 1, 110, 0, 'USDT', '2026-01-01 03:59:59.999Z'),
       ('account', 'symbol', 3, 2, 'SELL', 130, 4, 520, 0, 'USDT', '2026-01-01 04:00Z'),
       ('another', 'symbol', 4, 3, 'SELL', 1, 4, 4, 0, 'USDT', '2026-01-01 09:00Z');
"""


def test_grafana_finds_the_files_where_compose_mounts_them() -> None:
    [provider] = yaml.safe_load((FOLDER / "provisioning/dashboards/dashboards.yml").read_text())["providers"]
    grafana = composed.services(composed.PAPER)["grafana"]
    assert f"./monitoring/grafana/dashboards:{provider['options']['path']}:ro" in grafana["volumes"]
    assert "./monitoring/grafana/provisioning:/etc/grafana/provisioning:ro" in grafana["volumes"]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.parent == Path(provider["options"]["path"])
    assert home.stem in DASHBOARDS


def test_grafana_logs_in_as_the_role_that_can_only_read() -> None:
    postgres = next(source for source in SOURCES if source["uid"] == "postgres")
    assert postgres["user"] == "grafana"
    assert postgres["secureJsonData"] == {"password": "$GRAFANA_PASSWORD"}
