"""How one answer of Replicate's comes about over several requests: make a prediction, watch it, cancel it when left.

The client sees one response with the whole answer, as from every other provider. What the messages mean is the wire's
to say (`wires.replicate_predictions`). Links in an answer are foreign text: a prediction is asked for and canceled at
the base URL only, and the key goes to no other host.

Source: https://replicate.com/docs/reference/http, https://replicate.com/docs/topics/predictions/streaming
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2

from equitrcoder import jsontext
from equitrcoder.errors import BadResponseError
from equitrcoder.wires.replicate_predictions.reading import ENDED, RUNNING
from equitrcoder.wires.replicate_predictions.requests import fitted, input_fields
from equitrcoder.wires.replicate_predictions.stream import PREDICTION_EVENT
from equitrcoder.wires.sse import SSEDecoder

POLL_S = 0.5
"""Between two looks at a prediction, as the official client does."""

CANCEL_TIMEOUT_S = 5.0
ASK_TIMEOUT_S = 30.0
MAX_FAILED_LOOKS = 5
"""Looks in a row that may fail before a prediction is given up."""

_MAX_BYTES = 64 << 20
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_MODEL_PATH = re.compile(r".*/models/[^/]+/[^/]+(?=/predictions$)")

Sleep = Callable[[float], Awaitable[object]]


class Predictions:
    """Makes answers of predictions, for one base URL.

    Args:
        base_url: The only place that is told the key.
        key_headers: The headers that go there, the key among them.
        sleep: Waits between two looks.
    """

    def __init__(self, base_url: str, key_headers: Mapping[str, str], sleep: Sleep) -> None:
        self._base_url = base_url
        self._headers = dict(key_headers)
        self._sleep = sleep
        self._fields: dict[str, frozenset[str] | None] = {}  # by path of the model

    async def send(self, http: httpx2.AsyncClient, request: httpx2.Request) -> httpx2.Response:
        """Send a request of the wire, and whatever it takes after it.

        Returns:
            A response whose body is the whole answer, still to be read: an error, a prediction that has ended, or its
            events. Closing it before it has ended cancels the prediction at the provider, as does a cancellation here.

        Raises:
            httpx2.HTTPError: No connection.
            ProviderError: The model takes no prompt; or the answer is no prediction.
        """
        response = await http.send(await self._fitted(http, request), stream=True, follow_redirects=False)
        if response.status_code >= 300:
            return response
        try:
            body = await _read(response)
        finally:
            await response.aclose()
        prediction = _object(body)
        if prediction is None or prediction.get("status") in ENDED or not isinstance(prediction.get("id"), str):
            return _whole(body, response)
        watched = _Watched(self, http, request, prediction)
        return await watched.response(response)

    async def _fitted(self, http: httpx2.AsyncClient, request: httpx2.Request) -> httpx2.Request:
        """The request with the input that its model takes; asked for once per model."""
        found = _MODEL_PATH.match(request.url.path)
        if found is None:  # asked by version: its schema is not at a fixed place, and it gets the usual fields
            return request
        path = found[0]
        if path not in self._fields:
            self._fields[path] = await self._ask_fields(http, str(request.url).removesuffix("/predictions"))
        fields = self._fields[path]
        body = jsontext.loads(request.content)
        if fields is None or not isinstance(body, dict):
            return request
        content = jsontext.dumps({**body, "input": fitted(body["input"], fields)})
        headers = {name: value for name, value in request.headers.items() if name != "content-length"}
        return _built(http, "POST", request.url, request.extensions.get("timeout"), content=content, headers=headers)

    async def _ask_fields(self, http: httpx2.AsyncClient, url: str) -> frozenset[str] | None:
        """None when it cannot be had: then the usual ones are sent, and the provider says what is wrong with them."""
        with contextlib.suppress(httpx2.HTTPError, BadResponseError):
            answer = await self.ask(http, "GET", url)
            return input_fields(answer.content) if answer.status_code == 200 else None
        return None

    async def ask(
        self, http: httpx2.AsyncClient, method: str, url: str, timeout_s: float = ASK_TIMEOUT_S
    ) -> httpx2.Response:
        """Ask at the base URL, with the key, for a document; the response is read."""
        timeout = httpx2.Timeout(timeout_s).as_dict()
        request = _built(http, method, url, timeout, headers={**self._headers, "accept": "application/json"})
        response = await http.send(request, stream=True, follow_redirects=False)
        try:
            return _whole(await _read(response), response)
        finally:
            await response.aclose()

    async def look(self, http: httpx2.AsyncClient, identity: str) -> httpx2.Response:
        """Look at a prediction until it has ended; or the error that came instead, several times."""
        failed = 0
        while True:
            try:
                response = await self.ask(http, "GET", self._url(identity))
                prediction = _object(response.content)
                status = prediction.get("status") if response.status_code < 300 and prediction else None
                if status in ENDED:
                    return response
                failed = 0 if status in RUNNING else failed + 1
                if failed >= MAX_FAILED_LOOKS or response.status_code in (400, 401, 403, 404, 410):
                    return response
            except httpx2.HTTPError:
                failed += 1
                if failed >= MAX_FAILED_LOOKS:
                    raise
            await self._sleep(POLL_S)

    async def cancel(self, http: httpx2.AsyncClient, identity: str) -> None:
        """Say that nobody waits for it any more, so that it costs no more. Bounded, never raises."""
        with contextlib.suppress(httpx2.HTTPError, BadResponseError, TimeoutError, RuntimeError):
            async with asyncio.timeout(CANCEL_TIMEOUT_S):
                await self.ask(http, "POST", self._url(identity) + "/cancel", CANCEL_TIMEOUT_S)

    def _url(self, identity: str) -> str:
        return f"{self._base_url}/predictions/{identity}"

    def stream_request(self, http: httpx2.AsyncClient, url: Any, timeout: Any) -> httpx2.Request | None:
        """The request for the events of a prediction; None when there are none, or not where they may be asked for."""
        where = stream_place(url, self._base_url)
        if where is None:
            return None
        headers = self._headers if where == "same host" else {"user-agent": self._headers.get("user-agent", "")}
        headers = {name: value for name, value in headers.items() if name != "content-type"}
        headers |= {"accept": "text/event-stream", "cache-control": "no-store"}
        return _built(http, "GET", url, timeout, headers=headers)


class _Watched(httpx2.AsyncByteStream):
    """A prediction that is under way, as the body of a response."""

    def __init__(
        self, predictions: Predictions, http: httpx2.AsyncClient, request: httpx2.Request, prediction: dict[str, Any]
    ) -> None:
        identity = str(prediction["id"])
        if not _ID.fullmatch(identity):
            raise BadResponseError("The prediction has an id that is none.")
        self._id = identity
        self._predictions = predictions
        self._http = http
        self._request = request
        self._prediction = prediction
        self._ended = False

    async def response(self, created: httpx2.Response) -> httpx2.Response:
        """The response to read: its events where it has some, else the prediction once it has ended."""
        try:
            events = await self._open_events()
            if events is not None:
                self._events = events
                head = {**_head(created), "content-type": "text/event-stream"}
                return httpx2.Response(200, headers=head, stream=self, request=self._request)
            response = await self._predictions.look(self._http, self._id)
            self._ended = _has_ended(response)
            return response
        finally:
            if not self._ended and not hasattr(self, "_events"):
                await self._predictions.cancel(self._http, self._id)

    async def _open_events(self) -> httpx2.Response | None:
        urls = self._prediction.get("urls")
        if b'"stream":true' not in self._request.content or not isinstance(urls, dict):
            return None
        request = self._predictions.stream_request(
            self._http, urls.get("stream"), self._request.extensions.get("timeout")
        )
        if request is None:
            return None
        try:
            response = await self._http.send(request, stream=True, follow_redirects=False)
        except httpx2.HTTPError:
            return None  # the prediction itself can still be looked at
        if response.status_code == 200:
            return response
        await response.aclose()
        return None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in _until_done(self._events):
                yield chunk
        except httpx2.HTTPError:
            pass  # nothing is lost: the prediction has the whole text
        finally:
            await self._events.aclose()
        response = await self._predictions.look(self._http, self._id)
        self._ended = _has_ended(response)
        yield _event(response.content)

    async def aclose(self) -> None:
        """Close; before its end it is canceled at the provider."""
        await self._events.aclose()
        if not self._ended:
            self._ended = True
            await self._predictions.cancel(self._http, self._id)


def _has_ended(response: httpx2.Response) -> bool:
    prediction = _object(response.content) if response.status_code < 300 else None
    return prediction is not None and prediction.get("status") in ENDED


async def _until_done(events: httpx2.Response) -> AsyncIterator[bytes]:
    """The chunks up to the one with the stream's own end: the connection may stay open after it."""
    decoder = SSEDecoder()
    async for chunk in events.aiter_bytes():
        yield chunk
        if any(event.name in ("done", "error") for event in decoder.feed(chunk)):
            return


