"""A server on loopback that answers with bytes of one's own: for what no well-made HTTP server would ever send."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from typing import TypeAlias

from equitrcoder.testing import http11


class Line:
    """One connection, as an answer sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, *pieces: bytes) -> None:
        """Send; raises OSError when the other side has gone."""
        for piece in pieces:
            self._connection.sendall(piece)

    def until_gone(self) -> None:
        """Be silent until the other side hangs up."""
        with contextlib.suppress(OSError):
            while self._connection.recv(4096):
                pass

    def drip(self, piece: bytes) -> None:
        """Send the same bytes again and again, with pauses, until the other side hangs up."""
        while True:
            self._connection.sendall(piece)
            time.sleep(0.01)

    def reset(self) -> None:
        """End the connection so that the other side is told of an error."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()

    def flood(self, piece: bytes) -> None:
        """Send the same bytes over and over until the other side hangs up."""
        while True:
            self._connection.sendall(piece)


Reply: TypeAlias = bytes | Callable[[Line], object]
"""Bytes to send, or what to do. Afterwards the connection is closed, unless the reply returned True."""


class RawServer:
    """Gives each request the next reply, the last one over and over.

    Example:
        with RawServer(b"HTTP/1.1 204 No Content\\r\\n\\r\\n") as server:
            print(server.base_url, server.requests)
    """

    def __init__(self, *replies: Reply, tls: ssl.SSLContext | None = None) -> None:
        self._replies = replies
        self._tls = tls
        self._lock = threading.Lock()
        self.requests = 0
        """Received so far."""
        self.connections = 0
        """Taken so far."""
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._port: int = self._listener.getsockname()[1]
        self._closing = False
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def base_url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> RawServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port)):
            pass  # wakes the acceptor
        self._acceptor.join()
        self._listener.close()
        with self._lock:
            left = list(self._open)
        for connection in left:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._closing:
                connection.close()
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            with self._lock:
                self.connections += 1
                self._open.add(connection)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        plain = connection
        try:
            with contextlib.suppress(OSError, http11.BadRequest), contextlib.ExitStack() as stack:
                stack.enter_context(plain)
                if self._tls is not None:
                    connection = stack.enter_context(self._tls.wrap_socket(connection, server_side=True))
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                stream = stack.enter_context(connection.makefile("rb"))
                while self._serve_one(connection, stream):
                    pass
        finally:
            with self._lock:
                self._open.discard(plain)

    def _serve_one(self, connection: socket.socket, stream: object) -> bool:
        head = http11.read_head(stream)  # type: ignore[arg-type]
        if head is None:
            return False
        http11.read_body(stream, head)  # type: ignore[arg-type]
        with self._lock:
            reply = self._replies[min(self.requests, len(self._replies) - 1)]
            self.requests += 1
        if isinstance(reply, bytes):
            connection.sendall(reply)
            return False
        return reply(Line(connection)) is True
