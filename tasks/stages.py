"""How long the stages of a cycle take, the waits of their retries included."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from eightbells import metrics

# Seconds that stages inside the present one have taken; None outside of any.
_INNER: ContextVar[list[float] | None] = ContextVar("_INNER", default=None)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Time a stage of a cycle, also one that fails. What a stage inside it takes is counted there alone."""
    outer, inner = _INNER.get(), list[float]()
    token = _INNER.set(inner)
    started = time.monotonic()
    try:
        yield
    finally:
        took = time.monotonic() - started
        _INNER.reset(token)
        if outer is not None:
            outer.append(took)
        metrics.STAGE_DURATION.labels(name).observe(took - sum(inner))


@contextmanager
def inner_stage(name: str) -> Iterator[None]:
    """Time what is a stage of its own inside a cycle's stage, and no stage in any other flow."""
    if _INNER.get() is None:
        yield
    else:
        with stage(name):
            yield
