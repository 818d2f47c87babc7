"""Keys of every kind sign what the exchange accepts; one that may do too much, or cannot be read, is one sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from eightbells.errors import EightbellsError
from eightbells.exchange.gateway import Gateway, open_gateway
from eightbells.exchange.models import Balance, OrderReport
from eightbells.exchange.order_requests import OrderRequest
from eightbells.exchange.permissions import require_trading_key
from eightbells.settings import load_settings
from tests import exchange
from tests.conftest import Configure
from tests.exchange import Simulator

DEPOSIT = "USDT=100000"
HMAC_KEY, HMAC_SECRET = "HMAC-key-of-64-letters", "HMAC-secret-of-64-letters"
KINDS = ["hmac", "ed25519", "rsa"]


@pytest.fixture(scope="module")
def keys() -> dict[str, Any]:
    return {"ed25519": Ed25519PrivateKey.generate(), "rsa": rsa.generate_private_key(65537, 2048)}


def pem(key: Any) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@pytest.fixture(scope="module")
def real(keys: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """An exchange that stands in for the real one, with an account for each kind of key."""
    folder = tmp_path_factory.mktemp("keys")
    accounts = ["--account", f"{HMAC_KEY}:{HMAC_SECRET}:{DEPOSIT}"]
    for kind, key in keys.items():
        public = folder / f"{kind}.pem"
        public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        accounts += ["--account", f"{kind}-key:@{public}:{DEPOSIT}"]
    with exchange.running("--generate", "1", *accounts) as simulator:
        yield simulator


@pytest.fixture
def live(
    real: Simulator,
    configure: Configure,
    database: URL,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    keys: dict[str, Any],
) -> Any:
    """Sets the environment of live mode with a key of some kind."""
    real.begin()

    def use(kind: str) -> Simulator:
        configure(real, database, mode="live")
        if kind == "hmac":
            monkeypatch.setenv("BINANCE_API_KEY", HMAC_KEY)
            monkeypatch.setenv("BINANCE_API_SECRET", HMAC_SECRET)
            return real
        file = tmp_path / "private.pem"
        file.write_bytes(pem(keys[kind]))
        monkeypatch.setenv("BINANCE_API_KEY", f"{kind}-key")
        monkeypatch.setenv("BINANCE_PRIVATE_KEY_FILE", str(file))
        return real

    return use


async def trade(engine: Engine, price: Decimal) -> tuple[OrderReport, list[Balance]]:
    """Place an order, ask for it, cancel it; then a question with its parameters in the query."""
    async with open_gateway(load_settings(), engine) as gateway:
        await require_trading_key(gateway)
        request = OrderRequest(
            "BTCUSDT",
            "BUY",
            "LIMIT",
            "0.01",
            "eb-mine_1-1",
            gateway.clock.now_ms(),
            5000,
            f"{price:.2f}",
            time_in_force="GTC",
        )
        placed = await gateway.place_order(request)
        asked = await gateway.order("BTCUSDT", "eb-mine_1-1")
        assert asked.order_id == placed.order_id
        return await gateway.cancel_order("BTCUSDT", placed.order_id), await gateway.balances()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_key_signs_what_the_exchange_accepts(live: Any, engine: Engine, kind: str) -> None:
    real = live(kind)
    price = Decimal(real.ask("/api/v3/ticker/price?symbol=BTCUSDT")["price"]) / 2
    cancelled, balances = asyncio.run(trade(engine, price))
    assert cancelled.status == "CANCELED"
    assert {it.asset: it.free for it in balances}["USDT"] == 100_000
    (order,) = real.orders()
    assert (order["account"], order["status"]) == (
        (HMAC_KEY if kind == "hmac" else f"{kind}-key")[:4],
        "CANCELED",
    )


PERMISSIONS = [
    ({"withdraw": True}, "it may withdraw: switch withdrawals off for this key"),
    ({"trade": False}, "it may not trade: switch spot trading on"),
    (
        {"trade": False, "withdraw": True},
        "it may withdraw: switch withdrawals off for this key; it may not trade",
    ),
]


@pytest.mark.parametrize(("permissions", "words"), PERMISSIONS, ids=["may withdraw", "may not trade", "both"])
def test_a_key_that_may_do_too_much_or_too_little_trades_nothing(
    prefect_server: str, live: Any, permissions: dict[str, bool], words: str
) -> None:
    from flows.four_hour_cycle import four_hour_cycle

    real = live("hmac")
    real.control("settings", accounts={HMAC_KEY: {"permissions": permissions}})
    with pytest.raises(EightbellsError, match="no live trading with this API key: " + words):
        asyncio.run(four_hour_cycle())
    asked = {path for path in real.requests() if path.startswith(("GET", "POST", "DELETE"))}
    assert asked == {"GET /api/v3/time", "GET /sapi/v1/account/apiRestrictions"}
    assert real.orders() == []


def test_a_key_that_may_not_even_read_is_told_so(live: Any, engine: Engine) -> None:
    real = live("hmac")
    real.control("settings", accounts={HMAC_KEY: {"permissions": {"read": False}}})

    async def check() -> None:
        async with open_gateway(load_settings(), engine) as gateway:
            await require_trading_key(gateway)

    with pytest.raises(EightbellsError, match=r"-2015 on apiRestrictions: .*check BINANCE_API_KEY"):
        asyncio.run(check())


def unusable() -> dict[str, bytes]:
    ed = Ed25519PrivateKey.generate()
    return {
        "not a key": b"hush-hush this is no key",
        "half a key": pem(ed)[:60],
        "a password": bytes(
            ed.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"hush")
            )
        ),
        "another curve": pem(ec.generate_private_key(ec.SECP256R1())),
    }


@pytest.mark.parametrize("name", unusable())
def test_a_key_file_that_cannot_be_used_is_one_sentence_that_shows_nothing_of_it(
    live: Any, engine: Engine, tmp_path: Path, name: str
) -> None:
    live("ed25519")
    content = unusable()[name]
    (tmp_path / "private.pem").write_bytes(content)

    async def use() -> Gateway:
        async with open_gateway(load_settings(), engine) as gateway:
            await gateway.balances()
            return gateway

    with pytest.raises(EightbellsError) as raised:
        asyncio.run(use())
    said = str(raised.value)
    assert "BINANCE_PRIVATE_KEY_FILE" in said
    assert "\n" not in said
    assert "hush" not in said
    assert not any(line in said for line in content.decode(errors="replace").splitlines() if len(line) > 8)


def test_a_key_file_from_windows_is_read_all_the_same(live: Any, engine: Engine, tmp_path: Path) -> None:
    live("ed25519")
    file = tmp_path / "private.pem"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))

    async def use() -> list[Balance]:
        async with open_gateway(load_settings(), engine) as gateway:
            return await gateway.balances()

    assert asyncio.run(use())


def test_a_key_file_that_is_not_there_is_one_sentence(
    live: Any, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live("ed25519")
    for place in (tmp_path / "nowhere.pem", tmp_path):
        monkeypatch.setenv("BINANCE_PRIVATE_KEY_FILE", str(place))
        with pytest.raises(EightbellsError, match="BINANCE_PRIVATE_KEY_FILE cannot be read: "):
            load_settings().credentials()
