"""A server that answers as a test says, byte by byte, and keeps the request lines."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Answering = Callable[[str], bytes]


@dataclass
class Served:
    """Its address, and the request lines that have come."""

    port: int
    lines: list[str] = field(default_factory=list)


def answer(status: int, content: str = "", **headers: str) -> bytes:
    """A whole HTTP answer; headers as `Location=...`."""
    body = content.encode()
    shown = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\n{shown}\r\n".encode() + body


@asynccontextmanager
async def serving(say: Answering, tls: ssl.SSLContext | None = None) -> AsyncIterator[Served]:
    """Answer each request with what `say` makes of its line; an empty answer closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line = head.partition(b"\r\n")[0].decode("latin-1")
                length = next(
                    (int(it[15:]) for it in head.lower().split(b"\r\n") if it[:15] == b"content-length:"), 0
                )
                await reader.readexactly(length)
                served.lines.append(line)
                if not (said := say(line)):
                    return
                writer.write(said)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    served = Served(server.sockets[0].getsockname()[1])
    try:
        yield served
    finally:
        server.close()
