"""Holds: symbols whose price or balance changed in a way that trading does not explain, until a person has said why."""

from __future__ import annotations

from sqlalchemy import Connection, text

_WORDS = {
    "jump": "its price changed from {before} to {after} across a pause",
    "balance": "its balance changed from {before} to {after} {asset} without a trade of ours",
}


def open_holds(connection: Connection, account: str) -> dict[str, str]:
    """The symbols that are held, each with the reason in words."""
    rows = connection.execute(
        text(
            "SELECT symbol, reason, facts FROM holds WHERE account = :account AND released_at IS NULL ORDER BY id"
        ),
        {"account": account},
    )
    found: dict[str, str] = {}
    for row in rows:
        found.setdefault(row.symbol, _WORDS[row.reason].format_map(row.facts))
    return found
