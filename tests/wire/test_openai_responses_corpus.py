"""The Responses wire on recorded traffic, where a folder of it is given in EQUITRCODER_CORPUS.

What the folder holds: tests/wire/test_openai_chat_corpus.py. Departures from its expectations, if there were any, would
be listed in docs/wires.md.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.errors import EquitrError, ProviderError
from equitrcoder.wires import read_calls
from equitrcoder.wires.openai_responses import ResponsesDialect
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    EchoedCall,
    RequestOptions,
    ResultForModel,
    ToolResults,
    Turn,
)
from tests.wire.responses_bodies import RESPONSES

FOLDER = os.environ.get("EQUITRCODER_CORPUS")
pytestmark = pytest.mark.skipif(not FOLDER, reason="EQUITRCODER_CORPUS names no folder of recorded traffic")

FIELDS = ("name", "arguments", "id", "kind", "index")


@cache
def expectations() -> dict[str, Any]:
    """What each exchange of this wire must give."""
    everything = json.loads((Path(FOLDER or "") / "expected.json").read_bytes())
    return {each: told for each, told in everything.items() if told["wire"] == "openai-responses"}


@cache
def exchange(which: str) -> dict[str, Any]:
    return json.loads((Path(FOLDER or "") / f"{which}.json").read_bytes())  # type: ignore[no-any-return]


def body_of(which: str) -> bytes:
    return str(exchange(which)["response"]["body"]).encode("utf-8", "surrogatepass")


def read(which: str, size: int | None = None) -> Turn:
    """The whole answer; a stream in pieces of this size."""
    body, response = body_of(which), exchange(which)["response"]
    if response["status"] >= 400:
        raise RESPONSES.error(response["status"], {}, body)
    if not exchange(which)["streaming"]:
        return RESPONSES.read_response(body)
    reader = RESPONSES.stream_reader()
    for start in range(0, len(body), size or len(body)):
        reader.feed(body[start : start + (size or len(body))])
    return reader.finish()


def expected_calls(which: str) -> list[dict[str, Any]]:
    return [{field: call[field] for field in FIELDS} for call in expectations()[which]["calls"]]


def test_every_exchange_gives_the_expected_calls() -> None:
    assert len(expectations()) > 300, "the folder holds exchanges of this wire"
    different = []
    for which in expectations():
        recorded = exchange(which)
        found = read_calls(
            "openai-responses",
            body_of(which),
            streaming=recorded["streaming"],
            status=recorded["response"]["status"],
        )
        plain = [{field: getattr(call, field) for field in FIELDS} for call in found]
        if plain != expected_calls(which):
            different.append((which, plain, expected_calls(which)))
    assert different == []


def test_every_answer_is_read_whole_and_the_finish_words_agree() -> None:
    unread, different = [], []
    for which, told in expectations().items():
        try:
            turn = read(which)
        except ProviderError as error:
            unread.append((which, type(error).__name__, told["error"] is not None))
            continue
        if turn.finish != next(iter(told["finish"]), None) or turn.usage.output_tokens is None:
            different.append(which)
    assert different == []
    assert all(is_error for _, _, is_error in unread), unread


def test_where_a_stream_is_cut_makes_no_difference() -> None:
    streams = [which for which in expectations() if exchange(which)["streaming"] and not expectations()[which]["error"]]
    assert len(streams) > 100
    for number, which in enumerate(streams):
        assert read(which, size=1 + number % 61) == read(which), which


def test_every_error_of_the_corpus_is_typed() -> None:
    for which, told in expectations().items():
        if told["error"]:
            with pytest.raises(EquitrError) as caught:
                read(which)
            assert type(caught.value) is not ProviderError, which
            assert str(told["error"]["message"])[:60] in caught.value.message


def links() -> list[tuple[str, str]]:
    """Pairs of an answer and the exchange whose request carries the results of its calls."""
    pairs = []
    for file in sorted((Path(FOLDER or "") / "sessions").glob("*.json")):
        session = json.loads(file.read_bytes())
        for link in session["links"]:
            pair = session["exchanges"][link["from"]], session["exchanges"][link["to"]]
            if all(each in expectations() for each in pair):
                pairs.append(pair)
    return pairs


def test_recorded_sessions_are_echoed_in_meaning_as_their_clients_did() -> None:
    """Our next request after each recorded answer: the same calls under the same ids, and their results in order."""
    checked = 0
    for answer, request in links():
        turn = read(answer)
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
    echoed = tuple(
        EchoedCall(
            wire_id=str(call.id),
            name=call.name,
            arguments=call.arguments if isinstance(call.arguments, dict) else None,
            index=call.index,
        )
        for call in turn.calls
        if call.kind == "client"
    )
    results = tuple(ResultForModel(wire_id=call.wire_id, name=call.name, text="done") for call in echoed)
    said = AssistantMessage(text=turn.text, calls=echoed, native=turn.native, origin="row")
    conversation = Conversation(system="", messages=[said, ToolResults(results=results)])
    body = RESPONSES.request(conversation, [], RequestOptions(model="m"), ResponsesDialect(), origin="row").body
    return list(body["input"])


def test_every_recorded_answer_goes_back_with_its_items_in_order() -> None:
    for which, told in expectations().items():
        if told["error"]:
            continue
        turn = read(which)
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
