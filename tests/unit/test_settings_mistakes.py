"""Mistakes in settings: each is refused with its file and line or its variable, and with what was probably meant."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eightbells.settings import Settings, SettingsRefused, load_settings
from eightbells.settings.names import known_names, nearest_name
from eightbells.settings.places import line_of
from eightbells.settings.symbols import normal

STRATEGY = '[[strategies]]\nname = "mine"\nkind = "ma_cross"\ncapital = "100"\n'
EVERYTHING_WRONG = """# comment
mode = "lvie"
symbols = [
  "BTCUSDT",
  "ETHBTC",
]
max_order = 5

[risk]
max_odrer = "5"
max_order = "-1"
max_exposure = inf
daily_loss = nan
price_collar = true
[candles]
refetch = "many"
history_start = "yesterday"
[budgets]
klines = 0.5

[[strategies]]
name = "first"
kind = "ma_cross"
capital = "0"
sybols = ["BTCUSDT"]

[[strategies]]
kind = "ma_cross"
capital = 1e40
"""


class Wrong(Protocol):
    def __call__(self, content: str | None = None, **environment: str) -> list[str]: ...


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Settings of a file of these lines, and of these variables."""
    file = tmp_path / "mine.toml"

    def using(content: str | None = None, **environment: str) -> Settings:
        monkeypatch.setattr("os.environ", dict(environment))
        if content is not None:
            file.write_text(content)
            monkeypatch.setenv("EIGHTBELLS_CONFIG", str(file))
        return load_settings()

    return using


@pytest.fixture
def wrong(use: Any, tmp_path: Path) -> Wrong:
    """The lines that such settings are refused with, without the folder."""

    def refused(content: str | None = None, **environment: str) -> list[str]:
        with pytest.raises(SettingsRefused) as raised:
            use(content, **environment)
        return [line.replace(f"{tmp_path}/", "") for line in raised.value.lines]

    return refused


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("EIGHTBELLS_RISK_MAX_ORDER", "EIGHTBELLS_RISK__MAX_ORDER"),
        ("EIGHTBELLS_RISK__MAX_ODER", "EIGHTBELLS_RISK__MAX_ORDER"),
        ("eightbells_risk_max_order", "EIGHTBELLS_RISK__MAX_ORDER"),
        ("EIGHTBELLS__RISK__MAX_ORDER", "EIGHTBELLS_RISK__MAX_ORDER"),
        ("EIGHTBELLS_MAX_ORDER", "EIGHTBELLS_RISK__MAX_ORDER"),
        ("EIGHTBELLS_MOED", "EIGHTBELLS_MODE"),
        ("EIGTHBELLS_MODE", "EIGHTBELLS_MODE"),
        ("EIGHTBELL_RISK__MAX_ORDER", "EIGHTBELLS_RISK__MAX_ORDER"),
        ("EIGHTBELLS_BINANCE_API_KEY", "BINANCE_API_KEY"),
        ("EIGHTBELLS_DATABASE_URL", "DATABASE_URL"),
        ("EIGHTBELLS_SYMBOLS__0", "EIGHTBELLS_SYMBOLS"),
    ],
)
def test_a_variable_that_is_no_setting_is_refused_with_the_one_that_was_meant(
    wrong: Wrong, name: str, meant: str
) -> None:
    assert wrong(**{name: "200"}) == [f"{name} is not a setting; did you mean {meant}?"]


def test_a_variable_like_no_setting_is_refused_and_every_setting_is_known(use: Any, wrong: Wrong) -> None:
    assert wrong(EIGHTBELLS_XYZZY="") == [
        "EIGHTBELLS_XYZZY is not a setting; eightbells.toml lists all settings"
    ]
    use(eightbells_risk__max_order="200", EIGHTBELLS_HOME="/", EIGHTBELLS_FULL="1", PATH="/bin")
    assert all(nearest_name(name, known_names(Settings)) == name for name in known_names(Settings))


