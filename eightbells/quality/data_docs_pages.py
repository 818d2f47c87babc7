"""The pages of Data Docs: those of Great Expectations without what it loads from elsewhere, and an index of them."""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

# Great Expectations' page asks ten other hosts for scripts, fonts and a picture: none of them is loaded.
_POLICY = "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; base-uri 'none'; form-action 'none'"
_HEAD = (
    f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><meta charset="utf-8">'
)
_ELSEWHERE = (
    r"<script\b.*?</script>",
    r"<link\b[^>]*>",
    r"<img\b[^>]*>",
    r"<footer\b.*?</footer>",
    r"<style\b.*?</style>",
    r"<meta\b[^>]*>",
    r"<p class=\"m-0\">\s*<a data-toggle=\"collapse\".*?</p>",
    r"Data asset: None\s*<br>",
    r"</?a\b[^>]*>",
    r"<nav class=\"navbar.*?</nav>\s*</div>\s*</nav>",
)
_BODY = re.compile(r"<div class=\"col-md-10 col-lg-10.*?(?=</body>)", re.DOTALL)
STYLE = """\
body { font: 15px/1.5 system-ui, sans-serif; color: #212529; background: #fff }
body { margin: 0 auto; max-width: 72rem; padding: 1rem 2rem }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 }
th, td { border-bottom: 1px solid #dee2e6; padding: .35rem .6rem; text-align: left; vertical-align: top }
a { color: #0b5cad }
h5 { font-size: 1.1rem; margin: 1rem 0 .3rem } h6 { font-size: .95rem; margin: .6rem 0 .2rem } p { margin: .3rem 0 }
.alert-secondary { background: #eef1f4; padding: .5rem .8rem; border-radius: .3rem; margin-top: .8rem }
.badge-secondary { background: #dde2e7; border-radius: .3rem; padding: 0 .35rem }
.badge-info { background: #cfe6f3; border-radius: .3rem; padding: 0 .35rem }
.fa-check-circle::before, .passed::before { content: "\\2713\\00a0"; color: #1a7f37 }
.fa-times::before, .failed::before { content: "\\2717\\00a0"; color: #c0281d }
.fas::before, .passed::before, .failed::before { font-style: normal; font-weight: bold }
.text-danger { color: #c0281d }
.modal, .btn, .cooltip .top, [data-toggle="collapse"] { display: none }
ul.rows { margin: .3rem 0; padding-left: 1.2rem }
"""


def validation(kept: Mapping[str, Any]) -> str:
    """The page of one kept result: what it is about, and Great Expectations' own rendering of it."""
    facts = kept["facts"]
    what = f"Batch {facts['batch']}" if facts["batch"] else "Refused batch"
    title = f"{what}: {facts['candles']:,} candles of {facts['interval']} by {facts['source']}"
    rows = "".join(f"<li>{html.escape(row)}</li>" for row in facts["rows"])
    named = f'<h5>Rows</h5><ul class="rows">{rows}</ul>' if rows else ""
    about = (
        f"<h1>{html.escape(title)}</h1><p>{html.escape(_when(kept))}, symbols: {facts['symbols']}. "
        f'<a href="../index.html">All validations</a></p>{named}'
    )
    return _page(title, about + _rendered(kept["result"]), "../style.css")


def index(lines: Sequence[str]) -> str:
    """The list of all kept results, made of their lines."""
    head = "".join(
        f"<th>{it}</th>"
        for it in ("validated", "batch", "rules", "source", "interval", "symbols", "candles", "result")
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    words = (
        "<p>Every validation that found something, and the newest of each source and interval that did not. "
        "Housekeeping makes the pages that have no link yet.</p>"
    )
    return _page(
        "Data Docs", f"<h1>Data Docs</h1>{words}{table if lines else '<p>None yet.</p>'}", "style.css"
    )


def line(name: str, kept: Mapping[str, Any]) -> str:
    """A result in the list; the name of one whose page is not made yet is empty."""
    facts, result = kept["facts"], kept["result"]
    found = result["statistics"]["unsuccessful_expectations"]
    verdict = (
        '<span class="passed">passed</span>'
        if result["success"]
        else f'<span class="failed">{found} found</span>'
    )
    rules = {"critical": "stop", "warning": "reject", "info": "warn"}[result["suite_name"].rsplit("-", 1)[-1]]
    when = html.escape(_when(kept))
    cells = (
        f'<a href="validations/{name}.html">{when}</a>' if name else when,
        facts["batch"] or "",
        rules,
        html.escape(facts["source"]),
        html.escape(facts["interval"]),
        facts["symbols"],
        f"{facts['candles']:,}",
        verdict,
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _when(kept: Mapping[str, Any]) -> str:
    return f"{kept['at'][:19].replace('T', ' ')} UTC"


def _rendered(result: Mapping[str, Any]) -> str:
    """What Great Expectations shows of a result, without the frame around it."""
    from eightbells.quality import suite

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own
        page = suite.rendered(result)
    body = _BODY.search(page)
    content = body[0] if body else page
    for pattern in _ELSEWHERE:
        content = re.sub(pattern, "", content, flags=re.DOTALL)
    return content


def _page(title: str, content: str, style: str) -> str:
    return (
        f'<!DOCTYPE html><html lang="en"><head>{_HEAD}<title>{html.escape(title)}</title>'
        f'<link rel="stylesheet" href="{style}"></head><body>{content}</body></html>'
    )
