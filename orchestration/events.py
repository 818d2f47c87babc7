"""Events of ours in Prefect, so that automations may act on them. Whoever publishes one never waits for the server.

Prefect's `emit_event` puts events into a queue without a bound, whose worker takes seconds per event while the server
is away, and which the end of the process waits for. Here a thread of its own sends them, and what does not fit is left
out.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events import Event as PrefectEvent
from prefect.events import RelatedResource, Resource
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from eightbells import events
from eightbells.events import Event

_MOST_WAITING = 2000
_MOST_AT_ONCE = 100
_TIMEOUT_SECONDS = 5.0
_AGAIN_SECONDS = 2.0
_AT_THE_END_SECONDS = 2.0  # for what waits when a run ends
_LOOK_SECONDS = 0.02
_PATH: Any = "/events"  # not among the routes that Prefect's client declares


class Sender:
    """Sends events to one Prefect server, in order, from a thread that ends with the process."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[PrefectEvent] = queue.Queue(_MOST_WAITING)
        self._is_failing = False
        self._dropped = 0
        self._log = logging.getLogger(__name__)
        self._client: SyncPrefectClient = get_client(
            sync_client=True, httpx_settings={"timeout": _TIMEOUT_SECONDS}
        )
        name = f"events to {PREFECT_API_URL.value()}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def send(self, event: Event) -> None:
        """Let an event be sent; it is dropped where too many wait."""
        try:
            self._waiting.put_nowait(as_prefect_has_it(event))
        except queue.Full:
            if not self._dropped:
                self._log.warning("events are dropped: %d wait for the Prefect server", _MOST_WAITING)
            self._dropped += 1

    def flush(self) -> None:
        """Wait until all is sent, for two seconds at most, and not at all while the server does not answer."""
        until = time.monotonic() + _AT_THE_END_SECONDS
        while self._waiting.unfinished_tasks and not self._is_failing and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)

    def _run(self) -> None:
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
            while True:
                batch = [self._waiting.get()]
                while len(batch) < _MOST_AT_ONCE and not self._waiting.empty():
                    batch.append(self._waiting.get())
                while not self._is_taken(batch):
                    time.sleep(_AGAIN_SECONDS)
                for _ in batch:
                    self._waiting.task_done()

    def _is_taken(self, batch: list[PrefectEvent]) -> bool:
        """Whether the server has taken a batch, or never will. Its first failure is logged, and its return."""
        try:
            self._client.request("POST", _PATH, json=[event.model_dump(mode="json") for event in batch])
        except Exception as error:  # of whatever kind: it is only a message
            refused = isinstance(error, PrefectHTTPStatusError) and error.response.status_code < 500
            if not self._is_failing:
                words = "are refused by" if refused else "wait for"
                self._log.warning("events %s the Prefect server, the work goes on: %s", words, error)
            self._is_failing = True
            return refused
        if self._is_failing or self._dropped:
            self._log.warning("the Prefect server takes events again; %d were dropped", self._dropped)
        self._is_failing, self._dropped = False, 0
        return True


def as_prefect_has_it(event: Event) -> PrefectEvent:
    """The event with its resource, `eightbells.order.12`, and the run that it belongs to."""
    labels = {f"eightbells.{name}": value for name, value in event.labels.items()}
    resource = {
        "prefect.resource.id": f"eightbells.{event.subject}",
        "prefect.resource.name": event.title,
        **labels,
    }
    run = {"prefect.resource.id": f"prefect.flow-run.{event.flow_run}", "prefect.resource.role": "flow-run"}
    return PrefectEvent(
        event=event.name,
        resource=Resource(resource),
        related=[RelatedResource(run)] if event.flow_run else [],
        payload=dict(event.facts),
    )


_senders: dict[str, Sender] = {}


@asynccontextmanager
async def events_sent() -> AsyncIterator[None]:
    """Send what is published in this process to the Prefect server of its settings; nothing where there is none."""
    api = PREFECT_API_URL.value()
    if not api:
        yield
        return
    if api not in _senders:
        _senders[api] = Sender()
    sender = _senders[api]
    events.listen(sender.send)
    try:
        yield
    finally:
        await asyncio.to_thread(sender.flush)
