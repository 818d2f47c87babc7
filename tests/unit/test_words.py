"""Lengths of time and amounts as the terminal shows them."""

from decimal import Decimal

import pytest

from cli.words import money, span


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (11_100, "3 h 5 min"),
        (86_400 * 3 + 7, "3 d 7 s"),
        (28_387_195.782, "328 days"),
    ],
)
def test_a_span_has_two_parts_at_most(seconds: float, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("20000.0000000000000", "20,000.00"),
        ("0", "0.00"),
        ("-1234.567", "-1,234.57"),
        ("0.5", "0.50"),
        ("0.00012345", "0.00012"),
        ("1E-12", "0.00000000"),
    ],
)
def test_money_has_cents_or_its_first_digits(amount: str, words: str) -> None:
    assert money(Decimal(amount)) == words
    assert money(Decimal(amount), "USDT") == f"{words} USDT"
