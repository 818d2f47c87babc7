"""Errors that the exchange makes by itself: a filter that changed, a wrong clock, a symbol that is gone, no money."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from prefect.client.schemas import State

from eightbells.candles import grid
from tasks.candles import fetch_newest, refresh_rules
from tasks.orders import send_order, settle_order, trading_lease
from tasks.session import Session
from tests.conftest import Configure
from tests.exchange import SYMBOLS, Simulator
from tests.gateway.answers import error
from tests.gateway.at_the_exchange import bare_client
from tests.gateway.runs import Step, retried, run
from tests.gateway.trading import BTC, Books
from tests.klines import FIRST, rows_of

ORDER, TIME, RULES = "POST /api/v3/order", "GET /api/v3/time", "GET /api/v3/exchangeInfo"


def sending(*orders: Any) -> Step:
    """A step that sends orders, one after the other."""

    async def step(session: Session) -> list[State[Any]]:
        async with trading_lease(session) as lease:
            return [
                await send_order(session, order.id, lease, "an order", return_state=True) for order in orders
            ]

    return step


REJECTIONS = [
    ("This symbol is not permitted for this account.", "take it out of symbols", 0),
    ("This account may not place or cancel orders.", "the exchange has restricted this account", 0),
    ("This action is disabled on this account.", "the exchange has restricted this account", 0),
    ("Rest API trading is not enabled.", "under maintenance", 3),
    ("Order book liquidity is less than LOT_SIZE filter minimum quantity.", "", 0),
    ("Order would trigger immediately.", "the price has moved past the order's", 1),
    ("Order would immediately match and take.", "the price has moved past the order's", 1),
]


@pytest.mark.parametrize(("words", "advice", "tries"), REJECTIONS, ids=[words for words, *_ in REJECTIONS])
def test_what_a_rejection_says_decides_what_is_done(
    prefect_server: str, simulator: Simulator, books: Books, words: str, advice: str, tries: int
) -> None:
    order = books.plan()
    simulator.fault(ORDER, error(-2010, words), times=99)
    (history,) = run(sending(order))
    assert history.names == retried(tries, "Failed")
    assert f"Binance -2010 on order.place: {words}" in history.said
    assert advice in history.said
    assert simulator.requests()[ORDER] == tries + 1
    assert books.states(order) == ["REJECTED"] * (tries + 1)


def test_an_order_that_cannot_be_paid_is_never_sent_again_and_says_what_is_missing(
    prefect_server: str, simulator: Simulator, books: Books
) -> None:
    quantity = books.rules.lot.floor(150_000 / books.price)
    order = books.plan(quantity=str(quantity), share="1")
    (history,) = run(sending(order))
    assert order.price is not None
    needed = order.quantity * order.price
    assert history.names == ["Running", "Failed"]
    assert "-2010" in history.said
    assert "Account has insufficient balance for requested action." in history.said
    assert (
        f"{needed.normalize():f} USDT, 100000 free, {(needed - 100_000).normalize():f} missing"
        in history.said
    )
    assert simulator.requests()[ORDER] == 1
    assert books.states(order) == ["REJECTED"]


def test_an_order_that_cannot_be_paid_is_not_sent_again_though_the_balance_cannot_be_asked(
    prefect_server: str, simulator: Simulator, books: Books
) -> None:
    """The second error is one that would be waited for: it must not be taken for the order's."""
    order = books.plan(quantity="9", share="1")
    simulator.control("settings", accounts={"paper": {"deposit": {"USDT": "-99999"}}})
    simulator.fault("GET /api/v3/account", error(-1003, status=429), times=99)
    (history,) = run(sending(order))
    assert history.names == ["Running", "Failed"]
    assert "insufficient balance" in history.said
    assert simulator.requests()[ORDER] == 1
    assert books.states(order) == ["REJECTED"]


def test_a_duplicate_is_asked_for_instead_of_being_refused(
    prefect_server: str, simulator: Simulator, books: Books
) -> None:
    """An open order with this very id is there already: ours, of an attempt whose answer nobody has seen."""
    order = books.plan()

    async def step(session: Session) -> list[State[Any]]:
        async with bare_client(simulator) as client:
            await client.create_order(
                symbol=BTC,
                side="BUY",
                type="LIMIT",
                timeInForce="GTC",
                quantity="0.01",
                price=f"{order.price:f}",
                newClientOrderId=order.client_order_id,
            )
        (sent,) = await sending(order)(session)
        assert books.states(order) == ["UNKNOWN"]
        return [sent, await settle_order(session, order, "an order", False, return_state=True)]

    sent, settled = run(step)
    assert "Duplicate order sent." in sent.said
    assert (sent.names, settled.names) == (["Running", "Failed"], ["Running", "Completed"])
    assert books.states(order) == ["OPEN"]
    assert len(books.at_the_exchange(order)) == 1


