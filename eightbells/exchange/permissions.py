"""What an API key must be able to do before real money is traded, and what it must not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eightbells.errors import EightbellsError
from eightbells.exchange.gateway import Gateway


def objections(restrictions: Mapping[str, Any]) -> list[str]:
    """What is wrong with a key's restrictions, each with its remedy; an unrestricted IP is only advised against."""
    found = []
    if restrictions.get("enableWithdrawals") is not False:
        found.append("it may withdraw: switch withdrawals off for this key")
    if not restrictions.get("enableReading"):
        found.append("it may not read: switch reading on")
    if not restrictions.get("enableSpotAndMarginTrading"):
        found.append("it may not trade: switch spot trading on")
    return found


async def require_trading_key(gateway: Gateway) -> None:
    """Refuse to trade with a key that may do more, or less, than trade.

    Raises:
        EightbellsError: what the key may do and must not, or must and may not.
    """
    if found := objections(await gateway.restrictions()):
        raise EightbellsError("no live trading with this API key: " + "; ".join(found))
