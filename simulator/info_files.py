"""A saved answer of exchangeInfo: read from its file, each mistake one line with file, place and remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from simulator.kline_files import BadFile, read_file

REMEDY = "save Binance's answer to /api/v3/exchangeInfo there, compressed with gzip"
FIELDS = {"symbol": str, "status": str, "baseAsset": str, "quoteAsset": str, "filters": list}


def newest_info(folder: Path) -> Path:
    """The last `*.json.gz` by name; raises ValueError with a sentence when there is none."""
    files = sorted(path for path in folder.glob("*.json.gz") if not path.name.startswith("."))
    if not files:
        raise ValueError(f"{folder} holds no exchangeInfo (*.json.gz); {REMEDY}")
    return files[-1]


def read_info(path: Path) -> dict[str, Any]:
    """An exchangeInfo with its symbols and rate limits.

    Raises:
        BadFile: it is not one.
    """
    try:
        info = json.loads(read_file(path))
    except json.JSONDecodeError as problem:
        raise BadFile(path, f"is not JSON: {problem.msg}", REMEDY, line=problem.lineno) from None
    except UnicodeDecodeError:
        raise BadFile(path, "is not JSON", REMEDY, line=1) from None
    for name in ("symbols", "rateLimits"):
        if not isinstance(info, dict) or not isinstance(info.get(name), list):
            raise BadFile(path, f"has no list {name!r}", REMEDY, line=1)
        if not all(isinstance(entry, dict) for entry in info[name]):
            raise BadFile(path, f"has something else than objects in {name!r}", REMEDY, line=1)
    for entry in info["symbols"]:
        _check_symbol(path, entry)
    for limit in info["rateLimits"]:
        if not {"rateLimitType", "interval", "limit"} <= limit.keys():
            raise BadFile(path, "a rate limit lacks its type, interval or limit", REMEDY, line=1)
    return dict(info)


def _check_symbol(path: Path, entry: dict[str, Any]) -> None:
    name = entry.get("symbol", "a symbol")
    for field, kind in FIELDS.items():
        if not isinstance(entry.get(field), kind):
            raise BadFile(path, f"{name} has no {field!r}", REMEDY, line=1)
    if not all(isinstance(it, dict) and "filterType" in it for it in entry["filters"]):
        raise BadFile(path, f"a filter of {name} has no 'filterType'", REMEDY, line=1)
