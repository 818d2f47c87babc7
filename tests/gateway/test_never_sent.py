"""An order that meets something else than the exchange: it goes out once at most, and what is certain is said so."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from sqlalchemy import Engine

from eightbells.exchange.gateway import Gateway
from eightbells.exchange.order_requests import OrderRequest
from eightbells.exchange.recovery import ExchangeError, Failure
from tests.conftest import Configure
from tests.gateway.served import Served, answer, serving
from tests.klines import FIRST

COUNTRY = '{"code":0,"msg":"Service unavailable from a restricted location."}'
WAF = {"x_amzn_waf_action": "challenge"}
# what is answered, the row it is, and whether an order certainly does not exist then
ANSWERS = {
    "451": (answer(451, COUNTRY), "http-451", True),
    "407": (answer(407, "<html>Proxy login"), "http-407", True),
    "403 of a firewall": (answer(403, "<html>Request blocked"), "http-403", True),
    "202 of a firewall": (answer(202, **WAF), "http-202", False),
    "302 to a login": (answer(302, Location="http://127.0.0.1:9/login"), "http-3xx", False),
    "307 to another host": (answer(307, Location="http://127.0.0.1:9/api/v3/order"), "http-3xx", False),
    "502 of a proxy": (answer(502, "<html>Bad Gateway"), "http-5xx", False),
    "503 for maintenance": (answer(503, "<html>System maintenance"), "http-5xx", False),
    "a page": (answer(200, "<html>Welcome to this hotel"), "unreadable", False),
    "a reset": (b"", "network", False),
    "no HTTP": (b"SSH-2.0-hello\r\n\r\n", "network", False),
}


def place_at(configure: Configure, engine: Engine, url: str) -> Failure:
    """What becomes of an order that is handed to whatever is at an address."""

    async def place() -> None:
        settings = configure(exchange__rest_url=url, exchange__timeout_seconds=5)
        gateway = Gateway(settings, engine)

        async def now() -> int:
            return FIRST

        try:
            await gateway.clock.sync(now)
            order = OrderRequest("BTCUSDT", "BUY", "MARKET", "1", "eb-1", FIRST, 5000)
            await gateway.place_order(order)
        finally:
            await gateway.close()

    with pytest.raises(ExchangeError) as raised:
        asyncio.run(place())
    assert "signature" not in str(raised.value)
    return raised.value.failure


@pytest.mark.parametrize("name", ANSWERS)
def test_an_order_is_sent_once_whatever_stands_in_the_exchanges_place(
    configure: Configure, decided: tuple[Engine, int], name: str
) -> None:
    said, code, certain = ANSWERS[name]
    met: list[Served] = []

    async def place() -> Failure:
        async with serving(lambda line: said) as served:
            met.append(served)
            url = f"http://127.0.0.1:{served.port}/api"
            return await asyncio.to_thread(place_at, configure, decided[0], url)

    failure = asyncio.run(place())
    assert (failure.code, failure.certainly_not_executed) == (code, certain)
    assert met[0].lines == ["POST /api/v3/order HTTP/1.1"]


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("http://127.0.0.1:9/api", "connection-refused", "127.0.0.1:9 refuses the connection"),
        ("http://no-such-exchange.invalid/api", "name-resolution", "no-such-exchange.invalid: "),
    ],
)
def test_an_order_for_which_there_is_no_connection_was_never_sent(
    configure: Configure, decided: tuple[Engine, int], url: str, code: str, words: str
) -> None:
    failure = place_at(configure, decided[0], url)
    assert (failure.code, failure.certainly_not_executed) == (code, True)
    assert words in failure.message


def test_an_order_never_goes_out_under_an_untrusted_certificate(
    configure: Configure, decided: tuple[Engine, int], tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    met: list[Served] = []

    async def place() -> Failure:
        async with serving(lambda line: answer(200, "{}"), context) as served:
            met.append(served)
            url = f"https://localhost:{served.port}/api"
            return await asyncio.to_thread(place_at, configure, decided[0], url)

    failure = asyncio.run(place())
    assert (failure.code, failure.certainly_not_executed) == ("certificate", True)
    assert "self-signed certificate" in failure.message
    assert met[0].lines == []


def self_signed(folder: Path) -> Path:
    """A file with a key and a certificate that it has signed itself."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
    )
    now = datetime.datetime.now(datetime.UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    signed = built.add_extension(names, critical=False).sign(key, hashes.SHA256())
    file = folder / "self-signed.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + signed.public_bytes(Encoding.PEM)
    )
    return file
