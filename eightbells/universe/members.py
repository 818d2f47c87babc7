"""The members as rows: chosen by the cycle as time goes by, or by a backtest for the time before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, text

from eightbells.candles import grid
from eightbells.database import locks
from eightbells.settings import Settings
from eightbells.universe.candidates import Stored
from eightbells.universe.rule import Choice, changes, choose, due, leavers
from eightbells.universe.walk import Membership, Timeline, walk

Maker = Literal["cycle", "backtest"]


@dataclass(frozen=True)
class Chosen:
    """A choice as it is kept."""

    chosen_at: datetime
    wanted: int
    found: int
    left_out: dict[str, str]


def fingerprint(settings: Settings) -> str:
    """The name of the rule: other settings of [universe] are another rule."""
    return hashlib.sha256(_rule_json(settings).encode()).hexdigest()[:16]


def _rule_json(settings: Settings) -> str:
    rule = {**settings.universe.model_dump(mode="json"), "quote_asset": settings.quote_asset}
    return json.dumps(rule, sort_keys=True)


def resolved(connection: Connection, settings: Settings, at_ms: int | None = None) -> Settings:
    """The settings with the members that trading goes by, at a close or now. Without a rule they stay as they are."""
    if not settings.universe.top:
        return settings
    found = read(connection, settings, "cycle")
    return settings.with_members(
        sorted(it.symbol for it in found if (it.left_ms is None if at_ms is None else it.holds(at_ms)))
    )


def read(connection: Connection, settings: Settings, maker: Maker) -> list[Membership]:
    """All memberships of the rule that one of the two has made, in the order in which they began."""
    rows = connection.execute(
        text(
            "SELECT symbol, joined_at, why_joined, left_at, why_left FROM universe_members "
            "WHERE rule = :rule AND made_by = :maker ORDER BY joined_at, symbol"
        ),
        {"rule": fingerprint(settings), "maker": maker},
    )
    return [
        Membership(
            row.symbol,
            grid.to_ms(row.joined_at),
            row.why_joined,
            None if row.left_at is None else grid.to_ms(row.left_at),
            row.why_left,
        )
        for row in rows
    ]


def changed(
    connection: Connection, settings: Settings, after_ms: int | None, until_ms: int
) -> list[tuple[str, str, str]]:
    """Who joined and who left by the rule in a span: symbol, `joined` or `left`, and why.

    Args:
        after_ms: the close after which the span begins; None: the rule is new, and its members have all joined.
    """
    found: list[tuple[int, str, str, str]] = []
    members = read(connection, settings, "cycle") if settings.universe.top else []
    if after_ms is None:
        return [(it.symbol, "joined", it.why_joined) for it in members if it.holds(until_ms)]
    for it in members:
        found.append((it.joined_ms, it.symbol, "joined", it.why_joined))
        if it.left_ms is not None:
            found.append((it.left_ms, it.symbol, "left", it.why_left or ""))
    return [(symbol, what, why) for at, symbol, what, why in sorted(found) if after_ms < at <= until_ms]


def symbols_left(connection: Connection, settings: Settings) -> frozenset[str]:
    """Symbols that were members by the rule and are none now. One that never was a member is not among them."""
    found = read(connection, settings, "cycle") if settings.universe.top else []
    return frozenset(it.symbol for it in found) - {it.symbol for it in found if it.left_ms is None}


def newest_choice(
    connection: Connection, settings: Settings, at_ms: int | None = None, maker: Maker = "cycle"
) -> Chosen | None:
    """The newest choice of the rule, up to a time where one is given; None where there is none."""
    row = connection.execute(
        text(
            "SELECT chosen_at, wanted, found, left_out FROM universe_choices "
            "WHERE rule = :rule AND made_by = :maker "
            "AND (CAST(:at AS timestamptz) IS NULL OR chosen_at <= :at) ORDER BY chosen_at DESC LIMIT 1"
        ),
        {
            "rule": fingerprint(settings),
            "maker": maker,
            "at": None if at_ms is None else grid.to_time(at_ms),
        },
    ).one_or_none()
    return None if row is None else Chosen(*row)


def is_due(connection: Connection, settings: Settings, at_ms: int) -> int | None:
    """The time (ms) of the choice that the cycle has to make at a close; None where it is made."""
    chosen_at = due(settings.universe, at_ms)
    newest = newest_choice(connection, settings)
    return None if newest is not None and grid.to_ms(newest.chosen_at) >= chosen_at else chosen_at


def choose_due(connection: Connection, settings: Settings, at_ms: int) -> None:
    """Make the choice that is due at a close from the stored candles. The first one counts: made again, it stays."""
    _lock(connection)
    chosen_at = is_due(connection, settings, at_ms)
    if chosen_at is None:
        return
    rule, members = settings.universe, _present(connection, settings)
    source = Stored(connection, settings.quote_asset)
    choice = choose(rule, source.candidates(chosen_at, rule.days), chosen_at)
    joining, leaving = changes(members, choice, rule)
    _keep_choice(connection, settings, "cycle", chosen_at, choice)
    _end(connection, settings, leaving, chosen_at)
    _keep(connection, settings, "cycle", [Membership(it, chosen_at, why) for it, why in joining.items()])


def end_at_close(
    connection: Connection, settings: Settings, at_ms: int, unknown: Collection[str] = ()
) -> dict[str, str]:
    """Let members leave that are delisted or have no candles any more; returns who left now, each with the reason.

    Nothing is changed at a close that lies before the newest change.

    Args:
        unknown: members whose candles could not be fetched: they stay.
    """
    _lock(connection)
    members = [it for it in _present(connection, settings) if it not in unknown]
    newest = _newest_change(connection, settings)
    if not members or newest is None or at_ms <= newest:
        return {}
    leaving = leavers(Stored(connection, settings.quote_asset).newest(members, at_ms), at_ms)
    _end(connection, settings, leaving, at_ms)
    return leaving


def span_timeline(connection: Connection, settings: Settings, first_ms: int, last_ms: int) -> Timeline:
    """Who was a member at the closes of a span of candles, from the rows that the cycle goes by.

    For the time before the cycle's first choice by this rule the same function chooses from what is stored now; these
    rows take the place of an earlier backtest's.
    """
    began = connection.execute(
        text("SELECT min(chosen_at) FROM universe_choices WHERE rule = :rule AND made_by = 'cycle'"),
        {"rule": fingerprint(settings)},
    ).scalar_one()
    first_ms, last_ms = _stored_within(connection, settings, first_ms, last_ms)
    end = last_ms if began is None else min(last_ms, grid.to_ms(began) - 2 * grid.STEP_MS)
    traded = read(connection, settings, "cycle")
    if first_ms > end:
        return Timeline(traded)
    _lock(connection)
    walked = walk(Stored(connection, settings.quote_asset), settings.universe, first_ms, end)
    for table in ("universe_members", "universe_choices"):
        connection.execute(
            text(f"DELETE FROM {table} WHERE rule = :rule AND made_by = 'backtest'"),
            {"rule": fingerprint(settings)},
        )
    for chosen_at, choice in walked.choices.items():
        _keep_choice(connection, settings, "backtest", chosen_at, choice)
    _keep(connection, settings, "backtest", walked.memberships)
    before = read(connection, settings, "backtest")
    return Timeline([*(it if began is None else it.until(grid.to_ms(began)) for it in before), *traded])


def _stored_within(
    connection: Connection, settings: Settings, first_ms: int, last_ms: int
) -> tuple[int, int]:
    """The part of a span in which candles of the quote asset are stored; empty where there are none."""
    row = connection.execute(
        text(
            "SELECT min(c.oldest) AS oldest, max(c.newest) AS newest FROM symbols AS s CROSS JOIN LATERAL ("
            "SELECT min(open_time) AS oldest, max(open_time) AS newest FROM candles "
            'WHERE symbol = s.symbol AND "interval" = :interval) AS c WHERE s.quote_asset = :quote'
        ),
        {"interval": grid.INTERVAL, "quote": settings.quote_asset},
    ).one()
    if row.oldest is None:
        return 1, 0
    return max(first_ms, grid.to_ms(row.oldest)), min(last_ms, grid.to_ms(row.newest))


def _lock(connection: Connection) -> None:
    """One transaction at a time changes members."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": locks.UNIVERSE})


