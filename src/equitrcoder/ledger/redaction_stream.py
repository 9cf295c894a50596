"""Redaction of text that comes piece by piece: a secret may be cut anywhere, and live text stays live.

What can still become a secret is held back, and nothing else: mostly nothing, or a letter or two of a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from equitrcoder.ledger.redaction_finder import Span
from equitrcoder.ledger.redaction_formats import formats

if TYPE_CHECKING:
    from equitrcoder.ledger.redaction import Redactor

MOST_HELD_BYTES = 16_384
"""More is never held back: no key that is known is longer, a PEM block of 16,384 bits included."""
CONTEXT_BYTES = 256
"""As much of what was said is remembered: a key name before its value, the user before a URL's password."""
_LONGEST_BEGINNING = 64

_VALUE_OPEN = re.compile(
    rb"(?:pass(?:w(?:or)?d|phrase)?|pwd|secret|token|credentials?|key|_pat|_auth|dbpass)[\]\"'`\\]{0,4}[ \t]{0,3}"
    rb"(?::=|=>|={1,3}|!={1,2}|:)[ \t]{0,3}@?\\{0,3}[\"'`]?(?P<value>[^\s\"'`\\]*)\\{0,3}\Z",
    re.IGNORECASE,
)
"""A key whose value has begun, or may begin with the next piece."""
_HEADER_OPEN = re.compile(
    rb"(?:authorization[\"'\\]{0,4}[ \t]{0,3}[:=,][ \t]{0,3}[\"'\\]{0,4}(?:[a-z]{1,8}[ \t]{1,3})?|bearer[ \t]{1,3})"
    rb"(?P<value>[^\s\"'\\]*)\Z",
    re.IGNORECASE,
)
_URL_OPEN = re.compile(rb"://(?P<value>[^\s/@\"'<>\\]*)\Z")
_RUN = re.compile(rb"[A-Za-z0-9_~.:-]{8,}\Z")
_MIXED = re.compile(rb"[0-9]|[a-z][A-Z]")
_ENDS_KEY = tuple(b" \t\r\n\"'`<>")
_PEM_OPENS = b"-----BEGIN "
_PEM_CLOSES = re.compile(rb"-----END [A-Z0-9 ]{0,64}-----")


