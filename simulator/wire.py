"""What goes over the wire: JSON as Binance writes it, and connections cut off on purpose."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any


def dump(answer: Any) -> str:
    """Compact JSON."""
    return json.dumps(answer, separators=(",", ":"))


def cut(transport: asyncio.Transport | None) -> None:
    """Reset a TCP connection, so that the other side sees an error and not an end."""
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
