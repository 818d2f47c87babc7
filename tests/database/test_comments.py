"""Whoever queries the tables is told by them what they hold."""

from __future__ import annotations

import re

from sqlalchemy import Engine

from tests.klines import rows_of
from tests.surroundings import ROOT

_SILENT = """
SELECT r.relname || coalesce('.' || a.attname, '') AS place
FROM pg_class AS r
CROSS JOIN LATERAL (
    SELECT NULL AS attname, 0 AS attnum
    UNION ALL SELECT attname, attnum FROM pg_attribute
    WHERE attrelid = r.oid AND attnum > 0 AND NOT attisdropped
) AS a
WHERE r.relnamespace = 'public'::regnamespace AND r.relkind IN ('r', 'p', 'v', 'm')
AND coalesce(btrim(CASE a.attnum
    WHEN 0 THEN obj_description(r.oid, 'pg_class') ELSE col_description(r.oid, a.attnum)
END), '') = ''
ORDER BY place
"""


def test_every_table_view_and_column_says_what_it_holds(engine: Engine) -> None:
    assert [place for (place,) in rows_of(engine, _SILENT)] == []


def test_a_tables_own_words_come_before_the_words_for_all(engine: Engine) -> None:
    said = (
        "SELECT col_description(CAST(:of AS regclass), attnum) FROM pg_attribute "
        "WHERE attrelid = CAST(:of AS regclass) AND attname = :name"
    )
    words = {
        (of, name): rows_of(engine, said, of=of, name=name)[0][0]
        for of, name in (("pauses", "symbol"), ("fills", "symbol"), ("live_orders", "leg"), ("orders", "leg"))
    }
    assert "NULL: all" in words["pauses", "symbol"]
    assert "BTCUSDT" in words["fills", "symbol"]
    assert words["live_orders", "leg"] == words["orders", "leg"]


def test_the_diagram_has_the_tables_columns_and_keys_of_the_database(engine: Engine) -> None:
    (diagram,) = re.findall(r"```mermaid\n(.*?)```", (ROOT / "docs/data.md").read_text(), re.S)
    columns = set(
        rows_of(
            engine,
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'",
        )
    )
    drawn = {
        (table, line.split()[1])
        for table, body in re.findall(r"(\w+) \{\n(.*?)\}", diagram, re.S)
        for line in body.strip().splitlines()
    }
    assert len(drawn) > 20
    assert drawn - columns == set()
    keys = {
        frozenset(pair)
        for pair in rows_of(
            engine,
            "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'",
        )
    }
    arrows = {frozenset(pair) for pair in re.findall(r"(\w+) [|}o]+--[|{o]+ (\w+)", diagram)}
    assert arrows
    assert arrows - keys == set()
