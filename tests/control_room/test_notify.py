"""Over a real webhook people are told of what needs somebody, once, until it is taken; no address is ever shown."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

from cli import prefect_api
from cli.doctor.machine import look_at_machine
from cli.failed_runs import failed_runs
from cli.notify import notifier as notifier_module
from cli.notify.addresses import addresses
from cli.notify.notices import Notice, Present, present_notices
from cli.notify.notifier import Notifier
from cli.status import read_status
from eightbells.candles import grid
from eightbells.errors import EightbellsError
from eightbells.settings import Settings
from eightbells.trading.states import State
from eightbells.trading.switch import set_switch
from tests.books import bring, planned_order, proven_signal
from tests.conftest import Configure
from tests.control_room.webhook import SECRET, Webhook
from tests.exchange import Simulator
from tests.klines import FIRST, wait_until
from tests.surroundings import ROOT

# apprise looks for a module that later Pythons lack
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
NOBODY = "http://127.0.0.1:9/api"


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    hook = Webhook()
    yield hook
    hook.close()


@pytest.fixture
def settings(configure: Configure, database: URL, webhook: Webhook) -> Settings:
    return configure(database=database, notifications__urls=[webhook.url])


class Told:
    """A notifier that looks when it is told to, and what it complained of."""

    def __init__(self, settings: Settings, engine: Engine, kept: Path, api: str = NOBODY) -> None:
        self.complaints: list[str] = []
        self._engine, self._api = engine, api
        self.notifier = Notifier(addresses(settings), kept, self.complaints.append)

    def look(self) -> None:
        with self._engine.connect() as connection:
            self.notifier.notify(present_notices(connection, "paper", self._api))


@pytest.fixture
def told(settings: Settings, engine: Engine, tmp_path: Path) -> Told:
    return Told(settings, engine, tmp_path / "told.json")


def test_a_halt_and_its_end_are_told_once(told: Told, engine: Engine, webhook: Webhook) -> None:
    told.look()
    assert webhook.got == []
    set_switch(engine, False, "looking into it")
    told.look()
    told.look()
    assert webhook.titles == ["Trading is off"]
    assert "looking into it" in webhook.got[0]["message"]
    set_switch(engine, True, "found nothing")
    told.look()
    told.look()
    assert webhook.titles == ["Trading is off", "Over: Trading is off"]
    set_switch(engine, False, "again")
    told.look()
    assert webhook.titles[2:] == ["Trading is off"]


def test_an_order_whose_fate_is_unknown_and_a_drift(told: Told, engine: Engine, webhook: Webhook) -> None:
    order = planned_order(engine, proven_signal(engine))
    with engine.begin() as connection:
        order = bring(connection, order, State.SENDING)
    told.look()
    assert webhook.got == []  # it is on its way
    with engine.begin() as connection:
        order = bring(connection, order, State.UNKNOWN)
        connection.execute(
            text(
                "INSERT INTO drifts (account, symbol, reason, facts, found_at) VALUES ('paper', 'ETHUSDT', 'balance', "
                "jsonb_build_object('asset', 'ETH', 'books', '1', 'exchange', '2'), now())"
            )
        )
    told.look()
    assert webhook.titles == ["Order unknown: BUY BTCUSDT", "Drift: ETHUSDT"]
    assert order.client_order_id in webhook.got[0]["message"]
    assert "1 ETH in the books, 2 at the exchange" in webhook.got[1]["message"]
    with engine.begin() as connection:
        bring(connection, order, State.OPEN)
        connection.execute(text("UPDATE drifts SET cleared_at = now()"))
    told.look()
    assert webhook.titles[2:] == ["Over: Order unknown: BUY BTCUSDT", "Over: Drift: ETHUSDT"]


def test_a_cycle_with_problems(told: Told, engine: Engine, webhook: Webhook) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO cycles (account, open_time, finished_at, summary) "
                "VALUES ('paper', :opened, now(), CAST(:summary AS jsonb))"
            ),
            {"opened": grid.to_time(FIRST), "summary": json.dumps({"problems": ["BTCUSDT: no candle"]})},
        )
    told.look()
    told.look()
    assert [message["message"] for message in webhook.got] == ["BTCUSDT: no candle"]


async def test_failed_runs_of_a_deployment_are_told_once_and_again_when_one_completes(
    settings: Settings,
    engine: Engine,
    webhook: Webhook,
    prefect_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    ended = await endings_of("housekeeping", prefect_server)
    told = Told(settings, engine, tmp_path / "told.json", prefect_server)
    ended("COMPLETED", "all is well")
    told.look()
    before = len(webhook.got)
    run = ended("CRASHED", "Flow run could not be loaded\nTraceback ...")
    (problem,) = of_housekeeping(problems(settings, engine))
    assert re.fullmatch(
        r"housekeeping: the run 'CRASHED' crashed at [-0-9]+ \d\d:\d\d UTC: Flow run could not be loaded",
        problem,
    )
    told.look()
    ended("FAILED", "the second time")
    ended("CANCELLED", "by a person")
    (problem,) = of_housekeeping(problems(settings, engine))
    assert "'FAILED' failed at" in problem
    assert problem.endswith(", as 1 before it: the second time")
    told.look()
    Told(settings, engine, tmp_path / "told.json", NOBODY).look()  # nothing is known of them now
    assert webhook.titles[before:] == ["housekeeping crashed: CRASHED"]
    said = webhook.got[before]["message"]
    assert (
        said
        == f"Flow run could not be loaded\nThe run: {prefect_server.removesuffix('/api')}/runs/flow-run/{run}"
    )
    ended("COMPLETED", "well again")
    told.look()
    assert webhook.titles[before + 1 :] == ["Over: housekeeping crashed: CRASHED"]
    assert of_housekeeping(problems(settings, engine)) == []


async def test_a_stream_that_goes_on_is_over_its_crash(
    settings: Settings, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    ended = await endings_of("stream", prefect_server)
    ended("CRASHED", "killed")
    going_on = ended("RUNNING", "")
    assert "stream" in failed_deployments(prefect_server)  # it may crash at once again
    monkeypatch.setattr("cli.failed_runs._STEADY", timedelta(0))
    assert "stream" not in failed_deployments(prefect_server)
    prefect_api.ask(f"/flow_runs/{going_on}/set_state", {"state": {"type": "COMPLETED"}, "force": True})


def of_housekeeping(found: list[str]) -> list[str]:
    """Other tests leave failed runs of other deployments on the same Prefect server."""
    return [problem for problem in found if problem.startswith("housekeeping:")]


def failed_deployments(api: str) -> list[str]:
    return [found.deployment for found in failed_runs(api)]


async def endings_of(deployment: str, api: str) -> Callable[[str, str], str]:
    """Makes runs of a deployment that come to a state, with a message; returns their ids."""
    from orchestration.deployments import register

    await register()
    known = prefect_api.deployments(api)[deployment]["id"]

    def ended(state: str, message: str) -> str:
        made = {"name": state, "state": {"type": "RUNNING"}}
        run = str(prefect_api.ask(f"/deployments/{known}/create_flow_run", made, api=api)["id"])
        done = {"state": {"type": state, "message": message}, "force": True}
        prefect_api.ask(f"/flow_runs/{run}/set_state", done, api=api)
        return run

    return ended


def problems(settings: Settings, engine: Engine) -> list[str]:
    """What `eightbells status` has to say of runs that failed."""
    with engine.connect() as connection:
        return [it for it in read_status(settings, connection).problems if ": the run '" in it]


def test_a_restart_repeats_nothing_and_misses_nothing(
    settings: Settings, engine: Engine, webhook: Webhook, tmp_path: Path
) -> None:
    set_switch(engine, False, "for the night")
    Told(settings, engine, tmp_path / "told.json").look()
    Told(settings, engine, tmp_path / "told.json").look()
    assert webhook.titles == ["Trading is off"]
    set_switch(engine, True, "morning")  # while nobody looks
    Told(settings, engine, tmp_path / "told.json").look()
    assert webhook.titles == ["Trading is off", "Over: Trading is off"]
    assert SECRET not in (tmp_path / "told.json").read_text()


def test_what_is_not_taken_is_sent_again_after_waits_that_grow(
    configure: Configure,
    settings: Settings,
    webhook: Webhook,
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    other = Webhook()
    both = configure(notifications__urls=[webhook.url, other.url])
    told = Told(both, engine, tmp_path / "told.json")
    monkeypatch.setattr(notifier_module, "_FIRST_WAIT", 0.5)
    set_switch(engine, False, "for the night")
    webhook.status = 500
    told.look()
    told.look()  # it is not due yet
    assert len(webhook.paths) == 1
    time.sleep(0.55)
    told.look()
    assert [line.rpartition(" in ")[2] for line in told.complaints] == ["0.5 s", "1 s"]
    webhook.status = 200
    time.sleep(1.05)
    told.look()
    assert webhook.titles == other.titles == ["Trading is off"]
    said = "".join(told.complaints) + "".join(capfd.readouterr())
    assert "address 1 (json)" in said
    assert SECRET not in said
    other.close()


def test_what_was_never_heard_of_is_not_said_to_be_over(
    webhook: Webhook, settings: Settings, tmp_path: Path
) -> None:
    notifier = Notifier(addresses(settings), tmp_path / "told.json", lambda words: None)
    webhook.status = 500
    notifier.notify(Present([Notice("key", "Something", "body")]))
    webhook.status = 200
    notifier.notify(Present([]))
    assert webhook.got == []


@pytest.mark.parametrize("url", ["no address", "nosuchkind://token"])
def test_an_address_that_cannot_be_understood_is_told_without_showing_it(
    configure: Configure, database: URL, url: str
) -> None:
    settings = configure(database=database, notifications__urls=[f"{url}{SECRET}"])
    with pytest.raises(
        EightbellsError, match=r"address 1 of notifications\.urls cannot be understood"
    ) as caught:
        addresses(settings)
    assert SECRET not in str(caught.value)
    (found,) = [it for it in look_at_machine(settings) if it.name == "notifications"]
    assert found.verdict == "fail"
    assert SECRET not in found.what
    assert SECRET not in repr(settings)


def test_the_doctor_names_addresses_by_their_kind(settings: Settings, configure: Configure) -> None:
    (found,) = [it for it in look_at_machine(settings) if it.name == "notifications"]
    assert (found.verdict, found.what) == ("ok", "address 1 (json)")
    (found,) = [it for it in look_at_machine(configure(notifications__urls=[])) if it.name == "notifications"]
    assert found.verdict == "warn"


def eightbells(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cli", *arguments],
        cwd=ROOT,
        env={**os.environ, "PREFECT_API_URL": NOBODY},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_command_tells_and_tries_out(
    settings: Settings, configure: Configure, engine: Engine, webhook: Webhook, tmp_path: Path
) -> None:
    configure(database__directory=str(tmp_path))
    trial = eightbells("notify", "--test")
    said, _ = trial.communicate(timeout=60)
    assert (trial.returncode, said) == (0, "sent to 1\n")
    webhook.status = 500
    trial = eightbells("notify", "--test")
    said, _ = trial.communicate(timeout=60)
    assert trial.returncode == 1
    assert "not delivered to address 1 (json)" in said
    assert SECRET not in said
    webhook.status = 200
    process = eightbells("notify")
    try:
        set_switch(engine, False, "by hand")
        wait_until(lambda: "Trading is off" in webhook.titles, 60)
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=30)
    assert SECRET not in said
    assert "Traceback" not in said


def test_a_service_without_an_address_waits_and_a_command_complains(
    settings: Settings, configure: Configure
) -> None:
    configure(notifications__urls=[])
    said, _ = eightbells("notify").communicate(timeout=60)
    assert said == "eightbells: notifications.urls is empty: no notification is sent\n"
    process = eightbells("notify", "--if-any")
    assert process.stdout is not None
    assert process.stdout.readline() == "notifications.urls is empty: no notification is sent\n"
    assert process.poll() is None
    process.terminate()
    said, _ = process.communicate(timeout=30)
    assert said == ""


def test_a_refused_live_start_is_told(
    settings: Settings,
    configure: Configure,
    webhook: Webhook,
    market: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    market.begin()
    market.control("clock", time=int(datetime.now(UTC).timestamp() * 1000), speed=1)
    configure(market, mode="live", symbols=["BTCUSDT"], database__directory=str(tmp_path))
    monkeypatch.setenv("BINANCE_API_KEY", "nobody")
    monkeypatch.setenv("BINANCE_API_SECRET", "nothing")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    process = subprocess.run(
        [sys.executable, "-m", "cli", "up", "--port", "0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 1
    assert webhook.titles == ["Live start refused"]
    assert "-2015" in webhook.got[0]["message"]
    assert SECRET not in process.stdout + process.stderr
