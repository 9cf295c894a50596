"""Recorded sessions gone through again: the agent's own requests beside those that the recorded clients sent.

A session's recorded answers are read as the agent reads them, its results are those of the recorded requests, and each
request is built by the wire from the conversation of pairs. What of a request is compared is the same on every wire:
calls, results, and what only goes through (signatures, sealed reasoning, blocks of the provider's own tools).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from equitrcoder.errors import ProviderError
from equitrcoder.providers import PROVIDERS
from equitrcoder.wires import wire
from equitrcoder.wires.gemini_generate.requests import FOREIGN_SIGNATURE
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    EchoedCall,
    RequestOptions,
    ResultForModel,
    ToolResults,
    Turn,
    UserMessage,
)
from tests.wire.reading import client_calls
from tests.wire.recorded import FOLDER, exchange, expectations, read

ROWS = {
    "openai-chat": "local",  # takes and gives back every field
    "openai-responses": "openai",
    "anthropic-messages": "anthropic",
    "gemini-generate": "gemini",
    "mistral": "mistral",
    "cohere-v2": "cohere",
    "ollama-chat": "ollama",
}


@dataclass(frozen=True)
class Call:
    id: str | None
    name: str
    arguments: Any


@dataclass(frozen=True)
class Result:
    id: str | None
    text: str
    is_error: bool = False


@dataclass
class Told:
    """What a request tells of calls: `kept` is what only goes through."""

    calls: list[Call] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)


# --- what a request tells ------------------------------------------------------------------------------------------

_SEALED = frozenset(
    {"signature", "thoughtSignature", "thought_signature", "encrypted_content", "data", "reasoning_content"}
)
_SEALED_TEXTS = frozenset({"reasoning", "thinking", "tool_plan"})
_OWN_BLOCKS = ("server_tool_use", "_tool_result", "mcp_tool_use", "container_upload", "_call", "compaction")


def told_by(wire_name: str, request: Mapping[str, Any]) -> Told:
    told = Told()
    for message in request.get("messages") or request.get("contents") or _input(request):
        if message.get("role") not in ("user", "system", "developer", "tool"):
            told.kept |= set(sealed(message))
        for call, result in _TELLERS[wire_name](message):
            if call is not None:
                told.calls.append(call)
            if result is not None:
                told.results.append(result)
    return told


def _input(request: Mapping[str, Any]) -> list[Any]:
    said = request.get("input")
    return said if isinstance(said, list) else []


def sealed(value: Any) -> Iterator[str]:
    """Everything in a part of a message that means something to the provider only."""
    if isinstance(value, list):
        for item in value:
            yield from sealed(item)
    if not isinstance(value, dict):
        return
    kind = str(value.get("type", ""))
    if kind.endswith(_OWN_BLOCKS) and kind not in ("tool_result", "function_call", "custom_tool_call"):
        yield f"{kind} {value.get('id') or value.get('tool_use_id') or value.get('call_id')}"
    for key, item in value.items():
        if isinstance(item, str) and item and key in _SEALED | _SEALED_TEXTS and item != FOREIGN_SIGNATURE:
            yield item.replace("-", "+").replace("_", "/").rstrip("=")  # clients of Google write another base64
        elif isinstance(item, dict | list) and key not in ("input", "args", "arguments"):
            yield from sealed(item)


def _text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in value):
        return "".join(part["text"] for part in value)
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, sort_keys=True)


def _object(arguments: Any) -> Any:
    try:
        return json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        return arguments


def _chat(message: dict[str, Any]) -> Iterator[tuple[Call | None, Result | None]]:
    for call in message.get("tool_calls") or ():
        function = call.get("function") or call.get("custom") or {}
        arguments = function.get("arguments", function.get("input"))
        yield Call(call.get("id"), function.get("name"), _object(arguments) or {}), None
    if message.get("role") == "tool":
        yield None, Result(message.get("tool_call_id"), _text(message.get("content")))


def _responses(item: dict[str, Any]) -> Iterator[tuple[Call | None, Result | None]]:
    kind = item.get("type")
    if kind == "function_call":
        yield Call(item["call_id"], item["name"], _object(item["arguments"]) or {}), None
    elif kind == "function_call_output":
        yield None, Result(item["call_id"], _text(item["output"]))


def _messages(message: dict[str, Any]) -> Iterator[tuple[Call | None, Result | None]]:
    for block in message["content"] if isinstance(message["content"], list) else ():
        if block["type"] == "tool_use":
            yield Call(block["id"], block["name"], block["input"]), None
        elif block["type"] == "tool_result":
            yield None, Result(block["tool_use_id"], _text(block.get("content")), bool(block.get("is_error")))


def _gemini(content: dict[str, Any]) -> Iterator[tuple[Call | None, Result | None]]:
    for part in content.get("parts") or ():
        call, result = (part.get(key) or part.get(old) for key, old in _GEMINI)
        if call:
            yield Call(call.get("id"), call["name"], call.get("args") or {}), None
        elif result:
            response = result.get("response") or {}
            told = response["output"] if set(response) == {"output"} else response.get("error", response)
            yield None, Result(result.get("id"), _text(told), set(response) == {"error"})


_GEMINI = (("functionCall", "function_call"), ("functionResponse", "function_response"))
_TELLERS = {
    "openai-chat": _chat,
    "mistral": _chat,
    "cohere-v2": _chat,
    "ollama-chat": _chat,
    "openai-responses": _responses,
    "anthropic-messages": _messages,
    "gemini-generate": _gemini,
}

# --- the sessions --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """A recorded request that carries results, and the recorded answers before it, oldest first."""

    session: str
    request: str
    answers: tuple[str, ...]


@cache
def steps(wire_name: str) -> tuple[Step, ...]:
    known = expectations(wire_name)
    found = []
    for file in sorted((Path(FOLDER or "") / "sessions").glob("*.json")):
        session = json.loads(file.read_bytes())
        before: dict[str, str] = {}
        for link in session["links"]:
            answer, request = session["exchanges"][link["from"]], session["exchanges"][link["to"]]
            if answer in known and request in known and answer != request:
                before[request] = answer
        for request in before:
            chain = [before[request]]
            while chain[0] in before and before[chain[0]] not in chain:
                chain.insert(0, before[chain[0]])
            found.append(Step(session["id"], request, tuple(chain)))
    return tuple(found)


@dataclass
class Replayed:
    ours: Told
    theirs: Told
    """Of the recorded request only what belongs to the recorded answers before it."""
    lost: set[str]
    """What came in the answers, went back in the recorded request and is missing in ours."""
    kept: int
    """How much of that goes back in both."""


def replay(wire_name: str, step: Step) -> Replayed | None:
    """Our request beside the recorded one; None when an answer before it is an error."""
    said = Conversation(system="S", messages=[UserMessage(text="go on")])
    received: set[str] = set()
    names, ids = [], []
    for answer, request in zip(step.answers, (*step.answers[1:], step.request), strict=True):
        try:
            turn = read(wire_name, answer)
        except ProviderError:
            return None
        received |= set(sealed(turn.native))
        echoed = client_calls(turn, as_given=True)
        names += [call.name for call in echoed]
        ids += [call.id for call in turn.calls if call.kind == "client"]
        said.messages += _pair(turn, echoed, told_by(wire_name, exchange(request)["request"]["json"]).results)
    options = RequestOptions(model=_model(wire_name, step))
    body = wire(wire_name).request(said, [], options, PROVIDERS[ROWS[wire_name]].dialect, origin="row").body
    ours = told_by(wire_name, json.loads(json.dumps(body)))
    theirs = told_by(wire_name, exchange(step.request)["request"]["json"])
    both = theirs.kept & received
    return Replayed(ours, _belonging(theirs, ids, names), both - ours.kept, len(both))


def _pair(turn: Turn, echoed: tuple[EchoedCall, ...], results: list[Result]) -> list[AssistantMessage | ToolResults]:
    """An answer and the recorded results of its calls: by id, else the last ones of the request."""
    said = AssistantMessage(text=turn.text, calls=echoed, native=turn.native, origin="row")
    by_id = {result.id: result for result in results if result.id}
    last = results[-len(echoed) :] if echoed else []
    found = [by_id.get(call.wire_id) for call in echoed]
    if not any(found) and len(last) == len(echoed):
        found = list(last)
    told = [
        ResultForModel(wire_id=call.wire_id, name=call.name, text=result.text, is_error=result.is_error)
        for call, result in zip(echoed, found, strict=True)
        if result is not None
    ]
    return [said, ToolResults(results=tuple(told))] if told else [said]


def _belonging(theirs: Told, ids: list[str | None], names: list[str]) -> Told:
    """Calls with these ids and their results; where no ids were given, as many of the last ones, without their own."""
    if any(call.id in ids for call in theirs.calls if call.id):
        calls = [call for call in theirs.calls if call.id in ids]
        results = [result for result in theirs.results if result.id in ids]
    else:  # ids that the client made up for itself mean nothing to anybody else
        calls = [replace(call, id=None) for call in theirs.calls[-len(names) :]]
        results = [replace(result, id=None) for result in theirs.results[-len(names) :]]
    return Told(calls, results, theirs.kept)


def _model(wire_name: str, step: Step) -> str:
    sent = exchange(step.request)["request"]
    if wire_name == "gemini-generate":
        return str(sent["path"]).rpartition("/models/")[2].partition(":")[0]
    return str(sent["json"].get("model") or "m")
