"""Addresses and their secrets: how an address is shown, and what is hidden before anything is shown.

Nothing else renders an address that may hold a password.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote

# Without doubt about where the password ends: an @, / ? or # that belongs to it has to be encoded.
_CLEAR = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://"
    r"(?:(?P<user>[^@/?#:]*)(?::(?P<password>[^@/?#]*))?@)?"
    r"(?P<host>(?:\[[0-9a-f:.%]+\]|[\w.%~-]*)(?::[0-9]+)?(?:,(?:\[[0-9a-f:.%]+\]|[\w.%~-]+)(?::[0-9]+)?)*)"
    r"(?P<path>/[^@?#\s]*)?"
    r"(?:\?(?P<query>[^@#\s]*))?",
    re.IGNORECASE,
)
_PLAIN_USER = re.compile(r"[\w.-]{1,63}")
_SLIPS = {"@": "%40", "/": "%2F", "?": "%3F", "#": "%23"}
_SECRETS = (
    "BINANCE_API_KEY",
    "BINANCE_API_SECRET",
    "PGPASSWORD",
    "PREFECT_API_KEY",
    "PREFECT_API_AUTH_STRING",
)
_SHORTEST_HIDDEN = 3  # characters: a shorter one would be found in half of all words
_STARS = "***"


def shown(address: str) -> str:
    """The address for people: scheme, host and path, without its password, its query and what may be part of them."""
    scheme = re.match(r"[a-zA-Z][a-zA-Z0-9+.-]{0,30}(?=://)", address)
    parts = _CLEAR.fullmatch(address)
    if parts is None:
        return f"{scheme[0]}://{_STARS}" if scheme else _STARS
    database = parts["scheme"].startswith("postgres")
    user = f"{parts['user']}@" if database and _PLAIN_USER.fullmatch(parts["user"] or "") else ""
    return f"{parts['scheme']}://{user}{parts['host']}{parts['path'] or ''}"


def slip(address: str, example: str = "postgresql://user:password@host:5432/name") -> str | None:
    """What has to be written otherwise before it is clear what the address means; None where it is."""
    if _CLEAR.fullmatch(address):
        return None
    userinfo, at, _ = address.partition("://")[2].rpartition("@")
    if wrong := [sign for sign in _SLIPS if at and sign in userinfo]:
        return f"in its user and password write {', '.join(f'{sign} as {_SLIPS[sign]}' for sign in wrong)}"
    return f"it should look like {example}"


def without_credentials(address: str) -> tuple[str, str]:
    """An address without user and password, and `user:password` as they are; '' where it has none.

    Raises:
        ValueError: it is not clear where they end; the text says what to write instead.
    """
    if advice := slip(address):
        raise ValueError(advice)
    start, sign, rest = address.partition("://")
    userinfo, at, host = rest.partition("@")
    return (f"{start}{sign}{host}", unquote(userinfo)) if at else (address, "")


def hidden(text: str, *secrets: str) -> str:
    """The text without these secrets and those of the environment, in whatever form they are in it."""
    forms = {form for secret in (*secrets, *_of_environment()) for form in _forms(secret)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, _STARS)
    return text


def _forms(secret: str) -> Iterator[str]:
    """The secret as it is, decoded, and encoded as addresses, JSON, Python and HTTP headers do."""
    for plain in {secret, unquote(secret)}:
        if len(plain) >= _SHORTEST_HIDDEN:
            yield from (
                plain,
                quote(plain, safe=""),
                quote(plain),
                quote(plain, safe=" +"),
                quote_plus(plain),
            )
            yield from (
                json.dumps(plain)[1:-1],
                json.dumps(plain, ensure_ascii=False)[1:-1],
                repr(plain)[1:-1],
            )
            yield base64.b64encode(plain.encode(errors="replace")).decode()


def _of_environment() -> Iterator[str]:
    for name, value in os.environ.items():
        upper = name.upper()
        if upper in _SECRETS:
            yield from (value.strip(), value.strip().partition(":")[2])
        elif upper == "BINANCE_PRIVATE_KEY_FILE" and value:
            yield from _of_key_file(Path(value))
        elif "NOTIFICATIONS" in upper:
            yield from _of_list(value)
        elif "://" in value and upper.endswith(("_URL", "_PROXY")):
            yield from passwords(value.strip())


def _of_key_file(file: Path) -> Iterable[str]:
    try:
        return [line.strip() for line in file.read_text().splitlines() if not line.startswith("-----")]
    except (OSError, ValueError):
        return []


def _of_list(value: str) -> Iterator[str]:
    """The addresses of notifications: all of them is secret but the scheme."""
    try:
        found = json.loads(value)
    except ValueError:
        found = [value]
    for address in found if isinstance(found, list) else [found]:
        rest = str(address).partition("://")[2]
        yield from (str(address), rest, *rest.split("/"))


def passwords(address: str) -> Iterator[str]:
    """What may be the password of an address, also of one that is not clear."""
    rest = address.partition("://")[2]
    userinfo = rest.rpartition("@")[0]
    _, colon, password = userinfo.partition(":")
    if colon or not address.startswith("postgres"):  # a token may stand in the place of a user
        yield from (userinfo, password)
    for option in rest.partition("?")[2].split("&"):
        name, _, value = option.partition("=")
        if "password" in name.lower():
            yield from (value, unquote(value.replace("+", " ")))
