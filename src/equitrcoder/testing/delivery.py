"""Carrying out a plan on a connection: bytes, silences, standstills, ends; a closing server cuts all of it short."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence

from equitrcoder.testing import http11
from equitrcoder.testing.faults import Plan, Step

_POLL_WHILE_STALLED_S = 0.05  # only how soon a hang-up during a standstill is noticed, never a verdict


class Over(Exception):
    """This connection is over: by order of the script, or because the server closes."""


class HungUp(Exception):
    """The other side has gone while an answer was under way."""


class Gate:
    """Where all answers of a server wait. Its condition guards the server's other shared state too."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.closing = False
        self.stalled = 0
        self._releases = 0

    def release(self) -> None:
        """Let all answers go on that stand still now."""
        with self.changed:
            self._releases += 1
            self.changed.notify_all()

    def close(self) -> None:
        """End all waiting, now and later."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()

    def pause(self, seconds: float) -> None:
        """Be silent for so long."""
        with self.changed:
            if self.changed.wait_for(lambda: self.closing, seconds):
                raise Over

    def stall(self, connection: socket.socket) -> None:
        """Stand still until the next `release`, or until the other side has gone."""
        with self._counted() as seen:
            while not self.closing and self._releases == seen:
                if _gone(connection):
                    raise HungUp
                self.changed.wait(_POLL_WHILE_STALLED_S)
            if self.closing:
                raise Over

    @contextlib.contextmanager
    def _counted(self) -> Iterator[int]:
        with self.changed:
            self.stalled += 1
            self.changed.notify_all()
            try:
                yield self._releases
            finally:
                self.stalled -= 1
                self.changed.notify_all()


def _gone(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def deliver(
    connection: socket.socket, todo: Plan, gate: Gate, *, keep_alive: bool, before_last_bytes: Callable[[], None]
) -> None:
    """Answer one request.

    `before_last_bytes` is called when only the last bytes of a whole answer are left to send, so that whoever has read
    the answer finds it done; an answer that is broken off by order never gets there.

    Raises:
        Over: The connection is to be closed now.
        HungUp: The other side has gone.
        ConnectionError: The same, noticed by the system.
    """
    for step in todo.before:
        _do(connection, step, gate)
    unsent = _head(todo, keep_alive=keep_alive)  # goes out together with the first bytes of the body
    chunked = todo.body_bytes is None
    last = _last_bytes(todo.steps)
    for place, step in enumerate(todo.steps):
        if place == last:
            before_last_bytes()
        if isinstance(step, bytes):
            connection.sendall(unsent + (http11.chunk(step) if chunked else step))
        else:
            connection.sendall(unsent)
            _do(connection, step, gate)
        unsent = b""
    if last == len(todo.steps):
        before_last_bytes()
    connection.sendall(unsent + (http11.LAST_CHUNK if chunked else b""))


def _last_bytes(steps: Sequence[Step]) -> int | None:
    """Place of the last bytes; the end when there are none; None when the answer is broken off."""
    if "close" in steps or "reset" in steps:
        return None
    return max((place for place, step in enumerate(steps) if isinstance(step, bytes)), default=len(steps))


def _do(connection: socket.socket, step: Step, gate: Gate) -> None:
    if step == "stall":
        gate.stall(connection)
    elif isinstance(step, float | int):
        gate.pause(step)
    elif step == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Over
    else:
        raise Over


def _head(todo: Plan, *, keep_alive: bool) -> bytes:
    framing = {"transfer-encoding": "chunked"} if todo.body_bytes is None else {"content-length": str(todo.body_bytes)}
    connection = {"connection": "keep-alive" if keep_alive else "close"}
    return http11.head_bytes(todo.status, {**todo.headers, **framing, **connection})
