"""The flow in a process of its own, `python -m tests.stream.flow_process`, with the server of PREFECT_API_URL."""

from __future__ import annotations

import asyncio
import sys
import traceback

from tasks.stopping import leave

if __name__ == "__main__":
    from flows.stream import stream

    try:
        state = asyncio.run(stream(return_state=True))
        print(f"ended: {state.name}", file=sys.stderr)
        leave(0 if state.is_completed() else 1)
    except Exception:  # the server is gone and could not be told
        traceback.print_exc()
        leave(2)
