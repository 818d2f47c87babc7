"""The way to the upstream: direct, or by the proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names."""

from __future__ import annotations

import urllib.request
from ipaddress import ip_address
from typing import Any

import aiohttp
from yarl import URL


def way_to(address: str) -> dict[str, Any]:
    """Parameters of a request by aiohttp. It reads none of the variables for WebSockets, and never ALL_PROXY.

    Raises:
        ValueError: the proxy's address cannot be understood; the message does not show it, for its password.
    """
    url = URL(address)
    if _is_loopback(url.host or "") or urllib.request.proxy_bypass(f"{url.host}:{url.port}"):
        return {}
    named = urllib.request.getproxies()
    kind = "https" if url.scheme in ("https", "wss") else "http"
    given = named.get(kind) or named.get("all")
    if not given:
        return {}
    try:
        proxy = URL(given if "://" in given else f"http://{given}")
    except ValueError:
        proxy = URL()
    if proxy.scheme not in ("http", "https") or not proxy.host:
        raise ValueError(f"the proxy for {url.scheme} must be like http://host:port")
    if not proxy.user:
        return {"proxy": proxy}
    # without a tunnel aiohttp itself makes it the request's Proxy-Authorization
    name = "Proxy-Authorization" if kind == "https" else "Authorization"
    login = aiohttp.encode_basic_auth(proxy.user, proxy.password or "")
    return {"proxy": proxy.with_user(None), "proxy_headers": {name: login}}


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
