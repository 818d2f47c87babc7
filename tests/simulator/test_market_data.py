"""Klines, prices and rules as the simulator serves them."""

from __future__ import annotations

import csv
import gzip
import itertools
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from simulated import DAY, EARLY, FILES, FILES_END, FIRST, H4, START, running, write_data

from tests.exchange import Simulator


def klines(simulator: Simulator, **params: Any) -> list[list[Any]]:
    answer = simulator.get("/api/v3/klines", **{"symbol": "BTCUSDT", "interval": "4h", **params})
    assert answer.status_code == 200, answer.text
    return list(answer.json())


def test_a_closed_candle_is_served_exactly_as_in_its_file(filed: Simulator) -> None:
    body = filed.get("/api/v3/klines", symbol="BTCUSDT", interval="4h").text
    first = f'[{FIRST},"1.10","2.000","1.0000","1.5","12.50000000",{FIRST + H4 - 1},"1250.12345678",40,"5.00000000",'
    assert body.startswith("[" + first + '"500.00000000","0"],[')
    assert '"0.00000141","2","0.00000140","2"' in body


def test_without_a_clock_the_exchange_stands_two_seconds_after_the_data(tmp_path: Path) -> None:
    write_data(tmp_path, FILES)
    with running("--data", str(tmp_path), "--speed", "0") as simulator:
        assert simulator.now == FILES_END


def test_a_missing_slot_and_an_early_close_are_kept(filed: Simulator) -> None:
    times = [(k[0], k[6]) for k in klines(filed, symbol="ETHUSDT")]
    assert times == [(FIRST, EARLY), (FIRST + 3 * H4, FIRST + 4 * H4 - 1)]
    filed.control("clock", time=FIRST + 2 * H4)
    assert len(klines(filed, symbol="ETHUSDT")) == 1
    assert Decimal(filed.price("ETHUSDT")) == 6


def test_a_symbol_without_candles_is_listed_and_has_none(filed: Simulator) -> None:
    assert klines(filed, symbol="ADAUSDT") == []
    refused = filed.get("/api/v3/klines", symbol="NOSUCH", interval="4h")
    assert (refused.status_code, refused.json()) == (400, {"code": -1121, "msg": "Invalid symbol."})


def test_symbols_of_any_script_are_listed_and_served(tmp_path: Path) -> None:
    name = "币安人生USDT"
    write_data(tmp_path, {name: FILES["SOLUSDT"]})
    with running("--data", str(tmp_path)) as simulator:
        listed = simulator.get("/api/v3/exchangeInfo", symbols=f'["{name}","ADAUSDT"]').json()["symbols"]
        assert [entry["symbol"] for entry in listed] == [name, "ADAUSDT"]
        assert len(klines(simulator, symbol=name)) == 1
        for odd in ("币安 人生", "币安usdt", "币" * 51):
            refused = simulator.get("/api/v3/klines", symbol=odd, interval="4h").json()
            assert refused["code"] == -1100, odd


def test_the_last_candle_is_unfinished_and_agrees_with_the_price(simulator: Simulator) -> None:
    simulator.advance(3_600_000)
    last = klines(simulator, limit=1)[0]
    assert last[0] <= simulator.now <= last[6] == last[0] + H4 - 1
    assert last[4] == simulator.price()
    assert Decimal(last[3]) <= Decimal(last[4]) <= Decimal(last[2])


