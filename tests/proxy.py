"""A proxy as companies have them: it finds hosts that nobody else does, wants a password, and notes each request."""

from __future__ import annotations

import base64
import re
import shutil
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

USER, PASSWORD = "wat@her", "p@ss/w0rd+9"
QUOTED = "wat%40her:p%40ss%2Fw0rd%2B9"
ELSEWHERE = "exchange.test"  # a host that only the proxy finds
_GRANTED = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class Proxy(socketserver.ThreadingTCPServer):
    """Hands CONNECT and plain requests for ELSEWHERE on to one address, and refuses all others with 403.

    Attributes:
        asked: method and host of each request, `CONNECT exchange.test`.
    """

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.asked: list[str] = []
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self.url = f"http://{QUOTED}@{self.address}"

    def answer_to(self, method: str, host: str, head: bytes) -> bytes:
        """The refusal of a request; empty where it is granted."""
        self.asked.append(f"{method} {host}")
        if f"Proxy-Authorization: Basic {_GRANTED}\r\n".lower() not in head.decode().lower():
            return b"HTTP/1.1 407 Proxy Authentication Required\r\n"
        return b"" if host == ELSEWHERE and self.target else b"HTTP/1.1 403 Forbidden\r\n"


class _Handler(socketserver.StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (line := self.rfile.readline()):
                return
            head += line
        found = re.match(rb"(\w+) (?:\w+://)?([^:/ ]+)(?::\d+)?(\S*)", head)
        assert found is not None
        method, host, path = (part.decode() for part in found.groups())
        if refusal := self.server.answer_to(method, host, head):
            self.wfile.write(refusal + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
            return
        with suppress(ConnectionError), socket.create_connection(_pair(self.server.target)) as onward:
            if method == "CONNECT":
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                lines = head.split(b"\r\n", 1)[1]
                once = b"" if b"upgrade:" in lines.lower() else b"Connection: close\r\n"
                onward.sendall(f"{method} {path} HTTP/1.1\r\n".encode() + once + lines)
            threading.Thread(target=_pour, args=(self.rfile, onward.makefile("wb", 0)), daemon=True).start()
            _pour(onward.makefile("rb", 0), self.wfile)


def _pour(source: object, sink: object) -> None:
    with suppress(OSError, ValueError):
        shutil.copyfileobj(source, sink, 1)  # type: ignore[arg-type]


def _pair(url: str) -> tuple[str, int]:
    host, _, port = url.rpartition("//")[2].partition(":")
    return host, int(port)


@contextmanager
def running(target: str = "") -> Iterator[Proxy]:
    """A proxy for the length of a block; without a target it refuses everything."""
    with Proxy(target) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
        yield proxy
        proxy.shutdown()
