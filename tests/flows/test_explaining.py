"""What a person says of a held symbol in the Prefect UI: the same as at the terminal, and who said it is kept."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from eightbells.errors import EightbellsError
from eightbells.trading import holds
from tests.flows.conftest import Watch


async def test_a_held_symbol_is_confirmed_or_split_by_a_flow(watch: Watch) -> None:
    from flows.confirm import confirm
    from flows.split import split

    await watch.cycle()
    now = datetime(2026, 1, 1, tzinfo=UTC)
    facts = {"before": "100", "after": "1", "pause": "8", "candle": "2025-12-31 20:00"}
    with watch.engine.begin() as connection:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            assert holds.begin(connection, "paper", symbol, "jump", "all", facts, now, now)
    said = await confirm("BTCUSDT", "the news")
    assert (
        said
        == "BTCUSDT is traded again; released: its price changed from 100 to 1 across a pause of 8 candles"
    )
    with pytest.raises(EightbellsError, match="BTCUSDT is not held"):
        await confirm("BTCUSDT", "once more")
    before = watch.one("SELECT quantity FROM positions WHERE symbol = 'ETHUSDT'")
    assert (await split("ETHUSDT", "0.5", "2 for 1", "the owner")).startswith("ETHUSDT: 0.5 for 1 booked")
    assert watch.one("SELECT quantity FROM positions WHERE symbol = 'ETHUSDT'") == (
        before * Decimal("0.5")
    ).quantize(Decimal("1E-8"), "ROUND_DOWN")
    assert watch.rows("SELECT symbol, released_by, why FROM holds ORDER BY symbol") == [
        ("BTCUSDT", "the Prefect UI", "the news"),
        ("ETHUSDT", "the owner", "2 for 1"),
    ]
    with pytest.raises(EightbellsError, match="'2:1' is no ratio"):
        await split("ETHUSDT", "2:1", "once more")
