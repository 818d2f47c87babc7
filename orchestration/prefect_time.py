"""Times as Prefect's models declare them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from prefect.types import DateTime


def prefect_time(at: datetime) -> DateTime:
    """The same time. Prefect's filters take any datetime, but up to Python 3.12 they declare one of pendulum's."""
    return cast("DateTime", at)
