"""Notices: problems that need a person, each with its own key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from cli import prefect_api
from cli.failed_runs import failed_runs
from eightbells.addresses import shown
from eightbells.errors import EightbellsError
from eightbells.trading.drift import open_drifts
from eightbells.trading.holds import open_holds
from eightbells.trading.states import State
from eightbells.trading.unknown import unknown_orders
from eightbells.trading.unprotected import unprotected

_OF_RUNS = "runs of "  # how the keys of such notices begin
_ON_CLOSE = "trade-on-close"  # of the stream, without a deployment
_OF_LATE = timedelta(days=1)
_SENT_LONG_AGO = 60  # seconds after which an order that is being sent counts as unknown


@dataclass(frozen=True)
class Notice:
    """One thing that needs somebody.

    Attributes:
        key: the same as long as it is the same thing.
        lasts: whether it can be over; then people are told of that, too.
    """

    key: str
    title: str
    body: str
    lasts: bool = True


@dataclass(frozen=True)
class Present:
    """All there is at the moment.

    Attributes:
        unknown: how keys begin that may be there still: the Prefect server is away; empty: none.
    """

    notices: list[Notice]
    unknown: str = ""

    def may_last(self, key: str) -> bool:
        """Whether it is not known if this one is over."""
        return bool(self.unknown) and key.startswith(self.unknown)


def present_notices(connection: Connection, account: str, api: str) -> Present:
    """What the tables say, and the Prefect server if it answers."""
    found = [*_switch(connection), *_unprotected(connection, account), *_holds(connection, account)]
    found += [*_orders(connection, account), *_drifts(connection, account)]
    found += _cycle_with_problems(connection, account)
    try:
        return Present([*found, *_failed_deployments(api), *_failed_closes(api)])
    except EightbellsError:
        return Present(found, _OF_RUNS)


def _switch(connection: Connection) -> Iterator[Notice]:
    row = connection.execute(
        text("SELECT reason, changed_at FROM switches WHERE name = 'trading' AND NOT is_on")
    ).one_or_none()
    if row is not None:
        body = f"Switched off at {row.changed_at:%Y-%m-%d %H:%M} UTC: {row.reason}. `eightbells resume` switches it on."
        yield Notice(f"switch {row.changed_at.isoformat()}", "Trading is off", body)


def _unprotected(connection: Connection, account: str) -> Iterator[Notice]:
    for bare in unprotected(connection, account):
        body = (
            f"{bare.words}. Eightbells tries again. To sell everything now: "
            '`eightbells halt --sell-everything --reason "..."`.'
        )
        key = f"unprotected {bare.strategy} {bare.symbol} {bare.since.isoformat()}"
        yield Notice(key, f"Position unprotected: {bare.symbol}", body)


def _holds(connection: Connection, account: str) -> Iterator[Notice]:
    for hold in open_holds(connection, account):
        body = f'{hold.symbol}: {hold.words}. {hold.advice}: see "SymbolHeld" in docs/runbook.md.'
        yield Notice(f"hold {hold.id}", f"Symbol held: {hold.symbol}", body)


def _orders(connection: Connection, account: str) -> Iterator[Notice]:
    for row in unknown_orders(connection, account):
        if row.state is not State.UNKNOWN and row.age.total_seconds() < _SENT_LONG_AGO:
            continue
        body = (
            f"{row.side} {row.quantity.normalize():f} {row.symbol}, order {row.client_order_id}. Its symbol is not "
            "traded meanwhile. Eightbells keeps querying the order. Run `eightbells reconcile` to query it now. "
            "Never place it by hand."
        )
        yield Notice(f"order {row.client_order_id}", f"Order unknown: {row.side} {row.symbol}", body)


def _drifts(connection: Connection, account: str) -> Iterator[Notice]:
    for drift in open_drifts(connection, account):
        body = (
            f"{drift.detail}. {drift.symbol} is not traded until the exchange and the books agree, or drift "
            f'{drift.id} is accepted: see "ReconcileDrift" in docs/runbook.md.'
        )
        yield Notice(f"drift {drift.id}", f"Drift: {drift.symbol}", body)


def _cycle_with_problems(connection: Connection, account: str) -> Iterator[Notice]:
    row = connection.execute(
        text(
            "SELECT open_time, summary FROM cycles WHERE account = :account ORDER BY open_time DESC LIMIT 1"
        ),
        {"account": account},
    ).one_or_none()
    problems = row.summary.get("problems", []) if row else []
    if row and problems:
        candle = f"{row.open_time:%Y-%m-%d %H:%M}"
        yield Notice(
            f"cycle {candle}", f"Cycle with problems: candle {candle} UTC", "\n".join(problems), lasts=False
        )


def _failed_deployments(api: str) -> Iterator[Notice]:
    for failed in failed_runs(api):
        body = f"{failed.message}\nThe run: {_page(api, failed.run)}"
        title = f"{failed.deployment} {failed.state}: {failed.name}"
        yield Notice(f"{_OF_RUNS}{failed.deployment}", title, body)


def _failed_closes(api: str) -> Iterator[Notice]:
    since = (datetime.now(UTC) - _OF_LATE).isoformat()
    chosen: dict[str, Any] = {
        "flows": {"name": {"any_": [_ON_CLOSE]}},
        "flow_runs": {"state": {"type": {"any_": ["FAILED", "CRASHED"]}}, "end_time": {"after_": since}},
    }
    for run in prefect_api.ask("/flow_runs/filter", chosen, api=api):
        state = run["state"]
        body = f"{state.get('message') or 'no reason was given'}\nThe run: {_page(api, run['id'])}"
        title = f"{_ON_CLOSE} {state['type'].lower()}: {run['name']}"
        yield Notice(f"run {run['id']}", title, body, lasts=False)


def _page(api: str, run: str) -> str:
    return f"{shown(api).removesuffix('/api')}/runs/flow-run/{run}"
