"""What a flow or a test opens once: settings, database, gateway, and the run that it is done for."""

from __future__ import annotations

from sqlalchemy import Engine

from eightbells.exchange.gateway import Gateway
from eightbells.settings import Settings
from eightbells.trading.execution import OrderExecutor
from eightbells.trading.guardian import Guardian
from eightbells.trading.holdings import Costs


class Runtime:
    """Handed from step to step. No dataclass: Prefect would search its fields for futures at every call.

    Args:
        flow_run: id of the run that rows are marked with; None outside of one.
    """

    def __init__(
        self, settings: Settings, engine: Engine, gateway: Gateway, flow_run: str | None = None
    ) -> None:
        self.settings, self.engine, self.gateway, self.flow_run = settings, engine, gateway, flow_run
        self._costs: Costs = {}  # of what is held

    @property
    def now_ms(self) -> int:
        """The exchange's clock."""
        return self.gateway.clock.now_ms()

    @property
    def executor(self) -> OrderExecutor:
        """What sends and follows orders."""
        return OrderExecutor(self.settings, self.engine, self.gateway, self.flow_run)

    @property
    def guardian(self) -> Guardian:
        """What looks after the holdings."""
        return Guardian(self.settings, self.engine, self.gateway, self.executor, self.flow_run, self._costs)
