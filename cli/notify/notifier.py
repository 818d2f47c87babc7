"""Sends each notice once to each address, retries until it is delivered, and keeps in a file what was sent."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.notify.addresses import Address
from cli.notify.notices import Present
from eightbells.atomic_file import replace_text
from eightbells.backoff import wait_after

_FIRST_WAIT, _LONGEST_WAIT = 5.0, 600.0  # seconds, after an address has not taken a message


@dataclass
class Notifier:
    """What has been sent to which address.

    Args:
        kept: the file that remembers it.
        complain: called with which address did not take a message.
    """

    addresses: Sequence[Address]
    kept: Path
    complain: Callable[[str], None]
    _sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    _failures: dict[str, int] = field(default_factory=dict)
    _not_before: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self._sent = dict(json.loads(self.kept.read_text()))
        except (OSError, ValueError):
            self._sent = {}

    def notify(self, present: Present) -> None:
        """Send what is new, and what is over; a notice that lasts is sent once."""
        for notice in present.notices:
            entry = self._sent.setdefault(
                notice.key, {"title": notice.title, "lasts": notice.lasts, "to": []}
            )
            self._deliver(entry, "to", notice.title, notice.body, "warning")
        keys = {notice.key for notice in present.notices}
        for key in [key for key in self._sent if key not in keys and not present.may_last(key)]:
            entry = self._sent[key]
            entry.setdefault("over", [])
            if not entry["lasts"] or self._deliver(
                entry, "over", f"Over: {entry['title']}", "It is settled.", "success"
            ):
                del self._sent[key]
        self._keep()

    def _deliver(self, entry: dict[str, Any], box: str, title: str, body: str, kind: str) -> bool:
        """Send to all that do not have it; whether all have it. The end goes only to those that had the notice."""
        for address in self.addresses:
            due = time.monotonic() >= self._not_before.get(address.fingerprint, 0)
            was_sent = box == "to" or address.fingerprint in entry["to"]
            if address.fingerprint in entry[box] or not was_sent or not due:
                continue
            if address.send(title, body, kind):
                self._failures.pop(address.fingerprint, None)
                entry[box].append(address.fingerprint)
                self._keep()
            else:
                self._put_off(address)
        wanted = entry["to"] if box == "over" else [address.fingerprint for address in self.addresses]
        return {it.fingerprint for it in self.addresses} & set(wanted) <= set(entry[box])

    def _put_off(self, address: Address) -> None:
        failures = self._failures[address.fingerprint] = self._failures.get(address.fingerprint, 0) + 1
        wait = wait_after(failures, _FIRST_WAIT, _LONGEST_WAIT)
        self._not_before[address.fingerprint] = time.monotonic() + wait
        self.complain(f"{address.name} did not accept a message; retrying in {wait:g} s")

    def _keep(self) -> None:
        replace_text(self.kept, json.dumps(self._sent))
