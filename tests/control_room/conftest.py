"""An installation that runs, shared by the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import exchange
from tests.exchange import Simulator


@pytest.fixture(scope="session")
def market() -> Iterator[Simulator]:
    """An exchange of these tests alone: its clock and its orders are theirs."""
    with exchange.running("--generate", "5") as simulator:
        yield simulator
