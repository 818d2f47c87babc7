"""The example notebook: each of its cells runs, from the first to the last, and it is kept without outputs."""

from __future__ import annotations

import ast
import json
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

from eightbells.trading.states import State
from tests.books import bring, plan_order, proven_signal
from tests.conftest import Configure
from tests.klines import FIRST, STEP, admitted, after, kline
from tests.surroundings import ROOT

NOTEBOOK = json.loads((ROOT / "docs/notebook.ipynb").read_text())
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def _run(cell: str, names: dict[str, Any]) -> Any:
    """Run a cell as Jupyter does: what its last line says is its answer."""
    tree = ast.parse(cell)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None


def test_the_cells_of_the_notebook_run_on_stored_data(
    engine: Engine, database: URL, configure: Configure
) -> None:
    configure(database=database, mode="paper")
    signal = proven_signal(engine)
    for symbol, step in (("BTCUSDT", 1), ("ETHUSDT", 2)):
        rows = [kline(slot, high="500", close=str(100 + step * slot)) for slot in range(1, 24)]
        admitted(engine, rows, after(24), symbol)
    admitted(engine, [kline(23, high="500", close="124")], after(30))  # restated
    with engine.begin() as connection:
        order = bring(connection, plan_order(connection, signal), State.SENDING, State.FILLED)
        connection.execute(
            text(
                "INSERT INTO fills VALUES ('paper', 'BTCUSDT', 1, :order, 'BUY', 99.5, 0.5, 49.75, 0.1, 'USDT', "
                "now(), NULL, 0.1)"
            ),
            {"order": order.id},
        )
        for slot, worth in enumerate((1000, 1020, 1005)):
            connection.execute(
                text(
                    "INSERT INTO cycles (account, open_time, finished_at, equity, summary, capital) VALUES "
                    "('paper', to_timestamp(:at), now(), :worth, '{}', 1000)"
                ),
                {"at": (FIRST + slot * STEP) / 1000, "worth": worth},
            )
    names: dict[str, Any] = {}
    answers = [_run(cell, names) for cell in CODE]
    assert len(names["btc"]) == 24
    assert len(names["day"]) == 4
    assert list(names["closes"].columns) == ["BTCUSDT", "ETHUSDT"]
    assert answers[4][["close", "close_then"]].to_numpy().tolist() == [[124, 123]]
    assert answers[5].to_dict() == {("trend", "FILLED"): 1}
    assert answers[6].loc["BTCUSDT"].to_dict() == {"quote_quantity": 49.75, "commission_quote": 0.1}
    assert answers[7] == -15


def test_the_notebook_is_kept_without_outputs() -> None:
    assert (NOTEBOOK["nbformat"], len(CODE)) == (4, 8)
    for cell in NOTEBOOK["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
