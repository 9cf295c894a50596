"""A provider on loopback whose model says what a script tells it to."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import BinaryIO

from equitrcoder.testing import http11, openai_chat
from equitrcoder.testing.faults import Plan, Renderer, Step, plan
from equitrcoder.testing.script import Answer as Answer  # for the example below
from equitrcoder.testing.script import ReceivedRequest, Script, ScriptExhausted, in_order

_RENDERERS: dict[str, Renderer] = {openai_chat.PATH: openai_chat}
"""Wires by the end of the path that asks for them."""

_POLL_WHILE_STALLED_S = 0.05  # only how soon a caller's hang-up during a stall is noticed, never a verdict


class _HungUp(Exception):
    """This connection is over: by order of the script, or because the server closes."""


class ScriptedProvider:
    """A real HTTP server that speaks the Chat Completions wire and answers from a script; needs no key.

    It listens on 127.0.0.1 only, on a port of its own. Any path that ends in `/chat/completions` is answered from the
    script, streaming or not as the request asks; `GET …/models` lists `models`. Each connection has a thread.

    Args:
        script: Replies in the order of arrival, or a function `(ReceivedRequest) -> Answer | Fault`, called for one
            request at a time. When it is used up (or the function raises) the request gets a 500 that says so, and
            `errors` has the same sentence.
        models: What `GET …/models` lists.
        port: 0 for a free one.
        on_request: Called with each request when it has arrived, before anything is answered.

    Example:
        >>> import json, urllib.request
        >>> with ScriptedProvider([Answer(text="Hello.")]) as provider:
        ...     request = urllib.request.Request(provider.base_url + "/chat/completions", data=b'{"model": "m"}')
        ...     with urllib.request.urlopen(request) as response:
        ...         message = json.load(response)["choices"][0]["message"]
        >>> message["content"], len(provider.requests), provider.errors
        ('Hello.', 1, [])
    """

    def __init__(
        self,
        script: Script,
        *,
        models: Sequence[str] = ("scripted-model",),
        port: int = 0,
        on_request: Callable[[ReceivedRequest], None] | None = None,
    ) -> None:
        self.requests: list[ReceivedRequest] = []
        """What was received, in the order of arrival."""
        self.errors: list[str] = []
        """What went wrong on this side: script used up or raising, no such path, no HTTP. Empty after a good run."""
        self._script = script if callable(script) else in_order(script)
        self._script_lock = threading.Lock()
        self._models = tuple(models)
        self._on_request = on_request
        self._changed = threading.Condition()  # guards requests, errors, connections and the three below
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._releases = 0
        self._stalled = 0
        self._closing = False
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="scripted-provider", daemon=True)
        self._acceptor.start()

    @property
    def base_url(self) -> str:
        """Where it listens, as providers give it: `http://127.0.0.1:PORT/v1`."""
        return f"http://127.0.0.1:{self._port}/v1"

    def wait_for_requests(self, count: int, timeout_s: float = 10.0) -> list[ReceivedRequest]:
        """Wait until so many requests have arrived in all; return all that have.

        Raises:
            TimeoutError: They did not come in time.
        """
        self._wait(lambda: len(self.requests) >= count, timeout_s, f"{count} requests")
        return list(self.requests)

    def wait_for_stalled(self, count: int = 1, timeout_s: float = 10.0) -> None:
        """Wait until so many answers stand still by order of a `Fault`.

        Raises:
            TimeoutError: They did not in time.
        """
        self._wait(lambda: self._stalled >= count, timeout_s, f"{count} stalled answers")

    def release(self) -> None:
        """Let all answers go on that stand still now."""
        with self._changed:
            self._releases += 1
            self._changed.notify_all()

    def close(self) -> None:
        """End all connections and stop listening; returns when no thread and no socket is left. May be called twice."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            connections = dict(self._connections)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port)):
            pass  # wakes the acceptor, on every system
        self._acceptor.join()
        for thread, connection in connections.items():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()

    def __enter__(self) -> ScriptedProvider:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> ScriptedProvider:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import asyncio  # only whoever is in a loop already needs it

        await asyncio.to_thread(self.close)

    def _wait(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, timeout_s):
                raise TimeoutError(f"waited {timeout_s:g} s for {what}; {len(self.requests)} requests have arrived")

    def _accept(self) -> None:
        with self._listener:
            while True:
                try:
                    connection, _ = self._listener.accept()
                except ConnectionError:  # gone again before it was taken
                    continue
                with self._changed:
                    if self._closing:
                        connection.close()
                        return
                    thread = threading.Thread(
                        target=self._serve, args=(connection,), name="scripted-provider-connection", daemon=True
                    )
                    self._connections[thread] = connection
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with connection, connection.makefile("rb") as stream, contextlib.suppress(_HungUp, ConnectionError):
                while self._serve_one(connection, stream):
                    pass
        finally:
            with self._changed:
                self._connections.pop(threading.current_thread(), None)

    def _serve_one(self, connection: socket.socket, stream: BinaryIO) -> bool:
        try:
            head = http11.read_head(stream)
            if head is None:
                return False
            if "100-continue" in head.headers.get("expect", "").lower():
                connection.sendall(http11.head_bytes(100, {}))
            body = http11.read_body(stream, head)
        except http11.BadRequest as error:
            self._trouble(str(error))
            connection.sendall(http11.head_bytes(400, {"content-length": "0", "connection": "close"}))
            return False
        request = self._received(head, body)
        self._carry_out(connection, self._plan(request), request, keep_alive=head.keep_alive)
        return head.keep_alive

    def _received(self, head: http11.RequestHead, body: bytes) -> ReceivedRequest:
        try:
            value = json.loads(body) if body else None
        except ValueError:
            value = None
        now = time.monotonic()
        with self._changed:
            request = ReceivedRequest(
                number=len(self.requests) + 1,
                method=head.method,
                path=head.path,
                headers=head.headers,
                body=body,
                json=value,
                received_at=now,
            )
            if self._on_request is not None:
                self._on_request(request)
            self.requests.append(request)
            self._changed.notify_all()
        return request

    def _plan(self, request: ReceivedRequest) -> Plan:
        path = request.path.partition("?")[0]
        if request.method == "GET" and path.endswith("/models"):
            return _json_plan(200, openai_chat.render_models(self._models))
        for end, renderer in _RENDERERS.items():
            if request.method == "POST" and path.endswith(end):
                return self._scripted(request, renderer)
        return self._refuse(404, request, "no such path here")

    def _scripted(self, request: ReceivedRequest, renderer: Renderer) -> Plan:
        try:
            with self._script_lock:
                reply = self._script(request)
            return plan(reply, request, renderer)
        except ScriptExhausted as error:
            return self._refuse(500, request, str(error))
        except Exception as error:  # noqa: BLE001 - a script is the caller's own code: what it raises is reported
            return self._refuse(500, request, f"the script raised {type(error).__name__}: {error}")

    def _refuse(self, status: int, request: ReceivedRequest, reason: str) -> Plan:
        sentence = f"scripted provider, request {request.number} ({request.method} {request.path}): {reason}"
        self._trouble(sentence)
        error = {"message": sentence, "type": "scripted_provider", "param": None, "code": None}
        return _json_plan(status, openai_chat.render_error(error, streaming=False))

    def _trouble(self, sentence: str) -> None:
        with self._changed:
            self.errors.append(sentence)

    def _carry_out(self, connection: socket.socket, todo: Plan, request: ReceivedRequest, *, keep_alive: bool) -> None:
        for step in todo.before:
            self._do(connection, step, chunked=False)
        connection.sendall(_head(todo, keep_alive=keep_alive))
        chunked = todo.body_bytes is None
        for step in todo.steps:
            self._do(connection, step, chunked=chunked)
        if chunked:
            connection.sendall(http11.LAST_CHUNK)
        request.answered_at = time.monotonic()

    def _do(self, connection: socket.socket, step: Step, *, chunked: bool) -> None:
        if isinstance(step, bytes):
            connection.sendall(http11.chunk(step) if chunked else step)
        elif step == "stall":
            self._stall(connection)
        elif isinstance(step, float | int):
            with self._changed:
                if self._changed.wait_for(lambda: self._closing, step):
                    raise _HungUp
        else:
            if step == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise _HungUp

    def _stall(self, connection: socket.socket) -> None:
        with self._counted_as_stalled() as seen:
            while not self._closing and self._releases == seen:
                if _gone(connection):
                    raise _HungUp
                self._changed.wait(_POLL_WHILE_STALLED_S)
            if self._closing:
                raise _HungUp

    @contextlib.contextmanager
    def _counted_as_stalled(self) -> Iterator[int]:
        with self._changed:
            self._stalled += 1
            self._changed.notify_all()
            try:
                yield self._releases
            finally:
                self._stalled -= 1
                self._changed.notify_all()


def _gone(connection: socket.socket) -> bool:
    """Whether the other side has hung up."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _head(todo: Plan, *, keep_alive: bool) -> bytes:
    framing = {"transfer-encoding": "chunked"} if todo.body_bytes is None else {"content-length": str(todo.body_bytes)}
    return http11.head_bytes(
        todo.status, {**todo.headers, **framing, "connection": "keep-alive" if keep_alive else "close"}
    )


def _json_plan(status: int, body: bytes) -> Plan:
    return Plan(status=status, headers={"content-type": "application/json"}, steps=(body,), body_bytes=len(body))
