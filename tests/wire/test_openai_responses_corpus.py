"""Recorded sessions of Responses go on as their clients went on (what is recorded: tests/wire/recorded.py)."""

from __future__ import annotations

import json
from typing import Any

from equitrcoder.wires.openai_responses import ResponsesDialect
from equitrcoder.wires.values import AssistantMessage, Conversation, RequestOptions, ResultForModel, ToolResults, Turn
from tests.wire.reading import client_calls
from tests.wire.recorded import exchange, expectations, links, needs_recordings, read
from tests.wire.responses_bodies import RESPONSES

pytestmark = needs_recordings
NAME = "openai-responses"


def test_every_answer_tells_its_tokens() -> None:
    answers = [which for which, told in expectations(NAME).items() if not told["error"]]
    assert [which for which in answers if read(NAME, which).usage.output_tokens is None] == []


def test_recorded_sessions_are_echoed_in_meaning_as_their_clients_did() -> None:
    """Our next request after each recorded answer: the same calls under the same ids, and their results in order."""
    checked = 0
    for answer, request in links(NAME):
        turn = read(NAME, answer)
        sent = exchange(request)["request"]["json"]["input"]
        ids = [call.id for call in turn.calls if call.kind == "client"]
        calls = {item.get("call_id"): item for item in sent if item.get("type") == "function_call"}
        results = {item.get("call_id"): item for item in sent if item.get("type") == "function_call_output"}
        if not ids or not set(ids) <= set(calls) & set(results):
            continue  # the answer was referred to by its id, or its tools were of another kind
        ours = echo(turn)
        told = [item for item in ours if item["type"] == "function_call"]
        assert [(each["call_id"], each["name"], json.loads(each["arguments"])) for each in told] == [
            (one, calls[one]["name"], json.loads(calls[one]["arguments"] or "{}")) for one in ids
        ], answer
        assert [item["call_id"] for item in ours if item["type"] == "function_call_output"] == ids, answer
        checked += 1
    assert checked > 30


def echo(turn: Turn) -> list[dict[str, Any]]:
    echoed = client_calls(turn, as_given=True)
    results = tuple(ResultForModel(wire_id=call.wire_id, name=call.name, text="done") for call in echoed)
    said = AssistantMessage(text=turn.text, calls=echoed, native=turn.native, origin="row")
    conversation = Conversation(system="", messages=[said, ToolResults(results=results)])
    body = RESPONSES.request(conversation, [], RequestOptions(model="m"), ResponsesDialect(), origin="row").body
    return list(body["input"])


def test_every_recorded_answer_goes_back_with_its_items_in_order() -> None:
    for which, told in expectations(NAME).items():
        if told["error"]:
            continue
        turn = read(NAME, which)
        plain = {"tool_search_call": "function_call", "computer_call": "function_call"}
        ours = {call.index for call in turn.calls if call.kind == "client"}
        places = iter(range(len(turn.calls)))
        kept = []
        for item in turn.native["output"]:
            is_call = item["type"].endswith("_call") or item["type"] == "mcp_approval_request"
            mine = is_call and next(places) in ours
            kept.append(plain.get(item["type"], item["type"]) if mine else item["type"])
        sent = [item["type"] for item in echo(turn)][: -len(ours) or None]
        assert [kind for kind in sent if kind != "reasoning"] == [kind for kind in kept if kind != "reasoning"], which
