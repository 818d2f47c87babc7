"""Data Docs: what the suite said of a batch, as pages of a static site that load nothing from elsewhere."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from eightbells import metrics
from eightbells.errors import UnusableBatch
from eightbells.quality import data_docs
from eightbells.quality.gate import admit
from tests.conftest import Configure
from tests.klines import after, frame, kline, klines

_MOST = 5


@pytest.fixture(autouse=True)
def nothing_waits(tmp_path: Path) -> None:
    """Of what other tests have judged in this process."""
    data_docs.write(tmp_path / "others", _MOST)


def _pages(folder: Path) -> dict[str, str]:
    return {it.stem: it.read_text() for it in (folder / "data-docs/validations").glob("*.html")}


def test_a_batch_with_bad_and_odd_rows_has_a_page_for_each_kind(engine: Engine, tmp_path: Path) -> None:
    rows = [kline(0), kline(1, low="101"), kline(2, trades=0), kline(3)]
    admission = admit(engine, [frame(rows)], "rest", after(10))
    assert data_docs.build(tmp_path, _MOST) == 2
    pages = _pages(tmp_path)
    (reject,) = [page for name, page in pages.items() if name.endswith("-warning")]
    (warn,) = [page for name, page in pages.items() if name.endswith("-info")]
    assert f"Batch {admission.batch}: 4 candles of 4h by rest" in reject
    assert "BTCUSDT 2021-03-01 04:00: low above open" in reject
    assert "Unsuccessful Expectations" in reject  # Great Expectations' own rendering
    assert "100.00 and 101" in reject  # open and low
    assert f"batch {admission.batch}" in reject
    assert re.findall('href="([^"]*)"', reject) == ["../style.css", "../index.html"]
    assert "BTCUSDT 2021-03-01 08:00: volume without trades" in warn
    index = (tmp_path / "data-docs/index.html").read_text()
    assert [index.count(it) for it in ("validations/", 'class="failed"', 'class="passed"')] == [2, 2, 0]


def test_a_page_loads_nothing_from_elsewhere_and_runs_nothing(engine: Engine, tmp_path: Path) -> None:
    admit(engine, [frame([kline(0), kline(1, close="<script>alert(1)</script>")])], "rest", after(10))
    data_docs.build(tmp_path, _MOST)
    index = (tmp_path / "data-docs/index.html").read_text()
    for page in [index, *_pages(tmp_path).values()]:
        assert "default-src 'none'" in page
        assert "<script" not in page
        assert re.findall(r'(?:src|href)="(https?:[^"]*)"', page) == []


def test_the_newest_results_are_kept_and_no_more(engine: Engine, tmp_path: Path) -> None:
    for slot in range(_MOST + 3):
        admit(engine, [frame([kline(slot, low="200")])], "rest", after(100))
        data_docs.write(tmp_path, _MOST)
        data_docs.build(tmp_path, _MOST)
    results = sorted((tmp_path / "data-docs/results").iterdir())
    pages = _pages(tmp_path)
    assert len(results) == len(pages) == _MOST
    assert [it.stem for it in results] == sorted(pages)
    assert "2021-03-02 04:00" in pages[results[-1].stem]  # slot 7


def test_of_batches_without_a_finding_the_newest_is_kept_by_source(engine: Engine, tmp_path: Path) -> None:
    for slot, source in enumerate(["rest", "rest", "archive", "rest"]):
        admit(engine, [frame([kline(slot)])], source, after(100))
    assert data_docs.build(tmp_path, _MOST) == 2


def test_a_run_makes_pages_for_so_long_and_the_next_build_makes_the_rest(
    engine: Engine, tmp_path: Path
) -> None:
    for slot in range(3):
        admit(engine, [frame([kline(slot, low="200")])], "rest", after(100))
    assert data_docs.build(tmp_path, _MOST, 0) == 3
    assert _pages(tmp_path) == {}
    assert "<a " not in (tmp_path / "data-docs/index.html").read_text()
    assert data_docs.build(tmp_path, _MOST) == 3
    assert len(_pages(tmp_path)) == 3


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kept: json.dumps(kept)[:200],
        lambda kept: json.dumps(kept | {"result": kept["result"] | {"statistics": {}}}),
        lambda kept: json.dumps(kept | {"facts": {}}),
        lambda kept: json.dumps(kept | {"result": kept["result"] | {"suite_name": "of-another-version"}}),
        lambda kept: json.dumps([kept]),
        lambda kept: "null",
    ],
    ids=["cut off", "no statistics", "no facts", "another suite", "a list", "nothing"],
)
def test_a_result_that_cannot_be_read_costs_the_others_nothing(
    engine: Engine, tmp_path: Path, spoil: Callable[[dict[str, Any]], str]
) -> None:
    for slot in range(3):
        admit(engine, [frame([kline(slot, low="200")])], "rest", after(100))
    data_docs.write(tmp_path, _MOST)
    file = sorted((tmp_path / "data-docs/results").iterdir())[1]
    file.write_text(spoil(json.loads(file.read_text())))
    assert data_docs.build(tmp_path, _MOST) == 2
    index = (tmp_path / "data-docs/index.html").read_text()
    assert index.count("validations/") == 2
    assert file.stem not in index


def test_a_refused_batch_has_a_page_too(engine: Engine, tmp_path: Path) -> None:
    rows = [kline(slot, open="") for slot in range(120)]
    with pytest.raises(UnusableBatch):
        admit(engine, [frame(rows)], "rest", after(200))
    assert data_docs.build(tmp_path, _MOST) == 1
    (page,) = _pages(tmp_path).values()
    assert "Refused batch: 120 candles of 4h by rest" in page


def test_putting_results_aside_costs_next_to_nothing(engine: Engine, tmp_path: Path) -> None:
    admit(engine, [frame([*klines(20000), kline(3, low="300")])], "rest", after(20001))
    result, facts = data_docs._failed[-1].result, data_docs._failed[-1].facts
    began = time.perf_counter()
    for _ in range(1000):
        data_docs.note(facts, result)
    noted = time.perf_counter()
    data_docs.write(tmp_path, _MOST)
    written = time.perf_counter()
    print(f"1,000 noted: {noted - began:.4f} s; 20 written: {written - noted:.2f} s")
    assert noted - began < 0.5
    assert written - noted < 2


def test_the_process_of_metrics_serves_the_site_and_nothing_else(
    engine: Engine, tmp_path: Path, configure: Configure
) -> None:
    (tmp_path / "secret.html").write_text("secret")
    admit(engine, [frame([kline(0, low="200")])], "rest", after(10))
    data_docs.build(tmp_path, _MOST)
    port = metrics.serve(engine, configure(metrics__port=0), pages=partial(data_docs.page_of, tmp_path))

    def read(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    assert "eightbells_candles " in read("/metrics")[1]
    for path in ("/data-docs", "/data-docs/", "/data-docs/index.html"):
        assert read(path)[0] == 200
        assert "<h1>Data Docs</h1>" in read(path)[1]
    (name,) = _pages(tmp_path)
    assert "BTCUSDT 2021-03-01 00:00" in read(f"/data-docs/validations/{name}.html")[1]
    assert read("/data-docs/style.css")[0] == 200
    for path in (
        "/data-docs/../secret.html",
        "/data-docs/%2e%2e/secret.html",
        "/data-docs//etc/passwd",
        f"/data-docs/results/{name}.json",
        "/data-docs/validations",
    ):
        assert read(path)[0] == 404, path
