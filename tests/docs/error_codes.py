"""docs/error-codes.md, made from the table: `python -m tests.docs.error_codes > docs/error-codes.md`."""

from __future__ import annotations

from eightbells.exchange.codes import ErrorCode
from eightbells.exchange.recovery import REJECTED, TABLE, WORDS, Action

_MEANING = {
    Action.RESYNC: "measure the exchange's clock and go again at once",
    Action.WAIT: "wait, then go again; after 418 and 429 every process on this machine waits",
    Action.ASK: "the outcome is unknown: an order is asked for by its client order id, a read goes again",
    Action.FIX: "fetch the symbol's rules, fit quantity and price to them, go again once",
    Action.REFUSE: "it certainly did not happen and never will: the report says so, and the run goes on without it",
    Action.STOP: "configuration or account at fault: the report says so, and the run ends",
}


def render() -> str:
    """The page as it must stand in docs/."""
    actions = "\n".join(f"| {action} | {meaning} |" for action, meaning in _MEANING.items())
    rows = "\n".join(
        f"| {code} | {remedy.action} | {remedy.delay:g} | {remedy.attempts} | {remedy.advice} |"
        for code, remedy in TABLE.items()
    )
    codes = ", ".join(f"`{code}`" for code in sorted(REJECTED, reverse=True))
    words = "\n".join(f"| {words} | {row} |" for words, row in WORDS)
    return f"""# Errors of the exchange, and what is done about them

Each retry is shown in the Prefect UI as a retry of its task, with the time and the reason of the wait. Every entry
can be changed in `eightbells.toml`. `eightbells doctor` and `accept-drift` do not retry: they report at once.

```toml
[errors]
"{ErrorCode.TOO_MANY_REQUESTS}" = {{ delay = 90, attempts = 5 }}
```

| action | what it means |
|---|---|
{actions}

Status, code and words decide, in this order:

1. An order that is answered with HTTP 5xx is always asked for, whatever else the answer says.
2. {codes} say many things, and some answers carry no code that is known:
   there the exchange's words decide, see below. Under every other code the row of the code counts.
3. An answer without a known code has the row of its status: `http-403`, or `http-4xx` where there is none.
4. Without an answer it counts how far the request came. After `key-characters`, `address`, `name-resolution`,
   `connection-refused`, `no-connection`, `proxy` and `certificate` nothing was sent, and an order certainly does not
   exist. After `network`, `timeout` and `unreadable` that is unknown.

An order whose last attempt ended in `wait` goes out again with the next run for its candle, while the candle is fresh
(`trading.max_candle_age_minutes`).

| code | action | delay (s) | attempts | in words |
|---|---|---|---|---|
{rows}

| words of the exchange | row |
|---|---|
{words}
"""


if __name__ == "__main__":
    print(render(), end="")
