"""Settings: every one documented, every default told truly, every mistake one clear line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from eightbells.errors import EightbellsError
from eightbells.settings import PROJECT, Settings, StrategySettings, load_settings

SECRETS = {"binance_api_key", "binance_api_secret", "binance_private_key_file", "database_url"}
FILE = (PROJECT / "eightbells.toml").read_text()


def leaves(model: type[BaseModel], place: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from leaves(kind, f"{place}{name}.")
        elif name not in SECRETS:
            yield f"{place}{name}"


def test_every_setting_stands_in_the_file_under_a_comment():
    written = tomllib.loads(FILE)
    for place in leaves(Settings):
        section, _, name = place.rpartition(".")
        assert name in (written[section] if section else written), place
    uncommented = [
        line
        for before, line in zip(["", *FILE.splitlines()], FILE.splitlines(), strict=False)
        if re.match(r"[a-z_]+ = ", line) and not before.strip()
    ]
    assert uncommented == []


def test_the_values_in_the_file_are_the_defaults(monkeypatch):
    monkeypatch.delenv("EIGHTBELLS_MARKET_DATA", raising=False)
    written = load_settings().model_dump(exclude=SECRETS | {"strategies"})
    assert written == Settings.model_construct().model_dump(exclude=SECRETS | {"strategies"})


def test_every_setting_of_a_strategy_is_shown():
    (first, *_) = tomllib.loads(FILE)["strategies"]
    assert set(first) == set(StrategySettings.model_fields)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("EIGHTBELLS_MODE", "real", "mode"),
        ("EIGHTBELLS_BUDGETS__KLINES", "0", "budgets.klines"),
        ("EIGHTBELLS_EXCHANGE__RECV_WINDOW_MS", "60001", "exchange.recv_window_ms"),
        ("EIGHTBELLS_TRADING__LIMIT_OFFSET", "lots", "trading.limit_offset"),
        ("EIGHTBELLS_CANDLES__HISTORY_START", "yesterday", "candles.history_start"),
        ("EIGHTBELLS_SYMBOLS", '["BTCUSDT"', "EIGHTBELLS_SYMBOLS: setting symbols must be"),
    ],
)
def test_a_bad_value_is_one_line_that_names_it(monkeypatch, name, value, words):
    monkeypatch.setenv(name, value)
    with pytest.raises(EightbellsError) as raised:
        load_settings()
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", ["mode = ", "moed = 'paper'", "[candles]\nrefetch = 'many'"])
def test_a_bad_file_is_one_line_that_names_it(monkeypatch, tmp_path: Path, content: str):
    file = tmp_path / "mine.toml"
    file.write_text(content)
    monkeypatch.setenv("EIGHTBELLS_CONFIG", str(file))
    with pytest.raises(EightbellsError) as raised:
        load_settings()
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_real_key_never_goes_to_the_simulator(monkeypatch):
    monkeypatch.setenv("BINANCE_API_KEY", "a-real-key")
    monkeypatch.setenv("BINANCE_API_SECRET", "a-real-secret")
    assert load_settings().credentials().key == "paper"
    assert load_settings(mode="live").credentials().key == "a-real-key"


def test_live_mode_without_keys_names_what_is_missing(monkeypatch):
    with pytest.raises(EightbellsError, match="BINANCE_API_KEY and BINANCE_API_SECRET are not set"):
        load_settings(mode="live").credentials()
    monkeypatch.setenv("BINANCE_API_KEY", "key")
    with pytest.raises(EightbellsError, match="but BINANCE_API_SECRET is not set"):
        load_settings(mode="live").credentials()


def test_settings_do_not_show_secrets(monkeypatch):
    monkeypatch.setenv("BINANCE_API_SECRET", "hush-hush")
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hush-hush@localhost/db")
    monkeypatch.setenv("BINANCE_API_KEY", "hush-hush-key")
    settings = load_settings()
    assert "hush-hush" not in f"{settings!r} {settings} {load_settings(mode='live').credentials()!r}"


def test_keys_do_not_travel_unencrypted():
    far = {"rest_url": "http://api.example.com/api"}
    with pytest.raises(EightbellsError, match="https"):
        load_settings(mode="testnet", exchange=far)
    assert load_settings(mode="paper", exchange=far).rest_url == far["rest_url"]
    assert load_settings(mode="live", exchange={"rest_url": "http://127.0.0.1:1/api"})
