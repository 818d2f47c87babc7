"""No part of a password, key or token is in what is shown, whatever signs it is made of and however it is encoded."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
from unittest.mock import patch
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli import prefect_api, prefect_server
from cli.notify.addresses import addresses
from eightbells.addresses import hidden, shown, without_credentials
from eightbells.database.address import parameters, read, told, variables
from eightbells.database.engine import connect
from eightbells.errors import EightbellsError
from eightbells.settings import load_settings

# Signs that no sentence of ours has three of in a row, and every sign that means something in an address.
words = st.text("QXZJqxzj7935", min_size=3, max_size=6)
signs = st.text("@:/?#%&=+ '\"\\$[]{}<>;,~^|`!*()äß€安", max_size=3)
secrets = st.lists(st.tuples(signs, words), min_size=1, max_size=3).map(lambda it: "".join(map("".join, it)))
# of the libraries that apprise brings
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def assert_hidden(secret: str, said: str) -> None:
    for part in re.findall(r"[QXZJqxzj7935]{3,}", secret):
        assert part not in said, said
    for form in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()):
        assert form not in said, said


def said_by(act: object) -> str:
    """What an action says: its answer, or what it fails with."""
    try:
        return str(act())  # type: ignore[operator]
    except EightbellsError as error:
        return str(error)


@quick
@given(secrets, st.sampled_from(["postgresql", "postgres", "mysql", "http", "https", "socks5", "redis"]))
def test_no_part_of_a_password_is_in_an_address_that_is_shown(secret: str, scheme: str) -> None:
    for written in (secret, quote(secret, safe=""), quote_plus(secret)):
        for address in (
            f"{scheme}://bot:{written}@db.example:5432/eightbells",
            f"{scheme}://:{written}@db.example",
            f"{scheme}://bot:{written}@[::1]:5432/eightbells?sslmode=require",
            f"{scheme}://db.example/eightbells?user=bot&password={written}",
            f"bot:{written}@db.example",
        ):
            assert_hidden(secret, shown(address))
            assert_hidden(secret, said_by(lambda address=address: read(address).host))


@quick
@given(secrets)
def test_an_encoded_password_reaches_postgres_as_it_is_and_no_message(secret: str) -> None:
    with patch.dict(os.environ, {"DATABASE_URL": ""}):
        for address in (
            f"postgresql://bot:{quote(secret, safe='')}@127.0.0.1:9/books",
            f"postgresql://127.0.0.1:9/books?user=bot&password={quote(secret, safe='')}",
        ):
            url = read(address)
            assert parameters(url)["password"] == variables(url)["PGPASSWORD"] == secret
            assert_hidden(secret, said_by(lambda url=url: connect(url)))
            assert_hidden(secret, told(url, ValueError(f'invalid dsn "{address}": {secret!r}')))


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        ("postgresql://bot:p@ss@host/name", "write @ as %40"),
        ("postgresql://bot:p/ss@host/name", "write / as %2F"),
        ("postgresql://bot:12/34@host/name", "write / as %2F"),
        ("postgresql://bot:p@s?s#@host/name", "write @ as %40, ? as %3F, # as %23"),
        ("postgresql://bot%3Apass@host/name", "not as %3A"),
        ("postgresql://bot:pass@host/name?schema=public", "no option schema: remove it"),
        ("postgresql://bot:pass@host/name?hush=1", "no option of a name in its ?query: remove it"),
        (
            "postgresql://bot:pass@host:port/name",
            "should look like postgresql://user:password@host:5432/name",
        ),
        ("postgresql://bot:pass@host:70000/name", "a port is a number"),
        ("mysql://bot:pass@host/name", "should begin with postgresql://"),
        ("jdbc:postgresql://host/name", "remove `jdbc:`"),
        ("postgresql://bot:pa%00ss@host/name", "control character"),
        ("host=127.0.0.1 password=hush", "should look like postgresql://"),
        ("'postgresql://bot:pass@host/name'", "should look like postgresql://"),
    ],
)
def test_an_address_that_is_not_clear_is_refused_with_what_to_write(address: str, advice: str) -> None:
    with pytest.raises(EightbellsError) as raised:
        read(address)
    assert str(raised.value).startswith("DATABASE_URL cannot be read: ")
    assert advice in str(raised.value)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://bot@host/name",
        "postgresql+asyncpg://bot:p%ss:word@h1:1/name",
        "postgres:///name?host=/run/a b",
        "postgresql://[::1]:5433/name?sslmode=require&options=-c%20search_path%3Dx",
        "postgresql://host",
    ],
)
def test_addresses_that_people_have_are_read(address: str) -> None:
    assert read(address.replace(" ", "%20")).drivername == "postgresql"
    assert "***" not in shown(address.replace(" ", "%20"))


@quick
@given(secrets)
def test_what_the_environment_keeps_secret_is_hidden_in_every_form(secret: str) -> None:
    forms = [
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
        base64.b64encode(secret.encode()).decode(),
    ]
    for name, value in {
        "BINANCE_API_SECRET": secret,
        "BINANCE_API_KEY": secret,
        "PREFECT_API_AUTH_STRING": f"admin:{secret}",
        "DATABASE_URL": f"postgresql://bot:{secret}@host/name",
        "HTTPS_PROXY": f"http://me:{quote(secret)}@proxy:1",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://bot:{quote(secret, safe='')}@host/name",
        "EIGHTBELLS_NOTIFICATIONS__URLS": json.dumps([f"tgram://{quote(secret, safe='')}/1"]),
    }.items():
        with patch.dict(os.environ, {name: value}):
            for form in forms:
                if secret.strip() == secret:
                    assert_hidden(secret, hidden(f"failed ({form}): no such thing"))


@quick
@given(secrets)
def test_a_login_in_the_address_of_prefect_goes_into_its_header_alone(secret: str) -> None:
    address = f"http://admin:{quote(secret, safe='')}@127.0.0.1:9/api"
    asked = prefect_api.request(address, "/health")
    assert asked.full_url == "http://127.0.0.1:9/api/health"
    sent = asked.get_header("Authorization", "").removeprefix("Basic ")
    assert base64.b64decode(sent).decode() == f"admin:{secret}"
    for given_address in (address, f"http://admin:{secret}@127.0.0.1:9/api", f"{secret}:9", f"//{secret}@h"):
        assert_hidden(secret, said_by(lambda it=given_address: prefect_api.ask("/health", api=it)))
        assert_hidden(secret, said_by(lambda it=given_address: prefect_server.answers(it)))
        with patch.dict(os.environ, {"PREFECT_API_URL": given_address}):
            assert_hidden(secret, said_by(prefect_api.part_login))
            os.environ.pop("PREFECT_API_AUTH_STRING", None)
    with patch.dict(os.environ, {"PREFECT_API_URL": address}):
        prefect_api.part_login()
        assert os.environ["PREFECT_API_URL"] == "http://127.0.0.1:9/api"
        assert os.environ["PREFECT_API_AUTH_STRING"] == f"admin:{secret}"


@quick
@given(secrets)
def test_an_address_of_notifications_is_named_without_its_secret(secret: str) -> None:
    for address in (
        f"tgram://{secret}/12",
        f"json://me:{secret}@host/{secret}",
        secret,
        f"{secret}://host",
        "json://",
    ):
        with patch.dict(os.environ, {"EIGHTBELLS_NOTIFICATIONS__URLS": json.dumps([address])}):
            assert_hidden(secret, said_by(lambda: [it.name for it in addresses(load_settings())]))


NAMES = [
    "MODE",
    "RISK__MAX_ORDER",
    "NOTIFICATIONS",
    "EXCHANGE__REST_URL",
    "DATABASE__NAME",
    "BINANCE_API_KEY",
]


@quick
@given(secrets, st.sampled_from([f"EIGHTBELLS_{name}" for name in NAMES]))
def test_a_secret_in_the_wrong_setting_is_not_repeated(secret: str, name: str) -> None:
    with patch.dict(os.environ, {name: f"https://me:{secret}@host"}), contextlib.suppress(ValueError):
        assert_hidden(secret, said_by(load_settings))


def test_credentials_end_where_they_should() -> None:
    assert without_credentials("http://a:b%40c@h:1/api") == ("http://h:1/api", "a:b@c")
    assert without_credentials("http://h:1/api") == ("http://h:1/api", "")
    with pytest.raises(ValueError, match="write @ as %40"):
        without_credentials("http://a:b@c@h:1/api")


def test_a_private_key_is_hidden(tmp_path: object) -> None:
    file = tmp_path / "key.pem"  # type: ignore[operator]
    file.write_text("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----\n")
    with patch.dict(os.environ, {"BINANCE_PRIVATE_KEY_FILE": str(file)}):
        assert hidden("could not read 'MC4CAQAwBQYDK2VwBCIEIA'") == "could not read '***'"
