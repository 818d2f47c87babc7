"""Accounts: their key, what it may do, their fees and their balances, which can never go below zero."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_UP, Decimal, InvalidOperation
from typing import Any

from simulator.errors import insufficient_balance

ZERO = Decimal(0)
UNIT = Decimal("0.00000001")
FEE = Decimal("0.001")
BNB_DISCOUNT = Decimal("0.75")


def floor8(value: Decimal) -> Decimal:
    return value.quantize(UNIT, ROUND_DOWN)


def ceil8(value: Decimal) -> Decimal:
    return value.quantize(UNIT, ROUND_UP)


def money(value: Decimal) -> str:
    """A decimal as Binance writes it: plain, with eight digits after the point."""
    return f"{value:.8f}"


@dataclass
class Balance:
    """What an account holds of one asset."""

    free: Decimal = ZERO
    locked: Decimal = ZERO


@dataclass
class Permissions:
    """What an API key may do, and from which addresses (none given: from any)."""

    read: bool = True
    trade: bool = True
    withdraw: bool = False
    ips: tuple[str, ...] = ()


@dataclass
class Account:
    """One account with one API key; `secret` is an HMAC secret or a public key in PEM."""

    key: str
    secret: str
    name: str
    deposits: dict[str, Decimal]
    maker_fee: Decimal = FEE
    taker_fee: Decimal = FEE
    fees_in_bnb: bool = False
    permissions: Permissions = field(default_factory=Permissions)
    balances: dict[str, Balance] = field(default_factory=dict)
    updated: int = 0
    trade_group: int = -1  # accounts of one group do not trade with each other; -1: in none

    def __post_init__(self) -> None:
        self._start = (self.maker_fee, self.taker_fee, self.fees_in_bnb, self.permissions)
        if not self.balances:
            self.reset()

    def reset(self) -> None:
        """Only the first deposits, nothing locked, fees and permissions as at the start."""
        self.maker_fee, self.taker_fee, self.fees_in_bnb, self.permissions = self._start
        self.balances = {asset: Balance(amount) for asset, amount in self.deposits.items()}
        self.updated, self.trade_group = 0, -1

    def of(self, asset: str) -> Balance:
        return self.balances.setdefault(asset, Balance())

    def free(self, asset: str) -> Decimal:
        held = self.balances.get(asset)
        return held.free if held else ZERO

    def total(self, asset: str) -> Decimal:
        held = self.balances.get(asset)
        return held.free + held.locked if held else ZERO

    def lock(self, asset: str, amount: Decimal) -> None:
        """Set an amount aside for an open order; -2010 when less is free."""
        held = self.of(asset)
        if held.free < amount:
            raise insufficient_balance()
        held.free -= amount
        held.locked += amount

    def unlock(self, asset: str, amount: Decimal) -> None:
        self.take_locked(asset, amount)
        self.of(asset).free += amount

    def take_locked(self, asset: str, amount: Decimal) -> None:
        held = self.of(asset)
        assert held.locked >= amount, f"{self.name} has {held.locked} {asset} locked, not {amount}"
        held.locked -= amount

    def take(self, asset: str, amount: Decimal) -> None:
        """Pay from what is free; -2010 when that is less."""
        held = self.of(asset)
        if held.free < amount:
            raise insufficient_balance()
        held.free -= amount

    def receive(self, asset: str, amount: Decimal) -> None:
        self.of(asset).free += amount

    def statement(self) -> dict[str, dict[str, str]]:
        """Balances as plain strings."""
        return {
            asset: {"free": money(held.free), "locked": money(held.locked)}
            for asset, held in sorted(self.balances.items())
        }


class Accounts:
    """All accounts by API key."""

    def __init__(self, accounts: Iterable[Account] = ()):
        self.by_key: dict[str, Account] = {}
        for account in accounts:
            self.add(account)

    def add(self, account: Account) -> None:
        taken = {other.name for other in self.by_key.values()}
        name, number = account.key[:4], 2
        while name in taken:
            name, number = f"{account.key[:4]}#{number}", number + 1
        account.name = name
        self.by_key[account.key] = account

    def named(self, name: str) -> Account:
        """An account by its API key or its short name; KeyError when there is none."""
        for account in self.by_key.values():
            if name in (account.key, account.name):
                return account
        raise KeyError(name)

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.by_key.values())


def parse_account(text: str) -> Account:
    """An account from KEY:SECRET:USDT=100000,BTC=1; SECRET may be @FILE with a public key in PEM.

    Raises ValueError with a sentence that does not repeat the secret.
    """
    key, _, rest = text.partition(":")
    secret, _, deposits = rest.rpartition(":") if "=" in rest else (rest, "", "")
    if not key or not secret:
        raise ValueError("an account is given as KEY:SECRET:USDT=100000,BTC=1")
    if secret.startswith("@"):
        secret = _read_key(secret[1:])
    return Account(key, secret, key[:4], _parse_deposits(deposits))


def _read_key(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as problem:
        raise ValueError(f"public key file {path} cannot be read: {problem}") from None


def _parse_deposits(text: str) -> dict[str, Decimal]:
    deposits: dict[str, Decimal] = {}
    for item in filter(None, text.split(",")):
        asset, _, amount = item.partition("=")
        try:
            deposits[asset.strip().upper()] = Decimal(amount)
        except InvalidOperation:
            raise ValueError(f"{item!r} is not a balance such as USDT=100000") from None
        if not deposits[asset.strip().upper()].is_finite() or deposits[asset.strip().upper()] < 0:
            raise ValueError(f"{item!r} is not a balance: an account cannot start with that")
    return deposits


def permissions_from(changes: dict[str, Any], current: Permissions) -> Permissions:
    """Permissions with some of them changed."""
    return Permissions(
        bool(changes.get("read", current.read)),
        bool(changes.get("trade", current.trade)),
        bool(changes.get("withdraw", current.withdraw)),
        tuple(changes.get("ips", current.ips)),
    )
