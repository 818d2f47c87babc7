"""python-binance's AsyncClient, pointed at any address and stamped by our clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import orjson
from binance import AsyncClient
from binance.exceptions import BinanceAPIException

from eightbells.errors import EightbellsError
from eightbells.exchange.clock import ExchangeClock
from eightbells.settings import Credentials


class StampedClient(AsyncClient):  # type: ignore[misc]
    """Differs from its parent in three things.

    Addresses come from outside (the parent has class attributes only); a signed request carries the timestamp it
    is given, or the exchange's clock, and never the machine's; an answer is read once, and fast, and its headers are
    shown to an observer (the parent keeps them in one slot that concurrent requests overwrite).
    """

    def __init__(
        self, credentials: Credentials, rest_url: str, clock: ExchangeClock, recv_window_ms: int, timeout: float,
        connections: int, observe: Callable[[Mapping[str, str]], None],
    ) -> None:  # fmt: skip
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
        self._clock, self._recv_window_ms, self._observe = clock, recv_window_ms, observe

    def _get_request_kwargs(
        self, method: str, signed: bool, force_params: bool = False, **kwargs: Any
    ) -> dict[str, Any]:
        if signed:
            data = kwargs.setdefault("data", {})
            data.setdefault("timestamp", self._clock.now_ms())
            data.setdefault("recvWindow", self._recv_window_ms)
            data["signature"] = self._generate_signature(data)
        ready: dict[str, Any] = super()._get_request_kwargs(method, False, force_params, **kwargs)
        return ready

    async def _handle_response(self, response: aiohttp.ClientResponse) -> Any:
        self._observe(response.headers)
        body = await response.read()
        if response.status // 100 != 2:
            said = body.decode(errors="replace").lstrip()
            # the exception reads an object, or what is no JSON, and stumbles over all other JSON
            raise BinanceAPIException(response, response.status, said if said.startswith("{") else "")
        return orjson.loads(body)  # its error is a ValueError: an answer that is not JSON
