"""What ends is started again, after waits that grow; what is ended stays so, and takes its own children with it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cli.processes import Child, Processes, python
from cli.supervisor import Part, Patience, Supervisor
from tests.control_room.installation import lives
from tests.klines import wait_until

ENDS = python("-c", "print('the last words')")
DEAF = python("-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)")
PARENT = python(
    "-c",
    "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    "time.sleep(60)",
)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as processes:
        yield processes


class Kept:
    """A supervisor of one part, and what it said and when."""

    def __init__(self, processes: Processes, command: list[str], patience: Patience) -> None:
        self.said, self.starts = list[str](), list[float]()
        self.supervisor = Supervisor(
            processes, self.said.append, lambda: self.starts.append(time.monotonic()), patience
        )
        self.part = Part("part", command)
        self.child = self.supervisor.start(self.part)

    def look_until(self, times: int) -> None:
        def started() -> bool:
            self.supervisor.look()
            return len(self.starts) >= times

        wait_until(started, 30)


def test_waits_double_while_a_part_keeps_ending_and_stop_growing(processes: Processes) -> None:
    kept = Kept(processes, ENDS, Patience(first=0.2, longest=0.4, forgiven_after=60))
    kept.look_until(4)
    assert [line.rpartition(" in ")[2] for line in kept.said] == ["0.2 s", "0.4 s", "0.4 s"]
    assert "part ended: the last words" in kept.said[0]
    pauses = [later - sooner for sooner, later in zip(kept.starts, kept.starts[1:], strict=False)]
    assert all(pause >= wait for pause, wait in zip(pauses, (0.2, 0.4, 0.4), strict=True))


def test_who_has_lived_for_long_is_started_again_at_once(processes: Processes) -> None:
    kept = Kept(processes, ENDS, Patience(first=0.05, longest=10, forgiven_after=0))
    kept.look_until(4)
    assert kept.part.failures == 1


def test_what_a_killed_part_had_started_ends_with_it(processes: Processes) -> None:
    kept = Kept(processes, PARENT, Patience(first=60))
    wait_until(lambda: psutil.Process(kept.child.process.pid).children(), 10)
    (orphan,) = psutil.Process(kept.child.process.pid).children()
    kept.child.process.kill()
    wait_until(lambda: kept.supervisor.look() or kept.said, 10)
    assert "was killed (SIGKILL)" in kept.said[0]
    wait_until(lambda: not lives(orphan), 10)


def test_parts_end_side_by_side_and_the_deaf_are_killed(processes: Processes) -> None:
    children = [Kept(processes, DEAF, Patience()).child for _ in range(3)]
    wait_until(lambda: all(_ignores_sigterm(child) for child in children), 10)
    started = time.monotonic()
    processes.end(children, seconds=2)
    assert time.monotonic() - started < 5
    assert all(child.process.returncode == -9 for child in children)


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from cli.processes import Processes, python\n"
        "child = Processes(Path(sys.argv[1])).start('child', python('-c', 'import time; time.sleep(60)'))\n"
        "print(child.process.pid, flush=True); child.process.wait()"
    )
    parent = psutil.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=-1, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    assert lives(child)
    parent.kill()
    parent.communicate()
    wait_until(lambda: not lives(child), 10)


def test_a_long_log_is_put_aside_while_its_child_goes_on_writing(
    processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.processes._LARGEST_LOG", 10)
    writes = "import time\nwhile True: print('still here', flush=True); time.sleep(0.02)"
    child = processes.start("writer", python("-c", writes))
    wait_until(lambda: child.log.stat().st_size > 100, 10)
    child.trim_log()
    assert (tmp_path / "writer.log.1").stat().st_size > 100
    wait_until(lambda: child.last_words() == "still here", 10)
    assert child.log.read_bytes().startswith(b"still here")


def _ignores_sigterm(child: Child) -> bool:
    status = Path(f"/proc/{child.process.pid}/status")
    if not status.exists():  # macOS
        time.sleep(0.5)
        return True
    (ignored,) = [line for line in status.read_text().splitlines() if line.startswith("SigIgn")]
    return bool(int(ignored.split()[1], 16) & 1 << 14)
