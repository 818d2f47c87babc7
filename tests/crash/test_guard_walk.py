"""A few random days of a guarded position; `make crash` walks a thousand."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.crash.guard_walk import Day, days, trailing_stops, walk
from tests.crash.world import World


@settings(
    max_examples=3,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
@given(some=st.lists(days, min_size=6, max_size=6), trailing=trailing_stops)
def test_nothing_is_held_without_a_stop_for_longer_than_a_look(
    world: World, some: list[Day], trailing: str
) -> None:
    assert walk(world, some, trailing) == 6
