"""The way to an address: direct, or by the proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names, in either case.

Addresses of this machine and those in NO_PROXY are reached directly. A proxy's password is never shown.
"""

from __future__ import annotations

import ipaddress
import os
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPResponse
from typing import cast
from urllib.parse import SplitResult, quote, unquote, urlsplit

from pydantic import SecretStr

from eightbells.errors import EightbellsError

_OWN = ("localhost", "127.0.0.1", "::1")
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_REMEDY = "set it to an HTTP proxy, like http://host:port"


@dataclass(frozen=True)
class Proxy:
    """A proxy of the environment.

    Attributes:
        url: its address without user and password.
        variable: what names it.
    """

    url: str
    variable: str
    user: str = ""
    password: SecretStr = field(default_factory=lambda: SecretStr(""))

    @property
    def with_credentials(self) -> str:
        """The address with user and password: a secret."""
        scheme, _, host = self.url.partition("://")
        if not self.user:
            return self.url
        return f"{scheme}://{quote(self.user, '')}:{quote(self.password.get_secret_value(), '')}@{host}"


def proxy_for(url: str) -> Proxy | None:
    """The proxy for an address (http, https, ws or wss); None: it is reached directly.

    Raises:
        EightbellsError: the address cannot be read, or the variable that names the proxy.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 443)
    except ValueError:
        raise EightbellsError(f"the address {url} cannot be read: its port is not a number") from None
    if is_own(parts.hostname) or urllib.request.proxy_bypass(f"{parts.hostname}:{port}"):
        return None
    named = urllib.request.getproxies()
    kind = "https" if parts.scheme in ("https", "wss") else "http"
    name = next((name for name in (kind, "all") if named.get(name)), None)
    return None if name is None else _read(f"{name.upper()}_PROXY", named[name])


def route_to(url: str) -> str:
    """The way to an address in words, without credentials."""
    proxy = proxy_for(url)
    return "direct" if proxy is None else f"by the proxy {urlsplit(proxy.url).netloc} ({proxy.variable})"


def is_own(host: str | None) -> bool:
    """Whether a host is this machine, by a loopback address or its name."""
    if not host:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def open_url(request: urllib.request.Request, timeout: float) -> HTTPResponse:
    """`urllib.request.urlopen` by the way that `proxy_for` tells.

    Raises:
        OSError: there is no answer, or one that is an error.
    """
    proxy = proxy_for(request.full_url)
    return _open(request, timeout, {} if proxy is None else {request.type: proxy.with_credentials})


def open_directly(request: urllib.request.Request, timeout: float) -> HTTPResponse:
    """`urllib.request.urlopen` without any proxy, for programs that we have started ourselves."""
    return _open(request, timeout, {})


def _open(request: urllib.request.Request, timeout: float, ways: dict[str, str]) -> HTTPResponse:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(ways))
    return cast(HTTPResponse, opener.open(request, timeout=timeout))


def spare_own_addresses(*urls: str) -> None:
    """Add this machine's addresses to NO_PROXY: Prefect's client, apprise and every child process read it.

    Args:
        urls: whose hosts are added, too, where they are this machine's: 127.0.0.2 is not in the usual list.

    Raises:
        EightbellsError: a variable names a proxy that cannot be used; Prefect's client fails at one even unused.
    """
    named = urllib.request.getproxies_environment()
    kinds = [kind for kind in ("http", "https", "all") if kind in named]
    spared = named.get("no", "")
    if not kinds or spared.strip() == "*":
        return
    for kind in kinds:
        try:
            _read(f"{kind.upper()}_PROXY", named[kind])
        except EightbellsError:
            if kind != "all" or not {"http", "https"} <= set(kinds):
                raise
            _forget("ALL_PROXY")  # often a SOCKS proxy beside two that do: nothing would use it
    hosts = [host for url in urls if is_own(host := urlsplit(url).hostname) and host]
    listed = [name.strip() for name in spared.split(",") if name.strip()]
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(dict.fromkeys([*listed, *_OWN, *hosts]))


def _read(variable: str, value: str) -> Proxy:
    """What a variable names; its value may hold a password, so no message shows it."""
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        if parts.scheme not in ("http", "https"):
            kind = parts.scheme if parts.scheme.startswith("socks") else "such a"
            raise EightbellsError(f"{variable}: {kind} proxy is not supported; {_REMEDY}, or unset it")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if ":" in user:
            raise ValueError("RFC 7617 allows no colon in it")
        return Proxy(_address(parts), variable, user, SecretStr(password))
    except ValueError:
        raise EightbellsError(f"{variable} is not the address of a proxy: {_REMEDY}") from None


def _address(parts: SplitResult) -> str:
    if not parts.hostname:
        raise ValueError("no host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or _PORTS[parts.scheme]}"


def _forget(variable: str) -> None:
    for name in (variable, variable.lower()):
        os.environ.pop(name, None)
