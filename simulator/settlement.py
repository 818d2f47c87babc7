"""What an order does to balances: setting aside, paying, receiving, fees; none of it can go below zero."""

from __future__ import annotations

from decimal import Decimal

from simulator.accounts import BNB_DISCOUNT, ZERO, Account, ceil8, floor8
from simulator.candles import as_decimal
from simulator.market import Market
from simulator.orders import Fill, Order


class Settlement:
    """Moves an account's balances for its orders."""

    def __init__(self, market: Market):
        self._market = market

    def assets(self, order: Order) -> tuple[str, str]:
        rules = self._market.symbols.rules[order.symbol]
        return rules.base, rules.quote

    def reserve(self, account: Account, order: Order) -> None:
        """Set aside what an order may cost; -2010 when the account has less."""
        base, quote = self.assets(order)
        asset = quote if order.buys else base
        amount = self.needed(order)
        account.lock(asset, amount)
        order.locked = amount
        account.updated = order.time

    def needed(self, order: Order) -> Decimal:
        """What has to be set aside for what remains; a market buy pays from what is free."""
        if not order.buys:
            return order.remaining
        return ceil8((order.price or order.stop_price) * order.remaining)

    def shrink(self, account: Account, order: Order, time: int) -> None:
        """Free what an order that has become smaller does not need any more."""
        if not order.locked:  # the other one of its pair keeps it
            return
        base, quote = self.assets(order)
        needed = min(order.locked, self.needed(order))
        account.unlock(quote if order.buys else base, order.locked - needed)
        order.locked = needed
        account.updated = time

    def release(self, account: Account, order: Order, time: int) -> None:
        base, quote = self.assets(order)
        account.unlock(quote if order.buys else base, order.locked)
        order.locked = ZERO
        account.updated = time

    def affordable(self, account: Account, order: Order, qty: Decimal, price: Decimal) -> bool:
        """Whether a trade can be paid for; only buys without a limit price can fail."""
        _, quote = self.assets(order)
        return not order.buys or account.free(quote) + order.locked >= floor8(price * qty)

    def settle(
        self,
        account: Account,
        order: Order,
        number: int,
        qty: Decimal,
        price: Decimal,
        time: int,
        maker: bool,
    ) -> Fill:
        """Exchange base for quote in one trade, less the fee."""
        base, quote = self.assets(order)
        cost = floor8(price * qty)
        order.executed += qty
        order.quote_executed += cost
        paid, received = ((quote, cost), (base, qty)) if order.buys else ((base, qty), (quote, cost))
        self._pay(account, order, *paid)
        account.receive(*received)
        commission, asset = self._fee(account, order, received, cost, maker, time)
        account.take(asset, commission)
        account.updated = time
        return Fill(
            number,
            order.id,
            order.symbol,
            order.client_id,
            order.side,
            price,
            qty,
            cost,
            commission,
            asset,
            time,
            maker,
            order.list_id,
        )

    def _pay(self, account: Account, order: Order, asset: str, amount: Decimal) -> None:
        """Free what is no longer needed of the amount set aside, and pay from what is free."""
        needed = min(order.locked, self.needed(order))
        account.unlock(asset, order.locked - needed)
        order.locked = needed
        account.take(asset, amount)

    def _fee(
        self,
        account: Account,
        order: Order,
        received: tuple[str, Decimal],
        cost: Decimal,
        maker: bool,
        time: int,
    ) -> tuple[Decimal, str]:
        """The commission and its asset: BNB if the account pays in it and has enough, else what it gets."""
        rate = account.maker_fee if maker else account.taker_fee
        if account.fees_in_bnb:
            price = self._bnb_price(self.assets(order)[1], time)
            if price:
                commission = floor8(cost * rate * BNB_DISCOUNT / price)
                if account.free("BNB") >= commission:
                    return commission, "BNB"
        return floor8(received[1] * rate), received[0]

    def _bnb_price(self, quote: str, time: int) -> Decimal | None:
        if quote == "BNB":
            return Decimal(1)
        symbol = f"BNB{quote}"
        price = self._market.price(symbol, time) if symbol in self._market.symbols.rules else None
        return None if price is None else as_decimal(price)