def test_an_unfinished_candle_grows_into_the_closed_one(simulator: Simulator) -> None:
    seen = []
    for _ in range(16):
        seen.append(klines(simulator, limit=1)[0])
        simulator.advance(H4 // 16)
    closed = klines(simulator, startTime=seen[0][0], limit=1)[0]
    assert closed[6] < simulator.now
    for earlier, later in itertools.pairwise([*seen, closed]):
        assert earlier[1] == later[1]
        assert Decimal(earlier[2]) <= Decimal(later[2])
        assert Decimal(earlier[3]) >= Decimal(later[3])
        assert Decimal(earlier[5]) <= Decimal(later[5])


def test_start_and_end_are_included_and_the_limit_counts_from_the_start(simulator: Simulator) -> None:
    first = START - START % H4 - 10 * H4
    got = klines(simulator, startTime=first, endTime=first + 3 * H4)
    assert [k[0] for k in got] == [first + i * H4 for i in range(4)]
    assert [k[0] for k in klines(simulator, startTime=first + 1, limit=2)] == [first + H4, first + 2 * H4]
    assert [k[0] for k in klines(simulator, endTime=first, limit=2)] == [first - H4, first]
    assert len(klines(simulator)) == 500
    assert len(klines(simulator, limit=5000)) == 1000


def test_nothing_of_the_future_is_served(simulator: Simulator) -> None:
    assert klines(simulator, startTime=START + H4) == []
    assert klines(simulator, endTime=START + DAY, limit=1)[0][0] <= START


@pytest.mark.parametrize(("fine", "count"), [("1h", 4), ("30m", 8), ("5m", 48), ("2h", 2)])
def test_finer_candles_add_up_to_the_four_hour_candle(simulator: Simulator, fine: str, count: int) -> None:
    first = START - START % H4 - H4
    whole = klines(simulator, startTime=first, limit=1)[0]
    parts = klines(simulator, interval=fine, startTime=first, endTime=first + H4 - 1)
    assert len(parts) == count
    assert (parts[0][1], parts[-1][4]) == (whole[1], whole[4])
    assert max(Decimal(p[2]) for p in parts) == Decimal(whole[2])
    assert min(Decimal(p[3]) for p in parts) == Decimal(whole[3])
    for column in (5, 7, 9, 10):
        assert sum(Decimal(p[column]) for p in parts) == Decimal(whole[column])
    assert sum(p[8] for p in parts) == whole[8]


@pytest.mark.parametrize(("coarse", "count"), [("8h", 2), ("12h", 3), ("1d", 6), ("1w", 42)])
def test_coarser_candles_are_made_of_four_hour_candles(simulator: Simulator, coarse: str, count: int) -> None:
    whole = klines(simulator, interval=coarse, limit=2)[0]
    parts = klines(simulator, startTime=whole[0], endTime=whole[6])
    assert len(parts) == count
    assert (whole[1], whole[4]) == (parts[0][1], parts[-1][4])
    assert Decimal(whole[2]) == max(Decimal(p[2]) for p in parts)
    assert Decimal(whole[5]) == sum(Decimal(p[5]) for p in parts)


def test_months_begin_on_the_first(simulator: Simulator) -> None:
    got = klines(simulator, interval="1M", limit=3)
    assert [k[0] for k in got] == [1_761_955_200_000, 1_764_547_200_000, 1_767_225_600_000]


def test_generated_candles_do_not_depend_on_the_order_of_asking() -> None:
    made_up = ("--generate", "7", "--clock", "2026-01-01", "--speed", "0", "--seed")
    with running(*made_up, "3") as one:
        late = klines(one, symbol="S007USDT", limit=1000)
        early = klines(one, symbol="S007USDT", startTime=0, limit=1000)
    with running(*made_up, "3") as other:
        assert klines(other, symbol="S007USDT", startTime=0, limit=1000) == early
        assert klines(other, symbol="S007USDT", limit=1000) == late
    with running(*made_up, "4") as another:
        assert klines(another, symbol="S007USDT", limit=1000) != late


def test_generated_candles_are_sound_and_without_gaps(simulator: Simulator) -> None:
    got = [
        k
        for page in (0, 1)
        for k in klines(simulator, startTime=START - (1500 - 1000 * page) * H4, limit=1000)
    ]
    assert all(b[0] - a[0] == H4 for a, b in itertools.pairwise(sorted(got)) if a[0] != b[0])
    for k in got[:-1]:
        o, h, lo, c, volume, _, _, _, taker = (Decimal(str(value)) for value in k[1:10])
        assert 0 < lo <= min(o, c) <= max(o, c) <= h
        assert 0 <= taker <= volume


def test_generated_history_goes_on_into_any_future(simulator: Simulator) -> None:
    before = klines(simulator, limit=5)[:-1]
    simulator.control("clock", time="2044-05-05T05:00Z")
    assert klines(simulator, startTime=before[0][0], limit=4) == before
    assert klines(simulator, limit=1)[0][0] <= simulator.now


def test_exchange_info_lists_the_symbols_asked_for(simulator: Simulator) -> None:
    info = simulator.get("/api/v3/exchangeInfo").json()
    assert len(info["symbols"]) == 8
    assert {limit["rateLimitType"] for limit in info["rateLimits"]} == {
        "REQUEST_WEIGHT",
        "ORDERS",
        "RAW_REQUESTS",
    }
    some = simulator.get("/api/v3/exchangeInfo", symbols='["ETHUSDT","S006USDT"]').json()
    assert [s["symbol"] for s in some["symbols"]] == ["ETHUSDT", "S006USDT"]
    assert simulator.get("/api/v3/exchangeInfo", symbol="NOSUCH").json()["code"] == -1121
    assert simulator.get("/api/v3/exchangeInfo", showPermissionSets="false").status_code == 200


def test_every_market_endpoint_answers_for_one_symbol_and_for_all(simulator: Simulator) -> None:
    price = Decimal(simulator.price())
    book = simulator.get("/api/v3/ticker/bookTicker", symbol="BTCUSDT").json()
    assert Decimal(book["bidPrice"]) < price < Decimal(book["askPrice"])
    day = simulator.get("/api/v3/ticker/24hr", symbol="BTCUSDT").json()
    assert Decimal(day["lastPrice"]) == price
    assert Decimal(day["lowPrice"]) <= price <= Decimal(day["highPrice"])
    for path in ("price", "bookTicker", "24hr"):
        assert len(simulator.get(f"/api/v3/ticker/{path}").json()) == 8
    depth = simulator.get("/api/v3/depth", symbol="BTCUSDT", limit=5).json()
    assert len(depth["bids"]) == len(depth["asks"]) == 5
    assert len(simulator.get("/api/v3/trades", symbol="BTCUSDT", limit=10).json()) == 10
    rolling = simulator.get("/api/v3/ticker", symbol="BTCUSDT", windowSize="4h").json()
    assert Decimal(rolling["lastPrice"]) == price
    today = simulator.get("/api/v3/ticker/tradingDay", symbols='["BTCUSDT","ETHUSDT"]').json()
    assert [t["openTime"] for t in today] == [START - 2000] * 2
    trades = simulator.get("/api/v3/aggTrades", symbol="BTCUSDT", startTime=START - DAY, limit=3).json()
    assert [t["T"] - trades[0]["T"] for t in trades] == [0, 1500, 3000]
    assert simulator.get("/api/v3/avgPrice", symbol="BTCUSDT").json()["mins"] == 5
    assert simulator.get("/sapi/v1/system/status").json() == {"status": 0, "msg": "normal"}


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"symbol": "BTCUSDT"}, -1102),
        ({"symbol": "BTCUSDT", "interval": "7h"}, -1120),
        ({"symbol": "btcusdt", "interval": "4h"}, -1100),
        ({"symbol": "BTCUSDT", "interval": "4h", "limit": "0"}, -1130),
        ({"symbol": "BTCUSDT", "interval": "4h", "startTime": "soon"}, -1100),
        ({"symbol": "BTCUSDT", "interval": "4h", "colour": "red"}, -1104),
        ({"symbol": "", "interval": "4h"}, -1102),
    ],
)
def test_a_malformed_request_for_klines_is_refused(
    simulator: Simulator, params: dict[str, str], code: int
) -> None:
    answer = simulator.get("/api/v3/klines", **params)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_served_candles_can_be_restated_removed_repeated_and_spoilt(simulator: Simulator) -> None:
    candles = klines(simulator, limit=8)[:-1]
    times = [k[0] for k in candles]
    simulator.control(
        "candles",
        symbol="BTCUSDT",
        restate=[{"at": times[0], "volume": "1.00000000"}, {"at": times[1], "close": None}],
        remove=[times[2]],
        repeat=[times[3]],
    )
    changed = klines(simulator, startTime=times[0], limit=7)
    assert changed[0][5] == "1.00000000"
    assert changed[1][4] is None
    assert [k[0] for k in changed[:5]] == [times[0], times[1], times[3], times[3], times[4]]
    simulator.control("candles", symbol="BTCUSDT", reset=True)
    assert klines(simulator, startTime=times[0], limit=7) == candles


def test_candles_can_be_added_after_the_last_one(filed: Simulator) -> None:
    added = [FIRST + 4 * H4, "2", "4", "2", "4", "1", FIRST + 5 * H4 - 1, "3", 1, "1", "1", "0"]
    filed.control("candles", symbol="SOLUSDT", add=[added])
    filed.advance(H4)
    assert klines(filed, symbol="SOLUSDT")[-1] == added
    assert Decimal(filed.price("SOLUSDT")) == 4


def test_real_candles_are_served_as_they_are(market_data: Path) -> None:
    with running("--data", str(market_data), "--no-limits", "--symbols", "BTCUSDT,SOLUSDT") as simulator:
        for symbol in ("BTCUSDT", "SOLUSDT"):
            with gzip.open(market_data / "klines-4h" / f"{symbol}-4h.csv.gz", "rt") as file:
                expected = list(csv.reader(file))[1:]
            got: list[list[Any]] = []
            while page := klines(
                simulator, symbol=symbol, startTime=got[-1][0] + 1 if got else 0, limit=1000
            ):
                got += page
            assert [[str(value) for value in k] for k in got] == expected
        assert len(simulator.get("/api/v3/exchangeInfo").json()["symbols"]) == 1248
