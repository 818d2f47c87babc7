"""The one way to Binance: each request takes its permit, is counted, and fails only as a classified `ExchangeError`."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import Engine

from eightbells import metrics
from eightbells.candles.grid import INTERVAL
from eightbells.errors import EightbellsError
from eightbells.exchange import models
from eightbells.exchange.answers import BadAnswer, HalfAnswer, UnreadableAnswer, failed_half
from eightbells.exchange.budgets import LOOKS, Budgets
from eightbells.exchange.classification import classify, requested_wait
from eightbells.exchange.client import StampedClient
from eightbells.exchange.clock import ExchangeClock
from eightbells.exchange.json_fields import Readable, an_object, each, readable, some_rows
from eightbells.exchange.models import Balance, ListedOrder, OrderReport, Replacement, TradeReport
from eightbells.exchange.order_requests import OrderRequest, pair, replacement, single
from eightbells.exchange.recovery import Action, ExchangeError, remedies
from eightbells.settings import Settings

T = TypeVar("T")
Json = dict[str, Any]
Ask = Callable[[], Awaitable[Any]]
ORDER_WEIGHT = 1
PLACE_ORDER = "order.place"
REPLACE_ORDER = "order.cancelReplace"
PLACE_LIST = "orderList.oco"
DAY_MS = 86_400_000


class NotReplaced(ExchangeError):
    """An order was not put in the place of another one: it certainly does not exist.

    `cancelled` is what the exchange says of the old one, where that is gone; None where it has to be asked.
    """

    def __init__(self, error: ExchangeError, cancelled: OrderReport | None) -> None:
        super().__init__(error.endpoint, error.failure)
        self.cancelled = cancelled


class Gateway:
    """Requests to one account. Open it with `open_gateway`; it does not retry, its callers' tasks do."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.clock = ExchangeClock(settings.exchange.clock_speed)
        self.budgets = Budgets(engine, settings.budgets, now_ms=self.clock.now_ms)
        self.recv_window_ms = settings.exchange.recv_window_ms
        self.concurrency = settings.exchange.concurrency
        self._table = remedies(settings.errors)
        self._client = StampedClient(
            settings.credentials(),
            settings.rest_url,
            self.clock,
            settings.exchange.recv_window_ms,
            settings.exchange.timeout_seconds,
            self.concurrency,
            self._observe,
        )

    async def close(self) -> None:
        await self._client.close_connection()
        await self.budgets.close()

    async def sync_clock(self) -> None:
        """Measure the exchange's clock again."""
        await self.clock.sync(self._server_time)

    async def _server_time(self) -> int:
        async def ask() -> int:
            return models.server_time(await self._client.get_server_time())

        return await self._request("time", 1, None, ask)

    async def exchange_info(self, symbols: Sequence[str] | None = None) -> Json:
        """exchangeInfo, of some symbols or of all; its rate limits are taken over at once.

        Raises:
            ExchangeError: -1121 where one of the symbols is not listed.
        """
        params = {} if symbols is None else {"symbols": _json_list(symbols)}
        info = await self._call(
            "exchangeInfo", 20, None, lambda: self._client._get("exchangeInfo", data=params), models.listing
        )
        self.budgets.learn(info.get("rateLimits"))
        return info

    def signed_subscription(self) -> Json:
        """Parameters that subscribe to the user data stream, stamped by the exchange's clock."""
        params: Json = self._client._sign_ws_params(
            {"timestamp": self.clock.now_ms(), "recvWindow": self.recv_window_ms},
            self._client._generate_ws_api_signature,
        )
        return params

    async def restrictions(self) -> Json:
        """What the API key may do (sapi apiRestrictions)."""
        ask = self._client.get_account_api_permissions
        return await self._call("apiRestrictions", 1, None, ask, an_object)

    async def delist_schedule(self) -> list[tuple[str, int]]:
        """Symbols that the exchange will stop trading, each with when (ms)."""

        async def ask() -> Any:
            return await self._client._request_margin_api("get", "spot/delist-schedule", True, data={})

        return await self._call("delist-schedule", 1, None, ask, models.delistings)

    async def klines(
        self,
        symbol: str,
        start_ms: int,
        end_ms: int | None = None,
        limit: int = 1000,
        interval: str = INTERVAL,
    ) -> Sequence[Any]:
        """Klines as Binance lists them, from `start_ms` on; the last one may still run."""
        params = {
            "symbol": symbol,
            "interval": interval,
            "startTime": start_ms,
            "endTime": end_ms,
            "limit": limit,
        }
        return await self._call("klines", 2, "klines", lambda: self._client.get_klines(**params), some_rows)

    async def prices(self) -> dict[str, Decimal]:
        """Last price of every symbol that has one."""
        return await self._call("ticker/price", 4, None, self._client.get_all_tickers, models.prices)

    async def balances(self) -> Readable[Balance]:
        """What the account holds."""
        return await self._call("account", 20, "account", lambda: self._client.get_account(), models.balances)

    async def place_order(self, order: OrderRequest) -> OrderReport:
        """Hand an order to the exchange, once, with the timestamp it was committed with.

        Raises:
            ExchangeError: `failure.certainly_not_executed` says whether it can exist all the same.
        """
        metrics.ORDERS_SENT.labels(order.side).inc()
        return await self._call(
            PLACE_ORDER,
            0,
            None,
            lambda: self._client._post("order", True, data=single(order)),
            OrderReport.read,
        )

    async def replace_order(self, order: OrderRequest, replaced: int) -> Replacement:
        """Cancel an order on which nothing is executed, and place another one; where that fails, place nothing.

        Args:
            replaced: the exchange's number of the order to cancel.

        Raises:
            NotReplaced: the new order certainly does not exist; the old one may be gone.
            ExchangeError: as of `place_order`.
        """
        metrics.ORDERS_SENT.labels(order.side).inc()
        halves: list[HalfAnswer] = []

        async def ask() -> Any:
            try:
                return await self._client._post(
                    "order/cancelReplace", True, data=replacement(order, replaced)
                )
            except BadAnswer as answer:
                half = failed_half(answer)
                if half is None:
                    raise
                halves.append(half)
                raise half from None

        try:
            return await self._call(
                REPLACE_ORDER, 0, None, ask, lambda answer: Replacement.read(answer, replaced)
            )
        except ExchangeError as error:
            if halves and (not halves[0].attempted or error.failure.certainly_not_executed):
                cancelled = None
                with suppress(UnreadableAnswer):
                    cancelled = OrderReport.of_cancel(halves[0].cancelled, replaced)
                raise NotReplaced(error, cancelled) from None
            raise

    async def place_pair(self, stop: OrderRequest, limit: OrderRequest) -> list[OrderReport]:
        """Place a stop and a limit above it as one order list (OCO) over the same coins; both have one timestamp.

        Raises:
            ExchangeError: `failure.certainly_not_executed` says whether they can exist all the same.
        """
        metrics.ORDERS_SENT.labels(stop.side).inc(2)
        return await self._call(
            PLACE_LIST,
            0,
            None,
            lambda: self._client._post("orderList/oco", True, data=pair(stop, limit)),
            models.pair,
        )

    async def permit_order(self, count: int = 1) -> None:
        """Wait for the permit of so many orders, under a clock that is fresh.

        Taken before their timestamp is set, so that no wait ages it.
        """
        await self._freshen()
        await self.budgets.take("orders", ORDER_WEIGHT * count)

    async def order(self, symbol: str, client_order_id: str) -> OrderReport:
        """The newest order that carries the client id. Raises ExchangeError -2013 where none is visible."""
        return await self._call(
            "order.get",
            4,
            None,
            lambda: self._client.get_order(symbol=symbol, origClientOrderId=client_order_id),
            OrderReport.read,
        )

    async def order_by_number(self, symbol: str, order_id: int) -> ListedOrder:
        """An order by the exchange's number."""
        return await self._call(
            "order.get",
            4,
            None,
            lambda: self._client.get_order(symbol=symbol, orderId=order_id),
            ListedOrder.read,
        )

    async def cancel_order(self, symbol: str, order_id: int) -> OrderReport:
        return await self._call(
            "order.cancel",
            1,
            "orders",
            lambda: self._client.cancel_order(symbol=symbol, orderId=order_id),
            lambda answer: OrderReport.of_cancel(answer, order_id),
        )

    async def open_orders(self) -> Readable[ListedOrder]:
        """Every open order of the account, ours or not."""
        return await self._call("openOrders", 80, None, lambda: self._client.get_open_orders(), _listed)

    async def recent_orders(self, symbol: str, since_ms: int) -> Readable[ListedOrder]:
        """allOrders from a time on, with a question for each day: Binance lets none span more."""
        found = Readable[ListedOrder]()
        while True:
            last = since_ms + DAY_MS >= self.clock.now_ms()
            span = (
                {"startTime": since_ms} if last else {"startTime": since_ms, "endTime": since_ms + DAY_MS - 1}
            )
            more = await self._orders(symbol, **span)
            found += more
            found.odd += more.odd
            if last:
                return found
            since_ms += DAY_MS

    async def _orders(self, symbol: str, **span: int) -> Readable[ListedOrder]:
        return await self._call(
            "allOrders",
            20,
            LOOKS,
            lambda: self._client.get_all_orders(symbol=symbol, limit=1000, **span),
            _listed,
        )

    async def recently_traded(self, symbol: str, since_ms: int) -> set[int]:
        """The numbers of the orders that our trades belong to, from a time on.

        It lies within the day that Binance allows one question to span.
        """
        numbers = await self._call(
            "myTrades",
            20,
            None,
            lambda: self._client.get_my_trades(symbol=symbol, startTime=since_ms, limit=1000),
            each(models.order_number),
        )
        return set(numbers)

    async def trades(self, symbol: str, order_id: int) -> list[TradeReport]:
        """Our trades of one order."""
        return await self._call(
            "myTrades",
            5,
            None,
            lambda: self._client.get_my_trades(symbol=symbol, orderId=order_id),
            each(TradeReport.read),
        )

    async def _call(
        self, endpoint: str, weight: int, budget: str | None, ask: Ask, read: Callable[[object], T]
    ) -> T:
        async def asked() -> T:
            return read(await ask())

        await self._freshen()
        return await self._request(endpoint, weight, budget, asked)

    async def _freshen(self) -> None:
        if self.clock.is_stale:
            await self.sync_clock()

    async def _request(
        self, endpoint: str, weight: int, budget: str | None, ask: Callable[[], Awaitable[T]]
    ) -> T:
        if weight:  # an order has its permit already
            await self.budgets.take(budget, weight)
        metrics.REQUESTS.labels(endpoint).inc()
        sent = time.monotonic()
        try:
            return await ask()
        except Exception as error:
            failed = self._error(endpoint, error)
        finally:
            metrics.REQUEST_DURATION.labels(endpoint).observe(time.monotonic() - sent)
        metrics.FAILURES.labels(failed.failure.code).inc()
        if failed.failure.status in (418, 429):
            await self.budgets.close_until(failed.failure.remedy.delay, str(failed))
        raise failed

    def _observe(self, headers: Mapping[str, str]) -> None:
        used = headers.get("X-MBX-USED-WEIGHT-1M", "")
        if re.fullmatch(r"[0-9]{1,9}", used) and self.clock.is_set:
            self.budgets.observe(int(used), self.clock.now_ms())
            metrics.USED_WEIGHT.set(int(used))

    def _error(self, endpoint: str, error: Exception) -> ExchangeError:
        wait = requested_wait(error, self.clock.now_ms() if self.clock.is_set else None)
        return ExchangeError(endpoint, classify(error, self._table, wait))


