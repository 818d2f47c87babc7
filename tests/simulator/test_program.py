"""The program itself: how it starts, what it says, how it ends, and what outlives it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

import pytest
from binance import Client
from simulated import ACCOUNTS, H4, running

from tests.exchange import KEY, SECRET, Simulator, start, stop
from tests.surroundings import ROOT


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "simulator", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_a_second(number: signal.Signals) -> None:
    simulator = start()
    simulator.get("/api/v3/ping")  # a connection is left open
    began = time.monotonic()
    simulator.process.send_signal(number)
    said, complained = simulator.process.communicate(timeout=5)
    simulator.session.close()
    assert time.monotonic() - began < 1.0
    assert (simulator.process.returncode, said) == (0, "")
    assert "Traceback" not in complained


def test_it_says_where_its_data_comes_from() -> None:
    simulator = start("--seed", "9", "--clock", "2021-03-01T00:00Z", "--speed", "0")
    assert simulator.now == 1_614_556_800_000
    simulator.session.close()
    code, complained = stop(simulator.process)
    assert code == 0
    assert (
        complained
        == "simulator: made-up candles of 5 symbols, seed 9; clock 2021-03-01T00:00:00.000Z, speed 0\n"
    )


@pytest.mark.parametrize("arguments", [[], ["--clock", "now"]], ids=["by default", "as told"])
def test_a_client_that_signs_with_the_machines_clock_is_taken_at_once(arguments: list[str]) -> None:
    with running("--account", ACCOUNTS[0], *arguments) as simulator:
        client = Client(KEY, SECRET, ping=False)
        client.API_URL = f"{simulator.url}/api"
        assert client.get_account(recvWindow=1000)["canTrade"]
        assert client.create_test_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01") == {}
        assert client.get_klines(symbol="BTCUSDT", interval="4h", limit=1)[0][6] > time.time() * 1000
        client.close_connection()


def test_a_clock_that_is_told_to_be_now_is_so_over_old_state(tmp_path: Path) -> None:
    arguments = ["--state", str(tmp_path / "state"), "--speed", "0"]
    with running(*arguments, "--clock", "2021-03-01") as simulator:
        assert simulator.now == 1_614_556_800_000
    with running(*arguments) as simulator:  # orders that are kept belong to their time
        assert simulator.now == 1_614_556_800_000
    with running(*arguments, "--clock", "now") as simulator:
        assert abs(simulator.now - time.time() * 1000) < 10_000


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "many"],
        ["--port", "70000"],
        ["--clock", "yesterday"],
        ["--account", "nonsense"],
        ["--account", "K:S:USDT=much"],
        ["--account", "K:@/no/such/file:USDT=1"],
        ["--data", "/no/such/folder"],
        ["--data", "/proc"],
        ["--state", "/no/such/folder/state"],
        ["--upstream", "http://127.0.0.1:9"],
        ["--generate", "0"],
        ["--colour", "red"],
    ],
)
def test_what_it_cannot_do_it_says_in_one_line(arguments: list[str]) -> None:
    done = run("--port", "0", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("simulator: ")
    assert done.stderr.count("\n") == 1


def test_it_says_its_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"simulator of Eightbells {version('eightbells')}\n")


def test_a_busy_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("--port", str(port))
    assert done.returncode == 2
    assert str(port) in done.stderr
    assert done.stderr.count("\n") == 1


def test_it_ends_when_its_parent_is_gone() -> None:
    parent = subprocess.Popen(["sleep", "60"])
    simulator = start("--parent-pid", str(parent.pid))
    simulator.session.close()
    parent.kill()
    parent.wait()
    assert simulator.process.wait(timeout=2) == 0
    simulator.process.communicate()


def test_accounts_may_come_from_the_environment() -> None:
    with running("--speed", "0", env={"SIMULATOR_ACCOUNT": ACCOUNTS[0]}) as simulator:
        assert simulator.signed("GET", "/api/v3/account").status_code == 200


def test_the_clock_can_stand_run_and_leap(simulator: Simulator) -> None:
    assert simulator.now == simulator.now
    simulator.control("clock", speed=1000)
    time.sleep(0.1)
    ran = simulator.control("clock", speed=0)["time"] - 1_767_225_602_000
    assert 100_000 <= ran < 2_000_000
    assert simulator.control("clock", time="2030-01-01T00:00Z") == {"time": 1_893_456_000_000, "speed": 0}
    assert simulator.control("clock", advance=-H4)["time"] == 1_893_456_000_000 - H4
    for bad in ({"time": "soon"}, {"speed": -1}, {"hour": 1}):
        answer = simulator.session.post(f"{simulator.url}/simulator/clock", json=bad)
        assert answer.status_code == 400


def test_a_reset_puts_everything_back(simulator: Simulator) -> None:
    before = simulator.control("settings")
    simulator.order(type="MARKET")
    simulator.control(
        "settings", visibility_ms=5, accounts={KEY[:4]: {"maker_fee": "0"}}, rate_limits={"ORDERS_1D": 1}
    )
    simulator.control("settings", symbols={"BTCUSDT": {"status": "BREAK"}}, prices={"ETHUSDT": "1"})
    simulator.control("reset")
    truth = simulator.truth()
    assert truth["orders"] == truth["fills"] == []
    assert simulator.balance("USDT")["free"] == "100000.00000000"
    assert simulator.control("settings") == before
    assert simulator.order(type="MARKET").json()["status"] == "FILLED"
    assert Decimal(simulator.price("ETHUSDT")) > 1


@pytest.mark.parametrize(
    "body",
    [
        {"colour": 1},
        {"fill_parts": -1},
        {"limits": 3},
        {"accounts": {"none": {}}},
        {"symbols": {"NOSUCH": {}}},
    ],
)
def test_a_setting_that_does_not_exist_is_refused(simulator: Simulator, body: dict[str, object]) -> None:
    answer = simulator.session.post(f"{simulator.url}/simulator/settings", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_state_survives_a_kill(tmp_path: Path) -> None:
    arguments = ["--state", str(tmp_path / "state"), "--speed", "0", "--account", ACCOUNTS[0]]
    first = start(*arguments)
    price = f"{Decimal(first.price()) * Decimal('0.97'):.2f}"
    first.order(type="MARKET")
    first.order(price=price, newClientOrderId="resting")
    first.advance(1000)
    first.order(type="STOP_LOSS", side="SELL", stopPrice=price, newClientOrderId="stop")
    before, stood = first.truth(), first.now
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.communicate()
    first.session.close()
    with running(*arguments[:4]) as second:  # the account, too, is remembered
        after = second.truth()
        assert after == before
        assert second.now == stood
        again = second.order(price=price, newClientOrderId="resting")
        assert again.json()["msg"] == "Duplicate order sent."
        second.advance(400 * H4)
        states = {o["clientOrderId"]: o["status"] for o in second.truth()["orders"]}
        assert states["resting"] == states["stop"] == "FILLED"
        assert len({f["tradeId"] for f in second.truth()["fills"]}) == 3


def test_an_order_that_was_answered_with_a_broken_connection_survives_a_kill(tmp_path: Path) -> None:
    arguments = ["--state", str(tmp_path / "state"), "--speed", "0", "--account", ACCOUNTS[0]]
    first = start(*arguments)
    first.control(
        "faults",
        match={"path": "/api/v3/order"},
        when="after",
        action={"status": 504, "code": -1007, "msg": "Timeout"},
    )
    assert first.order(type="MARKET", newClientOrderId="mine").status_code == 504
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.communicate()
    first.session.close()
    with running(*arguments) as second:
        found = second.signed("GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine")
        assert found.json()["status"] == "FILLED"
