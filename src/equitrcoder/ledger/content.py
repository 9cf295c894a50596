"""Keeping less than everything: what the setting `content` leaves of arguments and results in the ledger and its logs.

    full   as it is
    hash   size and SHA-256 (of the redacted value), not the value
    off    neither

Other fields repeat arguments and results: the provider's own message, words of errors, what a check printed. As soon as
one of the two is less than full these are withheld too. What the user and the model say in words stays.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from equitrcoder.ledger.encoding import text_bytes
from equitrcoder.ledger.redaction import Redactor

Kept: TypeAlias = Literal["full", "hash", "off"]

WITHHELD = "(withheld: setting content)"

_CODE = re.compile(r"E\d{3}\b")


class Content:
    """What is kept. Pure but for the redactor.

    Args:
        arguments: Of what models ask tools for.
        results: Of what tools give back.
    """

    def __init__(self, *, arguments: Kept = "full", results: Kept = "full") -> None:
        self.arguments = arguments
        self.results = results

    @property
    def whole(self) -> bool:
        """Whether everything is kept."""
        return self.arguments == self.results == "full"

    def reduce(
        self, kind: bytes, fields: dict[str, Any], long: Mapping[str, Any], redactor: Redactor
    ) -> Mapping[str, Any]:
        """Take out of an entry what is not kept.

        Args:
            kind: The entry's type. Of one that is not known here no long field is kept.
            fields: Short fields; changed in place.
            long: Fields from outside.

        Returns:
            The long fields that are left.
        """
        if self.whole:
            return long
        handler = _HANDLERS.get(kind)
        return {} if handler is None else handler(self, fields, long, redactor)

    def _turn(self, fields: dict[str, Any], long: Mapping[str, Any], redactor: Redactor) -> Mapping[str, Any]:
        # Where arguments stand in it only its wire knows, and unknown fields may repeat them: none of it is kept.
        fields["native"] = None
        fields["replay"] = "altered"
        return {name: value for name, value in long.items() if name != "native"}

    def _call_requested(self, fields: dict[str, Any], long: Mapping[str, Any], redactor: Redactor) -> Mapping[str, Any]:
        if self.arguments == "full":
            return long
        if self.arguments == "hash":
            for value in long.values():
                fields["arguments_bytes"], fields["arguments_sha256"] = _measured(value, redactor)
        return {}

    def _call_finished(self, fields: dict[str, Any], long: Mapping[str, Any], redactor: Redactor) -> Mapping[str, Any]:
        if fields.get("error_message"):
            fields["error_message"] = WITHHELD
        kept = dict(long)
        if "result_metadata" in kept:  # figures such as the exit code; paths and the like are arguments again
            figures = {name: value for name, value in kept["result_metadata"].items() if isinstance(value, int | float)}
            kept["result_metadata"] = figures
        if self.results == "full" or "result" not in kept:
            return kept
        result = kept.pop("result")
        measured = _measured(result, redactor) if self.results == "hash" else (None, None)
        for name, value in zip(("result_bytes", "result_sha256"), measured, strict=True):
            if fields[name] is None or self.results == "off":
                fields[name] = value
        if self.results == "off":
            fields.pop("truncated_to", None)
        else:
            fields["truncated_to"] = 0
        return kept

    def _message(self, fields: dict[str, Any], long: Mapping[str, Any], redactor: Redactor) -> Mapping[str, Any]:
        if fields.get("role") == "check":  # the command and how it ended; the rest is what it printed
            fields["text"] = "\n".join([*str(fields["text"]).split("\n", 2)[:2], WITHHELD])
        return long

    def _words(self, fields: dict[str, Any], long: Mapping[str, Any], redactor: Redactor) -> Mapping[str, Any]:
        for name in ("message", "reason", "error"):
            if fields.get(name):
                code = _CODE.match(str(fields[name]))
                fields[name] = f"{code[0]} {WITHHELD}" if code else WITHHELD
        return long


_Handler: TypeAlias = Callable[[Content, dict[str, Any], Mapping[str, Any], Redactor], Mapping[str, Any]]

_HANDLERS: dict[bytes, _Handler] = {
    b"turn": Content._turn,
    b"call_requested": Content._call_requested,
    b"call_finished": Content._call_finished,
    b"message": Content._message,
    b"request_failed": Content._words,
    b"approval": Content._words,
    b"run_finished": Content._words,
}


def _measured(value: Any, redactor: Redactor) -> tuple[int, str]:
    """Size in bytes and SHA-256 of a value as it would have been written: texts as UTF-8, everything else as JSON."""
    piece = redactor.piece(value)
    whole = text_bytes(piece.value) if isinstance(piece.value, str) else piece.encoded
    return len(whole), hashlib.sha256(whole).hexdigest()
