"""`python -m simulator`: start the exchange, say when it is ready, and end without a trace."""

from __future__ import annotations

import asyncio
import sys

from simulator.options import read_options


def main() -> int:
    """Run until told to end; 2 with a line on stderr for each thing that keeps it from starting."""
    options = read_options()
    from simulator.server import build, run  # only now: a wrong argument is answered without this second

    try:
        exchange, told = build(options)
        asyncio.run(run(options, exchange, told))
    except (ValueError, OSError) as problem:
        for line in str(getattr(problem, "strerror", None) or problem).splitlines():
            print(f"simulator: {line}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
