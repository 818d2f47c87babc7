"""python-binance's AsyncClient, pointed at any address and stamped by our clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from binance import AsyncClient

from eightbells.candles.klines import rows_text
from eightbells.errors import EightbellsError
from eightbells.exchange.answers import BadAnswer
from eightbells.exchange.clock import ExchangeClock
from eightbells.proxies import Proxy, proxy_for
from eightbells.settings import Credentials


class StampedClient(AsyncClient):  # type: ignore[misc]
    """Differs from its parent in five things.

    Addresses come from outside (the parent has class attributes only); a signed request carries the timestamp it
    is given, or the exchange's clock, and never the machine's; an answer is read once, and fast, and its headers are
    shown to an observer (the parent keeps them in one slot that concurrent requests overwrite); no redirect is
    followed: the exchange makes none, and whoever does must not get a signed request; a query's values are encoded.
    """

    def __init__(
        self,
        credentials: Credentials,
        rest_url: str,
        clock: ExchangeClock,
        recv_window_ms: int,
        timeout: float,
        connections: int,
        observe: Callable[[Mapping[str, str]], None],
    ) -> None:
        private = credentials.private_key
        try:
            super().__init__(
                credentials.key,
                credentials.secret.get_secret_value(),
                session_params={"connector": aiohttp.TCPConnector(limit=connections)},
                private_key=private.get_secret_value() if private else None,
            )
        except (ValueError, IndexError, TypeError):
            raise EightbellsError(
                "BINANCE_PRIVATE_KEY_FILE does not hold an Ed25519 or RSA private key in PEM, without a password"
            ) from None
        self.API_URL = rest_url.rstrip("/")
        self.MARGIN_API_URL = self.API_URL.removesuffix("/api") + "/sapi"
        self.REQUEST_TIMEOUT = timeout
        proxy = proxy_for(rest_url)
        self.https_proxy = proxy.url if proxy else None  # of the parent: for http, too
        self._proxy_headers = _authorization(proxy, rest_url)
        self._clock, self._recv_window_ms, self._observe = clock, recv_window_ms, observe

    def _get_request_kwargs(
        self, method: str, signed: bool, force_params: bool = False, **kwargs: Any
    ) -> dict[str, Any]:
        if signed:
            data = kwargs.setdefault("data", {})
            data.setdefault("timestamp", self._clock.now_ms())
            data.setdefault("recvWindow", self._recv_window_ms)
            data["signature"] = self._generate_signature(data)
        elif "data" in kwargs:  # of a query the parent encodes `symbol` alone
            kwargs["data"] = {
                name: value if name == "symbol" or value is None else quote(str(value), safe="")
                for name, value in kwargs["data"].items()
            }
        ready: dict[str, Any] = super()._get_request_kwargs(method, False, force_params, **kwargs)
        return ready | self._proxy_headers | {"allow_redirects": False}

    async def _handle_response(self, response: aiohttp.ClientResponse) -> Any:
        self._observe(response.headers)
        body = await response.read()
        if response.status // 100 == 2:
            with suppress(ValueError):
                return _read(body)
        said = body.decode(errors="replace").replace(
            self.API_KEY, "..."
        )  # a proxy's page may quote the request
        raise BadAnswer(response.status, said, response.headers)


def _read(body: bytes) -> Any:
    """JSON, and what only resembles it: one NaN among a thousand symbols is no reason to lose them all."""
    if rows := rows_text(body):
        return rows
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body)


def _authorization(proxy: Proxy | None, url: str) -> dict[str, Any]:
    """A request's parameter for a proxy with a password, which stays out of the address that errors show."""
    if proxy is None or not proxy.user:
        return {}
    # without a tunnel aiohttp itself makes it the request's Proxy-Authorization
    name = "Proxy-Authorization" if url.startswith("https") else "Authorization"
    return {"proxy_headers": {name: aiohttp.encode_basic_auth(proxy.user, proxy.password.get_secret_value())}}
