"""Asks a model and gives back its answer: HTTP, waiting and trying again. What the bytes mean is the wire's to say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from equitrcoder import __version__, jsontext
from equitrcoder.errors import ProviderError
from equitrcoder.providers import retry
from equitrcoder.wires.values import Conversation, Delta, RequestOptions, ToolSpec, Turn, Wire, WireRequest

if TYPE_CHECKING:
    import httpx2

    from equitrcoder.providers.choice import ModelChoice
    from equitrcoder.providers.predictions import Predictions

CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelRequest:
    """What to ask."""

    conversation: Conversation
    tools: Sequence[ToolSpec] = ()
    options: RequestOptions


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelResponse:
    """One answer, and what it took."""

    turn: Turn
    duration_ms: float
    """Of the attempt that succeeded, from the request to the last byte."""
    time_to_first_byte_ms: float | None
    """To the first byte of the body; None when it had none."""
    attempts: int = 1
    """This one included."""
    request_id: str | None = None
    """The provider's id of this request; None when it gave none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FailedAttempt:
    """One attempt that gave no answer. `error.partial` has what was read, tokens included."""

    attempt: int
    """From 1."""
    error: ProviderError
    wait_s: float | None
    """How long is waited before the next one; None: there is none, and `error` is raised."""


class ModelClient:
    """Asks one model; safe for many `ask` at a time in one event loop.

    Args:
        choice: Whom to ask.
        idle_timeout_s: How long a stream may be silent.
        deadline_s: How long one attempt may take altogether.
        max_attempts: How often a request is sent at most.
        http: The HTTP client to use; it stays open. None: one of its own, made at the first request.
        sleep: Waits between attempts.

    Raises:
        WireNotReadyError: There is no such wire.

    Example:
        client = ModelClient(choose_model(settings, os.environ))
        response = await client.ask(ModelRequest(conversation=conversation, options=RequestOptions(model=…)))
        await client.aclose()
    """

    def __init__(
        self,
        choice: ModelChoice,
        *,
        idle_timeout_s: float = 300.0,
        deadline_s: float = 1800.0,
        max_attempts: int = 5,
        http: httpx2.AsyncClient | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.choice = choice
        self._wire = _wire_of(choice)
        self._dialect = choice.provider.dialect
        self._headers = request_headers(choice)
        self._idle_timeout_s = idle_timeout_s
        self._deadline_s = deadline_s
        self._max_attempts = max_attempts
        self._http = http
        self._own_http = http is None
        self._sleep = sleep
        self._predictions = _predictions_of(choice, self._headers, sleep)

    def __repr__(self) -> str:
        return f"ModelClient({self.choice!r})"

    async def __aenter__(self) -> ModelClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; it may be called twice."""
        if self._own_http and self._http is not None:
            http, self._http = self._http, None
            await http.aclose()

    async def ask(
        self,
        request: ModelRequest,
        *,
        on_delta: Callable[[Delta], None] | None = None,
        on_failed_attempt: Callable[[FailedAttempt], None] | None = None,
        on_attempt: Callable[[int], None] | None = None,
    ) -> ModelResponse:
        """Ask, and ask again where that may help.

        Args:
            request: What to ask; `options.model` is sent as it is.
            on_delta: Gets text while it streams. What it got from an attempt that then failed counts for nothing.
            on_failed_attempt: Told of each attempt that failed, before the wait; of the last one too, before it raises.
            on_attempt: Told the number of each attempt, from 1, before its first byte goes out.

        Returns:
            The answer of the first attempt that succeeded.

        Raises:
            ProviderError: With provider and model filled in; nothing in it holds the key.

        Cancelling it closes the connection at once.
        """
        http_request = self._build(request)
        attempt = stale = 0
        while True:
            attempt += 1
            headers: dict[str, str] = {}
            line = _Line()
            http_request.extensions["trace"] = line.note
            if on_attempt is not None:
                on_attempt(attempt)
            try:
                return await self._attempt(http_request, request.options.stream, on_delta, attempt, headers)
            except ProviderError as error:
                wait_s = self._after(error, attempt - stale, headers)
                if line.kept and not headers and isinstance(error.__cause__, _closed_early()):
                    stale, wait_s = stale + 1, 0.0  # the provider had closed the connection while it was idle
                if on_failed_attempt is not None:
                    on_failed_attempt(FailedAttempt(attempt=attempt, error=error, wait_s=wait_s))
                if wait_s is None:
                    raise
            await self._sleep(wait_s)

    def _after(self, error: ProviderError, attempt: int, headers: Mapping[str, str]) -> float | None:
        """Complete the error; say how long to wait before the next attempt, None when there is to be none."""
        from equitrcoder.providers.failures import complete
        from equitrcoder.wires.waiting import asked_wait_s

        error.retryable = retry.is_retryable(error, headers, attempt)
        if error.retryable and error.retry_after_s is None:
            error.retry_after_s = asked_wait_s(headers)
        complete(error, self.choice, headers)
        if attempt >= self._max_attempts or not error.retryable:
            return None
        import random

        return retry.wait_s(attempt, error.retry_after_s, random.random())  # noqa: S311 - spreads requests, hides nothing

    def _build(self, request: ModelRequest) -> httpx2.Request:
        try:
            made: WireRequest = self._wire.request(
                request.conversation, request.tools, request.options, self._dialect, origin=self.choice.provider.name
            )
        except ProviderError as error:
            self._after(error, self._max_attempts, {})
            raise
        streaming = request.options.stream
        accept = "text/event-stream, application/json" if streaming else "application/json"
        return self._client().build_request(
            "POST",
            _joined(self.choice.base_url, made.path),
            content=jsontext.dumps(made.body),
            headers={**made.headers, **self._headers, "accept": accept},
            timeout=self._timeout(streaming),
        )

    def _timeout(self, streaming: bool) -> httpx2.Timeout:
        """Without a stream a model is silent until it is done: then only the deadline counts."""
        import httpx2

        read = self._idle_timeout_s if streaming else None
        return httpx2.Timeout(connect=CONNECT_TIMEOUT_S, read=read, write=self._idle_timeout_s, pool=None)

    async def _attempt(
        self,
        request: httpx2.Request,
        streaming: bool,
        on_delta: Callable[[Delta], None] | None,
        attempt: int,
        headers: dict[str, str],
    ) -> ModelResponse:
        """Send the request once. `headers` is filled with those of the answer, also when it turns out to be none."""
        import httpx2

        from equitrcoder.providers.reception import Reception

        reception = Reception(self.choice, self._wire, on_delta)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._deadline_s) as deadline:
                response = await self._send(request)
                headers.update(response.headers)
                try:
                    turn = await reception.read(response, streaming=streaming)
                finally:
                    await response.aclose()
        except TimeoutError:
            if not deadline.expired():
                raise
            from equitrcoder.providers.failures import too_long

            raise too_long(self.choice, self._deadline_s, reception.partial, reception.status) from None
        except httpx2.HTTPError as error:
            from equitrcoder.providers.failures import transport_error

            raise transport_error(
                error,
                self.choice,
                partial=reception.partial,
                status=reception.status,
                idle_timeout_s=self._idle_timeout_s,
            ) from error
        return _response(turn, started, reception.first_byte_at, attempt, headers)

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        if self._predictions is not None:
            return await self._predictions.send(self._client(), request)
        return await self._client().send(request, stream=True, follow_redirects=False)

    def _client(self) -> httpx2.AsyncClient:
        if self._http is None:
            from equitrcoder.providers.transport import open_http

            self._http = open_http(self.choice.base_url)
        return self._http


class _Line:
    """Whether a request went out over a connection that was there already."""

    def __init__(self) -> None:
        self.kept = False
        self._opened = False

    async def note(self, event: str, _: object) -> None:
        """Called by the HTTP client at each step of a request."""
        if event == "connection.connect_tcp.started":
            self._opened = True
        elif event == "http11.send_request_headers.started":
            self.kept = not self._opened


def _closed_early() -> tuple[type[Exception], ...]:
    """What the HTTP client raises when the other side has closed a connection."""
    import httpx2  # loaded by now

    return httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError


def _wire_of(choice: ModelChoice) -> Wire:
    from equitrcoder.wires import wire

    return wire(choice.provider.wire)


def _predictions_of(
    choice: ModelChoice, headers: Mapping[str, str], sleep: Callable[[float], Awaitable[object]]
) -> Predictions | None:
    """What makes one answer of several requests, for the wire where it takes several."""
    if choice.provider.wire != "replicate-predictions":
        return None
    from equitrcoder.providers.predictions import Predictions

    return Predictions(choice.base_url, headers, sleep)


def _joined(base_url: str, path: str) -> str:
    """The address of a request. A version that ends the base URL and starts the path is said once: both are usual."""
    version = "/v1/"
    return base_url.removesuffix("/v1") + path if path.startswith(version) else base_url + path


def _response(
    turn: Turn, started: float, first_byte_at: float | None, attempt: int, headers: Mapping[str, str]
) -> ModelResponse:
    from equitrcoder.providers.request_ids import request_id

    now = time.perf_counter()
    return ModelResponse(
        turn=turn,
        duration_ms=(now - started) * 1000,
        time_to_first_byte_ms=None if first_byte_at is None else (first_byte_at - started) * 1000,
        attempts=attempt,
        request_id=request_id(headers),
    )


def request_headers(choice: ModelChoice) -> dict[str, str]:
    headers = {"user-agent": f"equitrcoder/{__version__}", "content-type": "application/json", **choice.headers}
    if choice.key:
        auth = choice.provider.auth
        if auth in ("x-api-key", "x-goog-api-key"):
            headers[auth] = choice.key
        elif auth != "none":
            headers["authorization"] = f"Bearer {choice.key}"
    return headers
