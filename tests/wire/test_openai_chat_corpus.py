"""The Chat Completions wire on recorded traffic, where a folder of it is given in EQUITRCODER_CORPUS.

The folder holds `expected.json` (id -> calls), `<id>.json` (one exchange each: request, response) and `sessions/`
(exchanges of one conversation; a link says which request carries the results of which answer). None of it is in this
repository; departures from its expectations, if there were any, would be listed in docs/wires.md.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.errors import EquitrError, ProviderError
from equitrcoder.wires import read_calls, wire
from equitrcoder.wires.openai_chat import ChatDialect
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

CHAT = wire("openai-chat")


@cache
def expectations() -> dict[str, Any]:
    """What each exchange of this wire must give."""
    everything = json.loads((Path(FOLDER or "") / "expected.json").read_bytes())
    return {each: told for each, told in everything.items() if told["wire"] == "openai-chat"}


@cache
def exchange(which: str) -> dict[str, Any]:
    return json.loads((Path(FOLDER or "") / f"{which}.json").read_bytes())  # type: ignore[no-any-return]


def body_of(which: str) -> bytes:
    return str(exchange(which)["response"]["body"]).encode("utf-8", "surrogatepass")


def read(which: str, size: int | None = None) -> Turn:
    """The whole answer; a stream in pieces of this size."""
    body, response = body_of(which), exchange(which)["response"]
    if response["status"] >= 400:
        raise CHAT.error(response["status"], {}, body)
    if not exchange(which)["streaming"]:
        return CHAT.read_response(body)
    reader = CHAT.stream_reader()
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
    assert len(expectations()) > 500, "the folder holds exchanges of this wire"
    different = []
    for which in expectations():
        response = exchange(which)["response"]
        streaming = exchange(which)["streaming"]
        calls = read_calls("openai-chat", body_of(which), streaming=streaming, status=response["status"])
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
    assert len(streams) > 200
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


def recorded_echo(answer: str, request: str) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
    """The assistant message of the recorded request that echoes this answer, and the results after it."""
    names = [call["name"] for call in expected_calls(answer) if call["kind"] == "client"]
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
    for answer, request in links():
        recorded = recorded_echo(answer, request)
        turn = read(answer)
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
    echoed = tuple(
        EchoedCall(
            wire_id=recorded["id"],
            name=call.name,
            arguments=call.arguments if isinstance(call.arguments, dict) else None,
            index=call.index,
        )
        for call, recorded in zip(turn.calls, message["tool_calls"], strict=True)
    )
    told = tuple(ResultForModel(wire_id=each["tool_call_id"], name="", text=str(each["content"])) for each in results)
    conversation = Conversation(
        system="",
        messages=[
            UserMessage(text="go on"),
            AssistantMessage(text=turn.text, calls=echoed, native=turn.native, origin="row"),
            ToolResults(results=told),
        ],
    )
    body = CHAT.request(conversation, [], RequestOptions(model="m"), ChatDialect(), origin="row").body
    return list(body["messages"][1:])
