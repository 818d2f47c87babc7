"""What the exchange can be made to answer, and the counters that tell what we made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eightbells import metrics
from eightbells.exchange.recovery import TABLE

QUICK = 0.03
Answer = dict[str, Any]


def error(code: int, words: str = "As the exchange says.", status: int = 400, **headers: Any) -> Answer:
    """An error as Binance answers it; headers as `Retry_After=2`."""
    shown = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return {"status": status, "code": code, "msg": words, **({"headers": shown} if shown else {})}


def html(status: int) -> Answer:
    return {"status": status, "html": True}


def body(status: int, content: Any) -> Answer:
    return {"status": status, "body": content}


def quick_errors() -> dict[str, dict[str, float]]:
    """The setting `errors` that makes every wait short; actions and attempts stay as they are."""
    return {code: {"delay": QUICK} for code, remedy in TABLE.items() if remedy.delay}


@dataclass(frozen=True)
class Counted:
    """Readings of two counters; differences are what a test looks at."""

    requests: float
    failures: float

    @classmethod
    def now(cls, endpoint: str, code: str) -> Counted:
        def read(name: str, **labels: str) -> float:
            return metrics.COUNTED.get_sample_value(name, labels) or 0.0

        return cls(
            read("binance_api_requests_total", endpoint=endpoint),
            read("binance_api_requests_failed_total", error=code),
        )

    def since(self, earlier: Counted) -> tuple[float, float]:
        """Requests and failures since an earlier reading."""
        return self.requests - earlier.requests, self.failures - earlier.failures
