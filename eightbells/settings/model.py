"""All settings of an installation, and what follows from them: addresses, the data folder, the key."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from eightbells.errors import EightbellsError, UnsendableKey
from eightbells.settings.keys import oddity
from eightbells.settings.names import DELIMITER, PREFIX, VERY_CLOSE, known_names, misspelt, suggestion
from eightbells.settings.sections import (
    BacktestSettings,
    BudgetSettings,
    CandleSettings,
    DatabaseSettings,
    ExchangeSettings,
    LimitSettings,
    MetricsSettings,
    NotificationSettings,
    PaperSettings,
    PrefectSettings,
    RiskSettings,
    StrategySettings,
    StreamSettings,
    TradingSettings,
    UniverseSettings,
)
from eightbells.settings.sources import PROJECT, Environment, File, config_file
from eightbells.settings.symbols import Asset, Several, Symbols, once, quoted_otherwise

__all__ = ["PROJECT", "Credentials", "Mode", "Settings"]

Mode = Literal["paper", "testnet", "live"]

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


class Settings(BaseSettings):
    """All settings of one installation. Immutable; built once by `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
    )

    mode: Mode = "paper"
    quote_asset: Asset = "USDT"
    symbols: Symbols = Field(
        default=["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT"], validate_default=True
    )
    market_data: str = ""
    universe: UniverseSettings = UniverseSettings()
    exchange: ExchangeSettings = ExchangeSettings()
    budgets: BudgetSettings = BudgetSettings()
    candles: CandleSettings = CandleSettings()
    trading: TradingSettings = TradingSettings()
    risk: RiskSettings = RiskSettings()
    strategies: list[StrategySettings] = []
    backtest: BacktestSettings = BacktestSettings()
    stream: StreamSettings = StreamSettings()
    paper: PaperSettings = PaperSettings()
    limits: LimitSettings = LimitSettings()
    prefect: PrefectSettings = PrefectSettings()
    notifications: NotificationSettings = NotificationSettings()
    metrics: MetricsSettings = MetricsSettings()
    database: DatabaseSettings = DatabaseSettings()
    errors: dict[str, dict[str, Any]] = {}
    binance_api_key: SecretStr = Field(default=SecretStr(""), validation_alias="BINANCE_API_KEY")
    binance_api_secret: SecretStr = Field(default=SecretStr(""), validation_alias="BINANCE_API_SECRET")
    binance_private_key_file: str = Field(default="", validation_alias="BINANCE_PRIVATE_KEY_FILE")
    database_url: SecretStr = Field(default=SecretStr(""), validation_alias="DATABASE_URL")

    @field_validator("symbols")
    @classmethod
    def _quoted_in_one_asset(cls, value: list[str], info: ValidationInfo) -> list[str]:
        if not value:
            raise ValueError("names no symbol: name at least one")
        quote = info.data.get("quote_asset")
        found = [(at, quoted_otherwise(symbol, quote)) for at, symbol in enumerate(value) if quote]
        if wrong := [((at,), text) for at, text in found if text]:
            raise Several(list(wrong))
        return value

    @field_validator("universe")
    @classmethod
    def _members_quoted_in_it(cls, value: UniverseSettings, info: ValidationInfo) -> UniverseSettings:
        quote = info.data.get("quote_asset")
        found = [
            (("include", at), text)
            for at, symbol in enumerate(value.include)
            if quote and (text := quoted_otherwise(symbol, quote))
        ]
        if found:
            raise Several([*found])
        return value

    @field_validator("exchange")
    @classmethod
    def _keys_travel_encrypted(cls, value: ExchangeSettings, info: ValidationInfo) -> ExchangeSettings:
        mode, host = info.data.get("mode", "paper"), urlsplit(value.rest_url).hostname or ""
        local = host in ("localhost", "::1") or host.startswith("127.")
        if mode != "paper" and value.rest_url.startswith("http://") and not local:
            text = f"must be https in mode {mode}: keys would travel unencrypted"
            raise Several([(("rest_url",), text)])
        return value

    @field_validator("strategies")
    @classmethod
    def _strategies_fit(cls, value: list[StrategySettings], info: ValidationInfo) -> list[StrategySettings]:
        """Each has a name of its own, and trades what is in the universe."""
        found: list[tuple[tuple[str | int, ...], str]] = []
        names = [strategy.name for strategy in value]
        universe, rule = info.data.get("symbols"), info.data.get("universe")
        if rule is not None and rule.top:
            universe = None  # a strategy's own symbols need not be in `symbols`
        for at, strategy in enumerate(value):
            if names.index(strategy.name) != at:
                found.append(((at, "name"), "is taken: every strategy needs a name of its own"))
            found += [
                (
                    (at, "symbols"),
                    f"{symbol} is not in the list `symbols` of the universe{suggestion(symbol, universe, VERY_CLOSE)}",
                )
                for symbol in strategy.symbols
                if universe is not None and symbol not in universe
            ]
        if found:
            raise Several(found)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, Environment(settings_cls), File(settings_cls, toml_file=config_file())

    def with_members(self, members: Iterable[str]) -> Settings:
        """These settings with the members that the rule of the universe has chosen, as strategies trade them.

        `symbols` are then the members and the strategies' own symbols; where there is neither, they stay.
        """
        chosen = [*members]
        strategies = [entry if entry.symbols else entry.of_members(chosen) for entry in self.strategies]
        own = [symbol for entry in self.strategies for symbol in entry.symbols]
        symbols = once([*chosen, *own]) or self.symbols
        return self.model_copy(update={"symbols": symbols, "strategies": strategies})

    def symbols_of(self, entry: StrategySettings) -> list[str]:
        """What a strategy trades: its own symbols, or the universe."""
        return entry.symbols or (self.symbols if entry.members is None else list(entry.members))

    def shares(self, entry: StrategySettings) -> int:
        """Among how many symbols a strategy shares its capital; a rule always has as many places as it asks for."""
        return len(entry.symbols) or self.universe.top or len(self.symbols) or 1

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
            UnsendableKey: a key or secret has a character that none of Binance's has.
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
                f"{'is' if len(missing) == 1 else 'are'} not set in the environment{_slips(missing)}"
            )
        for name, value in needed.items():
            if odd := oddity(value):
                raise UnsendableKey(
                    f"{name} has a character that cannot be sent: {odd}; set it to what Binance shows, and no more"
                )
        if not self.binance_private_key_file:
            return Credentials(key, SecretStr(secret))
        try:
            private = Path(self.binance_private_key_file).read_text()
        except OSError as error:
            raise EightbellsError(f"BINANCE_PRIVATE_KEY_FILE cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise EightbellsError("BINANCE_PRIVATE_KEY_FILE is no text: it must be a key in PEM") from None
        return Credentials(key, SecretStr(""), SecretStr(private))


@dataclass(frozen=True)
class Credentials:
    """An API key with its secret, or with its private key in PEM."""

    key: str = field(repr=False)
    secret: SecretStr
    private_key: SecretStr | None = None


def _slips(missing: list[str]) -> str:
    """Variables that are set under a name that is nearly right."""
    found = misspelt(missing, known_names(Settings))
    return "".join(f"; {name} is set: did you mean {meant}?" for name, meant in found.items())
