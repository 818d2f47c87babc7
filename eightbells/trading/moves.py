"""What a holding needs next: a stop, another sale in place of its own, or nothing. Pure."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from eightbells.candles import grid
from eightbells.exchange.rules import RuleBroken, wire
from eightbells.settings.sections import ExitStep, TradingSettings
from eightbells.trading.holdings import HeldPosition, Origin
from eightbells.trading.outbox import Order
from eightbells.trading.sizing import Sized, exit_price, of_owned, sellable
from eightbells.trading.states import IN_FLIGHT, State

_WAITS_MS = ((30, 600_000), (10, 60_000))  # from so many refusals on, so long between two attempts
_MOVED = Decimal("0.001")  # a stop is replaced where it should lie so far elsewhere, as a share of its price
_NOTHING = Origin(0, "", 0, Decimal(0))


@dataclass(frozen=True)
class Move:
    """What is to be done: `sized` placed, in place of `old` where there is one; or, without it, `old` cancelled."""

    origin: Origin | None
    sized: Sized | None
    old: Order | None = None


@dataclass(frozen=True)
class Unable:
    """Why a holding cannot be protected."""

    reason: str


def next_move(holding: HeldPosition, settings: TradingSettings, now_ms: int) -> Move | Unable | None:
    """What the holding needs now, or None where it needs nothing.

    A sale that can be filled is left alone, and so is one in doubt. A stop is replaced where it covers another
    quantity than can be sold, a waiting exit where the stop's price is reached or its time is over.
    """
    sale = holding.sale
    if holding.rules is None:
        return Unable("its rules cannot be read") if holding.trigger is not None else None
    if sale is not None and (sale.state in IN_FLIGHT or sale.leg in ("sellout", "manual", "trim")):
        return None
    if holding.companion is not None and holding.companion.state in IN_FLIGHT:
        return None
    if holding.blocked is not None:
        return Unable(holding.blocked) if holding.trigger is not None and sale is None else None
    if _waits(holding, now_ms, settings.guard_seconds):
        return (
            None if sale is not None else Unable("the exchange refuses its orders; the next attempt follows")
        )
    try:
        if holding.leaving:
            return _leave(holding, sale)
        if sale is None:
            return _without_sale(holding, settings)
        if sale.stop_price is not None:
            return _with_stop(holding, sale, settings, now_ms)
        if sale.leg == "target":
            return _with_target(holding, sale, settings)
        return _with_exit(holding, sale, settings, now_ms)
    except RuleBroken as error:
        return Unable(str(error)) if holding.trigger is not None and sale is None else None


def _leave(holding: HeldPosition, sale: Order | None) -> Move | None:
    """The sale at market of what cannot be sold later."""
    if sale is not None and sale.price is None and sale.stop_price is None:
        return None
    sized = _market(holding, "stop")
    return None if sized is None else _move(holding.entry, replace(sized, basis=holding.leaving), sale)


def _waits(holding: HeldPosition, now_ms: int, guard_seconds: float) -> bool:
    times, at = holding.failures
    if times < 2:
        return False
    return now_ms - at < next((wait for many, wait in _WAITS_MS if times >= many), guard_seconds * 500)


def _without_sale(holding: HeldPosition, settings: TradingSettings) -> Move | Unable | None:
    if holding.exit is not None:
        sized = _exit(holding, _step(holding, settings), settings)
        return _beside_stop(holding, sized, settings) or _move(holding.exit, sized)
    sized = _set_sale(holding, settings)
    if sized is None:  # dust, or nothing that is to be sold at any price
        return None
    return Move(holding.entry, sized) if holding.entry else Unable("no order of ours has bought it")


def _set_sale(holding: HeldPosition, settings: TradingSettings) -> Sized | None:
    """What waits for the stop's price and the target's: both in one list, where the exchange takes one."""
    if holding.is_passed:
        return _market(holding, "stop")
    if holding.has_reached_target:
        return _market(holding, "target")
    if holding.trigger is None:
        return _target(holding)
    stop = _stop(holding, settings)
    if stop is None or holding.failures[0]:  # what was refused once goes alone
        return stop
    return _listed(holding, stop, _target(holding))


def _beside_stop(
    holding: HeldPosition, exit_: Sized | None, settings: TradingSettings, old: Order | None = None
) -> Move | None:
    """An exit that waits above the market, in one list with the stop; None where it does not wait or goes alone."""
    if exit_ is None or exit_.price is None or holding.trigger is None or holding.failures[0]:
        return None
    stop = _stop(holding, settings)
    listed = None if stop is None else _listed(holding, stop, exit_)
    return None if listed is None or listed.above is None else _move(holding.entry, listed, old)


def _target(holding: HeldPosition) -> Sized | None:
    """The limit that sells all at the target; None where there is none, and for dust."""
    assert holding.rules is not None
    if holding.target is None:
        return None
    price = holding.rules.price("SELL", holding.target)
    quantity = sellable(holding.quantity, price, holding.rules, market=False)
    if not quantity:
        return None
    return Sized("target", "SELL", quantity, price, basis=of_owned(holding.quantity, quantity))


def _listed(holding: HeldPosition, stop: Sized, limit: Sized | None) -> Sized:
    """The stop, together with a limit above it where the exchange takes both over the same coins."""
    assert holding.rules is not None
    assert stop.stop_price is not None
    if limit is None or limit.price is None or holding.last is None or not holding.rules.takes_lists:
        return stop
    if not stop.stop_price < holding.last < limit.price or "LIMIT_MAKER" not in holding.rules.order_types:
        return stop
    quantity = min(stop.quantity, limit.quantity)
    if stop.quantity != quantity:  # a stop that covers less protects less
        return stop
    return replace(stop, above=replace(limit, quantity=quantity, maker=True))


def _with_target(holding: HeldPosition, sale: Order, settings: TradingSettings) -> Move | None:
    """A target that lies at the exchange without a stop: there was none, or a fill in part has ended it."""
    if sale.price is None:
        return None
    if holding.exit is not None and not holding.is_passed:
        return _move(holding.exit, _exit(holding, _step(holding, settings), settings), sale)
    if holding.trigger is not None:
        sized = _market(holding, "stop") if holding.is_passed else _stop(holding, settings)
        return _move(holding.entry, sized, sale)
    sized = _target(holding)
    if sized is None or sized.price is None:
        return Move(None, None, sale)
    if sale.state is State.PARTIALLY_FILLED:
        return None
    moved = abs(sized.price - sale.price) > _MOVED * sale.price
    return _move(holding.entry, sized, sale) if moved or sized.quantity != sale.quantity else None


def _with_stop(holding: HeldPosition, sale: Order, settings: TradingSettings, now_ms: int) -> Move | None:
    """A stop that lies at the exchange, alone or in a list."""
    assert sale.stop_price is not None
    if sale.price is not None and holding.last is not None and holding.last < sale.price:
        return _move(holding.entry, _market(holding, "stop"), sale)  # the price has jumped over its limit
    if sale.state is State.PARTIALLY_FILLED or holding.is_passed:
        return None  # the exchange is selling
    waiting = holding.companion is not None and holding.companion.leg == "exit"
    # an exit was refused, and the stop stayed, or it waits; one that the rules refuse still leaves a stop
    if holding.exit is not None and not (
        waiting and not _is_late(holding, holding.companion, settings, now_ms)
    ):
        with suppress(RuleBroken):
            sized = _exit(holding, _step(holding, settings), settings)
            if move := _beside_stop(holding, sized, settings, sale) or _move(holding.exit, sized, sale):
                return move
    if holding.entry is None:
        return None
    if holding.has_reached_target and holding.companion is None:
        return _move(holding.entry, _market(holding, "target"), sale)
    sized = _stop(holding, settings)
    if sized is None:
        return Move(None, None, sale)
    differs = _is_elsewhere(holding, sized, sale)
    if differs or sized.quantity != sale.quantity or not _is_wanted(holding):
        return Move(holding.entry, sized, sale)
    return None


def _is_elsewhere(holding: HeldPosition, sized: Sized, sale: Order) -> bool:
    """Whether a stop should lie elsewhere than it does. One that follows the price is never moved down."""
    assert sized.stop_price is not None
    assert sale.stop_price is not None
    if sale.trailing_delta is None:
        up = sized.stop_price - sale.stop_price
        if holding.trailing is not None:
            return up > _MOVED * sale.stop_price or sized.trailing_delta is not None
        return abs(up) > _MOVED * sale.stop_price
    if holding.trailing != sale.trailing_delta:
        return True
    level = max(sale.stop_price, holding.trigger or sale.stop_price)
    return (
        holding.floor is not None
        and holding.floor >= level
        and holding.floor > sale.stop_price * (1 + _MOVED)
    )


def _is_wanted(holding: HeldPosition) -> bool:
    """Whether the limit that a stop lies in one list with is still the one that should."""
    listed = holding.companion
    if listed is None or listed.price is None:
        return True
    if listed.leg == "exit":
        return holding.wants_out
    return holding.target is not None and abs(holding.target - listed.price) <= _MOVED * listed.price


def _with_exit(holding: HeldPosition, sale: Order, settings: TradingSettings, now_ms: int) -> Move | None:
    """A sale that lies at the exchange, and is not filled, or not wholly."""
    if sale.price is None:
        return None
    if not holding.wants_out and not holding.is_passed:
        stop = _stop(holding, settings) if holding.trigger is not None and holding.entry else None
        return Move(holding.entry, stop, sale)
    origin = holding.exit or holding.entry
    if holding.is_passed:
        return _move(origin, _market(holding, "exit" if holding.exit else "stop"), sale)
    if sale.listed_with is not None and holding.trigger is not None:
        return Move(None, None, sale)  # a fill in part has ended its stop: the rest goes on with one
    if holding.exit is None or not _is_late(holding, sale, settings, now_ms):
        return None
    sized = _exit(holding, settings.exit_steps[max(holding.steps, 1)], settings)
    return _move(origin, sized, sale)


def _is_late(holding: HeldPosition, waiting: Order | None, settings: TradingSettings, now_ms: int) -> bool:
    """Whether the time of an exit's step is over, and another step follows."""
    assert waiting is not None
    late = now_ms - grid.to_ms(waiting.planned_at) >= settings.exit_step_seconds * 1000
    # an order that is kept from an earlier candle was a step
    return late and max(holding.steps, 1) < len(settings.exit_steps)


