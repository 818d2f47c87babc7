"""The rule of the universe: who is a member at a time, by what was known then."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eightbells.settings import SettingsRefused, UniverseSettings
from eightbells.universe.candidates import Loaded, Series
from eightbells.universe.rule import DAY_MS, Candidate, changes, choose, due, leavers
from eightbells.universe.walk import Membership, Timeline, Walk, walk

STEP = DAY_MS // 6
MONDAY = 1_514_764_800_000  # 2018-01-01
AT = MONDAY + 700 * DAY_MS
RULE = UniverseSettings(top=3)

names = st.sampled_from([*"ABCDEFG", "AUP", "BDOWN", "JUP"])


def candidate(base: str = "A", **changed: object) -> Candidate:
    found = Candidate(f"{base}USDT", base, AT - 400 * DAY_MS, AT - STEP, Decimal(1000))
    return replace(found, **changed)


@st.composite
def several(draw: st.DrawFn) -> list[Candidate]:
    bases = draw(st.lists(names, unique=True))
    return [
        candidate(
            base,
            first_ms=AT - draw(st.integers(-3, 400 * 6)) * STEP,
            newest_ms=draw(st.none() | st.integers(1, 12).map(lambda slots: AT - slots * STEP)),
            quote_volume=Decimal(draw(st.integers(0, 3))),
            delist_ms=draw(st.none() | st.integers(-50, 50).map(lambda days: AT + days * DAY_MS)),
        )
        for base in bases
    ]


@given(several(), st.integers(1, 4), st.randoms())
def test_members_are_old_enough_few_enough_and_the_same_in_any_order(found, top, shuffle):
    rule = UniverseSettings(top=top)
    choice = choose(rule, found, AT)
    by_symbol = {it.symbol: it for it in found}
    assert len(choice.members) <= top
    for symbol in choice.members:
        member = by_symbol[symbol]
        assert AT - member.first_ms >= rule.older_than_days * DAY_MS
        assert member.newest_ms is not None
        assert AT - member.newest_ms - STEP < DAY_MS
        assert member.delist_ms is None or member.delist_ms + 30 * DAY_MS <= AT
    assert not set(choice.members) & set(choice.left_out)
    left = [it for it in found if it.first_ms < AT and it.symbol not in {*choice.members, *choice.left_out}]
    least = min((by_symbol[it].quote_volume for it in choice.members), default=Decimal(0))
    assert all(it.quote_volume <= least for it in left)
    assert not left or len(choice.members) == top
    shuffle.shuffle(found)
    again = choose(rule, found, AT)
    assert list(again.members.items()) == list(choice.members.items())
    assert again.left_out == choice.left_out


@given(st.sets(names), several())
def test_whoever_joins_and_leaves_makes_the_choice(before, found):
    members = {f"{base}USDT" for base in before}
    choice = choose(RULE, found, AT)
    joining, leaving = changes(members, choice, RULE)
    assert (members | joining.keys()) - leaving.keys() == choice.members.keys()
    assert not joining.keys() & members
    assert leaving.keys() <= members


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"first_ms": AT - 179 * DAY_MS}, "it is 179 days old, 180 are needed"),
        ({"newest_ms": None}, "it has no candle in the last 30 days"),
        ({"first_ms": None, "newest_ms": None}, "it has no candle in the last 30 days"),
        ({"newest_ms": AT - 7 * STEP}, "it has had no candle since that of 2019-11-30 20:00"),
        ({"delist_ms": AT + DAY_MS}, "the exchange stops trading it at 2019-12-03 00:00 UTC"),
        ({"base_asset": "BUP"}, "BUP is a leveraged token of B"),
        ({"symbol": "OUTUSDT"}, "universe.exclude names it"),
    ],
)  # fmt: skip
def test_who_is_left_out_is_told_why(changed, words):
    odd = candidate("X", **changed)
    rule = UniverseSettings(top=3, exclude=["OUTUSDT"])
    choice = choose(rule, [odd, candidate("B")], AT)
    assert choice.left_out == {odd.symbol: words}
    assert list(choice.members) == ["BUSDT"]


def test_an_asset_that_only_ends_like_a_leveraged_token_is_a_member():
    choice = choose(RULE, [candidate("JUP"), candidate("B")], AT)
    assert list(choice.members) == ["BUSDT", "JUPUSDT"]


def test_what_is_included_has_a_place_while_it_is_traded():
    rule = UniverseSettings(top=2, include=["YOUNGUSDT", "GONEUSDT"])
    young = candidate("YOUNG", first_ms=AT - DAY_MS, quote_volume=Decimal(1))
    choice = choose(rule, [candidate("B"), candidate("C"), young], AT)
    assert list(choice.members) == ["YOUNGUSDT", "BUSDT"]
    assert choice.members["YOUNGUSDT"] == "universe.include names it"
    assert choice.left_out["GONEUSDT"].startswith("it has no candle")
    assert not choose(rule, [replace(young, delist_ms=AT + 1)], AT).members


def test_between_two_choices_only_the_delisted_and_the_silent_leave():
    members = {
        "A": candidate("A"),
        "B": candidate("B", delist_ms=AT + DAY_MS),
        "C": candidate("C", newest_ms=AT - 7 * STEP),
        "D": candidate("D", newest_ms=AT - 6 * STEP, first_ms=AT - DAY_MS),
    }
    assert list(leavers(members, AT)) == ["B", "C"]


@given(st.integers(0, 10**6), st.integers(1, 40))
def test_choices_are_due_at_fixed_days(slots, every):
    rule = UniverseSettings(top=1, every_days=every)
    at = MONDAY + slots * STEP
    chosen = due(rule, at)
    assert chosen <= at < chosen + every * DAY_MS
    assert (chosen - MONDAY) % (every * DAY_MS) == 0


@st.composite
def markets(draw: st.DrawFn) -> list[Series]:
    """Symbols that are listed and delisted at some time, with pauses."""
    found = []
    for base in draw(st.lists(names, unique=True, min_size=1, max_size=5)):
        first, last = draw(st.integers(0, 120)), draw(st.integers(120, 240))
        pause = draw(st.integers(0, 240))
        slots = [slot for slot in range(first, last) if not pause <= slot < pause + draw(st.integers(0, 9))]
        volumes = [Decimal(draw(st.integers(0, 5)))] * len(slots)
        found.append(
            Series(
                f"{base}USDT", base, np.array([MONDAY + it * STEP for it in slots], dtype=np.int64), volumes
            )
        )
    return found


WALKED = UniverseSettings(top=2, days=5, older_than_days=3)


@given(markets(), st.integers(42, 239))
def test_later_candles_change_nothing_before_them(market, now):
    """The members of every close up to a time are the same, whatever comes after it."""
    at = MONDAY + now * STEP
    cut = [
        replace(
            it,
            opens=it.opens[: (end := int(np.searchsorted(it.opens, at)))],
            quote_volumes=it.quote_volumes[:end],
        )
        for it in market
    ]
    whole = Timeline(walk(Loaded(market), WALKED, MONDAY, MONDAY + 239 * STEP).memberships)
    known = Timeline(walk(Loaded(cut), WALKED, MONDAY, at - STEP).memberships)
    closes = range(MONDAY + STEP, at + 1, STEP)
    for symbol, close in product((it.symbol for it in market), closes):
        assert whole.holds(symbol, close) == known.holds(symbol, close)


@given(markets())
def test_a_walk_passes_over_closes_at_which_nobody_leaves(market):
    source, slowly = Loaded(market), Walk(WALKED)
    for at in range(MONDAY + STEP, MONDAY + 241 * STEP, STEP):
        if (chosen_at := due(WALKED, at)) not in slowly.choices:
            slowly.choose(source, chosen_at)
        if at > chosen_at:
            slowly.look(source, at)
    assert walk(source, WALKED, MONDAY, MONDAY + 239 * STEP).memberships == slowly.memberships


@given(markets())
def test_no_symbol_is_a_member_twice_at_a_time(market):
    walked = walk(Loaded(market), WALKED, MONDAY, MONDAY + 239 * STEP)
    by_symbol: dict[str, list[Membership]] = {}
    for it in walked.memberships:
        by_symbol.setdefault(it.symbol, []).append(it)
    for several in by_symbol.values():
        for one, after in pairwise(several):
            assert one.left_ms is not None
            assert one.joined_ms < one.left_ms <= after.joined_ms


@pytest.mark.parametrize(
    ("universe", "words"),
    [
        ({"tops": 5}, "universe.tops"),
        ({"top": -1}, "universe.top"),
        ({"days": 151}, "universe.days"),
        ({"every_days": 0}, "universe.every_days"),
        ({"leveraged": [""]}, "universe.leveraged - holds an empty ending"),
        ({"top": 1, "include": ["AUSDT", "BUSDT"]}, "universe.include - names 2 symbols, and the universe has 1"),
        ({"top": 2, "include": ["AUSDT"], "exclude": ["A/USDT"]}, "include - names AUSDT, as universe.exclude"),
        ({"top": 2, "include": ["AEUR"]}, "AEUR is not quoted in quote_asset USDT"),
    ],
)  # fmt: skip
def test_a_rule_that_makes_no_sense_is_told(configure, universe, words):
    with pytest.raises(SettingsRefused) as refused:
        configure(universe=universe)
    assert words in str(refused.value)


OWN = {"name": "own", "kind": "ma_cross", "capital": "100", "symbols": ["OWNUSDT"]}
ANY = {"name": "any", "kind": "ma_cross", "capital": "100"}


def test_with_a_rule_a_strategy_may_have_symbols_of_its_own(configure):
    settings = configure(universe={"top": 5}, strategies=[OWN, ANY]).with_members(["AUSDT", "BUSDT"])
    own, other = settings.strategies
    assert settings.symbols == ["AUSDT", "BUSDT", "OWNUSDT"]
    assert [settings.symbols_of(it) for it in (own, other)] == [["OWNUSDT"], ["AUSDT", "BUSDT"]]
    assert [settings.shares(it) for it in (own, other)] == [1, 5]
    assert [it.trades("OWNUSDT") for it in (own, other)] == [True, False]
    assert [it.trades("AUSDT") for it in settings.with_members([]).strategies] == [False, False]
    with pytest.raises(SettingsRefused, match="OWNUSDT is not in the list"):
        configure(universe={"top": 0})


def test_without_a_rule_the_list_is_the_universe(configure):
    settings = configure(strategies=[ANY], symbols=["AUSDT", "BUSDT"])
    (entry,) = settings.strategies
    assert (settings.symbols_of(entry), settings.shares(entry)) == (["AUSDT", "BUSDT"], 2)
    assert entry.trades("CUSDT"), "who runs for other symbols runs for those"