@asynccontextmanager
async def unset_gateway(settings: Settings, engine: Engine) -> AsyncIterator[Gateway]:
    """A gateway that has asked nothing yet: `sync_clock` comes first."""
    gateway = Gateway(settings, engine)
    try:
        yield gateway
    finally:
        await gateway.close()


@asynccontextmanager
async def open_gateway(settings: Settings, engine: Engine) -> AsyncIterator[Gateway]:
    """A gateway whose clock is set; it does not retry, for who waits at the terminal.

    Raises:
        EightbellsError: nothing answers there, or the mode needs a key that is missing or cannot be sent.
    """
    async with unset_gateway(settings, engine) as gateway:
        with naming_the_exchange(settings):
            await gateway.sync_clock()
        yield gateway


@contextmanager
def naming_the_exchange(settings: Settings) -> Iterator[None]:
    """Say at which address nothing answered, and in paper mode what should have.

    Raises:
        EightbellsError: in place of an ExchangeError that no answer led to.
    """
    try:
        yield
    except ExchangeError as error:
        if error.failure.status is not None or error.failure.remedy.action is Action.STOP:
            raise
        hint = " (paper mode needs its simulator: python -m simulator)" if settings.mode == "paper" else ""
        raise EightbellsError(f"nothing answers at {settings.rest_url}{hint}: {error}") from None


_listed = readable(ListedOrder.read, "symbol")


def _json_list(symbols: Sequence[str]) -> str:
    """The names as exchangeInfo takes them."""
    return "[" + ",".join(f'"{symbol}"' for symbol in symbols) + "]"