def _move(origin: Origin | None, sized: Sized | None, old: Order | None = None) -> Move | None:
    """A move that ends in an order; None for dust, and for what no decision of ours has bought."""
    return None if sized is None or origin is None else Move(origin, sized, old)


def _step(holding: HeldPosition, settings: TradingSettings) -> ExitStep:
    """How the rest of an exit goes on: where there is no order any more, waiting has no use."""
    if holding.is_passed:
        return "market"
    return settings.exit_steps[min(holding.steps, len(settings.exit_steps) - 1)]


def _stop(holding: HeldPosition, settings: TradingSettings) -> Sized | None:
    """The stop that covers all that can be sold; None for dust."""
    assert holding.rules is not None
    assert holding.trigger is not None
    symbol_rules = holding.rules
    trigger = symbol_rules.price("SELL", holding.trigger)
    at_market = settings.stop_type == "market" and "STOP_LOSS" in symbol_rules.order_types
    limit = None if at_market else symbol_rules.price("SELL", trigger * (1 - settings.stop_limit_distance))
    quantity = sellable(holding.quantity, limit or trigger, symbol_rules, market=at_market)
    if not quantity:
        return None
    basis = f"{wire(holding.quantity)} owned, {holding.basis}"
    level = _trailing_level(holding) if at_market else None
    if level is not None and level >= trigger * (1 - _MOVED):
        return Sized("stop", "SELL", quantity, None, level, basis, trailing_delta=holding.trailing)
    return Sized("stop", "SELL", quantity, limit, trigger, basis)


