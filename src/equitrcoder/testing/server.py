"""A provider on loopback whose model says what a script tells it to."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import BinaryIO

from equitrcoder.testing import (
    anthropic_messages,
    cohere_v2,
    gemini_generate,
    http11,
    ollama_chat,
    openai_chat,
    openai_responses,
    replicate_predictions,
)
from equitrcoder.testing.delivery import Gate, HungUp, Over, deliver
from equitrcoder.testing.faults import Plan, Renderer, plan
from equitrcoder.testing.script import Answer as Answer  # for the example below
from equitrcoder.testing.script import ReceivedRequest, Reply, Script, ScriptExhausted, in_order

_RENDERERS: dict[str, Renderer] = {
    openai_chat.PATH: openai_chat,
    ollama_chat.PATH: ollama_chat,
    cohere_v2.PATH: cohere_v2,
    openai_responses.PATH: openai_responses,
    openai_responses.AGENT_PATH: openai_responses,
    anthropic_messages.PATH: anthropic_messages,
    gemini_generate.PATH: gemini_generate,
    gemini_generate.STREAM_PATH: gemini_generate,
}
"""Wires by the end of the path that asks for them."""


class ScriptedProvider:
    """A real HTTP server that speaks the providers' wires and answers from a script; needs no key.

    It listens on 127.0.0.1 only, on a port of its own. Any path that ends as a wire's does (`/chat/completions`,
    `/responses`, `/messages`, `/api/chat`, `/predictions`, …) is answered in that wire from the script, streaming or
    not as the request asks; `GET …/models` and `GET …/api/tags` list `models`. Each connection has a thread.

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
        self._predictions = replicate_predictions.Predictions()
        self._models = tuple(models)
        self._on_request = on_request
        self._gate = Gate()
        self._changed = self._gate.changed  # guards requests, errors and connections
        self._connections: dict[threading.Thread, socket.socket] = {}
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
        self._wait(lambda: self._gate.stalled >= count, timeout_s, f"{count} stalled answers")

    def wait_for_hang_ups(self, count: int = 1, timeout_s: float = 10.0) -> list[ReceivedRequest]:
        """Wait until the other side has gone during so many answers; return their requests.

        A hang-up shows while an answer stalls, and otherwise when bytes can no longer be sent.

        Raises:
            TimeoutError: It did not in time.
        """

        def left() -> list[ReceivedRequest]:
            return [request for request in self.requests if request.hung_up_at is not None]

        self._wait(lambda: len(left()) >= count, timeout_s, f"{count} hang-ups")
        return left()

    def release(self) -> None:
        """Let all answers go on that stand still now."""
        self._gate.release()

    def close(self) -> None:
        """End all connections and stop listening; returns when no thread and no socket is left. May be called twice."""
        self._gate.close()
        with self._changed:
            connections = dict(self._connections)
        if self._acceptor.is_alive():
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
                    if self._gate.closing:
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
            with connection, connection.makefile("rb") as stream, contextlib.suppress(Over, HungUp, ConnectionError):
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
        except (ValueError, RecursionError):
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
        try:
            return self._found(request) or self._refuse(404, request, "no such path here")
        except ScriptExhausted as error:
            return self._refuse(500, request, str(error))
        except Exception as error:  # noqa: BLE001 - a script is the caller's own code: what it raises is reported
            return self._refuse(500, request, f"the script raised {type(error).__name__}: {error}")

    def _found(self, request: ReceivedRequest) -> Plan | None:
        path = request.path.partition("?")[0]
        if request.method == "GET" and path.endswith("/models"):
            return _json_plan(200, openai_chat.render_models(self._models))
        if request.method == "GET" and path.endswith("/api/tags"):
            return _json_plan(200, ollama_chat.render_tags(self._models))
        for end, renderer in _RENDERERS.items():
            if request.method == "POST" and path.endswith(end):
                return plan(self._reply(request), request, renderer)
        return self._predictions.plan(request, f"http://127.0.0.1:{self._port}", lambda: self._reply(request))

    def _reply(self, request: ReceivedRequest) -> Reply:
        with self._script_lock:
            return self._script(request)

    def _refuse(self, status: int, request: ReceivedRequest, reason: str) -> Plan:
        sentence = f"scripted provider, request {request.number} ({request.method} {request.path}): {reason}"
        self._trouble(sentence)
        error = {"message": sentence, "type": "scripted_provider", "param": None, "code": None}
        body = openai_chat.render_error(error, streaming=False)
        return _json_plan(status, body, {"x-should-retry": "false"})

    def _trouble(self, sentence: str) -> None:
        with self._changed:
            self.errors.append(sentence)

    def _carry_out(self, connection: socket.socket, todo: Plan, request: ReceivedRequest, *, keep_alive: bool) -> None:
        def answered() -> None:
            request.answered_at = time.monotonic()

        try:
            deliver(connection, todo, self._gate, keep_alive=keep_alive, before_last_bytes=answered)
        except (HungUp, ConnectionError):
            with self._changed:
                request.answered_at = None
                if not self._gate.closing:
                    request.hung_up_at = time.monotonic()
                    self._changed.notify_all()
            raise


def _json_plan(status: int, body: bytes, headers: Mapping[str, str] = {}) -> Plan:
    headers = {"content-type": "application/json", **headers}
    return Plan(status=status, headers=headers, steps=(body,), body_bytes=len(body))
