"""A backtest, or live or paper trading, as one HTML file that needs nothing else. plotly.js is in it once."""

from __future__ import annotations

import html
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from eightbells.backtest.history import History
from eightbells.backtest.result import Result, Trade
from eightbells.backtest.statistics import by_place, drawdowns, figures, monthly_returns
from eightbells.candles import grid
from eightbells.errors import EightbellsError

_MOST_CANDLES = 3000  # of one symbol; where there are more, a chart shows days
_MOST_TRADES = 2000
_OURS, _THEIRS, _LOSS, _GAIN, _STOP = "#1f6feb", "#8a8f98", "#c93c37", "#2f8f4e", "#b7791f"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STYLE = """
:root { color-scheme: light; font: 15px/1.45 system-ui, sans-serif; color: #1c2128; background: #fff }
body { max-width: 1240px; margin: 0 auto; padding: 1.5rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .6rem }
p { margin: .3rem 0 } .quiet { color: #5b636d }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: .6rem; margin: 1rem 0 }
.tile { border: 1px solid #d8dee4; border-radius: 6px; padding: .5rem .7rem }
.tile b { display: block; font-size: 1.15rem; font-variant-numeric: tabular-nums }
.tile span { color: #5b636d; font-size: .85rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .88rem }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #eaeef2; white-space: nowrap }
th { background: #f6f8fa; position: sticky; top: 0; font-weight: 600 }
td.word, th.word { text-align: left } td.wrap { white-space: normal; min-width: 9rem; font-size: .82rem }
.scroll { overflow: auto; max-height: 480px; border: 1px solid #d8dee4; border-radius: 6px }
.scroll table { width: 100% } .loss { color: #b02a25 } .gain { color: #1f7a3d }
"""


def write(path: Path, result: Result, histories: Sequence[History], title: str = "Backtest") -> None:
    """Write the report.

    Raises:
        EightbellsError: the file cannot be written.
    """
    try:
        path.write_text(page(result, histories, title))
    except OSError as error:
        raise EightbellsError(f"{path} cannot be written: {error.strerror}") from None


def page(result: Result, histories: Sequence[History], title: str = "Backtest") -> str:
    """The report as HTML."""
    found = figures(result)
    strategies = ", ".join(dict.fromkeys(strategy for strategy, _ in result.profits))
    symbols = ", ".join(dict.fromkeys(symbol for _, symbol in result.profits))
    parts = [
        f"<h1>{_text(title)}</h1>",
        f"<p>{_text(strategies)} on {_text(symbols)}</p>",
        f'<p class="quiet">{found.start} to {found.end} UTC, money in {_text(result.asset)}</p>',
        *(f"<p>{_text(note)}</p>" for note in result.notes),
        _tiles(result),
        "<h2>Equity</h2>",
        _html(equity_chart(result), "equity"),
        "<h2>Candles and trades</h2>",
        _html(candle_chart(result, histories), "candles"),
        "<h2>Returns by month</h2>",
        _months(result),
        "<h2>By strategy and symbol</h2>",
        _places(result),
        f"<h2>Trades</h2>{_trades(result.trades)}",
        f"<h2>Not traded</h2>{_refused(result)}",
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style><script>{get_plotlyjs()}</script></head>"
        f"<body>{''.join(parts)}</body></html>"
    )


def equity_chart(result: Result) -> go.Figure:
    """Equity against buy and hold, and below it the drawdown."""
    times = _times(result.times, at_close=True)
    equity = np.array([float(value) for value in result.equity])
    drop = -drawdowns(equity, float(result.capital))
    keep = _few(len(times))
    chart = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.72, 0.28], vertical_spacing=0.04)
    for name, values, colour, row in (
        ("equity", equity, _OURS, 1),
        ("buy and hold", np.array(result.benchmark), _THEIRS, 1),
        ("drawdown", drop, _LOSS, 2),
    ):
        chart.add_scatter(
            x=times[keep],
            y=values[keep],
            name=name,
            line={"color": colour, "width": 1.5},
            row=row,
            col=1,
            fill="tozeroy" if row == 2 else None,
        )
    scales = [
        {"label": name, "method": "relayout", "args": [{"yaxis.type": kind}]}
        for name, kind in (("linear", "linear"), ("logarithmic", "log"))
    ]
    chart.update_layout(
        updatemenus=[
            {
                "type": "buttons",
                "direction": "right",
                "x": 1,
                "xanchor": "right",
                "y": 1.13,
                "buttons": scales,
            }
        ]
    )
    chart.update_yaxes(title_text=result.asset, row=1, col=1)
    chart.update_yaxes(title_text="drawdown", tickformat=".0%", row=2, col=1)
    return _dressed(chart, 520)


