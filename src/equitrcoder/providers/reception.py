"""Reads one HTTP answer into a turn: a stream, a whole body, or what should not have come at all."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Literal, TypeAlias

from equitrcoder.errors import ProviderError
from equitrcoder.wires.values import Delta, StreamReader, Turn, Wire

if TYPE_CHECKING:
    import httpx2

    from equitrcoder.providers.choice import ModelChoice

MAX_ANSWER_BYTES = 64 << 20
_MAX_ERROR_BYTES = 256 << 10
_LAST_BYTES_S = 5.0
"""How long the message may go on after the end of the answer; then the connection is given up."""
_TOLD_ALL_S = 0.25
"""The same when usage has come as well."""

Kind: TypeAlias = Literal["stream", "document", "web page"]


class Reception:
    """One attempt's answer on its way in; what has come is there also when the rest never comes."""

    def __init__(self, choice: ModelChoice, wire: Wire, on_delta: Callable[[Delta], None] | None) -> None:
        self.first_byte_at: float | None = None
        """`time.perf_counter()` of the first byte of the body."""
        self.status: int | None = None
        """The HTTP status; None when no head has come."""
        self._choice = choice
        self._wire = wire
        self._on_delta = on_delta
        self._reader: StreamReader | None = None
        self._received_bytes = 0

    @property
    def partial(self) -> Turn | None:
        """What has been read of a stream; None when none has begun."""
        return self._reader.partial() if self._reader is not None else None

    async def read(self, response: httpx2.Response, *, streaming: bool) -> Turn:
        """Read the answer.

        Args:
            response: With its head read and its body not.
            streaming: Whether a stream was asked for; either form is read, whatever was asked for.

        Raises:
            ProviderError: It is an error or no answer.
            httpx2.HTTPError: The connection broke.
        """
        self.status = response.status_code
        try:
            return await self._read(response, streaming=streaming)
        except ProviderError as error:
            if error.status is None:
                error.status = response.status_code
            raise

    async def _read(self, response: httpx2.Response, *, streaming: bool) -> Turn:
        status = response.status_code
        if status >= 400:
            raise self._wire.error(status, response.headers, await _start_of(response, _MAX_ERROR_BYTES))
        if status >= 300:
            from equitrcoder.providers.failures import redirected

            raise redirected(self._choice, status, response.headers.get("location", ""))
        chunks = self._counted(response)
        start = await _to_first_mark(chunks)
        if not start:
            from equitrcoder.providers.failures import nothing_came

            raise nothing_came(self._choice, status)
        kind = kind_of(response.headers.get("content-type", ""), start, streaming=streaming)
        if kind == "stream":
            return await self._read_stream(start, chunks)
        body = start + b"".join([chunk async for chunk in chunks])
        if kind == "web page":
            from equitrcoder.providers.failures import no_answer

            raise no_answer(self._choice, "a web page", body, status)
        return self._read_document(body, status, streaming=streaming)

    def _read_document(self, body: bytes, status: int, *, streaming: bool) -> Turn:
        turn = self._wire.read_response(body, status=status)
        if streaming and turn.text and self._on_delta is not None:
            self._on_delta(Delta(text=turn.text))
        return turn

    async def _read_stream(self, start: bytes, chunks: AsyncIterator[bytes]) -> Turn:
        reader = self._reader = self._wire.stream_reader()
        self._feed(reader, start)
        while not reader.finished:
            try:
                self._feed(reader, await anext(chunks))
            except StopAsyncIteration:
                return reader.finish()
        await self._read_last_bytes(reader, chunks)
        return reader.finish()

    def _feed(self, reader: StreamReader, data: bytes) -> None:
        deltas = reader.feed(data)
        if self._on_delta is not None:
            for delta in joined(deltas):
                self._on_delta(delta)

    async def _read_last_bytes(self, reader: StreamReader, chunks: AsyncIterator[bytes]) -> None:
        """Read to the end of the message: usage may follow the finish, and then the connection can be used again."""
        import httpx2  # loaded by now

        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError, httpx2.HTTPError):
            async with asyncio.timeout(_LAST_BYTES_S) as limit:
                early = loop.call_later(_TOLD_ALL_S, _end_if_told_all, reader, limit)
                try:
                    async for chunk in chunks:
                        self._feed(reader, chunk)
                finally:
                    early.cancel()

    async def _counted(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        """The body piece by piece, to a bound."""
        async for chunk in response.aiter_bytes():
            if self.first_byte_at is None:
                self.first_byte_at = time.perf_counter()
            self._received_bytes += len(chunk)
            if self._received_bytes > MAX_ANSWER_BYTES:
                from equitrcoder.providers.failures import too_large

                raise too_large(self._choice, MAX_ANSWER_BYTES)
            yield chunk


def joined(deltas: Sequence[Delta]) -> Sequence[Delta]:
    """Pieces of one kind that came together as one piece: each costs what follows it some 50 µs, however short it is.

    Who is too slow for a provider gets more bytes at a time, so fewer and longer pieces.

    Example:
        >>> joined([Delta("a"), Delta("b"), Delta("hm", "reasoning"), Delta("c")])
        [Delta(text='ab', kind='text'), Delta(text='hm', kind='reasoning'), Delta(text='c', kind='text')]
    """
    if len(deltas) < 2:
        return deltas
    return [Delta("".join(delta.text for delta in run), kind) for kind, run in groupby(deltas, _kind_of_delta)]


def _kind_of_delta(delta: Delta) -> Literal["text", "reasoning"]:
    return delta.kind


def _end_if_told_all(reader: StreamReader, limit: asyncio.Timeout) -> None:
    if reader.partial().usage.output_tokens is not None:
        limit.reschedule(0)


_BLANK = b" \t\r\n\xef\xbb\xbf"
"""White space, which providers send to keep a connection alive, and byte order marks: they mean nothing in any form."""


async def _to_first_mark(chunks: AsyncIterator[bytes]) -> bytes:
    """The body from its first byte that is not blank to the end of that chunk; empty when there is none."""
    async for chunk in chunks:
        if start := chunk.lstrip(_BLANK):
            return start
    return b""


async def _start_of(response: httpx2.Response, limit: int) -> bytes:
    """The first bytes of an error's body; what came before the connection broke, if it did."""
    import httpx2  # loaded by now

    body = bytearray()
    with contextlib.suppress(httpx2.HTTPError):
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) >= limit:
                break
    return bytes(body[:limit])


def kind_of(content_type: str, start: bytes, *, streaming: bool) -> Kind:
    """What a body is, by its first byte: content types are often wrong, and either form may answer either request.

    Args:
        content_type: As sent.
        start: Its first bytes; empty when there are none: then what was asked for counts.
        streaming: Whether a stream was asked for.

    Example:
        >>> kind_of("text/event-stream", b'data: {"id"', streaming=True)
        'stream'
        >>> kind_of("text/event-stream", b'{"id": "1"', streaming=True)
        'document'
        >>> kind_of("application/x-ndjson", b'{"done": false', streaming=True)
        'stream'
    """
    first = start.lstrip(_BLANK)[:1]
    if first == b"<":
        return "web page"
    if first in (b"{", b"["):
        return "stream" if "ndjson" in content_type.lower() else "document"
    if first:
        return "stream" if first in b":deir" else "document"  # data, event, id, retry, or a comment
    return "stream" if streaming else "document"