@pytest.mark.parametrize("wrong", [-60_000, 60_000], ids=["behind", "ahead"])
def test_a_clock_that_was_measured_wrong_is_measured_again_and_the_order_sent_at_once(
    prefect_server: str, simulator: Simulator, books: Books, wrong: int
) -> None:
    """The five samples at the start lie; what was signed by them the exchange refuses with -1021."""
    order = books.plan()
    simulator.fault(TIME, {"clock_offset_ms": wrong}, times=5)
    (history,) = run(sending(order))
    assert history.names == retried(1)
    assert "Binance -1021 on order.place: " in history.waits[0].message
    assert history.waits[0].seconds < 0.1
    first, second = books.attempts(order)
    assert (first.state, second.state) == ("REJECTED", "OPEN")
    assert first.client_order_id != second.client_order_id
    assert first.request_time is not None
    assert second.request_time is not None
    moved = (second.request_time - first.request_time).total_seconds()
    assert moved == pytest.approx(-wrong / 1000, abs=5)
    assert [it["clientOrderId"] for it in books.at_the_exchange(order)] == [second.client_order_id]


def test_filters_that_changed_are_fetched_and_the_order_made_to_fit_them_once(
    prefect_server: str, simulator: Simulator, books: Books
) -> None:
    order = books.plan(quantity="0.01234")
    changed = {"LOT_SIZE": {"stepSize": "0.002", "minQty": "0.002"}, "PRICE_FILTER": {"tickSize": "5"}}
    simulator.control("settings", symbols={BTC: {"filters": changed}})
    asked = simulator.requests()
    (history,) = run(sending(order))
    assert history.names == retried(1)
    assert "Binance -1013 on order.place: Filter failure: " in history.waits[0].message
    assert (simulator.requests() - asked)[RULES] == 1
    (placed,) = books.at_the_exchange(order)
    assert (Decimal(placed["origQty"]), Decimal(placed["price"]) % 5) == (Decimal("0.012"), 0)
    assert order.price is not None
    assert 0 <= order.price - Decimal(placed["price"]) < 5
    assert books.states(order) == ["REJECTED", "OPEN"]


def test_an_order_that_no_longer_fits_at_all_is_not_sent_again(
    prefect_server: str, simulator: Simulator, books: Books
) -> None:
    order = books.plan()
    simulator.control("settings", symbols={BTC: {"filters": {"NOTIONAL": {"minNotional": "50000"}}}})
    (history,) = run(sending(order))
    assert history.names == ["Running", "Failed"]
    assert "Filter failure: NOTIONAL" in history.said
    assert simulator.requests()[ORDER] == 1
    assert books.states(order) == ["REJECTED"]


def test_a_symbol_that_is_not_listed_is_left_out_and_named(
    prefect_server: str, simulator: Simulator, books: Books
) -> None:
    found = []

    async def step(session: Session) -> list[State[Any]]:
        state = await refresh_rules(session, [BTC, "NOSUCHUSDT", "ETHUSDT"], return_state=True)
        found.append(await state.aresult())
        return [state]

    (history,) = run(step)
    assert history.names == ["Running", "Completed"]
    assert found[0].symbols == (BTC, "ETHUSDT")
    assert found[0].refused == {"NOSUCHUSDT": "the exchange does not list it (-1121)"}


def test_a_symbol_that_vanished_stops_only_its_own_candles(
    prefect_server: str, simulator: Simulator, configure: Configure, books: Books
) -> None:
    configure(symbols=SYMBOLS)
    simulator.fault(
        "GET /api/v3/klines", error(-1121, "Invalid symbol."), times=99, match={"symbol": "ETHUSDT"}
    )
    opened, found = grid.last_closed(simulator.now), []

    async def step(session: Session) -> list[State[Any]]:
        await refresh_rules(session, SYMBOLS)
        state = await fetch_newest(session, tuple(SYMBOLS), opened, 3, "a candle", return_state=True)
        found.append(await state.aresult())
        return [state]

    (history,) = run(step)
    assert history.names == ["Running", "Completed"]
    assert list(found[0].failed) == ["ETHUSDT"]
    assert "Binance -1121 on klines: Invalid symbol." in found[0].failed["ETHUSDT"]
    stored = rows_of(
        books.engine, "SELECT symbol FROM candles WHERE open_time = :opened", opened=grid.to_time(opened)
    )
    assert {symbol for (symbol,) in stored} == set(SYMBOLS) - {"ETHUSDT"}
    assert opened == FIRST


def test_a_cancel_that_comes_too_late_is_answered_by_asking_for_the_order(
    prefect_server: str, simulator: Simulator, books: Books
) -> None:
    """It is filled at the exchange meanwhile: -2011, then its state, then its trades."""
    order = books.plan()

    async def step(session: Session) -> list[State[Any]]:
        await sending(order)(session)
        simulator.control("settings", prices={BTC: f"{order.price:f}"})
        return [await settle_order(session, order, "an order", True, return_state=True)]

    (history,) = run(step)
    assert history.names == ["Running", "Completed"]
    assert simulator.requests()["DELETE /api/v3/order"] == 1
    assert books.states(order) == ["FILLED"]
    booked = rows_of(books.engine, "SELECT quantity FROM fills WHERE order_id = :id", id=order.id)
    assert [Decimal(quantity) for (quantity,) in booked] == [order.quantity]
