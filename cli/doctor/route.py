"""The way that requests take to the exchange: direct, or by the proxy that the environment names."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from cli.doctor.findings import Finding, fail, ok
from cli.paper import is_our_paper_exchange
from eightbells.errors import EightbellsError
from eightbells.proxies import route_to
from eightbells.settings import Settings


def look_at_route(settings: Settings) -> Iterator[Finding]:
    """One line for each way; in paper mode that of the prices is the one that leaves this machine."""
    urls = [settings.rest_url, settings.stream_url, settings.ws_api_url]
    if is_our_paper_exchange(settings):
        urls = [settings.paper.prices] if settings.paper.prices else urls
    ways: dict[str, list[str]] = {}
    try:
        for url in urls:
            ways.setdefault(route_to(url), []).append(urlsplit(url).hostname or url)
    except EightbellsError as error:
        yield fail("route", str(error), "set the variable right, and start Eightbells again")
        return
    for way, hosts in ways.items():
        yield ok("route", f"{way}, to {', '.join(dict.fromkeys(hosts))}")