def test_every_mistake_of_a_file_is_a_line_of_its_own_with_its_place(wrong: Wrong) -> None:
    lines = wrong(EVERYTHING_WRONG, EIGHTBELLS_METRICS__PORT="much")
    assert sorted(lines, key=lambda line: int("0" + "".join(filter(str.isdigit, line.split(":")[1])))) == [
        "EIGHTBELLS_METRICS__PORT: setting metrics.port must be a whole number",
        "mine.toml:2: setting mode must be 'paper', 'testnet' or 'live'; did you mean live?",
        "mine.toml:3: setting symbols - ETHBTC is not quoted in quote_asset USDT, in which capital and limits are "
        "counted: remove it, or name one that ends in USDT",
        "mine.toml:7: setting max_order is unknown; did you mean risk.max_order?",
        "mine.toml:10: setting risk.max_odrer is unknown; did you mean max_order?",
        "mine.toml:11: setting risk.max_order must be greater than or equal to 0",
        "mine.toml:12: setting risk.max_exposure must be a number that is not infinite",
        "mine.toml:13: setting risk.daily_loss must be a number that is not infinite",
        "mine.toml:14: setting risk.price_collar must not be true or false",
        "mine.toml:16: setting candles.refetch must be a whole number",
        "mine.toml:17: setting candles.history_start must be a date, such as 2021-03-01",
        "mine.toml:19: setting budgets.klines must be a whole number or 'exchange'",
        "mine.toml:24: strategy 'first', capital must be greater than 0",
        "mine.toml:25: strategy 'first', sybols is unknown; did you mean symbols?",
        "mine.toml:27: strategy number 2, name is missing",
        "mine.toml:29: strategy number 2, capital must be less than or equal to 1000000000000000",
    ]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("symbols = []", ["mine.toml:1: setting symbols - names no symbol: name at least one"]),
        (
            'quote_asset = "btc"',
            [
                f"mine.toml: setting symbols (its default) - {symbol} is not quoted in quote_asset BTC, in which "
                "capital and limits are counted: remove it, or name one that ends in BTC"
                for symbol in ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT")
            ],
        ),
        ('symbols = ["USDT"]', ["mine.toml:1: setting symbols - USDT is not quoted in quote_asset USDT"]),
        ('symbols = ["BTC USDT"]', ["mine.toml:1: setting symbols - 'BTC USDT' is not a symbol"]),
        (
            STRATEGY + 'symbols = ["DOGEUSDT"]',
            ["mine.toml:5: strategy 'mine', symbols - DOGEUSDT is not in the list"],
        ),
        (STRATEGY + STRATEGY, ["mine.toml:6: strategy 'mine', name is taken"]),
        (STRATEGY + "parameters = 3", ["mine.toml:5: strategy 'mine', parameters must be a table"]),
        ('binance_api_key = "x"', ["mine.toml:1: binance_api_key must not stand here: set BINANCE_API_KEY"]),
        ('\n\nDATABASE_URL = "x"', ["mine.toml:3: DATABASE_URL must not stand here"]),
        (
            '[exchange]\nrest_url = "api.binance.com"',
            ["mine.toml:2: setting exchange.rest_url must be an address"],
        ),
        (
            '[exchange]\nrest_url = "https://me:hush@h"',
            ["mine.toml:2: setting exchange.rest_url must not hold a user or a password"],
        ),
        (
            '[strategies]\nname = "x"',
            ["mine.toml:1: setting strategies must be a list: write [[strategies]] above"],
        ),
        ('[[strategy]]\nname = "x"', ["mine.toml:1: setting strategy is unknown; did you mean strategies?"]),
        ("database = 5", ["mine.toml:1: setting database must be a table"]),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_line(wrong: Wrong, content: str, lines: list[str]) -> None:
    found = wrong(content)
    assert len(found) == len(lines)
    assert [line for line, words in zip(found, lines, strict=True) if not line.startswith(words)] == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("EIGHTBELLS_RISK__MAX_ORDER", "", "setting risk.max_order is empty: give it a value, or unset it"),
        ("EIGHTBELLS_MODE", " ", "setting mode is empty"),
        ("EIGHTBELLS_SYMBOLS", "", "setting symbols is empty"),
        ("EIGHTBELLS_RISK", "hush", "setting risk must be JSON, an object"),
        ("EIGHTBELLS_NOTIFICATIONS__URLS", "tgram://hush", "notifications.urls must be JSON, a list as in"),
        (
            "EIGHTBELLS_STRATEGIES",
            '[{"name": "mine", "kind": "hush"}]',
            "strategy 'mine', capital is missing",
        ),
        ("EIGHTBELLS_STRATEGIES", '{"name": "hush"}', "setting strategies must be JSON, a list as in"),
        ("EIGHTBELLS_RISK__MAX_ORDER", "1,000", "must be a number, such as 0.05"),
    ],
)
def test_what_is_wrong_in_a_variable_is_told_without_its_value(
    wrong: Wrong, name: str, value: str, words: str
) -> None:
    (line,) = wrong(**{name: value})
    assert line.startswith(f"{name}: ")
    assert words in line
    assert "hush" not in line


