"""An entry's fields as the JSON that goes into the journal: redacted, each long field encoded and looked at once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from equitrcoder.ledger.encoding import text_bytes

if TYPE_CHECKING:
    from equitrcoder.ledger.redaction import Redactor

_MESSAGES = ("native", "further")
"""Fields that hold messages of the provider."""

OTHERWISE = "otherwise"
"""Set in fields that are not quite what was written: the index then reads the journal."""


def compose(redactor: Redactor, fields: dict[str, Any], long: Mapping[str, Any]) -> bytes:
    """Make the JSON object of an entry.

    Args:
        fields: Short fields. Afterwards it has the long ones too, as the index takes them: texts, and of everything
            else, which somebody may still change, its JSON as bytes.
        long: Fields from outside. Of `result`, size and hash are filled in where they are None; in `native`, what only
            the provider reads stays as it is.
    """
    given = (fields["result_bytes"], fields["result_sha256"]) if "result" in long else (None, None)
    try:
        encoded = _put_long(fields, long) if long else None
        body = orjson.dumps(fields)
    except (TypeError, UnicodeEncodeError):  # numbers or texts that orjson cannot write
        return _compose_carefully(redactor, fields, long, given)
    if redactor.finder.suspects(body):  # see Redactor.suspects
        return _compose_carefully(redactor, fields, long, given)
    if encoded:
        fields.update(encoded)
    return body


def _put_long(fields: dict[str, Any], long: Mapping[str, Any]) -> dict[str, bytes]:
    """Put the long fields among the others, ready to be written; returns the JSON of those that are no texts."""
    encoded: dict[str, bytes] = {}
    for name, value in long.items():
        if isinstance(value, str):
            fields[name] = value
        else:
            encoded[name] = piece = orjson.dumps(value)
            fields[name] = orjson.Fragment(piece)
    if "result" in long:
        whole = long["result"]
        _measure(fields, whole.encode() if isinstance(whole, str) else encoded["result"])
    return encoded


def _measure(fields: dict[str, Any], whole: bytes) -> None:
    if fields["result_bytes"] is None:
        fields["result_bytes"] = len(whole)
    if fields["result_sha256"] is None:
        fields["result_sha256"] = hashlib.sha256(whole).hexdigest()


def _compose_carefully(
    redactor: Redactor, fields: dict[str, Any], long: Mapping[str, Any], given: tuple[int | None, str | None]
) -> bytes:
    """The same where something may have to be redacted, or is no ordinary JSON."""
    fields[OTHERWISE] = True
    short = {name: value for name, value in fields.items() if name not in long and name != OTHERWISE}
    pieces = {name: redactor.piece(value, native=name in _MESSAGES) for name, value in long.items()}
    counts: dict[str, int] = {}
    for piece in pieces.values():
        for rule, count in piece.redactions.items():
            counts[rule] = counts.get(rule, 0) + count
    if counts:
        short["redactions"] = counts
    if any(pieces[name].redactions for name in _MESSAGES if name in pieces):
        short["replay"] = "altered"
    if not all(piece.plain for piece in pieces.values()):
        short["exact"] = True  # readers take the slow way for it, which keeps every digit
    if "result" in pieces:
        short["result_bytes"], short["result_sha256"] = given
        result = pieces["result"]
        _measure(short, text_bytes(result.value) if isinstance(result.value, str) else result.encoded)
    body = redactor.fields(short)
    for name, piece in pieces.items():
        body = b'%b,"%b":%b}' % (body[:-1], name.encode(), piece.encoded)
    return body