def candle_chart(result: Result, histories: Sequence[History]) -> go.Figure:
    """The candles of one symbol at a time, with entries, exits and stops."""
    chart, counts = go.Figure(), []
    first, last = result.times[0], result.times[-1]
    for number, history in enumerate(histories):
        shown, before = number == 0, len(chart.data)
        frame = history.shown[(history.opens >= first) & (history.opens <= last)]
        if len(frame) > _MOST_CANDLES:
            rules = {"open": "first", "high": "max", "low": "min", "close": "last"}
            frame = frame.resample("1D").agg(rules).dropna()
        chart.add_candlestick(
            x=frame.index,
            **{name: frame[name] for name in ("open", "high", "low", "close")},
            name=history.symbol,
            visible=shown,
            increasing_line_color=_GAIN,
            decreasing_line_color=_LOSS,
            line_width=1,
        )
        fills = [it for it in result.fills if it.order.symbol == history.symbol]
        reasons = _reasons(result.trades, history.symbol)
        for name, legs, mark, colour in (
            ("entry", ("entry",), "triangle-up", _OURS),
            ("exit", ("exit", "target", "trim"), "triangle-down", "#6e40c9"),
            ("stop", ("stop",), "x", _STOP),
        ):
            those = [it for it in fills if it.order.leg in legs]
            words = [
                f"{it.order.strategy}: {it.order.side} {it.quantity.normalize():f} at {it.price.normalize():f}"
                f"<br>{_text(reasons.get((it.order.strategy, it.at_ms, it.order.side), ''))}"
                for it in those
            ]
            chart.add_scatter(
                x=_times([it.at_ms for it in those]),
                y=[float(it.price) for it in those],
                mode="markers",
                name=name,
                text=words,
                hoverinfo="text+x",
                visible=shown,
                marker={"symbol": mark, "color": colour, "size": 10, "line": {"color": "white", "width": 1}},
            )
        counts.append((history.symbol, before, len(chart.data) - before))
    buttons = [
        {
            "label": symbol,
            "method": "update",
            "args": [{"visible": [start <= at < start + count for at in range(len(chart.data))]}],
        }
        for symbol, start, count in counts
    ]
    if len(buttons) > 1:
        chart.update_layout(updatemenus=[{"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.15}])
    chart.update_layout(xaxis_rangeslider_visible=False)
    return _dressed(chart, 520)


def _dressed(chart: go.Figure, height: int) -> go.Figure:
    chart.update_layout(
        height=height,
        margin={"l": 60, "r": 20, "t": 50, "b": 40},
        template="plotly_white",
        hovermode="x unified",
        legend={"orientation": "h", "y": 1.08, "x": 0.5, "xanchor": "center"},
        font={"family": "system-ui, sans-serif"},
    )
    return chart


def _html(chart: go.Figure, name: str) -> str:
    found: str = chart.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=name,
        config={"displaylogo": False, "responsive": True},
    )
    return found


def _few(count: int) -> npt.NDArray[np.intp]:
    """Places of not many more points than a chart is wide, the last among them."""
    step = max(1, count // 4000)
    return np.arange(count - 1, -1, -step)[::-1]


def _times(moments: Iterable[int], *, at_close: bool = False) -> pd.DatetimeIndex:
    return pd.to_datetime([it + (grid.STEP_MS if at_close else 0) for it in moments], unit="ms")


def _reasons(trades: Iterable[Trade], symbol: str) -> dict[tuple[str, int, str], str]:
    found = {}
    for trade in trades:
        if trade.symbol == symbol:
            found[trade.strategy, trade.opened_ms, "BUY"] = trade.reason_in
            found[trade.strategy, trade.closed_ms, "SELL"] = trade.reason_out
    return found


def _tiles(result: Result) -> str:
    it = figures(result)
    tiles = [
        ("equity", f"{it.equity:,.2f}"), ("return", _share(it.total_return)), ("buy and hold", _share(it.buy_and_hold)),
        ("CAGR", _share(it.cagr)), ("volatility", _share(it.volatility)), ("Sharpe", _ratio(it.sharpe)),
        ("Sortino", _ratio(it.sortino)), ("Calmar", _ratio(it.calmar)), ("max drawdown", _share(it.max_drawdown)),
        ("exposure", _share(it.exposure)), ("turnover a year", _ratio(it.turnover)), ("fees", f"{it.fees:,.2f}"),
        ("trades", f"{it.trades}"), ("win rate", _share(it.win_rate)), ("best trade", _share(it.best_trade)),
        ("worst trade", _share(it.worst_trade)), (f"worst day, {it.worst_day_at}", _share(it.worst_day)),
    ]  # fmt: skip
    return (
        '<div class="tiles">'
        + "".join(f'<div class="tile"><b>{value}</b><span>{name}</span></div>' for name, value in tiles)
        + "</div>"
    )


def _months(result: Result) -> str:
    equity = np.array([float(value) for value in result.equity])
    found = monthly_returns(result.times, equity, float(result.capital))
    years = sorted({year for year, _ in found})
    rows = []
    for year in years:
        cells, whole = [], 1.0
        for month in range(1, 13):
            value = found.get((year, month))
            whole *= 1 + (value or 0)
            cells.append("<td></td>" if value is None else _shaded(value))
        rows.append(f'<tr><td class="word">{year}</td>{"".join(cells)}{_shaded(whole - 1, bold=True)}</tr>')
    head = "".join(f"<th>{name}</th>" for name in (*_MONTHS, "year"))
    return f'<div class="scroll"><table id="months"><tr><th></th>{head}</tr>{"".join(rows)}</table></div>'


def _shaded(value: float, *, bold: bool = False) -> str:
    strength = min(0.55, abs(value) * 2.5)
    colour = f"rgba({'47,143,78' if value >= 0 else '201,60,55'},{strength:.2f})"
    shown = f"{value:+.1%}"
    return f'<td style="background:{colour}">{f"<b>{shown}</b>" if bold else shown}</td>'


def _places(result: Result) -> str:
    rows = [
        (
            it["strategy"],
            it["symbol"],
            _signed(it["profit"]),
            f"{it['trades']}",
            _share(it["win_rate"]),
            f"{it['stops']}",
            f"{it['fees']:,.2f}",
        )
        for it in by_place(result)
    ]
    return _table(("strategy", "symbol", "profit", "trades", "won", "stops", "fees"), rows, words={0, 1})


def _trades(trades: Sequence[Trade]) -> str:
    rows = [
        (
            grid.label(it.opened_ms),
            grid.label(it.closed_ms),
            f"{_text(it.strategy)}<br>{it.symbol}",
            f"{it.quantity.normalize():f}",
            f"{float(it.entry_price):.8g}",
            f"{float(it.exit_price):.8g}",
            _signed(float(it.profit)),
            f"{it.share:+.2%}",
            it.leg,
            _text(it.reason_in),
            _text(it.reason_out),
        )
        for it in trades[-_MOST_TRADES:]
    ]
    head = (
        "bought (UTC)", "sold (UTC)", "what", "quantity", "paid", "brought", "profit", "share", "by",
        "why bought", "why sold",
    )  # fmt: skip
    left_out = len(trades) - len(rows)
    note = (
        f'<p class="quiet">The newest {len(rows)}; {left_out} earlier ones are left out.</p>'
        if left_out
        else ""
    )
    return note + _table(head, rows, words={0, 1, 2, 8, 9, 10}, wrap={9, 10})


def _refused(result: Result) -> str:
    rows = [
        (_text(strategy), symbol, stage, str(times), _text(reason))
        for (strategy, symbol, stage, reason), times in result.refused.most_common(200)
    ]
    return _table(("strategy", "symbol", "stage", "times", "reason"), rows, words={0, 1, 2, 4}, wrap={4})


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], words: Container[int], wrap: Container[int] = ()
) -> str:
    if not rows:
        return "<p>None.</p>"

    def kind(at: int) -> str:
        return f' class="word{" wrap" if at in wrap else ""}"' if at in words else ""

    top = "".join(f"<th{kind(at)}>{name}</th>" for at, name in enumerate(head))
    lines = "".join(
        "<tr>" + "".join(f"<td{kind(at)}>{cell}</td>" for at, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'


def _signed(value: float) -> str:
    return f'<span class="{"gain" if value >= 0 else "loss"}">{value:+,.2f}</span>'


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _text(words: Any) -> str:
    return html.escape(str(words))
