"""As much of HTTP/1.1 as a provider on loopback needs: read a request, write an answer. Blocking.

Source: https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import BinaryIO

_LONGEST_LINE = 65_536


class BadRequest(ValueError):
    """What came is no HTTP/1.1 request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHead:
    """A request without its body."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    keep_alive: bool


def read_head(stream: BinaryIO) -> RequestHead | None:
    """Read the request line and the headers; None when the other side has closed.

    Raises:
        BadRequest: It is no HTTP request.
    """
    line = stream.readline(_LONGEST_LINE)
    if not line:
        return None
    parts = line.decode("latin-1").split()
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequest(f"not a request line: {line[:80]!r}")
    headers = _read_headers(stream)
    wish = headers.get("connection", "").lower()
    keep_alive = "close" not in wish and (parts[2] == "HTTP/1.1" or "keep-alive" in wish)
    return RequestHead(method=parts[0], path=parts[1], headers=headers, keep_alive=keep_alive)


def _read_headers(stream: BinaryIO) -> dict[str, str]:
    headers: dict[str, str] = {}
    while line := stream.readline(_LONGEST_LINE).strip(b"\r\n"):
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise BadRequest(f"not a header: {line[:80]!r}")
        headers[name.strip().lower()] = value.strip()
    return headers


def read_body(stream: BinaryIO, head: RequestHead) -> bytes:
    """Read the body that the head announces.

    Raises:
        BadRequest: The lengths make no sense.
        ConnectionError: The other side closed in the middle.
    """
    if "chunked" in head.headers.get("transfer-encoding", "").lower():
        return _read_chunks(stream)
    length = head.headers.get("content-length", "0")
    if not length.isdecimal():
        raise BadRequest(f"not a content length: {length[:40]!r}")
    return _read_exactly(stream, int(length))


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size) if size else b""
    if len(data) < size:
        raise ConnectionAbortedError("closed in the middle of a request")
    return data


def _read_chunks(stream: BinaryIO) -> bytes:
    chunks: list[bytes] = []
    while True:
        line = stream.readline(_LONGEST_LINE)
        try:
            size = int(line.split(b";")[0], 16)
        except ValueError:
            raise BadRequest(f"not a chunk size: {line[:40]!r}") from None
        if not size:
            _read_headers(stream)
            return b"".join(chunks)
        chunks.append(_read_exactly(stream, size))
        stream.readline(_LONGEST_LINE)


def head_bytes(status: int, headers: Mapping[str, str]) -> bytes:
    """Write the status line and the headers.

    Example:
        >>> head_bytes(200, {"content-length": "0"})
        b'HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\n\\r\\n'
    """
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def chunk(data: bytes) -> bytes:
    """Frame a piece of a chunked body.

    Example:
        >>> chunk(b"hello")
        b'5\\r\\nhello\\r\\n'
    """
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
