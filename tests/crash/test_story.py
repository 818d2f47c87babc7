"""An order's story shows every fact that the books have of it, whatever has happened to it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from cli.story_view import show
from eightbells.errors import EightbellsError
from eightbells.exchange.rules import wire
from eightbells.trading.story import Story, tell
from tests.crash.cells import CROSSING, LOST, clean
from tests.crash.world import Trial, World, strategy


@pytest.fixture(scope="module")
def told(world: World) -> Iterator[tuple[Trial, list[Story]]]:
    """An order that was lost once, sent again and filled, the stop that protects it, and their stories."""
    with world.trial(strategies=[strategy(stop_loss="0.2")], trading__limit_offset=CROSSING) as trial:
        trial.simulator.fault("POST /api/v3/order", LOST)
        clean(trial.run())
        names = [name for (name,) in trial.rows("SELECT client_order_id FROM orders ORDER BY id")]
        with trial.engine.connect() as connection:
            yield trial, [tell(connection, name) for name in names]


def test_it_begins_with_the_candles_and_ends_with_the_fills(told: tuple[Trial, list[Story]]) -> None:
    trial, (lost, filled, _stop) = told
    order = filled.order
    ((close,),) = trial.rows("SELECT close FROM candles ORDER BY open_time DESC LIMIT 1")
    assert filled.candles[-1]["close"] == order["close"] == close
    assert [candle["open_time"] for candle in filled.candles] == sorted(
        c["open_time"] for c in filled.candles
    )
    assert (order["target"], order["strategy"], order["leg"], order["attempt"]) == (
        "long",
        "always",
        "entry",
        2,
    )
    assert order["reason"].startswith("decreed at close")
    for fact in ("validation", "evaluation", "inputs_hash", "code_version", "batch", "known_at", "flow_run"):
        assert order[fact], fact
    assert [event["to_state"] for event in filled.events] == ["PLANNED", "SENDING", "FILLED"]
    (fill,) = filled.fills
    assert fill["quantity"] == order["executed_quantity"] == order["quantity"]
    assert fill["commission_asset"] == "BTC"
    assert fill["commission"] > Decimal(0)
    assert [entry["client_order_id"] for entry in filled.other_attempts] == [lost.order["client_order_id"]]


def test_it_says_what_the_quantity_was_made_of(told: tuple[Trial, list[Story]]) -> None:
    trial, (lost, filled, stop) = told
    ((cost,),) = trial.rows("SELECT -quote_flow / quantity FROM positions")
    for bought in (lost, filled):
        assert bought.order["sizing"] == f"1000 to spend at {wire(bought.order['price'])}, 0 owned"
    owned, per_unit = stop.order["sizing"].split(" owned, 0.2 below its cost of ")
    assert Decimal(owned) >= stop.order["quantity"]
    assert abs(Decimal(per_unit) - cost) < Decimal("0.00000001")
    for story in (lost, filled, stop):
        assert story.events[0]["detail"] == {"sizing": story.order["sizing"]}


def test_every_state_has_its_time_its_reason_and_the_run_that_saw_it(told: tuple[Trial, list[Story]]) -> None:
    _, (lost, *_) = told
    assert [event["to_state"] for event in lost.events] == ["PLANNED", "SENDING", "UNKNOWN", "ABSENT"]
    assert all(event["at"] and event["recorded_at"] and event["flow_run"] == "run 1" for event in lost.events)
    assert [event["at"] for event in lost.events] == sorted(event["at"] for event in lost.events)
    assert "504" in lost.events[2]["detail"]["reason"]
    assert "neither order nor trade" in lost.events[3]["detail"]["reason"]
    assert lost.fills == []


def test_a_stop_tells_its_trigger_and_the_decision_it_protects(told: tuple[Trial, list[Story]]) -> None:
    _, (_, filled, stop) = told
    assert (stop.order["leg"], stop.order["type"], stop.order["price"]) == ("stop", "STOP_LOSS", None)
    assert stop.order["evaluation"] == filled.order["evaluation"]


def test_it_is_found_by_any_of_its_names(told: tuple[Trial, list[Story]]) -> None:
    trial, (_, filled, _) = told
    with trial.engine.connect() as connection:
        for name in ("client_order_id", "id", "exchange_order_id"):
            assert tell(connection, str(filled.order[name])).order["client_order_id"]
        assert tell(connection, str(filled.order["client_order_id"])) == filled
        with pytest.raises(EightbellsError, match="there is no order nonsense"):
            tell(connection, "nonsense")


def test_all_of_it_is_on_the_terminal(
    told: tuple[Trial, list[Story]], capsys: pytest.CaptureFixture[str]
) -> None:
    _, stories = told
    for story in stories:
        show(story)
        shown = " ".join(capsys.readouterr().out.split())
        for event in story.events:
            assert event["to_state"] in shown
        for fact in ("client_order_id", "strategy", "evaluated_by", "code_version", "suite"):
            assert str(story.order[fact]) in shown, fact
        for fill in story.fills:
            assert str(fill["trade_id"]) in shown
