"""The SDK's streams for a server at an address: streamable HTTP, or the older event stream."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from equitrcoder.mcp.hearing import MOST_MESSAGE_BYTES

_CONNECT_S = 20.0


class _BoundedClient(httpx2.AsyncClient):
    """Reads bodies up to a size; event streams are bounded by the SDK, event by event."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        response = await super().send(request, **options)
        kind = response.headers.get("content-type", "").lower()
        if not kind.startswith("text/event-stream") and isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _Bounded(response.stream)
        return response


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MOST_MESSAGE_BYTES
        async for part in self._inner:
            left -= len(part)
            if left < 0:
                raise httpx2.StreamError(f"more than {MOST_MESSAGE_BYTES // 1_000_000} MB")
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()


def _client(headers: Mapping[str, str] | None, read_s: float) -> httpx2.AsyncClient:
    return _BoundedClient(headers=dict(headers or {}), timeout=httpx2.Timeout(_CONNECT_S, read=read_s))


@contextlib.asynccontextmanager
async def talk(url: str, headers: Mapping[str, str], *, kind: str, read_s: float) -> AsyncIterator[tuple[Any, Any]]:
    """Open the streams.

    Args:
        kind: `http` or `sse`.
        read_s: How long the other side may be silent.
    """
    if kind == "sse":
        async with sse_client(
            url,
            headers=dict(headers),
            timeout=_CONNECT_S,
            sse_read_timeout=read_s,
            httpx_client_factory=lambda headers=None, timeout=None, auth=None: _client(headers, read_s),
        ) as (read, write):
            yield read, write
        return
    async with (
        _client(headers, read_s) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=MOST_MESSAGE_BYTES) as (read, write),
    ):
        yield read, write
