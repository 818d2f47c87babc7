"""Other people's Binance clients, unchanged but for their URLs, work against the simulator."""

from __future__ import annotations

import asyncio
import json
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path

import ccxt
import pytest

from tests.exchange import KEY, SECRET, Simulator

with warnings.catch_warnings():  # python-binance imports a name that websockets has deprecated
    warnings.simplefilter("ignore", DeprecationWarning)
    from binance import AsyncClient, BinanceSocketManager, Client
    from binance.exceptions import BinanceAPIException


@pytest.fixture
def live(simulator: Simulator) -> Simulator:
    """The simulator with its clock running at the natural speed."""
    simulator.control("clock", speed=1)
    return simulator


@pytest.fixture
async def client(live: Simulator) -> AsyncIterator[AsyncClient]:
    class Pointed(AsyncClient):
        API_URL = live.url + "/api"
        MARGIN_API_URL = live.url + "/sapi"
        WS_API_URL = live.ws + "/ws-api/v3"

    made = await Pointed.create(KEY, SECRET)
    yield made
    await made.close_connection()


async def test_python_binance_async_loads_trades_and_reads_back(client: AsyncClient) -> None:
    info = await client.get_exchange_info()
    assert len(info["symbols"]) == 8
    assert len(await client.get_klines(symbol="BTCUSDT", interval="4h", limit=1000)) == 1000
    price = Decimal((await client.get_symbol_ticker(symbol="BTCUSDT"))["price"])
    bought = await client.order_market_buy(symbol="BTCUSDT", quantity="0.01")
    assert bought["status"] == "FILLED"
    resting = await client.order_limit_buy(symbol="BTCUSDT", quantity="0.01", price=f"{price / 2:.2f}")
    assert [o["orderId"] for o in await client.get_open_orders(symbol="BTCUSDT")] == [resting["orderId"]]
    assert (await client.cancel_order(symbol="BTCUSDT", orderId=resting["orderId"]))["status"] == "CANCELED"
    states = [o["status"] for o in await client.get_all_orders(symbol="BTCUSDT")]
    assert states == ["FILLED", "CANCELED"]
    trades = await client.get_my_trades(symbol="BTCUSDT")
    assert [t["orderId"] for t in trades] == [bought["orderId"]]
    rights = await client.get_account_api_permissions()
    assert rights["enableSpotAndMarginTrading"]
    assert not rights["enableWithdrawals"]


async def test_python_binance_reads_the_history_of_candles(client: AsyncClient) -> None:
    got = [
        k[0] async for k in await client.get_historical_klines_generator("ETHUSDT", "4h", 1_760_000_000_000)
    ]
    assert got == sorted(set(got))
    assert len(got) > 400


async def test_python_binance_listens_to_streams(live: Simulator, client: AsyncClient) -> None:
    class Sockets(BinanceSocketManager):
        STREAM_URL = live.ws + "/"

    manager = Sockets(client)
    async with manager.kline_socket("BTCUSDT", interval="4h") as stream:
        event = await asyncio.wait_for(stream.recv(), 5)
    assert event["k"]["s"] == "BTCUSDT"
    async with manager.multiplex_socket(["btcusdt@kline_4h", "ethusdt@bookTicker"]) as stream:
        names = {(await asyncio.wait_for(stream.recv(), 5))["stream"] for _ in range(4)}
    assert names == {"btcusdt@kline_4h", "ethusdt@bookTicker"}


async def test_python_binance_listens_to_its_account(live: Simulator, client: AsyncClient) -> None:
    client.ws_api.TIMEOUT = 0.2  # else its closing takes ten seconds
    async with BinanceSocketManager(client).user_socket() as stream:
        await client.order_market_buy(symbol="BTCUSDT", quantity="0.01")
        events = [await asyncio.wait_for(stream.recv(), 5) for _ in range(4)]
    assert [e["e"] for e in events] == ["executionReport", "outboundAccountPosition"] * 2
    assert [e["X"] for e in events if "X" in e] == ["NEW", "FILLED"]


async def test_python_binance_meets_binances_errors(client: AsyncClient) -> None:
    with pytest.raises(BinanceAPIException) as refused:
        await client.order_limit_buy(symbol="BTCUSDT", quantity="0.000001", price="50000")
    assert (refused.value.code, refused.value.message) == (-1013, "Filter failure: LOT_SIZE")
    assert refused.value.status_code == 400


