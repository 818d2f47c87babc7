"""Postgres killed in the midst of a cycle and started again: the cycle fails clearly or completes, nothing is lost."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from eightbells.database import embedded
from eightbells.database.embedded import EmbeddedServer
from tests.crash.cells import CROSSING, STOP, clean
from tests.crash.world import World, migrated, strategy
from tests.exchange import Simulator


@pytest.fixture(scope="module")
def mortal(folder: Path, made_up_market: Simulator) -> Iterator[World]:
    """A Postgres that no other test uses, as safe as it is installed."""
    with embedded.server(folder / "mortal") as server:
        yield World(made_up_market, server, migrated(server))


def _kill(server: EmbeddedServer) -> None:
    """Kill all of it at once."""
    postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
    family = [postmaster, *_children(postmaster)]
    for process in family:
        with suppress(ProcessLookupError):  # one that had its work done has ended by itself
            os.kill(process, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{process}").exists() for process in family):
        assert time.monotonic() < deadline, "nobody has taken notice of its end"
        time.sleep(0.02)


def _children(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


@pytest.mark.parametrize(
    ("point", "back"),
    [
        ("commit plan_orders, due", True),
        ("begin_sending, done", True),
        ("order.place, on the wire", False),
        ("commit _record, due", True),
    ],
    ids=[
        "back before it plans",
        "back before it sends",
        "away when it is answered",
        "back when it is answered",
    ],
)
def test_the_cycle_ends_clearly_and_the_next_one_finds_everything(
    mortal: World, point: str, back: bool
) -> None:
    settings = {
        "strategies": [strategy(stop_loss=STOP)],
        "trading__limit_offset": CROSSING,
        "trading__lease_seconds": 30,
        "exchange__recv_window_ms": 60_000,
    }
    with mortal.trial(**settings) as trial:
        child = trial.start(target=point, act=signal.SIGSTOP)
        trial.until_stopped(child)
        trial.engine.dispose()
        _kill(mortal.server)
        with embedded.server(mortal.server.data.parent) if back else nullcontext():
            child.send(signal.SIGCONT)
            ended = child.wait()
        assert ended.told is not None, f"the cycle died of {ended.exitcode}"
        told = " ".join([ended.told.error, *ended.told.problems])
        assert not told or "server" in told or "connection" in told, told
        with embedded.server(mortal.server.data.parent):
            trial.execute("UPDATE leases SET expires_at = clock_timestamp()")
            clean(trial.run())
            assert [order["side"] for order in trial.simulator.orders()].count("BUY") == 1
            assert trial.wrongs() == []
            trial.leap()
            clean(trial.run())
            assert trial.wrongs() == []
