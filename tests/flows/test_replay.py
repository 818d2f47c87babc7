"""The nightly replay: yesterday's decisions are made again, and one that differs fails the run."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from eightbells.candles import grid
from eightbells.errors import EightbellsError
from tests.exchange import LAST
from tests.flows.conftest import Watch, strategy


async def test_equal_decisions_complete_and_one_that_differs_fails_the_run(watch: Watch) -> None:
    from flows.replay import replay

    watch.use(strategies=[strategy()])
    await watch.cycle()
    day = grid.to_time(LAST).date()
    decided = watch.one("SELECT count(*) FROM evaluations")
    assert decided > 0
    found = await replay(day=day)
    assert (len(found), all(it.equal for it in found)) == (decided, True)
    assert await replay(day=day - timedelta(days=400)) == []

    forged = "UPDATE signals SET target = 'flat', reason = 'forged' WHERE id = (SELECT min(id) FROM signals)"
    with watch.engine.begin() as connection:
        connection.execute(text(forged))
    with pytest.raises(EightbellsError, match=f"1 of {decided} decisions of {day} differ"):
        await replay(day=day)
    watch.use(strategies=[strategy() | {"name": "another"}])
    assert await replay(day=day) == [], "what left the settings is passed over"
