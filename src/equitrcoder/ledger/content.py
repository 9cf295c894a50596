"""Keeping less than everything: what the setting `content` leaves of arguments and results in the ledger and its logs.

    full   as it is
    hash   size and SHA-256 (of the redacted value), not the value
    off    neither

Each tool can have its own rule. Other fields repeat arguments and results: of a provider's message only an outline is
left when it holds something that is not kept (which calls, by which names and ids, and no more); words of errors,
reasons and metadata of such a tool are withheld, and what a check printed. What the user and the model say in words
stays.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from equitrcoder.ledger.encoding import text_bytes
from equitrcoder.ledger.redaction import Redactor
from equitrcoder.settings.kept import kept

Kept: TypeAlias = Literal["full", "hash", "off"]
_Long: TypeAlias = Mapping[str, Any]

WITHHELD = "(withheld: setting content)"

_CODE = re.compile(r"E\d{3}\b")


class Content:
    """What is kept. Pure but for the redactor.

    Args:
        arguments: Of what models ask tools for.
        results: Of what tools give back.
        tools: The same for single tools: by name, or by its beginning and a `*` (`settings.kept` says which holds).
    """

    def __init__(
        self,
        *,
        arguments: Kept = "full",
        results: Kept = "full",
        tools: Mapping[str, Mapping[str, Kept]] | None = None,
    ) -> None:
        self._setting = {"arguments": arguments, "results": results, "tools": tools or {}}
        rows = [self._setting, *(tools or {}).values()]
        self._less = {what: any(row.get(what, "full") != "full" for row in rows) for what in ("arguments", "results")}

    @property
    def whole(self) -> bool:
        """Whether everything is kept."""
        return not any(self._less.values())

    def of(self, tool: str, what: str) -> str:
        """How much of a tool's `arguments` or `results` is kept."""
        return kept(self._setting, tool, what)

    def _reduces(self, tool: str | None) -> bool:
        """Whether something of a tool's calls is not kept; of no tool: of any."""
        if tool is None:
            return not self.whole
        return self.of(tool, "arguments") != "full" or self.of(tool, "results") != "full"

    def reduce(
        self,
        kind: bytes,
        fields: dict[str, Any],
        long: Mapping[str, Any],
        redactor: Redactor,
        *,
        tool: str | None = None,
    ) -> Mapping[str, Any]:
        """Take out of an entry what is not kept.

        Args:
            kind: The entry's type. Of one that is not known here no long field is kept.
            fields: Short fields; changed in place.
            long: Fields from outside.
            tool: Whose call it is about, where it is about one.

        Returns:
            The long fields that are left.
        """
        if self.whole:
            return long
        handler = _HANDLERS.get(kind)
        return {} if handler is None else handler(self, fields, long, redactor, tool)

    def _turn(self, fields: dict[str, Any], long: _Long, redactor: Redactor, tool: str | None) -> _Long:
        from equitrcoder.wires.stored import holds_results, outline

        messages = [long["native"], *long.get("further", ())]
        # A result in a message can be that of a call in an earlier one: whose it is does not stand with it.
        if not any(map(self._has_less, fields["calls"])) and not (
            self._less["results"] and any(map(holds_results, messages))
        ):
            return long
        fields["replay"] = "altered"
        fields["kept"] = "outline"
        left: dict[str, Any] = {"native": outline(long["native"], WITHHELD)}
        if "further" in long:
            left["further"] = [outline(message, WITHHELD) for message in long["further"]]
        return left

    def _has_less(self, call: Mapping[str, Any]) -> bool:
        """Whether the answer that asks for a call holds something of it that is not kept."""
        name = call["tool_name"]
        by_provider = call["executed_by"] == "provider"
        return self.of(name, "arguments") != "full" or (by_provider and self.of(name, "results") != "full")

    def _call_requested(self, fields: dict[str, Any], long: _Long, redactor: Redactor, tool: str | None) -> _Long:
        how = self.of(fields["tool_name"], "arguments")
        if how == "full":
            return long
        if how == "hash":
            for value in long.values():
                fields["arguments_bytes"], fields["arguments_sha256"] = _measured(value, redactor)
        return {}

    def _call_finished(self, fields: dict[str, Any], long: _Long, redactor: Redactor, tool: str | None) -> _Long:
        if not self._reduces(tool):
            return long
        if fields.get("error_message"):
            fields["error_message"] = WITHHELD
        left = dict(long)
        if "result_metadata" in left:  # figures such as the exit code; paths and the like are arguments again
            given = left.pop("result_metadata")
            figures = {name: value for name, value in given.items() if isinstance(value, int | float)}
            if figures:
                left["result_metadata"] = figures
        how = self.of(tool or "", "results")
        if how == "full" or "result" not in left:
            return left
        result = left.pop("result")
        measured = _measured(result, redactor) if how == "hash" else (None, None)
        for name, value in zip(("result_bytes", "result_sha256"), measured, strict=True):
            if fields[name] is None or how == "off":
                fields[name] = value
        if how == "off":
            fields.pop("truncated_to", None)
        else:
            fields["truncated_to"] = 0
        return left

    def _message(self, fields: dict[str, Any], long: _Long, redactor: Redactor, tool: str | None) -> _Long:
        if fields.get("role") == "check":  # the command and how it ended; the rest is what it printed
            fields["text"] = "\n".join([*str(fields["text"]).split("\n", 2)[:2], WITHHELD])
        return long

    def _words(self, fields: dict[str, Any], long: _Long, redactor: Redactor, tool: str | None) -> _Long:
        if not self._reduces(tool):
            return long
        for name in ("message", "reason", "error"):
            if fields.get(name):
                code = _CODE.match(str(fields[name]))
                fields[name] = f"{code[0]} {WITHHELD}" if code else WITHHELD
        return long


_Handler: TypeAlias = Callable[[Content, dict[str, Any], _Long, Redactor, str | None], _Long]

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
