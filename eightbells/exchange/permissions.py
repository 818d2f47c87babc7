"""What an API key must be able to do before real money is traded, and what it must not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eightbells.errors import EightbellsError
from eightbells.exchange.gateway import Gateway


@dataclass(frozen=True)
class Objection:
    """Something that is wrong with a key, and what to do about it."""

    what: str
    remedy: str


def objections(restrictions: Mapping[str, Any]) -> list[Objection]:
    """What is wrong with a key's restrictions. An unrestricted IP is only advised against."""
    found = []
    if restrictions.get("enableWithdrawals") is not False:
        found.append(Objection("it may withdraw", "switch withdrawals off for this key"))
    if not restrictions.get("enableReading"):
        found.append(Objection("it may not read", "switch reading on"))
    if not restrictions.get("enableSpotAndMarginTrading"):
        found.append(Objection("it may not trade", "switch spot trading on"))
    return found


async def require_trading_key(gateway: Gateway) -> None:
    """Refuse to trade with a key that may do more, or less, than trade.

    Raises:
        EightbellsError: what the key may do and must not, or must and may not.
    """
    if found := objections(await gateway.restrictions()):
        words = "; ".join(f"{it.what}: {it.remedy}" for it in found)
        raise EightbellsError(f"no live trading with this API key: {words}")
