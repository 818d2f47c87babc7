"""The report of paper trading: its equity is the cycles', and its trades are the fills of the books."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from unittest import mock

import pytest

from eightbells.backtest.from_books import read_books
from eightbells.backtest.report import page
from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.settings import load_settings
from tests.crash.cells import CROSSING, clean
from tests.crash.command import command
from tests.crash.world import Trial, World, strategy
from tests.exchange import STEP

EVER = (0, 2**42)


@pytest.fixture
def traded(world: World) -> Iterator[Trial]:
    """Bought, sold, and bought again, a candle each."""
    with world.trial(trading__limit_offset=CROSSING) as trial:
        for target in ("long", "flat", "long"):
            trial.change(strategies=[strategy(target) | {"cooldown": 0}])
            clean(trial.run())
            trial.leap()
        yield trial


def test_equity_trades_and_fees_are_those_of_the_books(traded: Trial) -> None:
    with mock.patch.dict("os.environ", traded.environment()), traded.engine.connect() as connection:
        settings = load_settings()
        result, histories = read_books(connection, settings, EVER)
        rows: list[tuple[datetime, Decimal]] = traded.rows(
            "SELECT open_time, equity FROM cycles ORDER BY open_time"
        )
        assert list(zip(result.times, result.equity, strict=True)) == [
            (grid.to_ms(at), equity) for at, equity in rows
        ]
        assert result.capital == 1000
        assert [(it.leg, it.strategy) for it in result.trades] == [("exit", "always"), ("open", "always")]
        ((fees, count),) = traded.rows("SELECT sum(commission_quote), count(*) FROM fills")
        assert (result.fees, len(result.fills)) == (fees, count)
        gained = sum((it.profit for it in result.trades), Decimal(0))
        dust = Decimal("0.00001") * Decimal(traded.close()) * 2
        assert 0 <= result.equity[-1] - result.capital - gained <= dust
        assert "Paper trading" in page(result, histories, "Paper trading")
        later = (result.times[1], result.times[-1])
        assert read_books(connection, settings, later)[0].capital == result.equity[0]
        with pytest.raises(EightbellsError, match="no cycle of these days has noted an equity"):
            read_books(connection, settings, (0, result.times[0] - STEP))


def test_the_command_writes_one_file(traded: Trial, tmp_path: Path) -> None:
    file = tmp_path / "paper.html"
    answer = command(traded.environment(), "report", str(file)).answer
    assert answer.strip() == f"the report is in {file}"
    assert "<h1>Paper trading</h1>" in file.read_text()
