"""The page that people read about errors is the table that the program follows."""

from __future__ import annotations

from eightbells.exchange.recovery import TABLE
from tests.docs import error_codes
from tests.surroundings import ROOT


def test_the_page_of_error_codes_is_what_the_table_says() -> None:
    page = (ROOT / "docs/error-codes.md").read_text()
    assert page == error_codes.render(), "run: python -m tests.docs.error_codes > docs/error-codes.md"


def test_every_code_has_its_row_with_action_delay_and_attempts() -> None:
    page = error_codes.render()
    for code, remedy in TABLE.items():
        row = f"| {code} | {remedy.action} | {remedy.delay:g} | {remedy.attempts} | {remedy.advice} |"
        assert row in page.splitlines()
