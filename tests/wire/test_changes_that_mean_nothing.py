"""What changes no call: how a body is framed and cut, fields and events that nobody knows, facts said twice.

Over the same answer on every wire, and over recorded answers where their folder is given: every fifth of them, all with
EQUITRCODER_ALL_BODIES=1.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import pytest

from equitrcoder.errors import ProviderError
from equitrcoder.wires import read_calls, wire
from equitrcoder.wires.values import Delta, Turn
from tests.wire import recorded
from tests.wire.changes import FRAMINGS, cut_at_random, each_event, with_unknown_fields
from tests.wire.every_wire import FORMS, body, event, events
from tests.wire.reading import read_body

STEP = 1 if os.environ.get("EQUITRCODER_ALL_BODIES") else 5
CALLS = ("f", {"x": 'Grüße 🔧 "\\\n', "n": [1, {"y": None}]}), ("g", {}), ("f", {"x": 1.5})
THEIRS = "input args arguments action operation parameters metadata usage code results outputs queries"
LEAVE = frozenset(
    [*THEIRS.split(), "executableCode", "executable_code", "codeExecutionResult", "code_execution_result"]
)
"""Keys of what belongs to a call itself: a field there is an argument."""
SERVER_SENT = [name for name, form in FORMS.items() if not form.lines]
each_wire = pytest.mark.parametrize("name", FORMS)
each_event_stream = pytest.mark.parametrize("name", SERVER_SENT)
framings = pytest.mark.parametrize("framing", FRAMINGS)


class Answer(NamedTuple):
    which: str
    body: bytes
    streaming: bool
    calls: list[dict[str, Any]]


def calls_in(name: str, text: bytes, *, streaming: bool) -> list[dict[str, Any]]:
    return recorded.plain(read_calls(name, text, streaming=streaming))


def answers(name: str) -> Iterator[Answer]:
    """The answer written here, and the recorded ones."""
    for streaming in (True, False):
        text = body(name, streaming, *CALLS)
        yield Answer(f"written, {streaming}", text, streaming, calls_in(name, text, streaming=streaming))
    for which in [*recorded.expectations(name)][::STEP] if recorded.FOLDER else ():
        if recorded.status_of(which) < 400:
            text, streaming = recorded.body_of(which), recorded.is_stream(which)
            yield Answer(which, text, streaming, calls_in(name, text, streaming=streaming))


def streams(name: str) -> Iterator[Answer]:
    return (answer for answer in answers(name) if answer.streaming)


def test_the_answers_hold_calls() -> None:
    for name in FORMS:
        assert [[call["name"] for call in answer.calls] for answer in answers(name)][:2] == [["f", "g", "f"]] * 2


@each_event_stream
@framings
def test_framing(name: str, framing: str) -> None:
    for answer in streams(name):
        changed = FRAMINGS[framing](answer.body)
        assert calls_in(name, changed, streaming=True) == answer.calls, answer.which
        assert calls_in(name, changed, streaming=False) == answer.calls, f"{answer.which}, not asked for as a stream"


@each_wire
def test_a_document_where_a_stream_was_asked_for_and_the_reverse(name: str) -> None:
    for answer in answers(name):
        assert calls_in(name, answer.body, streaming=not answer.streaming) == answer.calls, answer.which


@each_wire
def test_blanks_around_and_within_a_document(name: str) -> None:
    for answer in answers(name):
        if not answer.streaming and answer.body.strip().startswith(b"{"):
            spaced = b" \r\n" + json.dumps(json.loads(answer.body), indent=2).encode() + b"\n\n"
            for text in (spaced, b"\xef\xbb\xbf" + answer.body):
                for streaming in (True, False):
                    assert calls_in(name, text, streaming=streaming) == answer.calls, answer.which


@each_wire
def test_fields_that_nobody_knows(name: str) -> None:
    change = partial(with_unknown_fields, leave=LEAVE)
    for answer in answers(name):
        if name in SERVER_SENT and answer.streaming:
            changed = each_event(answer.body, change)
        elif answer.streaming or not answer.body.strip().startswith(b"{"):
            continue
        else:
            changed = json.dumps(change(json.loads(answer.body))).encode()
        assert b"x_new" in changed or b"{" not in answer.body
        assert calls_in(name, changed, streaming=answer.streaming) == answer.calls, answer.which


UNKNOWN_EVENTS = {
    "anthropic-messages": [{"type": "ping"}, {"type": "some_future_event", "index": 0, "delta": {"type": "x"}}],
    "openai-responses": [{"type": "response.some_future_event", "output_index": 0, "item_id": "x", "delta": "x"}],
    "cohere-v2": [
        {"type": "debug", "prompt": "x"},
        {"type": "some-future-event", "index": 0, "delta": {"message": {}}},
    ],
    "gemini-generate": [{"usageMetadata": {"promptTokenCount": 1}}, {"candidates": []}],
}


@each_event_stream
def test_events_that_nobody_knows(name: str) -> None:
    chat = [{"id": "x", "choices": []}, {"choices": [], "usage": None}, {"object": "keep-alive"}]
    between = b"".join(event(name, value) for value in UNKNOWN_EVENTS.get(name, chat))
    for answer in streams(name):
        if b"\r" in answer.body or not answer.body.rstrip().count(b"\n\n"):
            continue
        changed = answer.body.rstrip(b"\n").replace(b"\n\n", b"\n\n" + between) + b"\n\n"
        assert calls_in(name, changed, streaming=True) == answer.calls, answer.which


@each_wire
def test_usage_said_twice(name: str) -> None:
    """Totals that come again are no more tokens, and no other calls."""
    usage = b'"usageMetadata"' if name == "gemini-generate" else b'"usage"'
    for answer in streams(name):
        made = answer.body.split(b"\n\n") if name in SERVER_SENT else []
        if any(b"message_start" in block and b'"content":[]' not in block for block in made):
            continue  # a start said twice is another message
        only_usage = [
            block for block in made if usage in block and (b'"choices":[]' in block or b'"choices": []' in block)
        ]
        twice = b"\n\n".join(block if block not in only_usage else block + b"\n\n" + block for block in made)
        if only_usage:
            before, after = (read_body(wire(name), text, streaming=True) for text in (answer.body, twice))
            assert (before.usage, before.calls) == (after.usage, after.calls), answer.which


def fed(name: str, pieces: list[bytes]) -> tuple[Turn | str, list[Delta]]:
    """What a stream in these pieces gives: the turn, or the error in its place, and all that was shown, joined."""
    reader, shown = wire(name).stream_reader(), []
    try:
        for each in pieces:
            shown += reader.feed(each)
        return reader.finish(), joined(shown)
    except ProviderError as error:
        return f"{type(error).__name__}: {error} {error.partial}", joined(shown)


def joined(shown: list[Delta]) -> list[Delta]:
    """Deltas of one kind in a row as one."""
    runs: list[list[Delta]] = []
    for delta in shown:
        if runs and runs[-1][0].kind == delta.kind:
            runs[-1].append(delta)
        else:
            runs.append([delta])
    return [Delta(text="".join(delta.text for delta in run), kind=run[0].kind) for run in runs]


@each_wire
def test_where_a_stream_is_cut_and_which_way_it_is_read(name: str) -> None:
    """At once most events are only compared with the one before; in small pieces each is read in full."""
    for number, answer in enumerate(streams(name)):
        at_once = fed(name, [answer.body])
        in_full = fed(name, [answer.body[at : at + 7] for at in range(0, len(answer.body), 7)])
        if isinstance(at_once[0], str):
            assert at_once[0] == in_full[0], answer.which
        else:
            assert at_once == in_full, answer.which
        assert fed(name, cut_at_random(answer.body, number))[0] == at_once[0], answer.which


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if form.pieces and not form.lines])
def test_events_of_different_calls_may_be_interleaved(name: str) -> None:
    """Pieces of several calls in turn: each goes where its place says."""
    made = events(name, ("f", {"x": "aaaa"}), ("g", {"y": "bbbb"}), size=2)
    one, other = places_of(name, made)
    order = [number for pair in zip(one, other, strict=True) for number in pair]
    first, last = min(one + other), max(one + other) + 1
    rest = [number for number in range(first, last) if number not in order]
    opens = [
        number for number in rest if b"start" in made[number] or b"added" in made[number] or b'"name"' in made[number]
    ]
    closes = [number for number in rest if number not in opens]
    mixed = [made[number] for number in [*range(first), *opens, *order, *closes, *range(last, len(made))]]
    assert calls_in(name, b"".join(mixed), streaming=True) == calls_in(name, b"".join(made), streaming=True)


def places_of(name: str, made: list[bytes]) -> tuple[list[int], list[int]]:
    """The events with pieces of arguments, of the first call and of the second."""
    marks = {
        "openai-responses": b"arguments.delta",
        "anthropic-messages": b"partial_json",
        "cohere-v2": b"tool-call-delta",
    }
    mark = marks.get(name, b'"function": {"arguments"')
    places = [number for number, each in enumerate(made) if mark in each]
    return places[: len(places) // 2], places[len(places) // 2 :]
