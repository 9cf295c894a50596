"""Recorded answers of Responses go back item by item (what is recorded: tests/wire/recorded.py)."""

from __future__ import annotations

from typing import Any

from equitrcoder.wires.openai_responses import ResponsesDialect
from equitrcoder.wires.values import AssistantMessage, Conversation, RequestOptions, ResultForModel, ToolResults, Turn
from tests.wire.reading import client_calls
from tests.wire.recorded import expectations, needs_recordings, read
from tests.wire.responses_bodies import RESPONSES

pytestmark = needs_recordings
NAME = "openai-responses"


def test_every_answer_tells_its_tokens() -> None:
    answers = [which for which, told in expectations(NAME).items() if not told["error"]]
    assert [which for which in answers if read(NAME, which).usage.output_tokens is None] == []


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
