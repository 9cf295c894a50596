"""Recorded sessions of Messages go on as their clients went on (what is recorded: tests/wire/recorded.py)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from equitrcoder.wires.anthropic_messages import MessagesDialect
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    RequestOptions,
    ResultForModel,
    ToolResults,
    Turn,
    UserMessage,
)
from tests.wire.messages_bodies import WIRE
from tests.wire.reading import client_calls
from tests.wire.recorded import exchange, expectations, expected_client_calls, links, needs_recordings, read

pytestmark = needs_recordings
NAME = "anthropic-messages"


def recorded_echo(answer: str, request: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]] | None:
    """The calls in the assistant message of the recorded request that echoes this answer, and the results after it."""
    ids = expected_client_calls(NAME, answer, "id")
    messages = exchange(request)["request"]["json"]["messages"]
    for message, after in pairwise(messages):
        blocks = [message["content"], after["content"]]
        if not all(isinstance(each, list) for each in blocks):
            continue
        calls = [block for block in blocks[0] if block["type"] == "tool_use"]
        results = [block for block in blocks[1] if block["type"] == "tool_result"]
        if calls and [call["id"] for call in calls] == ids:
            return calls, results
    return None


def test_recorded_sessions_are_echoed_in_meaning_as_their_clients_did() -> None:
    """Our next request after each recorded answer: the same calls under the same ids, and their results in order."""
    checked = 0
    for answer, request in links(NAME):
        recorded = recorded_echo(answer, request)
        turn = read(NAME, answer)
        if recorded is None:
            continue
        calls, results = recorded
        said, told = our_echo(turn, results)
        ours = [block for block in said["content"] if block["type"] == "tool_use"]
        assert [(call["id"], call["name"], call["input"]) for call in ours] == [
            (call["id"], call["name"], call["input"]) for call in calls
        ], answer
        assert [each["tool_use_id"] for each in told["content"]] == [each["tool_use_id"] for each in results], answer
        checked += 1
    assert checked > 40


def our_echo(turn: Turn, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    told = tuple(ResultForModel(wire_id=each["tool_use_id"], name="", text="done") for each in results)
    return sent_after(turn, ToolResults(results=told))[1:]


def sent_after(turn: Turn, message: ToolResults | UserMessage) -> list[dict[str, Any]]:
    echoed = client_calls(turn, as_given=True)
    said = AssistantMessage(text=turn.text, calls=echoed, native=turn.native, origin="row")
    conversation = Conversation(system="", messages=[UserMessage(text="go on"), said, message])
    body = WIRE.request(conversation, [], RequestOptions(model="m"), MessagesDialect(cache=False), origin="row").body
    return list(body["messages"])


def test_every_recorded_answer_goes_back_block_by_block() -> None:
    """What the provider wrote, letter for letter: thinking and signatures, its own tools, blocks nobody knows."""
    checked = 0
    for which, told in expectations(NAME).items():
        if told["error"] or "malformed-arguments" in told["shape"]:
            continue
        turn = read(NAME, which)
        open_calls = [call for call in turn.calls if call.kind != "client" and call.result is None and not call.error]
        written = [block for block in turn.native["content"] if block["type"] != "text" or block["text"].strip()]
        sent = sent_after(turn, UserMessage(text="thanks"))
        if not written or open_calls:
            continue
        assert sent[1] == {"role": "assistant", "content": written}, which
        checked += 1
    assert checked > 350
