"""Events in Prefect: sent after the commit, readable through its API, acted on by automations, and never waited for."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings

from eightbells import events
from eightbells.events import CANDLES_VALIDATED, ORDER_FILLED, Event
from orchestration.events import events_sent
from tests.exchange import SYMBOLS
from tests.flows.conftest import Watch, strategy
from tests.prefect_server import events_since
from tests.surroundings import ROOT

_EVENT = Event(ORDER_FILLED, "order.1", "BUY BTCUSDT", {"symbol": "BTCUSDT"}, {"quantity": "1"})
_PAGE = (ROOT / "docs/events.md").read_text()


def _automation() -> dict[str, Any]:
    """The one that the page shows, with an action that needs nothing else."""
    (shown,) = yaml.safe_load(_PAGE.split("```yaml\n")[1].split("```")[0])["automations"]
    return {**shown, "actions": [{"type": "do-nothing"}]}


@pytest.fixture(autouse=True)
def nobody_listens() -> Iterator[None]:
    yield
    events.listen(None)


async def test_what_a_cycle_validates_and_fills_is_read_back_and_fires_an_automation(
    watch: Watch, prefect_server: str
) -> None:
    symbols = SYMBOLS[:2]
    watch.use(symbols=symbols, strategies=[strategy()])
    async with httpx.AsyncClient(base_url=prefect_server, timeout=30) as api:
        made = (await api.post("/automations/", json=_automation())).raise_for_status().json()
        await asyncio.sleep(2)  # until the triggers are loaded
        began = datetime.now(UTC)
        await watch.cycle()

        batches = watch.rows("SELECT id, checked, quarantined FROM batches ORDER BY id")
        validated = {
            it["payload"]["batch"]: it
            for it in await events_since(api, began, len(batches), CANDLES_VALIDATED)
        }
        for batch, checked, quarantined in batches:
            event, facts = validated[batch], validated[batch]["payload"]
            assert event["resource"]["prefect.resource.id"] == f"eightbells.batch.{batch}"
            assert event["resource"]["eightbells.passed"] == "yes"
            assert (facts["candles"], facts["quarantined"], facts["interval"]) == (checked, quarantined, "4h")
            assert facts["symbols"] == len(symbols)
            assert [(it,) for it in sorted(facts["validations"])] == watch.rows(
                "SELECT id FROM validations WHERE batch_id = :batch ORDER BY id", batch=batch
            )

        orders = watch.rows(
            "SELECT o.id, o.symbol, o.side, o.strategy, o.account, sum(f.quantity), "
            "sum(f.quote_quantity) / sum(f.quantity) "
            "FROM orders AS o INNER JOIN fills AS f ON f.order_id = o.id WHERE o.state = 'FILLED' GROUP BY o.id"
        )
        assert len(orders) == len(symbols)
        ours = [
            it
            for it in await events_since(api, began, len(symbols), ORDER_FILLED)
            if it["payload"]["state"] == "FILLED"
        ]
        filled = {it["payload"]["order"]: it["payload"] for it in ours}
        assert len(ours) == len(filled) == len(orders)  # each is told of once
        for order, symbol, side, name, account, quantity, price in orders:
            facts = filled[order]
            assert (facts["symbol"], facts["side"], facts["strategy"]) == (symbol, side, name)
            assert (facts["account"], float(facts["quantity"])) == (account, float(quantity))
            assert float(facts["price"]) == pytest.approx(float(price), abs=1e-8)
        assert all(it["related"][0]["prefect.resource.role"] == "flow-run" for it in ours)

        for fact in [*ours[0]["payload"], *validated[batches[0][0]]["payload"]]:
            assert f"`{fact}`" in _PAGE or f"`.{fact}`" in _PAGE or f"`eightbells.{fact}`" in _PAGE, fact
        fired = await events_since(api, began, 1, "prefect.automation.action.executed")
        assert {it["resource"]["prefect.resource.id"] for it in fired} == {f"prefect.automation.{made['id']}"}
        (await api.delete(f"/automations/{made['id']}")).raise_for_status()


@pytest.mark.parametrize("answers", [True, False], ids=["slow", "away"])
async def test_a_server_that_does_not_answer_costs_events_and_no_time(
    answers: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        if not answers:
            listening.close()
        with (
            temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}),
            caplog.at_level(logging.WARNING, "orchestration.events"),
        ):
            async with events_sent():
                events.publish(_EVENT)
                await asyncio.sleep(1)
                began = time.monotonic()
                for _ in range(5000):
                    events.publish(_EVENT)
                published = time.monotonic()
            ended = time.monotonic()
            print(f"5,000 events: {published - began:.2f} s; end: {ended - published:.2f} s")
    assert published - began < 5
    assert ended - published < 3
    said = [record for record in caplog.records if record.name == "orchestration.events"]
    assert sum("events are dropped" in it.getMessage() for it in said) == 1
    # the other case's thread lives on
    ours = [it.getMessage() for it in said if f":{port}/" in str(it.threadName)]
    told = sum("the work goes on" in it for it in ours)
    assert told <= 1 if answers else told == 1


async def test_without_a_server_nothing_is_started() -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        async with events_sent():
            events.publish(_EVENT)


def test_a_listener_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def fail(event: Event) -> None:
        raise ValueError(event.name)

    events.listen(fail)
    events.publish(_EVENT)
    assert "could not be published" in caplog.text
