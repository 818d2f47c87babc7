"""The picture of the equity: every point inside its frame, amounts and days at the edges, whatever the history."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eightbells.candles import grid
from eightbells.trading.valuation import Worth
from tasks.equity_picture import HEIGHT, WIDTH, draw
from tasks.equity_picture import points as peaks

BEGIN = datetime(2026, 1, 1, 4, tzinfo=UTC)
Amounts = list[Decimal | None]
AMOUNTS = st.lists(st.none() | st.decimals(0, 10**9, places=8), max_size=40)


def drawn(amounts: Amounts) -> ElementTree.Element:
    """The picture of one cycle after the other, as a browser would parse it."""
    return ElementTree.fromstring(
        draw([Worth(BEGIN + at * grid.STEP, it) for at, it in enumerate(amounts)], "USDT")
    )


def all_of(picture: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return picture.findall(f"{{http://www.w3.org/2000/svg}}{name}")


def points(picture: ElementTree.Element, name: str) -> list[tuple[float, float]]:
    (shape,) = all_of(picture, name)
    return [tuple(map(float, pair.split(","))) for pair in shape.attrib["points"].split()]  # type: ignore[misc]


def words(picture: ElementTree.Element) -> list[str]:
    return [label.text or "" for label in all_of(picture, "text")]


@given(AMOUNTS.filter(lambda amounts: any(amount is not None for amount in amounts)))
def test_every_point_and_label_lies_inside_the_picture(amounts: Amounts) -> None:
    picture = drawn(amounts)
    line = points(picture, "polyline")
    assert len(line) == sum(amount is not None for amount in amounts)
    labels = [(float(it.attrib["x"]), float(it.attrib["y"])) for it in all_of(picture, "text")]
    for x, y in [*line, *points(picture, "polygon"), *labels]:
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT
    assert all(left[0] < right[0] for left, right in pairwise(line))


def test_what_is_worth_more_lies_higher_and_later_further_right() -> None:
    line = points(drawn([Decimal(100), Decimal(300), Decimal(200)]), "polyline")
    assert line[1][1] < line[2][1] < line[0][1]
    assert line[0][0] < line[1][0] < line[2][0]
    assert line[2][1] == pytest.approx((line[0][1] + line[1][1]) / 2, abs=0.1)


def test_the_edges_are_told_in_amounts_and_days() -> None:
    shown = words(drawn([Decimal("20000"), Decimal("19500.5"), Decimal("21000.126")]))
    assert {"19,500.50", "20,250.31", "21,000.13", "USDT"} <= set(shown)
    assert {"2026-01-01 04:00", "2026-01-01 08:00", "2026-01-01 12:00"} <= set(shown)


def test_what_was_lost_since_the_highest_is_shaded_and_nothing_else() -> None:
    picture = drawn([Decimal(100), Decimal(300), Decimal(200), Decimal(400)])
    line, shade = points(picture, "polyline"), points(picture, "polygon")
    above, below = shade[:4], shade[:3:-1]
    assert below == line
    assert [peak[1] < at[1] for peak, at in zip(above, line, strict=True)] == [False, False, True, False]
    assert above[2][1] == line[1][1]


@pytest.mark.parametrize("amounts", [[], [None], [None, None]])
def test_without_any_amount_the_picture_says_so(amounts: Amounts) -> None:
    assert words(drawn(amounts)) == ["no equity is known yet"]


def test_one_cycle_is_a_dot_with_its_amount_and_time() -> None:
    picture = drawn([None, Decimal("20000")])
    assert sorted(words(picture)) == ["20,000.00", "2026-01-01 08:00", "USDT"]
    (dot,) = all_of(picture, "circle")
    assert points(picture, "polyline") == [(float(dot.attrib["cx"]), float(dot.attrib["cy"]))]


def test_a_flat_line_runs_across_the_middle_with_one_amount() -> None:
    picture = drawn([Decimal("20000")] * 5)
    assert words(picture).count("20,000.00") == 1
    assert len({y for _, y in points(picture, "polyline")}) == 1


def test_an_unknown_amount_is_passed_over_and_not_taken_for_zero() -> None:
    picture = drawn([Decimal("20000"), None, Decimal("20100")])
    assert len(points(picture, "polyline")) == 2
    assert "20,000.00" in words(picture)
    assert not any(re.fullmatch(r"0\.00", label) for label in words(picture))


def test_what_is_put_in_or_taken_out_moves_the_highest_with_it() -> None:
    steps = [(1000, 1000), (1100, 1000), (6050, 6000), (600, 500), (550, 500)]
    history = [Worth(BEGIN + at * grid.STEP, Decimal(it), Decimal(put)) for at, (it, put) in enumerate(steps)]
    assert [int(it.peak) for it in peaks(history)] == [1000, 1100, 6100, 600, 600]
