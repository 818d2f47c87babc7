"""docs/error-codes.md, made from the table: `python -m eightbells.exchange.error_codes > docs/error-codes.md`."""

from __future__ import annotations

from eightbells.exchange.recovery import TABLE, Action

_MEANING = {
    Action.RESYNC: "measure the exchange's clock anew and go again at once",
    Action.WAIT: "wait, then go again; after 418 and 429 every process on this machine waits",
    Action.ASK: "the outcome is unknown: an order is asked for by its client order id, a read goes again",
    Action.FIX: "fetch the symbol's rules, fit quantity and price to them, go again once",
    Action.REFUSE: "it certainly did not happen and never will: told, and the run goes on without it",
    Action.STOP: "configuration or account at fault: told, and the run ends",
}


def render() -> str:
    """The page as it must stand in docs/."""
    actions = "\n".join(f"| {action} | {meaning} |" for action, meaning in _MEANING.items())
    rows = "\n".join(
        f"| {code} | {remedy.action} | {remedy.delay:g} | {remedy.attempts} | {remedy.advice} |"
        for code, remedy in TABLE.items()
    )
    return f"""# Errors of the exchange, and what is done about them

Each retry is shown in the Prefect UI as a retry of its task, with the time and the reason of the wait. Every entry
can be changed in `eightbells.toml`:

```toml
[errors]
"-1003" = {{ delay = 90, attempts = 5 }}
```

| action | what it means |
|---|---|
{actions}

`-2010` says many things under one code; its message decides: "Duplicate order sent." is asked for, "Market is closed."
waits, an order that would trigger or match at once is fitted anew, an account or symbol that may not trade stops.
An order that is answered with HTTP 5xx is always asked for, whatever the code.

| code | action | delay (s) | attempts | in words |
|---|---|---|---|---|
{rows}
"""


if __name__ == "__main__":
    print(render(), end="")
