"""What the planner reads of the books, once per plan: orders that are out, positions, obstacles, protections."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection

from eightbells.exchange import rules
from eightbells.exchange.rules import SymbolRules
from eightbells.settings import Settings
from eightbells.strategies.decision import Decision, EvaluationContext
from eightbells.trading import attempts, holds, ledger, outbox, valuation
from eightbells.trading.drift import blocked_symbols
from eightbells.trading.ledger import Position
from eightbells.trading.outbox import Order
from eightbells.trading.protections import Place, Protections
from eightbells.trading.switch import switched_off


@dataclass(frozen=True)
class Books:
    """What the books say at the moment of planning, read at once: under the lease nobody else plans or sends.

    Args:
        attempts: number of the newest entry or exit of each signal, and whether another may follow it.
        out: the orders that are not final, by symbol; sales are added as they are planned.
        gains: what each strategy has gained, by the decisions' closes.
        reserved: what each strategy's open buys may still cost; grows with what is planned.
        unbooked: where the exchange has executed more than is booked.
        off: why trading is switched off, or None.
        drifts: by symbol, in what it does not agree with the exchange.
        holds: by side and symbol, what a person has to explain first.
    """

    attempts: Mapping[int, tuple[int, bool]]
    out: dict[str, list[Order]]
    rules: Mapping[str, SymbolRules]
    positions: list[Position]
    gains: Mapping[str, Decimal]
    reserved: dict[str, Decimal]
    unbooked: Collection[Place]
    off: str | None
    drifts: Mapping[str, str]
    holds: Mapping[str, Mapping[str, str]]
    protections: Protections

    @classmethod
    def read(
        cls,
        connection: Connection,
        settings: Settings,
        decisions: Collection[Decision],
        context: EvaluationContext,
        again: bool,
    ) -> Books:
        account = settings.account
        out: dict[str, list[Order]] = {}
        for order in outbox.live(connection, account):
            out.setdefault(order.symbol, []).append(order)
        # what a fill moves from the one to the other meanwhile is counted twice, never not at all
        reserved = ledger.reservations(connection, account)
        positions = ledger.positions(connection, account)
        return cls(
            attempts=attempts.newest_attempts(connection, [it.signal for it in decisions], again=again),
            out=out,
            rules=rules.load_all(connection, {it.symbol for it in decisions}),
            positions=positions,
            gains=valuation.gains(connection, account, context.open_ms),
            reserved=reserved,
            unbooked={(order.strategy, order.symbol) for order in outbox.unbooked(connection, account)},
            off=switched_off(connection),
            drifts=blocked_symbols(connection, account),
            holds={
                "BUY": holds.held_symbols(connection, account, buying=True),
                "SELL": holds.held_symbols(connection, account, buying=False),
            },
            protections=Protections.read(
                connection,
                settings,
                {(it.strategy, it.symbol) for it in decisions if it.target == "long"},
                context.now_ms,
            ),
        )
