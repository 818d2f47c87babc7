"""Which way a request takes, by the variables that curl and Python read; a proxy's password is never shown."""

from __future__ import annotations

import os
import urllib.request

import httpx
import pytest

from eightbells.errors import EightbellsError
from eightbells.proxies import proxy_for, route_to, spare_own_addresses

SECRET = "p%40ss%2Fw0rd"
EXCHANGE = "https://api.binance.com/api"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name in ("NO_PROXY", "no_proxy"):  # what the tested code sets goes, too
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def use(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """Set variables as in a shell: `HTTPS_PROXY=http://proxy:1 NO_PROXY=here`."""
    for pair in given.split():
        name, _, value = pair.partition("=")
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("given", "url", "route"),
    [
        ("", EXCHANGE, "direct"),
        ("HTTPS_PROXY=http://proxy:3128", EXCHANGE, "by the proxy proxy:3128 (HTTPS_PROXY)"),
        ("https_proxy=http://proxy:3128", EXCHANGE, "by the proxy proxy:3128 (HTTPS_PROXY)"),
        ("HTTPS_PROXY=http://proxy:3128", "wss://stream.binance.com:9443/", "by the proxy proxy:3128 (HTTPS_PROXY)"),
        ("ALL_PROXY=http://proxy:1", "wss://stream.binance.com:9443/", "by the proxy proxy:1 (ALL_PROXY)"),
        ("HTTPS_PROXY=http://proxy:1 ALL_PROXY=http://other:2", EXCHANGE, "by the proxy proxy:1 (HTTPS_PROXY)"),
        ("HTTPS_PROXY= all_proxy=http://other:2", EXCHANGE, "by the proxy other:2 (ALL_PROXY)"),
        ("HTTP_PROXY=http://proxy:1", EXCHANGE, "direct"),
        ("HTTP_PROXY=http://proxy:1", "ws://exchange.test/", "by the proxy proxy:1 (HTTP_PROXY)"),
        ("HTTPS_PROXY=proxy:3128", EXCHANGE, "by the proxy proxy:3128 (HTTPS_PROXY)"),
        ("HTTPS_PROXY=http://proxy", EXCHANGE, "by the proxy proxy:80 (HTTPS_PROXY)"),
        ("HTTPS_PROXY=https://[fd00::1]:8443/", EXCHANGE, "by the proxy [fd00::1]:8443 (HTTPS_PROXY)"),
        (f"HTTPS_PROXY=http://me:{SECRET}@proxy:1", EXCHANGE, "by the proxy proxy:1 (HTTPS_PROXY)"),
        ("HTTPS_PROXY=http://proxy:1 NO_PROXY=binance.com", EXCHANGE, "direct"),
        ("HTTPS_PROXY=http://proxy:1 no_proxy=.binance.com", EXCHANGE, "direct"),
        ("HTTPS_PROXY=http://proxy:1 NO_PROXY=*", EXCHANGE, "direct"),
        ("HTTPS_PROXY=http://proxy:1 NO_PROXY=api.binance.com:443", EXCHANGE, "direct"),
        ("HTTPS_PROXY=http://proxy:1 NO_PROXY=nance.com", EXCHANGE, "by the proxy proxy:1 (HTTPS_PROXY)"),
    ],
)  # fmt: skip
def test_the_way_to_an_address(monkeypatch: pytest.MonkeyPatch, given: str, url: str, route: str) -> None:
    use(monkeypatch, given)
    assert route_to(url) == route


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4200/api", "ws://localhost:1/", "http://127.9.9.9/", "http://[::1]:4200/api",
        "http://0.0.0.0:9464/metrics", "http://demo.localhost/",
    ],
)  # fmt: skip
def test_this_machine_is_reached_directly(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    use(monkeypatch, "HTTP_PROXY=http://proxy:1 ALL_PROXY=http://proxy:1")
    assert proxy_for(url) is None


def test_a_password_is_used_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, f"HTTPS_PROXY=http://me:{SECRET}@proxy:1")
    proxy = proxy_for(EXCHANGE)
    assert proxy is not None
    assert (proxy.user, proxy.password.get_secret_value()) == ("me", "p@ss/w0rd")
    assert proxy.with_credentials == f"http://me:{SECRET}@proxy:1"
    for shown in (repr(proxy), str(proxy), proxy.url, route_to(EXCHANGE)):
        assert "w0rd" not in shown


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("socks5://me:w0rd@proxy:1080", "socks5 proxy is not supported"),
        ("ftp://me:w0rd@proxy", "such a proxy is not supported"),
        ("http://me%3Ame:w0rd@proxy:1", "not the address of a proxy"),
        ("http://me:w0rd@proxy:port", "not the address of a proxy"),
        ("http://me:w0rd@", "not the address of a proxy"),
        ("http://me:w0rd@[proxy", "not the address of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, value: str, words: str
) -> None:
    monkeypatch.setenv("https_proxy", value)
    for attempt in (lambda: route_to(EXCHANGE), spare_own_addresses):
        with pytest.raises(EightbellsError, match=words) as caught:
            attempt()
        assert "HTTPS_PROXY" in str(caught.value)
        assert "like http://host:port" in str(caught.value)
        assert "w0rd" not in str(caught.value)


def test_an_exchange_address_that_cannot_be_read_is_named() -> None:
    with pytest.raises(EightbellsError, match="https://exchange:port/api cannot be read"):
        proxy_for("https://exchange:port/api")


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_what_is_excepted_stays_so_beside_this_machines_addresses(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    use(monkeypatch, f"HTTP_PROXY=http://proxy:1 {name}=corp.example,localhost")
    spare_own_addresses("http://127.0.0.2:4200/api", "https://api.binance.com")
    spare_own_addresses()  # as a child process does again
    wanted = "corp.example,localhost,127.0.0.1,::1,127.0.0.2"
    assert (os.environ["NO_PROXY"], os.environ["no_proxy"]) == (wanted, wanted)
    for host in ("localhost", "127.0.0.1", "127.0.0.2:4200", "www.corp.example"):
        assert urllib.request.proxy_bypass(host)
    httpx.Client().close()  # reads the same variables


@pytest.mark.parametrize("given", ["", "NO_PROXY=corp.example", "HTTP_PROXY=http://proxy:1 NO_PROXY=*"])
def test_nothing_is_added_where_nothing_would_use_a_proxy(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    use(monkeypatch, given)
    before = dict(os.environ)
    spare_own_addresses()
    assert dict(os.environ) == before


def test_a_socks_proxy_that_nothing_uses_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect's client cannot be made while one is named, whatever it is asked for."""
    use(monkeypatch, "HTTP_PROXY=http://proxy:1 HTTPS_PROXY=http://proxy:1 all_proxy=socks5://proxy:2")
    spare_own_addresses()
    assert "all_proxy" not in os.environ
    assert route_to(EXCHANGE) == "by the proxy proxy:1 (HTTPS_PROXY)"