def _event(body: bytes) -> bytes:
    lines = b"".join(b"data: " + line + b"\n" for line in body.splitlines())
    return b"\n\nevent: " + PREDICTION_EVENT.encode() + b"\n" + lines + b"\n"


def stream_place(url: Any, base_url: str) -> str | None:
    """Where a stream's link leads: "same host" as the base URL (the key may go there), "sister host" (it may not).

    A sister host has the same parent domain, by https: Replicate streams from `stream.replicate.com`, and its links
    need no key. None: anywhere else, which is not followed.

    Example:
        >>> base = "https://api.replicate.com/v1"
        >>> stream_place("https://api.replicate.com/v1/s", base), stream_place("https://stream.replicate.com/s", base)
        ('same host', 'sister host')
        >>> stream_place("https://stream.replicate.com.evil.example/s", base), stream_place("http://127.0.0.1/", base)
        (None, None)
    """
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return None
    try:
        given, base = urlsplit(url), urlsplit(base_url)
        ports = (given.port, base.port)
    except ValueError:
        return None
    if given.username is not None or given.password is not None or not given.hostname or not base.hostname:
        return None
    if (given.scheme, given.hostname, ports[0]) == (base.scheme, base.hostname, ports[1]):
        return "same host"
    _, _, parent = base.hostname.partition(".")
    is_name = "." in parent and not base.hostname.rpartition(".")[2].isdigit()
    sister = is_name and given.hostname.endswith("." + parent)
    return "sister host" if sister and given.scheme == "https" and ports[0] in (None, 443) else None


def _built(http: httpx2.AsyncClient, method: str, url: httpx2.URL | str, timeout: Any, **parts: Any) -> httpx2.Request:
    """A request with timeouts as another request has them."""
    request = http.build_request(method, url, **parts)
    request.extensions["timeout"] = timeout
    return request


async def _read(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_BYTES:
            raise BadResponseError(f"The answer is larger than {_MAX_BYTES >> 20} MiB.")
    return bytes(body)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = jsontext.loads(body)
    except jsontext.InvalidJSON:
        return None
    return value if isinstance(value, dict) else None


def _head(response: httpx2.Response) -> dict[str, str]:
    """The headers that are not about the body's form on the way: it has been unpacked."""
    gone = ("content-encoding", "content-length", "transfer-encoding")
    return {name: value for name, value in response.headers.items() if name not in gone}


def _whole(body: bytes, response: httpx2.Response) -> httpx2.Response:
    return httpx2.Response(response.status_code, headers=_head(response), content=body, request=response.request)
