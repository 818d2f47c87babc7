"""`python -m simulator`: start the exchange, say when it is ready, and end without a trace."""

from __future__ import annotations

import asyncio
import sys

from simulator.options import read_options


def main() -> int:
    """Run until told to end; 2 with one line on stderr when it cannot start."""
    options = read_options()
    from simulator.server import build, run  # only now: a wrong argument is answered without this second

    try:
        exchange, told = build(options)
        asyncio.run(run(options, exchange, told))
    except (ValueError, OSError) as problem:
        print(f"simulator: {getattr(problem, 'strerror', None) or problem}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