class StreamRedactor:
    """Takes secrets out of a text that comes in pieces.

    Everything that `feed` and `flush` gave back, put together, is what `Redactor.text` makes of the whole text, but for
    secrets longer than MOST_HELD_BYTES, and of keys that may begin with anything (Azure, Mailchimp, MaxMind, Telegram,
    Terraform) the first letters may have been given before it was seen that they are keys: seven, and more only while
    there is neither a digit nor a capital after a small letter.

    Example:
        >>> from equitrcoder.ledger.redaction import Redactor
        >>> stream = StreamRedactor(Redactor(["gsk_1234567890"]))
        >>> [stream.feed("the key is gsk_12"), stream.feed("34567890, good?"), stream.flush()]
        ['the key is ', '[redacted:known_value], good?', '']
    """

    def __init__(self, redactor: Redactor) -> None:
        self._finder = redactor.finder
        self._context = b""
        self._held = b""
        known = self._finder.known_forms()
        self._long_forms = [form for form in known if len(form) > _LONGEST_BEGINNING]
        self._known_beginnings = _beginnings_of(form[: _LONGEST_BEGINNING + 1] for form in known)

    def feed(self, text: str) -> str:
        """Take a piece; give back what is certain by now."""
        if not text:
            return ""
        raw = self._context + self._held + text.encode("utf-8", "surrogatepass")
        first = len(self._context)
        spans = [span for span in self._finder.spans(raw) if span.stop > first]
        stop = self._certain(raw, first, spans)
        if len(raw) - stop > MOST_HELD_BYTES:
            stop = len(raw)
        return self._give(raw, first, stop, spans)

    def flush(self) -> str:
        """Give back what was held; the text has ended, and the next piece begins another one."""
        raw, first = self._context + self._held, len(self._context)
        spans = [span for span in self._finder.spans(raw) if span.stop > first] if self._held else []
        given = self._give(raw, first, len(raw), spans)
        self._context = b""
        return given

    def _give(self, raw: bytes, first: int, stop: int, spans: list[Span]) -> str:
        pieces: list[bytes] = []
        position = first
        for span in spans:
            if span.start < stop:
                pieces += raw[position : max(position, span.start)], span.mark.encode()
                position = span.stop
        pieces.append(raw[position:stop])
        self._context, self._held = raw[max(0, stop - CONTEXT_BYTES) : stop], raw[stop:]
        return b"".join(pieces).decode("utf-8", "surrogatepass")

    def _certain(self, raw: bytes, first: int, spans: list[Span]) -> int:
        """Up to where nothing that follows can change what is there."""
        stop = min(
            len(raw),
            self._beginning(raw),
            self._key_open(raw),
            self._known_open(raw),
            self._context_open(raw),
            self._private_key_open(raw, first),
        )
        for span in spans:
            if span.stop >= len(raw) or span.start < stop < span.stop:
                stop = min(stop, span.start)
        return max(first, _between_characters(raw, stop))

    def _beginning(self, raw: bytes) -> int:
        """Where the last bytes begin that may be the beginning of a key's beginning."""
        rules = _beginnings()
        for length in range(min(_LONGEST_BEGINNING, len(raw)), 0, -1):
            if raw[-length:] in rules or raw[-length:] in self._known_beginnings:
                return len(raw) - length
        return len(raw)

    def _key_open(self, raw: bytes) -> int:
        """Where the last word begins when it may be a key that goes on."""
        start = 1 + max(map(raw.rfind, _ENDS_KEY))
        word = raw[start:]
        places = []
        if self._finder.hits(word):
            places = [
                max(0, place - before) for literal, before in _literals().items() if (place := word.find(literal)) >= 0
            ]
        if (run := _RUN.search(word)) is not None and _MIXED.search(run[0]):
            places.append(run.start())
        return start + min(places) if places else len(raw)

    def _known_open(self, raw: bytes) -> int:
        for form in self._long_forms:
            place = raw.rfind(form[:_LONGEST_BEGINNING])
            if place >= 0 and form.startswith(raw[place:]):
                return place
        return len(raw)

    def _context_open(self, raw: bytes) -> int:
        """Where a value begins that its name, header or URL makes a secret."""
        lower = raw.lower()
        found = []
        if b"=" in raw or b":" in raw:
            found.append(_VALUE_OPEN.search(raw))
        if b"authorization" in lower or b"bearer" in lower:
            found.append(_HEADER_OPEN.search(raw))
        if b"://" in raw:
            found.append(_URL_OPEN.search(raw))
        return min((one.start("value") for one in found if one is not None), default=len(raw))

    def _private_key_open(self, raw: bytes, first: int) -> int:
        place = raw.rfind(_PEM_OPENS)
        if place < first or _PEM_CLOSES.search(raw, place) is not None:
            return len(raw)
        return place


@cache
def _literals() -> dict[bytes, int]:
    """What keys of the table begin with or have within them, and how much of the key may stand before it."""
    found = {_PEM_OPENS: 0}
    for format_ in formats():
        for literal in format_.needle.literals:
            found[literal.encode()] = max(found.get(literal.encode(), 0), format_.needle.before[1])
    return found


@cache
def _beginnings() -> frozenset[bytes]:
    return _beginnings_of(_literals())


def _beginnings_of(wholes: Iterable[bytes]) -> frozenset[bytes]:
    return frozenset(whole[:length] for whole in wholes for length in range(1, len(whole)))


def _between_characters(raw: bytes, stop: int) -> int:
    while 0 < stop < len(raw) and raw[stop] & 0xC0 == 0x80:
        stop -= 1
    return stop