def test_python_binance_sync_loads_trades_and_reads_back(live: Simulator) -> None:
    class Pointed(Client):
        API_URL = live.url + "/api"

    client = Pointed(KEY, SECRET)
    try:
        client.timestamp_offset = client.get_server_time()["serverTime"] - _now()
        assert len(client.get_exchange_info()["symbols"]) == 8
        assert len(client.get_klines(symbol="BTCUSDT", interval="4h")) == 500
        order = client.create_order(
            symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.01", price="60000"
        )
        assert client.get_order(symbol="BTCUSDT", orderId=order["orderId"])["status"] == "NEW"
        client.cancel_order(symbol="BTCUSDT", orderId=order["orderId"])
        client.order_market_sell(symbol="BTCUSDT", quantity="0.5")
        assert len(client.get_my_trades(symbol="BTCUSDT")) == 1
    finally:
        client.close_connection()
        client.loop.close()  # it makes one, and never uses it


def _now() -> int:
    return int(time.time() * 1000)


@pytest.fixture
def exchange(live: Simulator) -> Iterator[ccxt.binance]:
    made = ccxt.binance({"apiKey": KEY, "secret": SECRET, "options": {"adjustForTimeDifference": True}})
    made.urls["api"] = {
        name: live.url + "/" + url.split("/", 3)[3]
        for name, url in made.urls["api"].items()
        if url.count("/") > 2
    }
    made.load_time_difference()
    yield made
    made.session.close()


def test_ccxt_loads_markets_candles_trades_and_reads_back(exchange: ccxt.binance) -> None:
    markets = exchange.load_markets()
    assert markets["BTC/USDT"]["precision"]["price"] == 0.01
    candles = exchange.fetch_ohlcv("BTC/USDT", "4h", limit=100)
    assert len(candles) == 100
    last = exchange.fetch_ticker("BTC/USDT")["last"]
    assert exchange.fetch_order_book("BTC/USDT", 5)["bids"][0][0] < last
    bought = exchange.create_order("BTC/USDT", "market", "buy", 0.01)
    assert bought["status"] == "closed"
    resting = exchange.create_order("BTC/USDT", "limit", "buy", 0.01, last / 2)
    assert [o["id"] for o in exchange.fetch_open_orders("BTC/USDT")] == [resting["id"]]
    assert exchange.fetch_order(resting["id"], "BTC/USDT")["status"] == "open"
    assert exchange.cancel_order(resting["id"], "BTC/USDT")["status"] == "canceled"
    assert [t["order"] for t in exchange.fetch_my_trades("BTC/USDT")] == [bought["id"]]
    assert exchange.fetch_balance()["BTC"]["total"] == pytest.approx(1.00999)
    assert exchange.fetch_trades("BTC/USDT", limit=10)


def test_ccxt_meets_its_own_errors(exchange: ccxt.binance) -> None:
    exchange.load_markets()
    with pytest.raises(ccxt.InsufficientFunds):
        exchange.create_order("BTC/USDT", "market", "buy", 10)
    with pytest.raises(ccxt.OrderNotFound):
        exchange.fetch_order("999", "BTC/USDT")


def test_errors_are_worded_like_the_real_ones(simulator: Simulator, market_data: Path) -> None:
    lines = (market_data / "messages" / "error-bodies.jsonl").read_text().splitlines()
    real = {
        (e["http"], e["body"]["code"], e["body"]["msg"])
        for e in map(json.loads, lines)
        if "code" in e["body"]
    }

    def told(**params: str | None) -> tuple[int, int, str]:
        answer = simulator.order(**params)
        return answer.status_code, answer.json()["code"], answer.json()["msg"]

    price = f"{Decimal(simulator.price()) / 2:.2f}"
    simulator.order(price=price, newClientOrderId="open")
    assert {
        told(price=price, quantity="0.000001"),
        told(price=price, quantity="0.00001"),
        told(price=price, quantity=f"{1_000_000 / float(simulator.price()):.3f}"),
        told(price=price, newClientOrderId="open"),
        told(price="1.00"),
    } <= real