def _trailing_level(holding: HeldPosition) -> Decimal | None:
    """Where a stop that follows the price would begin; None where the exchange takes none."""
    assert holding.rules is not None
    if holding.trailing is None or holding.last is None:
        return None
    least, most = holding.rules.trailing
    if not most or not least <= holding.trailing <= most:
        return None
    return holding.rules.price("SELL", holding.last * (1 - Decimal(holding.trailing) / 10_000))


def _market(holding: HeldPosition, leg: Literal["stop", "exit", "target"]) -> Sized | None:
    """The sale of all that can be sold, at market; None for dust."""
    assert holding.rules is not None
    valued = holding.last or holding.trigger or (holding.exit or holding.entry or _NOTHING).price
    quantity = sellable(holding.quantity, valued, holding.rules, market=True)
    if not quantity:
        return None
    return Sized(leg, "SELL", quantity, None, basis=of_owned(holding.quantity, quantity))


def _exit(holding: HeldPosition, step: ExitStep, settings: TradingSettings) -> Sized | None:
    """The sale of what is left at one of the steps; None for dust."""
    assert holding.rules is not None
    assert holding.exit is not None
    if step == "market":
        return _market(holding, "exit")
    price = exit_price(holding.exit.price, holding.last, step, holding.rules, settings)
    quantity = sellable(holding.quantity, price, holding.rules, market=False)
    if not quantity:
        return None
    return Sized("exit", "SELL", quantity, price, basis=of_owned(holding.quantity, quantity))