def test_values_are_read_as_people_write_them(use: Any) -> None:
    found = use(
        "\ufeff# with a mark at its beginning\r\n"
        'quote_asset = "usdt"\r\nsymbols = ["btcusdt", " ETH/USDT ", "sol-usdt", "BTC_USDT", "币安人生usdt"]\r\n'
        + STRATEGY
        + 'symbols = ["btcusdt", "BTCUSDT", "币安人生/usdt"]',
        EIGHTBELLS_RISK__MAX_ORDER=" 200\r",
        EIGHTBELLS_NOTIFICATIONS__URLS="",
        BINANCE_API_KEY="key\r\n",
    )
    assert found.symbols == ["BTCUSDT", "ETHUSDT", "SOLUSDT", "币安人生USDT"]
    assert found.strategies[0].symbols == ["BTCUSDT", "币安人生USDT"]
    assert (found.quote_asset, found.risk.max_order, found.notifications.urls) == ("USDT", 200, [])
    assert found.binance_api_key.get_secret_value() == "key"
    assert use(EIGHTBELLS_SYMBOLS="btcusdt, ETHUSDT,").symbols == ["BTCUSDT", "ETHUSDT"]


@pytest.mark.parametrize(
    "symbol", ["", " ", "BTC//USDT", "BTC/USDT:USDT", "/USDT", "BTC USDT", "BTCUSDT\u200b", "A" * 51]
)
def test_a_name_that_no_symbol_has_is_refused(symbol: str) -> None:
    with pytest.raises(ValueError, match="is not a symbol"):
        normal(symbol)


def test_a_key_under_a_name_that_is_nearly_right_is_pointed_at(use: Any) -> None:
    settings = use(
        EIGHTBELLS_MODE="testnet", BINANCE_KEY="hush", BINANCE_SECRET_KEY="hush", BINANCE_APIKEY="hush"
    )
    with pytest.raises(Exception, match="not set in the environment") as raised:
        settings.credentials()
    for slip, meant in {"KEY": "API_KEY", "SECRET_KEY": "API_SECRET", "APIKEY": "API_KEY"}.items():
        assert f"; BINANCE_{slip} is set: did you mean BINANCE_{meant}?" in str(raised.value)
    assert "hush" not in str(raised.value)


names = st.sampled_from(["a", "b", "name", "capital"])
values = st.sampled_from(['"x"', "1", "[1,\n 2,\n]", '"""\nname = 1\n[a]\n"""', "{ a = 1 }", "# none"])


@given(st.lists(st.tuples(names, names, values), min_size=1, max_size=8))
def test_the_line_of_a_setting_is_where_its_statement_begins(entries: list[tuple[str, str, str]]) -> None:
    lines, expected = [""], {}
    for at, (_, key, value) in enumerate(entries):
        lines += ["[[table]]", "# a comment", ""]
        if not value.startswith("#"):
            expected["table", at, key] = len(lines) + 1
            lines += f"{key} = {value}".split("\n")
        else:
            expected["table", at, "missing"] = len(lines) - 2
    content = "\n".join(lines)
    tomllib.loads(content)
    assert {path: line_of(content, path) for path in expected} == expected