def _present(connection: Connection, settings: Settings) -> list[str]:
    """The members that trading goes by."""
    return [it.symbol for it in read(connection, settings, "cycle") if it.left_ms is None]


def _newest_change(connection: Connection, settings: Settings) -> int | None:
    found: datetime | None = connection.execute(
        text(
            "SELECT greatest((SELECT max(chosen_at) FROM universe_choices WHERE rule = :rule AND made_by = 'cycle'), "
            "(SELECT max(left_at) FROM universe_members WHERE rule = :rule AND made_by = 'cycle'))"
        ),
        {"rule": fingerprint(settings)},
    ).scalar_one()
    return None if found is None else grid.to_ms(found)


def _keep_choice(
    connection: Connection, settings: Settings, maker: Maker, chosen_at: int, choice: Choice
) -> None:
    connection.execute(
        text(
            "INSERT INTO universe_choices (rule, made_by, chosen_at, settings, wanted, found, left_out) "
            "VALUES (:rule, :maker, :at, CAST(:settings AS jsonb), :wanted, :found, CAST(:left_out AS jsonb))"
        ),
        {
            "rule": fingerprint(settings),
            "maker": maker,
            "at": grid.to_time(chosen_at),
            "settings": _rule_json(settings),
            "wanted": settings.universe.top,
            "found": len(choice.members),
            "left_out": json.dumps(choice.left_out),
        },
    )


def _keep(
    connection: Connection, settings: Settings, maker: Maker, memberships: Iterable[Membership]
) -> None:
    rows = [
        {
            "rule": fingerprint(settings),
            "maker": maker,
            "symbol": it.symbol,
            "joined": grid.to_time(it.joined_ms),
            "why_joined": it.why_joined,
            "left": None if it.left_ms is None else grid.to_time(it.left_ms),
            "why_left": it.why_left,
        }
        for it in memberships
    ]
    if rows:
        connection.execute(
            text(
                "INSERT INTO universe_members (rule, made_by, symbol, joined_at, why_joined, left_at, why_left) "
                "VALUES (:rule, :maker, :symbol, :joined, :why_joined, :left, :why_left)"
            ),
            rows,
        )


def _end(connection: Connection, settings: Settings, leaving: Mapping[str, str], at_ms: int) -> None:
    for symbol, why in leaving.items():
        connection.execute(
            text(
                "UPDATE universe_members SET left_at = :at, why_left = :why "
                "WHERE rule = :rule AND made_by = 'cycle' AND symbol = :symbol AND left_at IS NULL"
            ),
            {"rule": fingerprint(settings), "symbol": symbol, "at": grid.to_time(at_ms), "why": why},
        )
