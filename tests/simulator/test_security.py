"""Keys, signatures, clocks and permissions."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from simulated import running

from tests.exchange import KEY, SECRET, Simulator

ACCOUNT = "/api/v3/account"


def told(answer: requests.Response) -> tuple[int, int]:
    return answer.status_code, answer.json().get("code", 0)


def test_a_signed_request_is_answered(simulator: Simulator) -> None:
    balances = {b["asset"]: b["free"] for b in simulator.signed("GET", ACCOUNT).json()["balances"]}
    assert balances["USDT"] == "100000.00000000"
    assert balances["SOL"] == "0.00000000"
    few = simulator.signed("GET", ACCOUNT, omitZeroBalances="true").json()["balances"]
    assert {b["asset"] for b in few} == {"USDT", "BTC", "BNB"}


def test_a_wrong_signature_is_refused(simulator: Simulator) -> None:
    assert told(simulator.signed("GET", ACCOUNT, secret="wrong")) == (400, -1022)
    changed = simulator.signed("GET", ACCOUNT).request.url
    assert changed is not None
    answer = requests.get(
        changed.replace("timestamp=", "recvWindow=9&timestamp="), headers={"X-MBX-APIKEY": KEY}, timeout=5
    )
    assert told(answer) == (400, -1022)


def test_a_missing_signature_key_or_timestamp_is_named(simulator: Simulator) -> None:
    keyed = {"X-MBX-APIKEY": KEY}
    url = f"{simulator.url}{ACCOUNT}"
    assert told(requests.get(f"{url}?timestamp=1", timeout=5)) == (401, -2014)
    assert told(requests.get(f"{url}?timestamp=1", headers=keyed, timeout=5)) == (400, -1102)
    assert told(requests.get(f"{url}?signature=1", headers=keyed, timeout=5)) == (400, -1102)
    assert told(simulator.signed("GET", ACCOUNT, key="unknown-key")) == (401, -2015)


@pytest.mark.parametrize(
    ("early", "window", "code"),
    [
        (5000, None, 0),
        (5001, None, -1021),
        (59_000, 60_000, 0),
        (101, 100, -1021),
        (-999, None, 0),
        (-1000, None, -1021),
    ],
)
def test_a_timestamp_must_lie_within_its_window(
    simulator: Simulator, early: int, window: int | None, code: int
) -> None:
    params = {"timestamp": simulator.now - early} | ({"recvWindow": window} if window else {})
    assert told(simulator.signed("GET", ACCOUNT, **params))[1] == code


@pytest.mark.parametrize(("early", "code"), [(65_000, 0), (65_001, -1021), (-60_999, 0), (-61_000, -1021)])
def test_in_compressed_time_a_timestamp_may_miss_its_window(
    simulator: Simulator, early: int, code: int
) -> None:
    simulator.control("settings", clock_tolerance_ms=60_000)
    assert told(simulator.signed("GET", ACCOUNT, timestamp=simulator.now - early))[1] == code


def test_a_window_has_a_greatest_width(simulator: Simulator) -> None:
    assert told(simulator.signed("GET", ACCOUNT, recvWindow=60_001)) == (400, -1131)


def test_a_body_is_signed_together_with_the_query(simulator: Simulator) -> None:
    query = "symbol=BTCUSDT&side=BUY&type=MARKET"
    body = f"quantity=0.01&timestamp={simulator.now}"
    signature = hmac.new(SECRET.encode(), (query + body).encode(), hashlib.sha256).hexdigest()
    headers = {"X-MBX-APIKEY": KEY, "Content-Type": "application/x-www-form-urlencoded"}
    url = f"{simulator.url}/api/v3/order?{query}"
    answer = requests.post(url, data=f"{body}&signature={signature}", headers=headers, timeout=5)
    assert answer.json()["status"] == "FILLED"


def test_a_key_may_be_kept_from_trading_from_reading_and_to_addresses(simulator: Simulator) -> None:
    def permit(**permissions: Any) -> None:
        simulator.control("settings", accounts={KEY[:4]: {"permissions": permissions}})

    permit(trade=False)
    assert told(simulator.order(type="MARKET")) == (401, -2015)
    assert told(simulator.signed("GET", ACCOUNT))[0] == 200
    permit(trade=True, ips=["10.0.0.1"])
    assert told(simulator.signed("GET", ACCOUNT)) == (401, -2015)
    permit(ips=["127.0.0.1"], withdraw=True)
    rights = simulator.signed("GET", "/sapi/v1/account/apiRestrictions").json()
    assert rights["ipRestrict"]
    assert rights["enableWithdrawals"]
    assert rights["enableSpotAndMarginTrading"]
    permit(read=False)
    assert told(simulator.signed("GET", ACCOUNT)) == (401, -2015)


def test_listen_keys_are_gone(simulator: Simulator) -> None:
    for method in ("POST", "PUT", "DELETE"):
        answer = requests.request(
            method, f"{simulator.url}/api/v3/userDataStream", headers={"X-MBX-APIKEY": KEY}, timeout=5
        )
        assert answer.status_code == 410


def _public(key: Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_ed25519_and_rsa_sign_percent_encoded_payloads(tmp_path: Path, kind: str) -> None:
    key = Ed25519PrivateKey.generate() if kind == "ed25519" else rsa.generate_private_key(65537, 2048)
    (tmp_path / "public.pem").write_bytes(_public(key))
    with running("--speed", "0", "--account", f"K:@{tmp_path / 'public.pem'}:USDT=1") as simulator:

        def get(payload: str, signed: str) -> requests.Response:
            if isinstance(key, Ed25519PrivateKey):
                raw = key.sign(signed.encode())
            else:
                raw = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
            signature = quote(base64.b64encode(raw).decode(), safe="")
            url = f"{simulator.url}/api/v3/openOrders?{payload}&signature={signature}"
            return requests.get(url, headers={"X-MBX-APIKEY": "K"}, timeout=5)

        plain = {"timestamp": str(simulator.now), "symbol": "BTCUSDT"}
        assert get(urlencode(plain), urlencode(plain)).status_code == 200
        assert told(get(urlencode(plain), urlencode(plain) + "0")) == (400, -1022)
        odd = urlencode({"timestamp": plain["timestamp"], "symbol": "Ä B"})
        assert told(get(odd, odd)) == (400, -1100)  # the signature was good
        assert told(get(odd, f"timestamp={plain['timestamp']}&symbol=Ä B")) == (400, -1022)
