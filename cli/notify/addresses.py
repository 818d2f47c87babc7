"""The addresses of [notifications] by apprise. They are secrets: what is said of one is its number and its kind."""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from typing import Any

from eightbells.errors import EightbellsError
from eightbells.settings import Settings


@dataclass(frozen=True)
class Address:
    """Where a message can be sent.

    Attributes:
        name: what it may be called where others read: `address 1 (json)`.
        fingerprint: tells addresses apart in what is kept, and nothing else.
    """

    name: str
    fingerprint: str
    _target: Any

    def send(self, title: str, body: str, kind: str = "warning") -> bool:
        """Whether it was taken. Why it was not, only apprise knows, and its words may hold the address."""
        return bool(self._target.notify(title=f"Eightbells: {title}", body=body, notify_type=kind))


def addresses(settings: Settings) -> list[Address]:
    """The addresses that are set.

    Raises:
        EightbellsError: one cannot be understood.
    """
    if not settings.notifications.urls:
        return []
    import apprise

    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    found = []
    for number, secret in enumerate(settings.notifications.urls, start=1):
        url = secret.get_secret_value()
        target = apprise.Apprise()
        if not target.add(url):
            raise EightbellsError(
                f"address {number} of notifications.urls cannot be understood: it should be a URL of "
                "https://github.com/caronc/apprise, as json://host/path or tgram://token/chat"
            )
        print_of = hashlib.sha256(url.encode()).hexdigest()[:16]
        found.append(Address(f"address {number} ({_kind(url)})", print_of, target))
    return found


def _kind(url: str) -> str:
    scheme = re.match(r"[a-z][a-z0-9]{0,30}(?=://)", url)
    return scheme[0] if scheme else "unknown kind"


def tell_all(settings: Settings, title: str, body: str, kind: str = "warning") -> list[str]:
    """Send one message to all now; returns the names of the addresses that did not take it."""
    return [address.name for address in addresses(settings) if not address.send(title, body, kind)]
