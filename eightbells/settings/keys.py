"""Characters that no API key has: they would be sent, or break the request, and the exchange's answer says neither."""

from __future__ import annotations

_NAMES = {"\r": "a carriage return", "\n": "a line end", "\t": "a tab", " ": "a space"}


def oddity(key: str) -> str | None:
    """The kind and place of the first character that no key has; never the characters around it."""
    for place, letter in enumerate(key, 1):
        if kind := _kind(letter):
            return f"{kind} at place {place} of {len(key)}"
    return None


def _kind(letter: str) -> str:
    if letter in "\"'":
        return "a quotation mark"
    if not letter.isascii():
        return "a character outside of ASCII"
    if letter in _NAMES or not letter.isprintable():
        return _NAMES.get(letter, "a control character")
    return ""
