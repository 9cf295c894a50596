"""Gemini's wire on recorded traffic, where a folder of it is given in EQUITRCODER_CORPUS.

The folder's layout is described in tests/wire/test_openai_chat_corpus.py.
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
from equitrcoder.wires.gemini_generate.fields import pick
from equitrcoder.wires.gemini_generate.reading import FINISHES
from equitrcoder.wires.gemini_generate.requests import FOREIGN_SIGNATURE
from equitrcoder.wires.values import Turn, WireCall
from tests.wire.gemini_bodies import GEMINI, after, read_stream, sent

FOLDER = os.environ.get("EQUITRCODER_CORPUS")
pytestmark = pytest.mark.skipif(not FOLDER, reason="EQUITRCODER_CORPUS names no folder of recorded traffic")

FIELDS = ("name", "arguments", "id", "kind", "index")


@cache
def expectations() -> dict[str, Any]:
    everything = json.loads((Path(FOLDER or "") / "expected.json").read_bytes())
    return {each: told for each, told in everything.items() if told["wire"] == "gemini-generate"}


@cache
def exchange(which: str) -> dict[str, Any]:
    return json.loads((Path(FOLDER or "") / f"{which}.json").read_bytes())  # type: ignore[no-any-return]


def body_of(which: str) -> bytes:
    return str(exchange(which)["response"]["body"]).encode("utf-8", "surrogatepass")


def read(which: str, size: int | None = None) -> Turn:
    body, status = body_of(which), exchange(which)["response"]["status"]
    if status >= 400:
        raise GEMINI.error(status, {}, body)
    return read_stream(body, size) if exchange(which)["streaming"] else GEMINI.read_response(body)


def plain(calls: list[WireCall] | tuple[WireCall, ...]) -> list[dict[str, Any]]:
    return [{field: getattr(call, field) for field in FIELDS} for call in calls]


def expected_calls(which: str) -> list[dict[str, Any]]:
    return [{field: call[field] for field in FIELDS} for call in expectations()[which]["calls"]]


def test_every_exchange_gives_the_expected_calls() -> None:
    assert len(expectations()) > 200, "the folder holds exchanges of this wire"
    different = []
    for which in expectations():
        streaming, status = exchange(which)["streaming"], exchange(which)["response"]["status"]
        calls = read_calls("gemini-generate", body_of(which), streaming=streaming, status=status)
        if plain(calls) != expected_calls(which):
            different.append((which, plain(calls), expected_calls(which)))
    assert different == []


def test_every_answer_is_read_whole_and_the_finish_words_agree() -> None:
    different = []
    for which, told in expectations().items():
        try:
            turn = read(which)
        except ProviderError:
            assert told["error"] is not None, which
            continue
        finish = next(iter(told["finish"]), None)
        finish = FINISHES[finish] if isinstance(finish, int) else finish
        # a stream whose events have no blank line between them is no answer to its expectations; it is read here
        if "sse-event-not-json" not in told["shape"] and turn.finish != finish:
            different.append((which, turn.finish, finish))
    assert different == []


def test_input_and_output_add_up_to_googles_own_total() -> None:
    checked = 0
    for which, told in expectations().items():
        if told["error"] or exchange(which)["streaming"]:
            continue
        usage = pick(json.loads(body_of(which)), "usageMetadata") or {}
        found = read(which).usage
        if "totalTokenCount" in usage and found.output_tokens is not None:
            assert (found.input_tokens or 0) + found.output_tokens == usage["totalTokenCount"], which
            checked += 1
    assert checked > 150


def test_where_a_stream_is_cut_makes_no_difference() -> None:
    streams = [which for which in expectations() if exchange(which)["streaming"]]
    assert len(streams) > 30
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


def call_parts(content: dict[str, Any], field: str) -> list[dict[str, Any]]:
    return [part for part in content.get("parts") or [] if pick(part, field) is not None]


def recorded_echo(answer: str, request: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The content of the recorded request that echoes this answer, and the one with the results after it."""
    names = [call["name"] for call in expected_calls(answer) if call["kind"] == "client"]
    contents = exchange(request)["request"]["json"]["contents"]
    for place in reversed(range(len(contents) - 1)):
        calls = call_parts(contents[place], "functionCall")
        if names and [pick(part, "functionCall")["name"] for part in calls] == names:
            return contents[place], contents[place + 1]
    return None


def test_recorded_sessions_are_echoed_in_meaning_as_their_clients_did() -> None:
    """Our next request after each recorded answer: the same calls with the same signatures, ids only where given."""
    checked = 0
    for answer, request in links():
        recorded = recorded_echo(answer, request)
        if recorded is None:
            continue
        turn = read(answer)
        _, model, results = sent(after(turn), "gemini-2.5-flash")
        assert model["parts"] == turn.native["parts"], answer
        given = [call["id"] for call in expected_calls(answer) if call["kind"] == "client"]
        for ours, theirs, wire_id in zip(
            call_parts(model, "functionCall"), call_parts(recorded[0], "functionCall"), given, strict=True
        ):
            mine, body = ours["functionCall"], pick(theirs, "functionCall")
            assert (mine["name"], mine["args"]) == (body["name"], body.get("args") or {}), answer
            assert mine.get("id") == wire_id
            if pick(theirs, "thoughtSignature") not in (None, FOREIGN_SIGNATURE):
                # one client repeats the first call's on the calls beside it; here each part keeps its own
                signatures = [part.get("thoughtSignature") for part in model["parts"]]
                place = model["parts"].index(ours)
                mine = signatures[place] or next(filter(None, signatures[:place][::-1]), None)
                assert same_base64(mine, pick(theirs, "thoughtSignature")), answer
        names = [part["functionResponse"]["name"] for part in results["parts"]]
        theirs = [pick(part, "functionResponse")["name"] for part in call_parts(recorded[1], "functionResponse")]
        assert names == theirs, answer
        checked += 1
    assert checked > 30


def same_base64(ours: Any, theirs: str) -> bool:
    """Clients of Google write the alphabet for addresses."""
    return str(ours).rstrip("=") == theirs.replace("-", "+").replace("_", "/").rstrip("=")
