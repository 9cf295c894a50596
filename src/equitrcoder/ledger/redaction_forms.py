"""The forms in which a known secret may stand in a text: as it is, escaped for JSON, for URLs, in base64 and in hex."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from equitrcoder.ledger.encoding import encode

_FEWEST_BYTES = 8
"""Shorter forms would be found by accident."""
_URLSAFE = bytes.maketrans(b"+/", b"-_")


def forms(value: str) -> set[bytes]:
    """Every form of a secret, as UTF-8.

    Within base64 the secret may begin at each of three places of the four letters that stand for three bytes; what its
    neighbours decide too is left out.

    Example:
        >>> sorted(forms("gsk_1234567890"))[:2]
        [b'67736B5F31323334353637383930', b'67736b5f31323334353637383930']
    """
    raw = value.encode("utf-8", "surrogatepass")
    found = {raw, encode(value)[1:-1], json.dumps(value)[1:-1].encode(), raw.hex().encode(), raw.hex().upper().encode()}
    found.update(_url_forms(raw))
    for shifted in _base64_forms(raw):
        found.add(shifted)
        found.add(shifted.translate(_URLSAFE))
    return {form for form in found if len(form) >= min(_FEWEST_BYTES, len(raw))}


def _url_forms(raw: bytes) -> Iterator[bytes]:
    for escaped in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
        yield escaped.encode()
        yield _lower_escapes(escaped).encode()


def _lower_escapes(escaped: str) -> str:
    first, *rest = escaped.split("%")
    return first + "".join("%" + piece[:2].lower() + piece[2:] for piece in rest)


def _base64_forms(raw: bytes) -> Iterator[bytes]:
    for before in range(3):
        letters = b64encode(b"\0" * before + raw).rstrip(b"=")
        bits = 8 * (before + len(raw))
        # The letters that hold bits of the secret only.
        middle = letters[-(-8 * before // 6) : bits // 6]
        if len(middle) >= _FEWEST_BYTES:
            yield middle
