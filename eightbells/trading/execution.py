"""Orders on their way: sent once, asked for when in doubt, followed until they are closed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from decimal import Decimal

from sqlalchemy import Engine

from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.exchange import models, rules
from eightbells.exchange.codes import ErrorCode
from eightbells.exchange.gateway import Gateway, NotReplaced
from eightbells.exchange.models import OrderReport
from eightbells.exchange.order_requests import OrderRequest
from eightbells.exchange.recovery import Action, ExchangeError
from eightbells.exchange.rules import RuleBroken, Situation, wire
from eightbells.settings import Settings
from eightbells.trading import attempts, outbox, permission
from eightbells.trading.lease import Lease
from eightbells.trading.outbox import Order
from eightbells.trading.recording import Recorder
from eightbells.trading.states import IN_FLIGHT, LIVE, TAKEN_BACK, State

# How long the exchange's engine may hold a request before it answers (BINANCE.md): after this and recvWindow
# a request that was not accepted can no longer be.
ENGINE_TIMEOUT_MS = 10_000


class OrderExecutor:
    """Sends and follows one account's orders, writing everything down on the way."""

    def __init__(
        self, settings: Settings, engine: Engine, gateway: Gateway, flow_run: str | None = None
    ) -> None:
        self._settings, self._engine, self._gateway, self._flow_run = settings, engine, gateway, flow_run
        self._recorder = Recorder(engine, gateway, flow_run)

    async def send(self, order_id: int, lease: Lease) -> State:
        """Send a planned order; one that is not PLANNED any more is left alone.

        Raises:
            ExchangeError: it was refused, or its fate is unknown; either is written down already.
            LeaseLost: another worker trades the account; nothing was sent.
        """
        is_pair = self._companion(order_id, State.PLANNED) is not None
        await self._gateway.permit_order(2 if is_pair else 1)
        order = permission.begin_sending(
            self._engine, self._settings, order_id, self._gateway.clock.now_ms(), self._flow_run, lease
        )
        if order is None:
            return self._load(order_id).state
        if (limit := self._companion(order_id, State.SENDING)) is not None:
            return await self._send_pair(order, limit)
        if order.replaces is not None:
            return await self._replace(order)
        try:
            answer = await self._gateway.place_order(_request(order))
        except ExchangeError as error:
            certain = error.failure.certainly_not_executed
            detail = {"reason": str(error), "action": str(error.failure.remedy.action)}
            self._recorder.move(order, State.REJECTED if certain else State.UNKNOWN, detail)
            if error.failure.row == "insufficient-balance":
                raise EightbellsError(f"{error}{await self._shortage(order)}") from None
            raise
        return self._recorder.note(order, answer)

    def _companion(self, order_id: int, *states: State) -> Order | None:
        """The order that a stop was planned with, where it is in one of the states."""
        with self._engine.connect() as connection:
            found = outbox.companion(connection, order_id)
        return found if found is not None and found.state in states else None

    async def _send_pair(self, stop: Order, limit: Order) -> State:
        """Send a stop together with the limit above it, in place of another stop where there is one."""
        if stop.replaces is not None and (reason := await self._gone(self._load(stop.replaces))):
            for order in (limit, stop):
                self._recorder.move(order, State.REJECTED, {"reason": reason, "action": str(Action.REFUSE)})
            return State.REJECTED
        try:
            reports = await self._gateway.place_pair(_request(stop), _request(limit))
        except ExchangeError as error:
            certain = error.failure.certainly_not_executed
            detail = {"reason": str(error), "action": str(error.failure.remedy.action)}
            for order in (limit, stop):
                self._recorder.move(order, State.REJECTED if certain else State.UNKNOWN, detail)
            raise
        states = [
            self._recorder.note(order, report)
            for order in (limit, stop)
            for report in reports
            if report.client_order_id == order.client_order_id
        ]
        return states[-1]

    async def _gone(self, old: Order) -> str | None:
        """Cancel a stop that a pair comes in place of. Returns why the pair must not be sent, or None."""
        try:
            state = await self.cancel(old)
        except ExchangeError as error:
            return f"the stop that it was to replace is not cancelled: {error}"
        return None if state is State.CANCELED else f"the stop that it was to replace is {state}"

    async def _replace(self, order: Order) -> State:
        """Send a sale in place of another, in one request: where the old one is not cancelled, nothing is placed."""
        assert order.replaces is not None
        old = self._load(order.replaces)
        assert old.exchange_order_id is not None
        try:
            answer = await self._gateway.replace_order(_request(order), old.exchange_order_id)
        except NotReplaced as error:
            self._recorder.move(
                order, State.REJECTED, {"reason": str(error), "action": str(error.failure.remedy.action)}
            )
            # cancelled without what was to come instead, which needs no question; or filled meanwhile
            gone = error.cancelled
            state = await (self.refresh(old) if gone is None else self._recorder.follow(old, gone))
            if state not in LIVE and error.failure.code == ErrorCode.CANCEL_REJECTED:
                return State.REJECTED
            raise
        except ExchangeError as error:
            certain = error.failure.certainly_not_executed
            detail = {"reason": str(error), "action": str(error.failure.remedy.action)}
            self._recorder.move(order, State.REJECTED if certain else State.UNKNOWN, detail)
            raise
        state = self._recorder.note(order, answer.placed)
        await self._recorder.follow(old, answer.cancelled)
        await self._follow_companion(old)
        return state

    async def _follow_companion(self, stop: Order) -> None:
        """Ask for the order that a stop was listed with: what ends the one ends the other."""
        other = self._companion(stop.id, State.OPEN, State.PARTIALLY_FILLED)
        if other is not None:
            with suppress(ExchangeError):  # then it is asked for when the orders are settled
                await self.refresh(other)

    async def keep_where_closed(self, orders: Iterable[int]) -> None:
        """Take back the planned orders that would replace a sale of a symbol which takes no orders just now.

        Of such a request the exchange may carry out only the half that cancels.
        """
        with self._engine.connect() as connection:
            replacing = [
                order for order in outbox.load_all(connection, list(orders)) if order.replaces is not None
            ]
        if not replacing:
            return
        try:
            status = await self.statuses({order.symbol for order in replacing})
        except ExchangeError as error:
            status, unknown = {}, f"cannot be looked up: {error}"
        else:
            unknown = "not listed"
        for order in replacing:
            if (found := status.get(order.symbol, unknown)) != "TRADING":
                self._recorder.move(
                    order, State.DENIED, {"reason": f"{order.symbol} is {found}: the order there stays"}
                )

    async def statuses(self, symbols: Collection[str]) -> dict[str, str]:
        """Whether the exchange trades the symbols just now, in its own words; one that it does not list is missing."""
        try:
            info = await self._gateway.exchange_info(sorted(symbols))
        except ExchangeError as error:
            if error.failure.code != ErrorCode.BAD_SYMBOL:  # one of them is not listed any more
                raise
            info = await self._gateway.exchange_info()
        return models.statuses(info)

    async def _shortage(self, order: Order) -> str:
        """What the account lacks for an order, by its own word: the books and the exchange disagree."""
        with self._engine.connect() as connection:
            symbol_rules = rules.load(connection, order.symbol)
            price = order.price or outbox.signal_price(connection, order)
        if symbol_rules is None:
            return ""
        buying = order.side == "BUY"
        asset = symbol_rules.quote_asset if buying else symbol_rules.base_asset
        needed = order.quantity * price if buying else order.quantity
        try:
            balances = await self._gateway.balances()
        except ExchangeError:  # then the refusal has to speak for itself
            return ""
        free = next((balance.free for balance in balances if balance.asset == asset), Decimal(0))
        missing = max(needed - free, Decimal(0))
        return f": needs {wire(needed)} {asset}, {wire(free)} free, {wire(missing)} missing"

    def repair(self, order_id: int, error: ExchangeError) -> bool:
        """After a failure that can be mended, see that another attempt is planned; False where it cannot.

        After a broken filter quantity and price are made to fit the rules, which the caller has fetched again. The
        new attempt goes through the outbox like any order: nothing is sent here.
        """
        with self._engine.connect() as connection:
            order = attempts.latest_attempt(connection, order_id)
        action = error.failure.remedy.action
        if order.state is State.PLANNED:  # what failed came before the order was sent
            return action not in (Action.REFUSE, Action.STOP)
        if order.state is not State.REJECTED or action not in (Action.FIX, Action.RESYNC, Action.WAIT):
            return False
        quantity, price = order.quantity, order.price
        if action is Action.FIX:
            try:
                quantity, price = self._fitted(order)
            except RuleBroken:
                return False
        if action is Action.RESYNC:
            self._gateway.clock.distrust()
        with self._engine.begin() as connection:
            now = self._gateway.clock.now_ms()
            return outbox.plan_again(connection, order, quantity, price, now, self._flow_run) is not None

    def _fitted(self, order: Order) -> tuple[Decimal, Decimal | None]:
        with self._engine.connect() as connection:
            symbol_rules = rules.load(connection, order.symbol)
        if symbol_rules is None:
            raise RuleBroken(f"{order.symbol} has no rules that can be read")
        return symbol_rules.fit(
            "BUY" if order.side == "BUY" else "SELL", order.quantity, order.price, Situation()
        )

    async def resolve(self, order: Order) -> State:
        """Ask what became of an order that was in flight; it is never sent again here.

        It is ABSENT only once the exchange's clock has passed the point after which its request cannot be
        accepted any more, and neither the order, nor the list of orders, nor a trade is there.
        """
        if order.state is State.SENDING:
            self._recorder.move(order, State.UNKNOWN, {"reason": "found in flight"})
            order = self._load(order.id)
        if order.state is not State.UNKNOWN:
            return order.state
        impossible_from = self._deadline_ms(order)
        asked_at = self._gateway.clock.now_ms()
        answer = await self._find(order)
        if answer is not None:
            return await self._recorder.follow(order, answer)
        if (
            asked_at <= impossible_from or order.exchange_order_id is not None
        ):  # one that was seen was accepted
            return State.UNKNOWN
        return self._recorder.move(
            order, State.ABSENT, {"reason": "neither order nor trade is there after its window"}
        )

    async def refresh(self, order: Order) -> State:
        """Ask for an order's state and book what was filled since."""
        return await self._recorder.follow(
            order, await self._gateway.order(order.symbol, order.client_order_id)
        )

    async def cancel(self, order: Order) -> State:
        """Cancel what is left of an order; what was filled before stays, and is booked.

        One that was planned and never sent, because a process died in between, is taken back in the books.
        """
        if order.state is State.PLANNED:
            detail = {"reason": "no longer wanted, it was never sent", "action": TAKEN_BACK}
            return self._recorder.move(order, State.DENIED, detail)
        if order.exchange_order_id is None:
            return await self.refresh(order)
        try:
            answer = await self._gateway.cancel_order(order.symbol, order.exchange_order_id)
        except ExchangeError as error:
            if error.failure.row != ErrorCode.CANCEL_REJECTED:
                raise
            return await self.refresh(order)  # filled or cancelled meanwhile: its state will tell
        state = await self._recorder.follow(order, answer)
        await self._follow_companion(order)
        return state

    def deny(self, order_id: int, reason: str) -> None:
        """Note why an order could not be sent, where it is still planned."""
        order = self._load(order_id)
        if order.state is State.PLANNED:
            self._recorder.move(order, State.DENIED, {"reason": reason})

    def take_report(self, report: OrderReport) -> State | None:
        """Book what the user data stream reports of one of our orders; None where it is not ours."""
        with self._engine.connect() as connection:
            found = outbox.named(connection, self._settings.account, report.names)
        return self._recorder.note(found[0], report) if found else None

    def _deadline_ms(self, order: Order) -> int:
        assert order.request_time is not None
        assert order.recv_window_ms is not None
        return grid.to_ms(order.request_time) + order.recv_window_ms + ENGINE_TIMEOUT_MS

    async def _find(self, order: Order) -> OrderReport | None:
        try:
            return await self._gateway.order(order.symbol, order.client_order_id)
        except ExchangeError as error:
            if error.failure.code not in (ErrorCode.NO_SUCH_ORDER, ErrorCode.ORDER_ARCHIVED):
                raise
        assert order.request_time is not None
        since = grid.to_ms(order.request_time) - 1000
        recent = await self._gateway.recent_orders(order.symbol, since)
        found = next((found for found in recent if found.client_order_id == order.client_order_id), None)
        if found is not None:
            return found
        traded = await self._gateway.recently_traded(order.symbol, since)
        stray = traded - {listed.order_id for listed in recent}
        # a trade whose order the list lacks: only the order itself shows whose it is
        for number in stray - self._in_books(order.account, stray):
            answer = await self._gateway.order_by_number(order.symbol, number)
            if answer.client_order_id == order.client_order_id:
                return answer
        return None

    def _in_books(self, account: str, numbers: set[int]) -> set[int]:
        with self._engine.connect() as connection:
            return outbox.known_exchange_ids(connection, account, numbers)

    def _load(self, order_id: int) -> Order:
        with self._engine.connect() as connection:
            return outbox.load(connection, order_id)


def to_settle(engine: Engine, account: str) -> list[Order]:
    """Orders whose books are not final: in flight, open, or with trades that are not booked."""
    with engine.connect() as connection:
        open_states = IN_FLIGHT | {State.OPEN, State.PARTIALLY_FILLED}
        found = {order.id: order for order in outbox.live(connection, account, open_states)}
        found |= {order.id: order for order in outbox.unbooked(connection, account)}
    return [found[order] for order in sorted(found)]


def _request(order: Order) -> OrderRequest:
    assert order.request_time is not None
    assert order.recv_window_ms is not None
    return OrderRequest(
        symbol=order.symbol,
        side=order.side,
        type=order.type,
        quantity=wire(order.quantity),
        price=None if order.price is None else wire(order.price),
        stop_price=None if order.stop_price is None else wire(order.stop_price),
        trailing_delta=order.trailing_delta,
        time_in_force=order.time_in_force,
        client_order_id=order.client_order_id,
        timestamp_ms=grid.to_ms(order.request_time),
        recv_window_ms=order.recv_window_ms,
    )
