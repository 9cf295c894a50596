"""Redaction of bytes that come piece by piece and are not live: whole blocks, so at the speed of the engine.

`redaction_stream.StreamRedactor` gives back what is certain at once; here 16 KB always wait, and nothing else is slow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from equitrcoder.ledger.redaction_stream import CONTEXT_BYTES, MOST_HELD_BYTES

if TYPE_CHECKING:
    from equitrcoder.ledger.redaction import Redactor

_BLOCK_BYTES = 1 << 18


class BlockRedactor:
    """Takes secrets out of bytes that come in pieces.

    What `feed` and `flush` gave back, put together, is what `Redactor.text` makes of the whole, but for secrets longer
    than `MOST_HELD_BYTES`. Bytes that are no UTF-8 stay as they are.

    Example:
        >>> from equitrcoder.ledger.redaction import Redactor
        >>> blocks = BlockRedactor(Redactor(["gsk_1234567890"]))
        >>> blocks.feed(b"the key is gsk_12") + blocks.feed(b"34567890, good?") + blocks.flush()
        b'the key is [redacted:known_value], good?'
    """

    def __init__(self, redactor: Redactor) -> None:
        self._finder = redactor.finder
        self._context = b""
        self._held: list[bytes] = []
        self._held_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """Take a piece; give back what is certain by now, in blocks of some 256 KB."""
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes < _BLOCK_BYTES:
            return b""
        return self._give(self._held_bytes - MOST_HELD_BYTES)

    def flush(self) -> bytes:
        """Give back what waits: the bytes have ended."""
        return self._give(self._held_bytes)

    def _give(self, size: int) -> bytes:
        """Give the first `size` bytes of what is held, and the rest of a secret that begins in them."""
        from equitrcoder.ledger.redaction import replaced

        first = len(self._context)
        raw = b"".join([self._context, *self._held])
        spans = [span for span in self._finder.spans(raw) if span.stop > first]
        stop = first + size
        given = [span._replace(start=max(first, span.start)) for span in spans if span.start < stop]
        result = replaced(raw[:stop], given)[first:]
        rest = max([stop, *(span.stop for span in given)])
        self._context, self._held = raw[max(0, rest - CONTEXT_BYTES) : rest], [raw[rest:]]
        self._held_bytes = len(raw) - rest
        return result
