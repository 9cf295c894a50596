"""The Messages wire on recorded traffic, where a folder of it is given in EQUITRCODER_CORPUS.

The folder holds `expected.json` (id -> calls), `<id>.json` (one exchange each: request, response) and `sessions/`
(exchanges of one conversation; a link says which request carries the results of which answer). None of it is in this
repository; departures from its expectations, if there were any, would be listed in docs/wires.md.
"""

from __future__ import annotations

import json
import os
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.errors import EquitrError, ProviderError
from equitrcoder.wires import read_calls, wire
from equitrcoder.wires.anthropic_messages import MessagesDialect
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    EchoedCall,
    RequestOptions,
    ResultForModel,
    ToolResults,
    Turn,
    UserMessage,
    WireCall,
)

FOLDER = os.environ.get("EQUITRCODER_CORPUS")
pytestmark = pytest.mark.skipif(not FOLDER, reason="EQUITRCODER_CORPUS names no folder of recorded traffic")

WIRE = wire("anthropic-messages")


@cache
def expectations() -> dict[str, Any]:
    """What each exchange of this wire must give."""
    everything = json.loads((Path(FOLDER or "") / "expected.json").read_bytes())
    return {each: told for each, told in everything.items() if told["wire"] == "anthropic-messages"}


@cache
def exchange(which: str) -> dict[str, Any]:
    return json.loads((Path(FOLDER or "") / f"{which}.json").read_bytes())  # type: ignore[no-any-return]


def body_of(which: str) -> bytes:
    return str(exchange(which)["response"]["body"]).encode("utf-8", "surrogatepass")


def read(which: str, size: int | None = None) -> Turn:
    """The whole answer; a stream in pieces of this size."""
    body, response = body_of(which), exchange(which)["response"]
    if response["status"] >= 400:
        raise WIRE.error(response["status"], {}, body)
    if not exchange(which)["streaming"]:
        return WIRE.read_response(body)
    reader = WIRE.stream_reader()
    for start in range(0, len(body), size or len(body)):
        reader.feed(body[start : start + (size or len(body))])
    return reader.finish()


def plain(calls: list[WireCall] | tuple[WireCall, ...]) -> list[dict[str, Any]]:
    fields = ("name", "arguments", "id", "kind", "index")
    return [{field: getattr(call, field) for field in fields} for call in calls]


def expected_calls(which: str) -> list[dict[str, Any]]:
    fields = ("name", "arguments", "id", "kind", "index")
    return [{field: call[field] for field in fields} for call in expectations()[which]["calls"]]


def test_every_exchange_gives_the_expected_calls() -> None:
    assert len(expectations()) > 400, "the folder holds exchanges of this wire"
    different = []
    for which in expectations():
        response = exchange(which)["response"]
        streaming = exchange(which)["streaming"]
        calls = read_calls("anthropic-messages", body_of(which), streaming=streaming, status=response["status"])
        if plain(calls) != expected_calls(which):
            different.append((which, plain(calls), expected_calls(which)))
    assert different == []


def test_every_answer_is_read_whole_and_the_finish_words_agree() -> None:
    unread, different = [], []
    for which, told in expectations().items():
        try:
            turn = read(which)
        except ProviderError as error:
            unread.append((which, type(error).__name__, told["error"] is not None or told["shape"] == []))
            continue
        if plain(turn.calls) != expected_calls(which) or turn.finish != next(iter(told["finish"]), None):
            different.append(which)
    assert different == []
    assert all(is_error for _, _, is_error in unread), unread


def test_where_a_stream_is_cut_makes_no_difference() -> None:
    streams = [which for which in expectations() if exchange(which)["streaming"] and not expectations()[which]["error"]]
    assert len(streams) > 100
    for number, which in enumerate(streams):
        whole = read(which)
        assert read(which, size=1 + number % 61) == whole, which


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


def recorded_echo(answer: str, request: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]] | None:
    """The calls in the assistant message of the recorded request that echoes this answer, and the results after it."""
    ids = [call["id"] for call in expected_calls(answer) if call["kind"] == "client"]
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
    for answer, request in links():
        recorded = recorded_echo(answer, request)
        turn = read(answer)
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
    echoed = tuple(
        EchoedCall(
            wire_id=call.id or f"made{call.index}",
            name=call.name,
            arguments=call.arguments if isinstance(call.arguments, dict) else None,
            index=call.index,
        )
        for call in turn.calls
        if call.kind == "client"
    )
    said = AssistantMessage(text=turn.text, calls=echoed, native=turn.native, origin="row")
    conversation = Conversation(system="", messages=[UserMessage(text="go on"), said, message])
    body = WIRE.request(conversation, [], RequestOptions(model="m"), MessagesDialect(cache=False), origin="row").body
    return list(body["messages"])


def test_every_recorded_answer_goes_back_block_by_block() -> None:
    """What the provider wrote, letter for letter: thinking and signatures, its own tools, blocks nobody knows."""
    checked = 0
    for which, told in expectations().items():
        if told["error"] or "malformed-arguments" in told["shape"]:
            continue
        turn = read(which)
        open_calls = [call for call in turn.calls if call.kind != "client" and call.result is None and not call.error]
        written = [block for block in turn.native["content"] if block["type"] != "text" or block["text"].strip()]
        sent = sent_after(turn, UserMessage(text="thanks"))
        if not written or open_calls:
            continue
        assert sent[1] == {"role": "assistant", "content": written}, which
        checked += 1
    assert checked > 350
