"""docs/error-codes.md, made from the table: `python -m tests.docs.error_codes > docs/error-codes.md`."""

from __future__ import annotations

from eightbells.exchange.codes import ErrorCode
from eightbells.exchange.recovery import REJECTED, TABLE, WORDS, Action

_MEANING = {
    Action.RESYNC: "measure the exchange's clock, then retry at once",
    Action.WAIT: "wait, then retry; after 418 and 429 every process on this machine waits",
    Action.ASK: "the outcome is unknown: Eightbells queries an order by its client order id, and retries a read",
    Action.FIX: "fetch the symbol's rules, fit quantity and price to them, retry once",
    Action.REFUSE: "the exchange did not do it and never will: the report says so, and the run continues without it",
    Action.STOP: "configuration or account is wrong: the report says so, and the run ends",
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
    return f"""# Errors of the exchange, and what Eightbells does about them

The Prefect UI shows each retry as a retry of its task, with the time and the reason of the wait. You can change every
entry in `eightbells.toml`. `eightbells doctor` and `accept-drift` do not retry: they report at once.

```toml
[errors]
"{ErrorCode.TOO_MANY_REQUESTS}" = {{ delay = 90, attempts = 5 }}
```

| action | what it means |
|---|---|
{actions}

Eightbells chooses the row by status, code and words, in this order:

1. If the exchange answers an order with HTTP 5xx, Eightbells always queries the order, whatever else the answer says.
2. The codes {codes} have several meanings, and some answers have no
   known code. For these the exchange's words choose the row, see below. For every other code its own row applies.
3. An answer without a known code has the row of its status: `http-403`, or `http-4xx` where there is none.
4. Without an answer, how far the request got chooses the row. In `key-characters`, `address`, `name-resolution`,
   `connection-refused`, `no-connection`, `proxy` and `certificate` nothing was sent, so no order exists. In `network`,
   `timeout` and `unreadable` the outcome is unknown.

If the last attempt of an order ends in `wait`, the next run for its candle sends it again while the candle is fresh
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
