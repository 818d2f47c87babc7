"""The sections of `eightbells.toml`: types and bounds of every setting in them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from eightbells.settings.symbols import Symbols

# Above every amount and time that makes sense, and below what arithmetic and clocks can take.
_MOST_MONEY = Decimal(10) ** 15
_YEAR_SECONDS = 366 * 86400

Money = Annotated[Decimal, Field(ge=0, le=_MOST_MONEY)]
Seconds = Annotated[float, Field(ge=0, le=_YEAR_SECONDS)]
PositiveSeconds = Annotated[float, Field(gt=0, le=_YEAR_SECONDS)]


def _address(*schemes: str) -> AfterValidator:
    """An address of one of the schemes, or none. Whoever has to log in there needs another way than the address."""

    def check(value: str) -> str:
        address = value.strip()
        try:
            parts = urlsplit(address)
            fits = parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            fits = False
        if address and not fits:
            raise ValueError(
                f"must be an address that begins with {' or '.join(f'{it}://' for it in schemes)}"
            )
        if "@" in address:
            raise ValueError("must not hold a user or a password")
        return address

    return AfterValidator(check)


HttpAddress = Annotated[str, _address("http", "https")]
SocketAddress = Annotated[str, _address("ws", "wss")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and kind is not bool:
            raise ValueError("must not be true or false")
        return value


class ExchangeSettings(_Section):
    rest_url: HttpAddress = ""
    stream_url: SocketAddress = ""
    ws_api_url: SocketAddress = ""
    archive_url: HttpAddress = "https://data.binance.vision"
    recv_window_ms: int = Field(default=5000, ge=100, le=60000)
    timeout_seconds: PositiveSeconds = 10
    concurrency: int = Field(default=8, ge=1, le=64)
    clock_speed: float = Field(default=1, gt=0, le=1e9)


class BudgetSettings(_Section):
    klines: int | Literal["exchange"] = 50
    orders: int | Literal["exchange"] = 10
    account: int | Literal["exchange"] = 5
    address: str = Field(default="", pattern=r"^[A-Za-z0-9.:_-]{0,64}$")

    @field_validator("klines", "orders", "account")
    @classmethod
    def _at_least_one(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 1 <= value <= 10**9:
            raise ValueError("must be 1 or more, or 'exchange'")
        return value


class CandleSettings(_Section):
    history_start: date = date(2017, 7, 14)
    settle_seconds: Seconds = 3
    refetch: int = Field(default=3, ge=1, le=100)
    rows_per_batch: int = Field(default=60000, ge=1000, le=10**7)
    max_pause: int = Field(default=6, ge=0, le=10**6)
    warn_jump_sigmas: float = Field(default=10, ge=0, le=10**6)
    data_docs: int = Field(default=100, ge=1, le=10000)


ExitStep = Literal["close", "cross", "market"]


class TradingSettings(_Section):
    order_type: Literal["limit", "market"] = "limit"
    limit_offset: Decimal = Field(default=Decimal(0), ge=Decimal("-0.05"), le=Decimal("0.05"))
    unfilled: Literal["renew", "cancel", "keep"] = "renew"
    exit_steps: list[ExitStep] = Field(default=["cross", "market"], min_length=1, max_length=3)
    exit_step_seconds: PositiveSeconds = 30
    exit_cross: Decimal = Field(default=Decimal("0.005"), ge=0, le=Decimal("0.2"))
    stop_type: Literal["market", "limit"] = "market"
    stop_limit_distance: Decimal = Field(default=Decimal("0.01"), ge=0, le=Decimal("0.5"))
    guard_seconds: PositiveSeconds = 20
    max_candle_age_minutes: float = Field(default=30, gt=0, le=10**9)
    lease_seconds: float = Field(default=30, ge=1, le=_YEAR_SECONDS)
    lease_patience_seconds: Seconds = 120


class RiskSettings(_Section):
    max_order: Money = Decimal(0)
    max_symbol_exposure: Money = Decimal(0)
    max_exposure: Money = Decimal(0)
    daily_loss: Money = Decimal(0)
    price_collar: Decimal = Field(default=Decimal("0.05"), ge=0, le=1)
    max_orders_per_cycle: int = Field(default=100, ge=0, le=10**9)
    max_stops: int = Field(default=0, ge=0, le=10**6)
    stops_hours: float = Field(default=24, gt=0, le=10**6)
    max_drawdown: Decimal = Field(default=Decimal(0), ge=0, lt=1)
    max_jump_sigmas: float = Field(default=15, ge=0, le=10**6)
    delist_exit_hours: float = Field(default=0, ge=0, le=10**6)


class UniverseSettings(_Section):
    top: int = Field(default=0, ge=0, le=1000)
    days: int = Field(default=30, ge=1, le=150)  # one request brings 1000 candles
    older_than_days: int = Field(default=180, ge=0, le=36500)
    leveraged: list[str] = ["UP", "DOWN", "BULL", "BEAR"]
    exclude: Symbols = []
    include: Symbols = []
    every_days: int = Field(default=7, ge=1, le=366)
    counted_from: date = date(2018, 1, 1)
    sell_left: bool = False

    @field_validator("leveraged")
    @classmethod
    def _endings(cls, value: list[str]) -> list[str]:
        if any(not ending.strip() for ending in value):
            raise ValueError("holds an empty ending: every asset has it")
        return value

    @field_validator("include")
    @classmethod
    def _have_room(cls, value: list[str], info: ValidationInfo) -> list[str]:
        both = [symbol for symbol in value if symbol in info.data.get("exclude", ())]
        if both:
            raise ValueError(f"names {', '.join(both)}, as universe.exclude does")
        if (top := info.data.get("top")) and len(value) > top:
            raise ValueError(f"names {len(value)} symbols, and the universe has {top} (universe.top)")
        return value


class StrategySettings(_Section):
    name: str = Field(pattern=r"^[a-z0-9_-]{1,32}$")
    kind: str
    capital: Decimal = Field(gt=0, le=_MOST_MONEY)
    symbols: Symbols = []
    stop_loss: Decimal = Field(default=Decimal(0), ge=0, lt=1)
    trailing_stop: Decimal = Field(default=Decimal(0), ge=0, lt=1)
    cooldown: Literal["flat"] | Annotated[int, Field(ge=0, le=10**6)] = "flat"
    sizing: Literal["capital", "equity"] = "capital"
    target_volatility: Decimal = Field(default=Decimal(0), ge=0, le=100)
    rebalance_band: Decimal = Field(default=Decimal(0), ge=0, lt=1)
    scale_steps: int = Field(default=1, ge=1, le=1000)
    parameters: dict[str, Any] = {}
    # what the rule of the universe has chosen, for a strategy without symbols of its own; None without a rule
    _members: tuple[str, ...] | None = PrivateAttr(default=None)

    def trades(self, symbol: str) -> bool:
        """Whether it trades a symbol of the universe."""
        traded = self.symbols or self._members
        return traded is None or symbol in traded

    @property
    def members(self) -> tuple[str, ...] | None:
        """The symbols that the rule of the universe gives it; None without a rule, or with symbols of its own."""
        return None if self.symbols else self._members

    def of_members(self, members: Iterable[str]) -> StrategySettings:
        """The same strategy with what the rule of the universe has chosen."""
        changed = self.model_copy()
        changed._members = tuple(members)
        return changed


class BacktestSettings(_Section):
    taker_fee: Decimal = Field(default=Decimal("0.001"), ge=0, le=Decimal("0.1"))
    maker_fee: Decimal = Field(default=Decimal("0.001"), ge=0, le=Decimal("0.1"))
    fees_in: Literal["received", "quote", "bnb"] = "received"
    slippage: Decimal = Field(default=Decimal("0.0005"), ge=0, le=Decimal("0.1"))


class StreamSettings(_Section):
    silence_seconds: PositiveSeconds = 30
    rotate_hours: float = Field(default=23, gt=0, le=10**6)
    catch_up_seconds: PositiveSeconds = 5
    trade_on_close: bool = False
    heartbeat_seconds: PositiveSeconds = 60


class PaperSettings(_Section):
    prices: HttpAddress = "https://data-api.binance.vision"
    capital: Money = Decimal(20000)


class LimitSettings(_Section):
    decide_seconds: PositiveSeconds = 5
    strategy_seconds: PositiveSeconds = 60
    start_seconds: PositiveSeconds = 30
    strategy_memory_mb: int = Field(default=2048, ge=0, le=10**9)
    task_seconds: PositiveSeconds = 600
    flow_seconds: PositiveSeconds = 3600
    backfill_seconds: PositiveSeconds = 86400


class PrefectSettings(_Section):
    keep_days: float = Field(default=30, gt=0, le=36500)


class NotificationSettings(_Section):
    urls: Annotated[list[SecretStr], BeforeValidator(lambda value: value or [])] = []


class MetricsSettings(_Section):
    host: str = "127.0.0.1"
    port: int = Field(default=9464, ge=0, le=65535)


class DatabaseSettings(_Section):
    directory: str = ""
    name: str = Field(default="eightbells", pattern=r"^[a-z_][a-z0-9_]{0,40}$")
