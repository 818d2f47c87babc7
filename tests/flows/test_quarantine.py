"""What a person decides on quarantined rows in the Prefect UI: the same as at the terminal."""

from __future__ import annotations

import pytest

from eightbells.errors import EightbellsError
from tests.flows.conftest import Watch
from tests.klines import admitted, after, kline


async def test_rows_are_released_and_dismissed_by_a_flow_whose_form_offers_both(watch: Watch) -> None:
    from flows.quarantine import quarantine

    admitted(watch.engine, [kline(0), kline(0, volume="13"), kline(1, low="200")], after(2))
    assert quarantine.parameters.properties["action"]["enum"] == ["release", "dismiss"]
    (said,) = await quarantine("release", [2], "as Binance shows it")
    assert said.startswith("released: row 2, BTCUSDT 2021-03-01 00:00, stored by batch ")
    assert len(await quarantine("dismiss", [1, 3], "not as Binance shows them", "the owner")) == 2
    with pytest.raises(EightbellsError, match="row 1 was dismissed already, by the owner"):
        await quarantine("release", [1], "second thoughts")
    assert watch.rows("SELECT state, by_whom FROM quarantine ORDER BY id") == [
        ("dismissed", "the owner"),
        ("released", "the Prefect UI"),
        ("dismissed", "the owner"),
    ]
    assert watch.one("SELECT volume FROM candles WHERE symbol = 'BTCUSDT'") == 13
