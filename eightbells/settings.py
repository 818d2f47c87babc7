"""Every setting, from `eightbells.toml`, the environment (`EIGHTBELLS_SECTION__NAME`) or the defaults here."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from eightbells.errors import EightbellsError

PROJECT = Path(__file__).resolve().parent.parent

Mode = Literal["paper", "testnet", "live"]
Symbol = str

# BINANCE.md's table of addresses; paper is a simulator on this machine.
_ADDRESSES: dict[str, tuple[str, str, str]] = {
    "paper": ("http://127.0.0.1:8765/api", "ws://127.0.0.1:8765/", "ws://127.0.0.1:8765/ws-api/v3"),
    "testnet": (
        "https://testnet.binance.vision/api",
        "wss://stream.testnet.binance.vision/",
        "wss://ws-api.testnet.binance.vision/ws-api/v3",
    ),
    "live": (
        "https://api.binance.com/api",
        "wss://stream.binance.com:9443/",
        "wss://ws-api.binance.com:443/ws-api/v3",
    ),
}
# The paper account exists only in the simulator: a real key never leaves for it.
PAPER_KEY = "paper"
PAPER_SECRET = "paper"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ExchangeSettings(_Section):
    rest_url: str = ""
    stream_url: str = ""
    ws_api_url: str = ""
    recv_window_ms: int = Field(default=5000, ge=100, le=60000)
    timeout_seconds: float = Field(default=10, gt=0)
    concurrency: int = Field(default=8, ge=1, le=64)
    clock_speed: float = Field(default=1, gt=0)


class BudgetSettings(_Section):
    klines: int | Literal["exchange"] = 50
    orders: int | Literal["exchange"] = 10
    account: int | Literal["exchange"] = 5

    @field_validator("klines", "orders", "account")
    @classmethod
    def _at_least_one(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError("must be 1 or more, or 'exchange'")
        return value


class CandleSettings(_Section):
    history_start: date = date(2017, 7, 14)
    settle_seconds: float = Field(default=3, ge=0)
    refetch: int = Field(default=3, ge=1, le=100)
    rows_per_batch: int = Field(default=20000, ge=1000)


class TradingSettings(_Section):
    order_type: Literal["limit", "market"] = "limit"
    limit_offset: Decimal = Field(default=Decimal(0), ge=Decimal("-0.05"), le=Decimal("0.05"))
    unfilled: Literal["renew", "cancel", "keep"] = "renew"
    max_candle_age_minutes: float = Field(default=30, gt=0)
    lease_seconds: float = Field(default=30, ge=1)
    lease_patience_seconds: float = Field(default=120, ge=0)


class RiskSettings(_Section):
    max_order: Decimal = Field(default=Decimal(0), ge=0)
    max_symbol_exposure: Decimal = Field(default=Decimal(0), ge=0)
    max_exposure: Decimal = Field(default=Decimal(0), ge=0)
    daily_loss: Decimal = Field(default=Decimal(0), ge=0)
    price_collar: Decimal = Field(default=Decimal("0.05"), ge=0, le=1)
    max_orders_per_cycle: int = Field(default=100, ge=0)


class StrategySettings(_Section):
    name: str = Field(pattern=r"^[a-z0-9_-]{1,32}$")
    kind: str
    capital: Decimal = Field(gt=0)
    symbols: list[Symbol] = []
    stop_loss: Decimal = Field(default=Decimal(0), ge=0, lt=1)
    parameters: dict[str, Any] = {}


class StreamSettings(_Section):
    silence_seconds: float = Field(default=30, gt=0)
    rotate_hours: float = Field(default=23, gt=0)
    catch_up_seconds: float = Field(default=5, gt=0)
    trade_on_close: bool = False
    heartbeat_seconds: float = Field(default=60, gt=0)


class PaperSettings(_Section):
    prices: str = "https://data-api.binance.vision"
    capital: Decimal = Field(default=Decimal(20000), ge=0)


class PrefectSettings(_Section):
    keep_days: float = Field(default=30, gt=0)


class NotificationSettings(_Section):
    urls: list[SecretStr] = []


class MetricsSettings(_Section):
    host: str = "127.0.0.1"
    port: int = Field(default=9464, ge=0, le=65535)


class DatabaseSettings(_Section):
    directory: str = ""
    name: str = Field(default="eightbells", pattern=r"^[a-z_][a-z0-9_]{0,40}$")


class Settings(BaseSettings):
    """All settings of one installation. Immutable; built once by `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix="EIGHTBELLS_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        populate_by_name=True,
    )

    mode: Mode = "paper"
    symbols: list[Symbol] = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT"]
    quote_asset: str = "USDT"
    market_data: str = ""
    exchange: ExchangeSettings = ExchangeSettings()
    budgets: BudgetSettings = BudgetSettings()
    candles: CandleSettings = CandleSettings()
    trading: TradingSettings = TradingSettings()
    risk: RiskSettings = RiskSettings()
    strategies: list[StrategySettings] = []
    stream: StreamSettings = StreamSettings()
    paper: PaperSettings = PaperSettings()
    prefect: PrefectSettings = PrefectSettings()
    notifications: NotificationSettings = NotificationSettings()
    metrics: MetricsSettings = MetricsSettings()
    database: DatabaseSettings = DatabaseSettings()
    errors: dict[str, dict[str, Any]] = {}
    binance_api_key: SecretStr = Field(
        default=SecretStr(""), validation_alias=AliasChoices("BINANCE_API_KEY")
    )
    binance_api_secret: SecretStr = Field(
        default=SecretStr(""), validation_alias=AliasChoices("BINANCE_API_SECRET")
    )
    binance_private_key_file: str = Field(
        default="", validation_alias=AliasChoices("BINANCE_PRIVATE_KEY_FILE")
    )
    database_url: SecretStr = Field(default=SecretStr(""), validation_alias=AliasChoices("DATABASE_URL"))

    @field_validator("symbols")
    @classmethod
    def _upper_and_once(cls, value: list[str]) -> list[str]:
        return list(dict.fromkeys(symbol.strip().upper() for symbol in value))

    @field_validator("strategies")
    @classmethod
    def _names_once(cls, value: list[StrategySettings]) -> list[StrategySettings]:
        names = [strategy.name for strategy in value]
        if len(set(names)) != len(names):
            raise ValueError("every strategy needs a name of its own")
        return value

    @model_validator(mode="after")
    def _keys_travel_encrypted(self) -> Settings:
        host = urlsplit(self.rest_url).hostname or ""
        local = host in ("localhost", "::1") or host.startswith("127.")
        if self.mode != "paper" and self.rest_url.startswith("http://") and not local:
            raise ValueError(
                f"exchange.rest_url must be https in mode {self.mode}: keys would travel unencrypted"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=config_file())

    @property
    def account(self) -> str:
        """The name under which orders and fills are booked: one account for each mode."""
        return self.mode

    @property
    def rest_url(self) -> str:
        return self.exchange.rest_url or _ADDRESSES[self.mode][0]

    @property
    def stream_url(self) -> str:
        return self.exchange.stream_url or _ADDRESSES[self.mode][1]

    @property
    def ws_api_url(self) -> str:
        return self.exchange.ws_api_url or _ADDRESSES[self.mode][2]

    @property
    def directory(self) -> Path:
        """Where the embedded Postgres and everything else that must outlive a process is kept."""
        if self.database.directory:
            return Path(self.database.directory).expanduser()
        if os.geteuid() == 0:  # Postgres refuses to run as root and its user cannot look into /root
            return Path("/var/lib/eightbells")
        if sys.platform == "darwin":
            return Path.home() / "Library/Application Support/eightbells"
        return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "eightbells"

    def credentials(self) -> Credentials:
        """What requests of this mode are signed with: a secret (HMAC), or a private key (Ed25519 or RSA).

        Raises:
            EightbellsError: the mode needs a key and the environment has none, or its file cannot be read.
        """
        if self.mode == "paper":
            return Credentials(PAPER_KEY, SecretStr(PAPER_SECRET))
        key, secret = self.binance_api_key.get_secret_value(), self.binance_api_secret.get_secret_value()
        needed = {"BINANCE_API_KEY": key}
        if not self.binance_private_key_file:
            needed["BINANCE_API_SECRET"] = secret
        if missing := [name for name, value in needed.items() if not value]:
            raise EightbellsError(
                f"mode is '{self.mode}', but {' and '.join(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} not set in the environment"
            )
        if not self.binance_private_key_file:
            return Credentials(key, SecretStr(secret))
        try:
            private = Path(self.binance_private_key_file).read_text()
        except OSError as error:
            raise EightbellsError(f"BINANCE_PRIVATE_KEY_FILE cannot be read: {error.strerror}") from None
        return Credentials(key, SecretStr(""), SecretStr(private))


@dataclass(frozen=True)
class Credentials:
    """An API key with its secret, or with its private key in PEM."""

    key: str
    secret: SecretStr
    private_key: SecretStr | None = None


def config_file() -> Path:
    """`EIGHTBELLS_CONFIG`, or `eightbells.toml` here, or the project's own."""
    if chosen := os.environ.get("EIGHTBELLS_CONFIG"):
        return Path(chosen)
    here = Path("eightbells.toml")
    return here if here.exists() else PROJECT / "eightbells.toml"


def load_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Raises:
        EightbellsError: the file is missing, cannot be read, or a value is out of its bounds.
    """
    file = config_file()
    if not file.is_file():
        raise EightbellsError(f"there is no configuration file {file}")
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        setting = f"setting {place}" if place else "a setting"
        raise EightbellsError(
            f"{setting} in {file} or the environment: {first['msg'].removeprefix('Value error, ')}"
        ) from None
    except SettingsError as error:
        name = str(error).split('"')[1].upper()  # error parsing value for field "symbols" from ...
        raise EightbellsError(
            f'EIGHTBELLS_{name} must be JSON, a list as in ["BTCUSDT"] or an object'
        ) from None
    except ValueError as error:  # TOML that does not parse
        raise EightbellsError(f"{file} cannot be read: {error}") from None
