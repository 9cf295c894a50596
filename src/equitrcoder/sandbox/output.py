"""Keep the head and the tail of a stream of any length within a bound."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Whole(Protocol):
    """Takes all of a large output, for the record."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""

    @property
    def sha256(self) -> str:
        """Of all that it took, as it stands in the record; nothing comes after it."""


WHOLE: ContextVar[Callable[..., Whole] | None] = ContextVar("whole", default=None)
"""Opens what takes an output that is longer than is kept; None: nobody wants it. See ledger/spilled.py."""


@contextmanager
def cut_outputs_to(open_whole: Callable[..., Whole]) -> Iterator[None]:
    """Hand all of every output that is cut in this context to what `open_whole` opens."""
    token = WHOLE.set(open_whole)
    try:
        yield
    finally:
        WHOLE.reset(token)


class KeptOutput:
    """Takes bytes, keeps the first three quarters and the last quarter of `limit_bytes`, counts and hashes all.

    Example:
        >>> kept = KeptOutput(8)
        >>> kept.feed(b"0123456789")
        >>> kept.head, kept.tail, kept.total_bytes
        (b'012345', b'89', 10)
    """

    def __init__(self, limit_bytes: int) -> None:
        self._head_limit = limit_bytes - limit_bytes // 4
        self._tail_limit = limit_bytes // 4
        self._head = bytearray()
        self._tail = bytearray()
        self._hash = hashlib.sha256()
        self._open_whole = WHOLE.get()
        self._whole: Whole | None = None
        self.total_bytes = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self.total_bytes += len(data)
        if self._whole is None and self._open_whole is not None and self.truncated:
            self._whole = self._open_whole()
            self._whole.feed(bytes(self._head + self._tail))  # all until now: nothing is cut off before this
        (self._hash.update if self._whole is None else self._whole.feed)(data)
        room = self._head_limit - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._keep_tail(data)

    def _keep_tail(self, data: bytes) -> None:
        if not self._tail_limit:
            return
        self._tail += data[-self._tail_limit :]
        if len(self._tail) > 2 * self._tail_limit + 65536:  # cut seldom: a cut moves the whole tail
            del self._tail[: -self._tail_limit]

    @property
    def truncated(self) -> bool:
        """Whether some of it was left out."""
        return self.total_bytes > self._head_limit + self._tail_limit

    @property
    def head(self) -> bytes:
        """The first bytes; a character cut in two at its end is left out."""
        return whole_characters_at_end(bytes(self._head)) if self.truncated else bytes(self._head)

    @property
    def tail(self) -> bytes:
        """The last bytes after `head`; the rest of a character cut in two at its start is left out."""
        if not self._tail_limit:
            return b""
        tail = bytes(self._tail[-self._tail_limit :])
        return whole_characters_at_start(tail) if self.truncated else tail

    @property
    def sha256(self) -> str:
        """Of all bytes, hex; where `WHOLE` takes them, as it has them."""
        return self._hash.hexdigest() if self._whole is None else self._whole.sha256

    def joined(self) -> bytes:
        """Head and tail; where the middle was left out a line says how much."""
        head, tail = self.head, self.tail
        if not self.truncated:
            return head + tail
        left_out = self.total_bytes - len(head) - len(tail)
        return b"%s\n[... %s bytes left out ...]\n%s" % (head, f"{left_out:,}".encode(), tail)


def whole_characters_at_end(data: bytes) -> bytes:
    """Leave out an unfinished UTF-8 character at the end; other bytes stay, valid or not.

    Example:
        >>> whole_characters_at_end("aé".encode()[:2])
        b'a'
    """
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:
            length = 2 if byte >> 5 == 0b110 else 3 if byte >> 4 == 0b1110 else 4 if byte >> 3 == 0b11110 else 1
            return data[:-back] if length > back else data
    return data


def whole_characters_at_start(data: bytes) -> bytes:
    """Leave out up to three UTF-8 continuation bytes at the start.

    Example:
        >>> whole_characters_at_start("éa".encode()[1:])
        b'a'
    """
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:]
