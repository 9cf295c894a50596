"""Finds the calls among the parts of a message.

Source: https://ai.google.dev/api/caching#Part
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from equitrcoder.errors import BadResponseError
from equitrcoder.records import JSON
from equitrcoder.wires.arguments import MAX_CALLS, read_arguments, text_of
from equitrcoder.wires.gemini_generate.fields import pick, word
from equitrcoder.wires.values import CallKind, LateResult, Pending, WireCall

CODE = "code_execution"
"""The name of a call that runs code at Google; the part itself has none."""

TEXT_FIELDS = frozenset({"text", "thought", "thoughtSignature"})
"""A part with these alone is no call, and no result of one."""

CALL_FIELDS = TEXT_FIELDS | {"functionCall"}
"""A part with these alone is a call of ours, or text."""

_LANGUAGES = {0: "LANGUAGE_UNSPECIFIED", 1: "PYTHON"}
_OUTCOMES = {0: "OUTCOME_UNSPECIFIED", 1: "OUTCOME_OK", 2: "OUTCOME_FAILED", 3: "OUTCOME_DEADLINE_EXCEEDED"}


class FoundCall:
    """One call, and where it stands."""

    __slots__ = ("arguments", "error", "id", "kind", "name", "pending", "place", "result")

    def __init__(self, place: int, name: str, arguments: Any, wire_id: Any, kind: CallKind = "client") -> None:
        self.place = place
        """Among the parts."""
        self.name = name
        self.arguments: dict[str, JSON] | str | None = arguments
        self.id: str | None = None if wire_id is None else text_of(wire_id)
        self.kind = kind
        self.result: JSON = None
        self.error: str | None = None
        self.pending: Pending | None = None if kind == "client" else "result"

    def wire_call(self, index: int) -> WireCall:
        """The call as everything above knows it."""
        return WireCall(
            name=self.name,
            arguments=self.arguments,
            id=self.id,
            kind=self.kind,
            index=index,
            result=self.result,
            error=self.error,
            pending=self.pending,
        )


class FoundCalls(NamedTuple):
    """What `found_calls` found."""

    calls: list[FoundCall]
    late: list[LateResult]
    """What came of calls of earlier answers."""


_Running: TypeAlias = tuple[list[FoundCall], list[FoundCall]]
"""Google's own calls whose result has not come yet: runs of code, and calls of its tools."""
_CODE, _TOOLS = 0, 1


def found_calls(parts: Sequence[Mapping[str, Any]]) -> FoundCalls:
    """The calls of one message in order, those that Google ran itself with what came of them.

    A `functionCall` without name, id and arguments is none.

    Raises:
        BadResponseError: A call is no object, or there are more than `MAX_CALLS`.
    """
    calls: list[FoundCall] = []
    late: list[LateResult] = []
    running: _Running = ([], [])
    for place, part in enumerate(parts):
        if TEXT_FIELDS.issuperset(part):
            continue
        call = _client_call(place, part)
        if not CALL_FIELDS.issuperset(part):
            call = call or _executed(place, part, running)
            late.extend(_take_results(part, running))
        if call is not None:
            calls.append(call)
        if len(calls) > MAX_CALLS:
            raise BadResponseError(f"The answer holds more than {MAX_CALLS} tool calls.")
    return FoundCalls(calls, late)


def call_body(part: Mapping[str, Any], field: str = "functionCall") -> Mapping[str, Any] | None:
    """The call of a part; None when it has none.

    Raises:
        BadResponseError: There is something there that is no object.
    """
    body = pick(part, field)
    if body is None or isinstance(body, dict):
        return body
    raise BadResponseError(f"A {field} of the answer is no object but {type(body).__name__}.")


def _client_call(place: int, part: Mapping[str, Any]) -> FoundCall | None:
    body = call_body(part)
    if body is None:
        return None
    name, arguments, wire_id = text_of(body.get("name")), read_arguments(body.get("args")), body.get("id")
    if not name and not wire_id and arguments in (None, ""):
        return None
    return FoundCall(place, name, arguments, wire_id)


def _executed(place: int, part: Mapping[str, Any], running: _Running) -> FoundCall | None:
    code = call_body(part, "executableCode")
    if code is not None:
        arguments = {key: value for key, value in code.items() if key != "id"}
        if "language" in arguments:
            arguments["language"] = word(arguments["language"], _LANGUAGES)
        call = FoundCall(place, CODE, arguments, code.get("id"), "provider-executed")
        running[_CODE].append(call)
        return call
    tool = call_body(part, "toolCall")
    if tool is None:
        return None
    name = text_of(pick(tool, "toolType"))
    call = FoundCall(place, name, read_arguments(tool.get("args")), tool.get("id"), "provider-executed")
    running[_TOOLS].append(call)
    return call


def _take_results(part: Mapping[str, Any], running: _Running) -> Iterator[LateResult]:
    """Give the calls in `running` what the part says came of them; yield what came of calls that are not there."""
    outcome = call_body(part, "codeExecutionResult")
    if outcome is not None:
        how = word(outcome.get("outcome"), _OUTCOMES)
        result = {**{key: value for key, value in outcome.items() if key != "id"}, "outcome": how}
        error = how if how not in ("OUTCOME_OK", "OUTCOME_UNSPECIFIED", "") else None
        yield from _settle(running[_CODE], outcome, result, error)
    response = call_body(part, "toolResponse")
    if response is not None:
        yield from _settle(running[_TOOLS], response, response.get("response", {}), None)


def _settle(running: list[FoundCall], body: Mapping[str, Any], result: JSON, error: str | None) -> Iterator[LateResult]:
    call = _answered(running, body.get("id"))
    if call is None:
        wire_id = body.get("id")
        yield LateResult(id=None if wire_id is None else text_of(wire_id), result=result, error=error)
    else:
        call.result, call.error, call.pending = result, error, None


def _answered(running: list[FoundCall], wire_id: Any) -> FoundCall | None:
    """The call that a result belongs to: by its id where both have one, else the last one without a result."""
    if wire_id is not None:
        for place in range(len(running) - 1, max(-1, len(running) - 1 - 128), -1):  # results follow soon
            if running[place].id == text_of(wire_id):
                return running.pop(place)
    return running.pop() if running and (wire_id is None or running[-1].id is None) else None
