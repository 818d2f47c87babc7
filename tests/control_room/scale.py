"""Time as a compressed month has it: how long a day lasts, and what of the schedules and settings is scaled with it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.surroundings import ROOT

DAY_MS = 24 * 3600 * 1000
CYCLES_A_DAY = 6
_CODE = ("cli", "eightbells", "flows", "orchestration", "simulator", "sql", "tasks")
EVENTS_KEPT_DAYS = 7  # Prefect's own default
LENGTHS = (30, 36, 60, 120, 180)  # in seconds: schedules are told in seconds of a minute


@dataclass(frozen=True)
class Scale:
    """How long a day lasts (one of LENGTHS), and for how many days Prefect keeps its runs and its events."""

    day_seconds: int
    keep_days: int
    keep_events: int = EVENTS_KEPT_DAYS

    @property
    def speed(self) -> float:
        """Seconds of the exchange in one of ours."""
        return DAY_MS / 1000 / self.day_seconds

    @property
    def cycle_seconds(self) -> int:
        return self.day_seconds // CYCLES_A_DAY

    @property
    def reconcile_seconds(self) -> int:
        """At least three a day, and a minute or a part of one apart."""
        return next(each for each in (60, 30, 20, 15, 12, 10) if each * 3 <= self.day_seconds)

    def project(self, folder: Path) -> Path:
        """A copy of the project whose schedules are compressed, and nothing else."""
        for name in _CODE:
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "eightbells.toml", folder)
        declared: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text())
        crons = {
            "four-hour-cycle": _every(self.cycle_seconds, 0),
            "reconcile": _every(self.reconcile_seconds, 3),
            "replay": _every(30 if self.day_seconds < 60 else self.day_seconds, 5),
            "housekeeping": _every(30 if self.day_seconds < 60 else self.day_seconds, 7),
        }
        for entry in declared["deployments"]:
            if entry["schedules"]:
                entry["schedules"] = [{"cron": crons[entry["name"]], "timezone": "UTC"}]
        (folder / "prefect.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
        return folder

    def settings(self) -> dict[str, Any]:
        """Ours, by the names of their variables without the prefix."""
        return {
            "prefect__keep_days": self.keep_days * self.day_seconds / 86400,
            "exchange__clock_speed": self.speed,
            "exchange__recv_window_ms": 60_000,
            # a run needs seconds, and those are hours: what is tried here is not when it trades
            "trading__max_candle_age_minutes": 24 * 60,
            "trading__order_type": "market",
            "budgets__orders": "exchange",
            "budgets__account": "exchange",
            "stream__rotate_hours": 20,
            "stream__silence_seconds": 3,
            "stream__catch_up_seconds": 0.7,
            "stream__heartbeat_seconds": 1,
        }

    def environment(self) -> dict[str, str]:
        """Prefect's: what it does once in so many minutes, hours or days."""
        wanted = {
            "SERVER_EVENTS_RETENTION_PERIOD": f"PT{self.keep_events * self.day_seconds}S",
            "SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": max(1.0, self.day_seconds / 24),
            "SERVER_SERVICES_DB_VACUUM_ORPHAN_CLEANUP_LOOP_SECONDS": self.day_seconds,
            "SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": 2,
            "SERVER_SERVICES_SCHEDULER_MIN_SCHEDULED_TIME": f"PT{self.day_seconds / 24}S",
            "SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": 1,
            "RUNNER_POLL_FREQUENCY": 2,
        }
        return {f"PREFECT_{name}": str(value) for name, value in wanted.items()}


def _every(seconds: int, at: int) -> str:
    """A cron with seconds, its last field, for something that is due every so many seconds."""
    if seconds < 60:
        return "* * * * * " + ",".join(str(second) for second in range(at, 60, seconds))
    return f"*/{seconds // 60} * * * * {at}"
