"""Gemini's recorded sessions go on as their clients went on, and its tokens add up (tests/wire/recorded.py)."""

from __future__ import annotations

import json
from typing import Any

from equitrcoder.wires.gemini_generate.fields import pick
from equitrcoder.wires.gemini_generate.requests import FOREIGN_SIGNATURE
from tests.wire.gemini_bodies import after, sent
from tests.wire.recorded import (
    body_of,
    exchange,
    expectations,
    expected_client_calls,
    is_stream,
    links,
    needs_recordings,
    read,
)

pytestmark = needs_recordings
NAME = "gemini-generate"


def test_input_and_output_add_up_to_googles_own_total() -> None:
    checked = 0
    for which, told in expectations(NAME).items():
        if told["error"] or is_stream(which):
            continue
        usage = pick(json.loads(body_of(which)), "usageMetadata") or {}
        found = read(NAME, which).usage
        if "totalTokenCount" in usage and found.output_tokens is not None:
            assert (found.input_tokens or 0) + found.output_tokens == usage["totalTokenCount"], which
            checked += 1
    assert checked > 150


def call_parts(content: dict[str, Any], field: str) -> list[dict[str, Any]]:
    return [part for part in content.get("parts") or [] if pick(part, field) is not None]


def recorded_echo(answer: str, request: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The content of the recorded request that echoes this answer, and the one with the results after it."""
    names = expected_client_calls(NAME, answer, "name")
    contents = exchange(request)["request"]["json"]["contents"]
    for place in reversed(range(len(contents) - 1)):
        calls = call_parts(contents[place], "functionCall")
        if names and [pick(part, "functionCall")["name"] for part in calls] == names:
            return contents[place], contents[place + 1]
    return None


def test_recorded_sessions_are_echoed_in_meaning_as_their_clients_did() -> None:
    """Our next request after each recorded answer: the same calls with the same signatures, ids only where given."""
    checked = 0
    for answer, request in links(NAME):
        recorded = recorded_echo(answer, request)
        if recorded is None:
            continue
        turn = read(NAME, answer)
        _, model, results = sent(after(turn), "gemini-2.5-flash")
        assert model["parts"] == turn.native["parts"], answer
        given = expected_client_calls(NAME, answer, "id")
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
