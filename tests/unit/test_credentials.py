"""A key with a character that no key has: which variable, which kind, where; and never its value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eightbells.errors import UnsendableKey
from eightbells.settings import load_settings

KEY, SECRET = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zv", "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP"
ODDITIES = [
    ("\r", "a carriage return"),
    ("\n", "a line end"),
    ("\t", "a tab"),
    (" ", "a space"),
    ("\x00", "a control character"),
    ("\x1b", "a control character"),
    ("\x7f", "a control character"),
    ('"', "a quotation mark"),
    ("\u200b", "a character outside of ASCII"),
    ("\ufeff", "a character outside of ASCII"),
    ("ü", "a character outside of ASCII"),
]


def credentials(key: str, secret: str) -> object:
    settings = load_settings(mode="testnet", binance_api_key=key, binance_api_secret=secret)
    return settings.credentials()


@pytest.mark.parametrize(("letter", "kind"), ODDITIES, ids=[ascii(letter) for letter, _ in ODDITIES])
@pytest.mark.parametrize("place", [0, 7, len(KEY)], ids=["at the beginning", "inside", "at the end"])
@pytest.mark.parametrize("name", ["BINANCE_API_KEY", "BINANCE_API_SECRET"])
def test_the_variable_and_the_kind_of_character_are_named(
    name: str, place: int, letter: str, kind: str
) -> None:
    sound = KEY if name == "BINANCE_API_KEY" else SECRET
    odd = sound[:place] + letter + sound[place:]
    with pytest.raises(UnsendableKey) as raised:
        credentials(odd, SECRET) if name == "BINANCE_API_KEY" else credentials(KEY, odd)
    said = str(raised.value)
    assert said.startswith(f"{name} has a character that cannot be sent: {kind} at place {place + 1} of ")
    assert said.isprintable()
    assert not any(odd[at : at + 4] in said for at in range(len(odd) - 3))


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, blacklist_characters="\"'"), min_size=1))
def test_a_key_of_printable_characters_is_taken_as_it_is(key: str) -> None:
    assert credentials(key, key).key == key  # type: ignore[attr-defined]
