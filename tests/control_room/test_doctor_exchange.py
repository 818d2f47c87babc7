"""`eightbells doctor` on the exchange, the key and the sockets: every failure is provoked and shown with its remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.doctor.exchange import look_at_exchange
from tests.conftest import Configure
from tests.control_room.examined import DEAD, Use, gathered, of
from tests.exchange import Simulator


async def test_an_exchange_that_is_well(use: Use) -> None:
    findings = await gathered(look_at_exchange(use()))
    expected = ["exchange", "clock", "symbols", "limits", "key", "secret", "order limits", "permissions"]
    for name in (*expected, "stream socket", "account socket"):
        of(findings, name, "ok")
    assert "restrict it" in of(findings, "permissions", "warn").remedy


async def test_an_exchange_that_does_not_answer(use: Use) -> None:
    findings = await gathered(look_at_exchange(use(exchange__rest_url=f"{DEAD}/api")))
    assert "check the network" in of(findings, "exchange", "fail").remedy
    assert "key" not in {finding.name for finding in findings}


async def test_paper_mode_before_its_exchange_is_started(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.doctor.exchange.is_free", lambda port: True)
    (finding,) = await gathered(look_at_exchange(configure()))
    assert "`eightbells up` starts it" in of([finding], "exchange", "warn").remedy


@pytest.mark.parametrize(
    ("action", "remedy"),
    [
        ({"status": 403, "html": "<html>"}, "firewall"),
        ({"status": 407, "html": "<html>"}, "HTTPS_PROXY"),
        (
            {"status": 451, "code": 0, "msg": "Service unavailable from a restricted location."},
            "does not serve the country",
        ),
        ({"status": 302, "html": "<html>"}, "redirects"),
        ({"status": 418, "code": -1003, "msg": "banned"}, "lower [budgets]"),
        ({"status": 429, "code": -1003, "msg": "too many"}, "lower [budgets]"),
        ({"status": 503, "html": "<html>"}, "wait: the exchange has a problem"),
        ({"silence": 3}, "check the network"),
    ],
    ids=["403", "407", "451", "302", "418", "429", "503", "silent"],
)
async def test_an_exchange_that_turns_us_away(
    use: Use, market: Simulator, action: dict[str, Any], remedy: str
) -> None:
    market.fault("GET /api/v3/time", action)
    patience = {"exchange__timeout_seconds": "0.5"} if "silence" in action else {}
    findings = await gathered(look_at_exchange(use(**patience)))
    assert remedy in of(findings, "exchange", "fail").remedy


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("GET /api/v3/exchangeInfo", "limits"),
        ("GET /api/v3/account", "key"),
        ("GET /sapi/v1/account/apiRestrictions", "permissions"),
    ],
)
async def test_an_answer_that_fails_is_a_failure_of_what_it_would_have_told(
    use: Use, market: Simulator, path: str, name: str
) -> None:
    market.fault(path, {"status": 503, "html": "<html>"})
    assert "wait" in of(await gathered(look_at_exchange(use())), name, "fail").remedy


@pytest.mark.parametrize(("seconds", "verdict"), [(2, "warn"), (-2, "warn"), (3600, "fail")])
async def test_a_clock_that_is_off(use: Use, market: Simulator, seconds: int, verdict: str) -> None:
    market.advance(seconds * 1000)
    assert "timedatectl" in of(await gathered(look_at_exchange(use())), "clock", verdict).remedy


async def test_a_simulator_in_another_time_is_no_failure_in_paper_mode(use: Use, market: Simulator) -> None:
    settings = use(mode="paper")
    market.advance(-328 * 24 * 3600 * 1000)
    told = of(await gathered(look_at_exchange(settings)), "clock", "ok").what
    assert "the exchange's is 328 days behind this machine's: a simulator's own time" in told


async def test_symbols_that_are_not_listed_or_rest(use: Use, market: Simulator) -> None:
    findings = await gathered(look_at_exchange(use(symbols=["BTCUSDT", "MOONUSDT"])))
    assert "not listed: MOONUSDT" in of(findings, "symbols", "warn").what, "the others are traded"
    findings = await gathered(look_at_exchange(use(symbols=["MOONUSDT"], strategies=[])))
    assert "not listed: MOONUSDT" in of(findings, "symbols", "fail").what
    market.control("settings", symbols={"ETHUSDT": {"status": "BREAK"}})
    assert "ETHUSDT" in of(await gathered(look_at_exchange(use())), "symbols", "warn").what


async def test_a_symbol_of_another_quote_and_strategies_that_cannot_trade(
    use: Use, market: Simulator
) -> None:
    market.control("settings", symbols={"ETHUSDT": {"quoteAsset": "FDUSD"}})
    entry = {"kind": "ma_cross", "capital": "100"}
    lost, some = entry | {"name": "lost", "symbols": ["ETHUSDT"]}, entry | {"name": "some"}
    findings = await gathered(look_at_exchange(use(strategies=[lost, some])))
    assert "not quoted in USDT: ETHUSDT in FDUSD" in of(findings, "symbols", "fail").what
    assert "'lost' cannot trade ETHUSDT: it is quoted in FDUSD" in of(findings, "strategy", "fail").what
    assert "'some' cannot trade ETHUSDT: it is quoted in FDUSD" in of(findings, "strategy", "warn").what


@pytest.mark.parametrize("count", [4, 5])
async def test_so_many_stops_that_none_can_be_moved(use: Use, count: int) -> None:
    entries = [
        {"name": f"s{number}", "kind": "donchian", "capital": "1000", "symbols": symbols, "stop_loss": "0.05"}
        for number, symbols in enumerate([["BTCUSDT", "ETHUSDT"], *[["BTCUSDT"]] * (count - 1)])
    ]
    without = {"name": "bare", "kind": "donchian", "capital": "1000", "symbols": ["BTCUSDT"]}
    findings = await gathered(look_at_exchange(use(strategies=[*entries, without])))
    told = [finding for finding in findings if finding.name == "stops"]
    if count == 4:
        assert told == []
    else:
        words = "BTCUSDT: 5 strategies keep a stop, and the exchange moves none once 5 are out"
        assert of(told, "stops", "warn").what == words


async def test_an_entry_that_cannot_be_read_is_named_with_its_field_and_fails_nothing_else(
    use: Use, market: Simulator
) -> None:
    market.control("settings", symbols={"ETHUSDT": {"filters": {"LOT_SIZE": {"stepSize": None}}}})
    entry = {"name": "lost", "kind": "ma_cross", "capital": "100", "symbols": ["ETHUSDT"]}
    findings = await gathered(look_at_exchange(use(strategies=[entry])))
    reason = "ETHUSDT: exchangeInfo cannot be read: LOT_SIZE.stepSize is null or missing"
    assert reason in of(findings, "symbols", "warn").what
    assert reason in of(findings, "strategy", "warn").what


async def test_limits_that_are_nearly_used_up(use: Use, market: Simulator) -> None:
    market.control("settings", rate_limits={"REQUEST_WEIGHT": 200})
    market.fault("GET /api/v3/exchangeInfo", {"headers": {"X-MBX-USED-WEIGHT-1M": "190"}})
    nearly = [{"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50, "count": 49}]
    market.fault("GET /api/v3/rateLimit/order", {"body": json.dumps(nearly), "status": 200})
    try:
        findings = await gathered(look_at_exchange(use()))
    finally:
        market.control("settings", rate_limits={"REQUEST_WEIGHT": 6000})
    assert "[budgets]" in of(findings, "limits", "warn").remedy
    assert "49 of 50 used in 10 s" in of(findings, "order limits", "warn").what


@pytest.mark.parametrize(
    ("key", "secret", "words"),
    [
        ("", "", "not set in the environment"),
        ("nobody", "x", "-2015"),
        ("paper", "wrong", "-1022"),
        ("pa\rper", "paper", "BINANCE_API_KEY has a character that cannot be sent: a carriage return"),
    ],
    ids=["no key", "unknown key", "wrong secret", "a key with a carriage return"],
)
async def test_a_key_that_does_not_open(use: Use, key: str, secret: str, words: str) -> None:
    findings = await gathered(look_at_exchange(use(key, secret)))
    found = of(findings, "key", "fail")
    assert words in found.what
    assert "wrong" not in found.what + found.remedy
    of(findings, "stream socket", "ok")


@pytest.mark.parametrize("content", [None, "not a key"], ids=["missing", "no key in it"])
async def test_a_private_key_that_cannot_be_read(
    use: Use, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "private.pem"
    if content:
        file.write_text(content)
    monkeypatch.setenv("BINANCE_PRIVATE_KEY_FILE", str(file))
    assert "BINANCE_PRIVATE_KEY_FILE" in of(await gathered(look_at_exchange(use())), "key", "fail").what


def test_a_private_key_that_others_may_read(
    use: Use, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from cli.doctor.exchange import _private_key_file

    file = tmp_path / "private.pem"
    file.write_text("key")
    monkeypatch.setenv("BINANCE_PRIVATE_KEY_FILE", str(file))
    file.chmod(0o644)
    assert f"chmod 600 {file}" in of([_private_key_file(use())], "secret", "warn").remedy
    file.chmod(0o600)
    of([_private_key_file(use())], "secret", "ok")


@pytest.mark.parametrize(
    ("changed", "name", "words"),
    [
        ({"withdraw": True}, "permissions", "switch withdrawals off"),
        ({"trade": False}, "key", "spot trading"),
        ({"read": False}, "key", "permissions"),
    ],
    ids=["may withdraw", "may not trade", "may not read"],
)
async def test_a_key_that_may_do_too_much_or_too_little(
    use: Use, market: Simulator, changed: dict[str, bool], name: str, words: str
) -> None:
    settings = use()
    market.control("settings", accounts={"pape": {"permissions": changed}})
    assert words in of(await gathered(look_at_exchange(settings)), name, "fail").remedy


@pytest.mark.parametrize(
    ("setting", "name"),
    [("exchange__stream_url", "stream socket"), ("exchange__ws_api_url", "account socket")],
)
async def test_a_socket_that_cannot_be_reached(use: Use, setting: str, name: str) -> None:
    findings = await gathered(look_at_exchange(use(**{setting: "ws://127.0.0.1:9/"})))
    assert "WebSockets" in of(findings, name, "fail").remedy


async def test_a_socket_that_does_not_come_back(use: Use, market: Simulator) -> None:
    settings = use()
    market.control("faults", match={"channel": "stream"}, action={"stream": "refuse", "status": 403}, nth=2)
    findings = await gathered(look_at_exchange(settings))
    assert "403" in of(findings, "stream socket", "fail").what
