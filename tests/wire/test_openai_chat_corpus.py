"""Recorded sessions of Chat Completions go on as their clients went on (what is recorded: tests/wire/recorded.py)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from equitrcoder.wires import wire
from equitrcoder.wires.openai_chat import ChatDialect
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    RequestOptions,
    ResultForModel,
    ToolResults,
    Turn,
    UserMessage,
)
from tests.wire.reading import client_calls
from tests.wire.recorded import exchange, expected_client_calls, links, needs_recordings, read

pytestmark = needs_recordings
NAME = "openai-chat"


def recorded_echo(answer: str, request: str) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
    """The assistant message of the recorded request that echoes this answer, and the results after it."""
    names = expected_client_calls(NAME, answer, "name")
    messages = exchange(request)["request"]["json"]["messages"]
    for place in reversed(range(len(messages))):
        calls = messages[place].get("tool_calls") or []
        if messages[place]["role"] == "assistant" and [call["function"]["name"] for call in calls] == names:
            ids = [call["id"] for call in calls]
            results = [each for each in messages[place + 1 :] if each.get("tool_call_id") in ids]
            return messages[place], results[: len(ids)]
    return None


def test_recorded_sessions_are_echoed_in_meaning_as_their_clients_did() -> None:
    """Our next request after each recorded answer: the same calls under the same ids, and their results in order."""
    checked = 0
    for answer, request in links(NAME):
        recorded = recorded_echo(answer, request)
        turn = read(NAME, answer)
        if recorded is None or not turn.calls:
            continue
        message, results = recorded
        ours = our_echo(turn, message, results)
        assert [
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in ours[0]["tool_calls"]
        ] == [
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"] or "{}"))
            for call in message["tool_calls"]
        ], answer
        assert [each["tool_call_id"] for each in ours[1:]] == [each["tool_call_id"] for each in results], answer
        assert None not in [value for key, value in ours[0].items() if key != "content"]
        checked += 1
    assert checked > 150


def our_echo(turn: Turn, message: dict[str, Any], results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    pairs = zip(client_calls(turn), message["tool_calls"], strict=True)
    echoed = tuple(replace(call, wire_id=recorded["id"]) for call, recorded in pairs)
    told = tuple(ResultForModel(wire_id=each["tool_call_id"], name="", text=str(each["content"])) for each in results)
    conversation = Conversation(
        system="",
        messages=[
            UserMessage(text="go on"),
            AssistantMessage(text=turn.text, calls=echoed, native=turn.native, origin="row"),
            ToolResults(results=told),
        ],
    )
    body = wire(NAME).request(conversation, [], RequestOptions(model="m"), ChatDialect(), origin="row").body
    return list(body["messages"][1:])
