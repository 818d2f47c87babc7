"""WebSockets to the exchange, by the same way as its REST API."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from websockets import proxy as proxies
from websockets.asyncio import client

from eightbells.proxies import proxy_for


def open_socket(address: str, **options: Any) -> client.connect:
    """`websockets.connect`, by the proxy that REST requests to the same place would take, or by none."""
    way = proxy_for(address)
    return client.connect(
        address, close_timeout=1, proxy=None if way is None else way.with_credentials, **options
    )


def _parse_unquoted(proxy: str) -> proxies.Proxy:
    """As websockets does, which would send user and password as they stand in the address, `%40` for `@`."""
    parsed = proxies.parse_proxy(proxy)
    if parsed.username is not None:
        parsed.username, parsed.password = unquote(parsed.username), unquote(parsed.password or "")
    return parsed


client.parse_proxy = _parse_unquoted  # type: ignore[attr-defined]
