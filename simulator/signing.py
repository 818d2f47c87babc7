"""Who sends a request, and whether it is signed and on time: API keys, signatures, recvWindow."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from functools import lru_cache
from urllib.parse import unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from simulator.accounts import Account, Accounts
from simulator.errors import Refusal, illegal, missing
from simulator.params import INTEGER, MICROSECONDS, Params

DEFAULT_WINDOW = 5000
LONGEST_WINDOW = 60000
AHEAD = 1000
INVALID_SIGNATURE = "Signature for this request is not valid."


def find_account(accounts: Accounts, key: str | None, ip: str, needs_trade: bool) -> Account:
    """The account behind an API key; -2014 for a malformed key, -2015 for an unknown or forbidden one."""
    if not key or len(key) > 128 or not key.isascii() or " " in key:
        raise Refusal(-2014, "API-key format invalid.", 401)
    account = accounts.by_key.get(key)
    denied = Refusal(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    if account is None:
        raise denied
    permitted = account.permissions
    if (permitted.ips and ip not in permitted.ips) or not (
        permitted.trade if needs_trade else permitted.read
    ):
        raise denied
    return account


def check_time(params: Params, now: int, tolerance: int = 0) -> None:
    """-1021 when the request's timestamp is ahead of the clock or older than its window, by over `tolerance`."""
    if params.values.get("timestamp") is None:
        raise missing("timestamp")
    sent_at = int(params.need("timestamp", INTEGER))
    window = params.text("recvWindow")
    if window is not None and not window.replace(".", "", 1).isdigit():
        raise illegal("recvWindow", r"^[0-9]{1,5}(\.[0-9]{1,3})?$")
    width = DEFAULT_WINDOW if window is None else float(window)
    if width > LONGEST_WINDOW:
        raise Refusal(-1131, "recvWindow must be less than 60000")
    if sent_at > MICROSECONDS:
        sent_at //= 1000
    if sent_at >= now + AHEAD + tolerance:
        raise Refusal(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now - sent_at > width + tolerance:
        raise Refusal(-1021, "Timestamp for this request is outside of the recvWindow.")


def split_signature(*parts: str) -> tuple[str, str | None]:
    """The signed payload (query and body as they were sent, without the signature) and the signature."""
    signature: str | None = None
    payload = ""
    for part in parts:
        kept = []
        for pair in part.split("&"):
            if pair.startswith("signature="):
                signature = unquote(pair[len("signature=") :])
            else:
                kept.append(pair)
        payload += "&".join(kept)
    return payload, signature


def check_signature(account: Account, payload: str, signature: str | None) -> None:
    """-1102 when the signature is missing, -1022 when it does not belong to payload and key."""
    if not signature:
        raise missing("signature")
    valid = _valid_public if account.secret.startswith("-----BEGIN") else _valid_hmac
    if not valid(account.secret, payload.encode(), signature):
        raise Refusal(-1022, INVALID_SIGNATURE)


def _valid_hmac(secret: str, payload: bytes, signature: str) -> bool:
    expected = hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.lower().encode())


def _valid_public(pem: str, payload: bytes, signature: str) -> bool:
    key = _public_key(pem)
    try:
        raw = base64.b64decode(signature, validate=True)
        if isinstance(key, Ed25519PublicKey):
            key.verify(raw, payload)
        else:
            key.verify(raw, payload, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


@lru_cache(64)
def _public_key(pem: str) -> Ed25519PublicKey | RSAPublicKey:
    key = load_pem_public_key(pem.encode())
    if not isinstance(key, Ed25519PublicKey | RSAPublicKey):
        raise ValueError("a public key must be of Ed25519 or RSA")
    return key
