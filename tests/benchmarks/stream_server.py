"""A stream server that sends faster than a client can read: frames made beforehand, a socket, no library.

`python -m tests.benchmarks.stream_server SYMBOLS` says its port, then obeys lines on stdin: `flood` sends frames of
running candles without end to whoever connects next, `quiet` stops that, and `close OPEN_TIME` tells everybody
that the candle of every symbol has closed, all in one write.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import sys
import threading
from contextlib import suppress

STEP = 4 * 3600 * 1000
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455


def framed(payload: bytes) -> bytes:
    """A text frame of a server: unmasked."""
    size = len(payload)
    head = bytes([0x81, size]) if size < 126 else bytes([0x81, 126]) + size.to_bytes(2, "big")
    return head + payload


def kline(number: int, opened: int, closed: bool) -> bytes:
    """A combined kline frame as Binance words it."""
    symbol, price = f"S{number:04d}USDT", f"{100 + number / 100:.8f}"
    told = opened + STEP + 6 if closed else opened + 2000
    text = (
        f'{{"stream":"{symbol.lower()}@kline_4h","data":{{"e":"kline","E":{told},"s":"{symbol}","k":{{"t":{opened},'
        f'"T":{opened + STEP - 1},"s":"{symbol}","i":"4h","f":100,"L":200,"o":"{price}","c":"{price}","h":"{price}",'
        f'"l":"{price}","v":"1000.00000000","n":100,"x":{"true" if closed else "false"},"q":"100000.00000000",'
        f'"V":"500.00000000","Q":"50000.00000000","B":"0"}}}}}}'
    )
    return framed(text.encode())


class Server:
    """Everybody who is connected, and whether frames flow."""

    def __init__(self, symbols: int) -> None:
        self._symbols = symbols
        self._flood = threading.Event()
        self._clients: list[socket.socket] = []
        self._running = b"".join(kline(number, 0, False) for number in range(symbols))

    def serve(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        print(listener.getsockname()[1], flush=True)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        for line in sys.stdin:
            word, _, opened = line.strip().partition(" ")
            if word == "close":
                frames = b"".join(kline(number, int(opened), True) for number in range(self._symbols))
                for client in list(self._clients):
                    with suppress(OSError):  # one that has gone
                        client.sendall(frames)
            elif word == "flood":
                self._flood.set()
            else:
                self._flood.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        key = next(value for name, value in lines.items() if name.lower() == b"sec-websocket-key")
        accepted = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        client.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accepted + b"\r\n\r\n"
        )
        self._clients.append(client)
        threading.Thread(target=self._ignore, args=(client,), daemon=True).start()
        try:
            while self._flood.wait():
                client.sendall(self._running)
        except OSError:
            return

    def _ignore(self, client: socket.socket) -> None:
        """Subscriptions are granted by sending, pings by not minding their absence."""
        with suppress(OSError):
            while client.recv(65536):
                pass
        self._clients.remove(client)


if __name__ == "__main__":
    Server(int(sys.argv[1])).serve()
