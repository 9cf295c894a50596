"""No body makes a reader of any wire raise anything but our errors, hang, or use memory out of proportion.

Each case by its name, over every wire. What only one wire has is in its own file (`test_*_robust.py`). The recorded
bodies come in where their folder is given: a sample of them, all of them with EQUITRCODER_ALL_BODIES=1.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import strategies as st

from equitrcoder import jsontext
from equitrcoder.errors import ProviderError
from equitrcoder.wires import read_calls, wire
from equitrcoder.wires.values import Turn
from tests.wire import recorded
from tests.wire.every_wire import FORMS, TEXT, body, event, events, stream
from tests.wire.hostile import (
    both_ways,
    examples,
    flipped,
    memory_stays_in_proportion,
    nested,
    seconds,
    takes_linear_time,
)
from tests.wire.reading import feed, read_body

ALL = bool(os.environ.get("EQUITRCODER_ALL_BODIES"))
each_wire = pytest.mark.parametrize("name", FORMS)
CALLS = ("f", {"x": 'Grüße 🔧 "\\', "n": [1, {"y": None}]}), ("g", {})


def outcome(name: str, text: bytes, *, streaming: bool, size: int | None = None) -> Turn | None:
    """Read a body both as the agent does and for its calls alone; anything but our errors fails the test."""
    try:
        turn: Turn | None = read_body(wire(name), text, streaming=streaming, size=size)
    except ProviderError as error:
        assert type(error) is not ProviderError and str(error)
        turn = error.partial
    calls = read_calls(name, text, streaming=streaming)
    if turn is not None:
        assert [call.name for call in calls] == [call.name for call in turn.calls]
        jsontext.dumps({"native": turn.native, "calls": [call.arguments for call in calls]})  # it goes into the journal
    return turn


@each_wire
@both_ways
def test_cut_at_every_byte(name: str, streaming: bool) -> None:
    whole = body(name, streaming, *CALLS, size=20)
    names = [name for name, _ in CALLS]
    for end in range(len(whole)):
        turn = outcome(name, whole[:end], streaming=streaming)
        assert turn is None or [call.name for call in turn.calls] == names[: len(turn.calls)]


def sample(most_bytes: int) -> Iterator[tuple[str, str]]:
    """Recorded answers, a few of each wire: spread over the folder, and not too long unless all are asked for."""
    for name in FORMS:
        short = [which for which in recorded.expectations(name) if ALL or len(recorded.body_of(which)) <= most_bytes]
        step = 1 if ALL else max(1, len(short) // 12)
        yield from ((name, which) for which in short[::step])


@recorded.needs_recordings
def test_recorded_bodies_cut_at_every_byte() -> None:
    """Fed byte by byte: after each the reader says what it has, as it would if the stream ended there."""
    bodies = 0
    for name, which in sample(1_500):
        whole, streaming = recorded.body_of(which), recorded.is_stream(which)
        bodies += 1
        for end in range(len(whole)) if len(whole) <= 20_000 else range(0, len(whole), len(whole) // 2_000):
            read_calls(name, whole[:end], streaming=streaming)
    assert bodies >= 50


@recorded.needs_recordings
def test_recorded_bodies_with_bytes_flipped() -> None:
    draw, bodies = random.Random(7), 0
    for name, which in sample(4_000):
        whole, bodies = recorded.body_of(which), bodies + 1
        for _ in range(10 if whole else 0):
            changed = bytearray(whole)
            for _ in range(draw.randint(1, 4)):
                changed[draw.randrange(len(changed))] = draw.randrange(256)
            outcome(name, bytes(changed), streaming=recorded.is_stream(which))
    assert bodies >= 50


@each_wire
@both_ways
@examples(40, data=st.data())
def test_bytes_flipped(name: str, streaming: bool, data: st.DataObject) -> None:
    text, size = flipped(data, body(name, streaming, *CALLS))
    outcome(name, text, streaming=streaming, size=size)


@each_wire
@examples(40, order=st.permutations(range(12)), left_out=st.integers(0, 12))
def test_deltas_shuffled(name: str, order: list[int], left_out: int) -> None:
    made = events(name, *CALLS, size=20)
    shuffled = [made[number % len(made)] for number in order if number != left_out]
    outcome(name, b"".join(shuffled), streaming=True)


def ten_megabytes(name: str, megabytes: float, size: int) -> bytes:
    return stream(name, ("f", {"x": "y" * int(megabytes * 1_000_000)}), size=size)


@each_wire
@pytest.mark.parametrize("pieces", ["whole", "in small pieces"])
def test_an_argument_of_ten_megabytes(name: str, pieces: str) -> None:
    size = 1_000 if pieces == "in small pieces" and FORMS[name].pieces else 10**9
    read = partial(read_body, wire(name), streaming=True, size=16_384)
    small, large = ten_megabytes(name, 1.25, size), ten_megabytes(name, 10, size)
    once_s = seconds(lambda: read(small))
    start_s = time.process_time()
    arguments = read(large).calls[0].arguments
    assert time.process_time() - start_s < 8 * once_s * 4 + 0.3, "not eight times as long for eight times as much"
    assert isinstance(arguments, dict) and len(str(arguments["x"])) == 10_000_000


@each_wire
def test_memory_for_an_argument_of_ten_megabytes_stays_in_proportion(name: str) -> None:
    """About three times: the pieces, the event and the text in it; and what the standard library reads it with."""
    for text in (ten_megabytes(name, 10, 10**9), ten_megabytes(name, 10, 100_000)):
        memory_stays_in_proportion(partial(read_body, wire(name), streaming=True, size=65_536), text, 8)


@each_wire
@both_ways
@pytest.mark.parametrize("count", [1_000, 9_990])
def test_a_thousand_calls_and_ten_thousand(name: str, streaming: bool, count: int) -> None:
    text = body(name, streaming, *[("f", {"n": n}) for n in range(count)], size=100)
    turn = outcome(name, text, streaming=streaming, size=65_536)
    assert turn is not None
    told = [(call.index, call.id, call.name, call.arguments) for call in turn.calls]
    assert told == [(n, f"c{n}", "f", {"n": n}) for n in range(count)]


@each_wire
def test_memory_for_many_calls_stays_in_proportion(name: str) -> None:
    text = stream(name, *[("f", {"n": n}) for n in range(2_500)], size=100)
    memory_stays_in_proportion(partial(read_body, wire(name), streaming=True, size=65_536), text, 25)


@each_wire
@both_ways
@pytest.mark.parametrize("depth", [190, 500, 10_000])
def test_nesting_ten_thousand_deep(name: str, streaming: bool, depth: int) -> None:
    """As arguments, and as a field that nobody knows."""
    as_text = json.dumps(nested(depth))[1:-1].encode()
    made = body(name, streaming, ("f", {"x": "HERE"}), size=10**9)
    for text in (
        made.replace(b'"HERE"', nested(depth).encode()),
        made.replace(b'\\"HERE\\"', as_text),
        made.replace(b'{"', b'{"unknown":' + nested(depth).encode() + b',"', 1),
    ):
        assert text != made or b'\\"' not in made or b'"HERE"' not in made
        outcome(name, text, streaming=streaming)


def changed_in_each_place(value: Any, other: Any) -> Iterator[Any]:
    """The value with one of its parts replaced, one after the other."""
    yield other
    places = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in places:
        for changed in changed_in_each_place(inner, other):
            copy = dict(value) if isinstance(value, dict) else list(value)
            copy[key] = changed
            yield copy


OTHERS = [None, "", "x", 0, -1, 1.5, True, [], [None], [[]], {}, {"x": None}, 10**30]


@each_wire
@both_ways
@pytest.mark.parametrize("other", OTHERS, ids=lambda value: json.dumps(value)[:8])
def test_null_and_wrong_types_everywhere(name: str, streaming: bool, other: Any) -> None:
    """Each part of an answer, also of each event of a stream, is something else in turn."""
    if not streaming:
        for changed in changed_in_each_place(FORMS[name].document(CALLS), other):
            outcome(name, json.dumps(changed).encode(), streaming=False)
        return
    made = FORMS[name].events(CALLS[:1], 80)
    for number, value in enumerate(made):
        for changed in changed_in_each_place(value, other):
            text = b"".join(event(name, each) for each in [*made[:number], changed, *made[number + 1 :]])
            outcome(name, text, streaming=True)


def everywhere_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: everywhere_null(inner) for key, inner in value.items()}
    return [everywhere_null(inner) for inner in value] if isinstance(value, list) else None


@each_wire
def test_null_in_place_of_every_scalar_at_once(name: str) -> None:
    outcome(name, json.dumps(everywhere_null(FORMS[name].document(CALLS))).encode(), streaming=False)
    made = [event(name, everywhere_null(value)) for value in FORMS[name].events(CALLS, 40)]
    outcome(name, b"".join(made), streaming=True)


RAW = {
    "NaN": b"NaN",
    "Infinity": b"-Infinity",
    "a number beyond floats": b"1e999",
    "a number of 5,000 digits": b"9" * 5_000,
    "a number of 300 digits": b"9" * 300,
    "a small number of 5,000 digits": b"0." + b"0" * 5_000 + b"1",
    "duplicate keys": b'{"a":1,"a":[],"a":{"b":1,"b":2}}',
    "a lone surrogate": rb'"\ud800 \udc00\ud800"',
    "invalid UTF-8": b'"\xff\xfe \xed\xa0\x80 \xc0\xaf"',
    "a nul": rb'"\u0000"',
    "a raw control character": b'"a\x00\x1fb"',
    "a raw newline": b'"a\nb"',
    "an event in a text": rb'"\n\ndata: [DONE]\n\n"',
    "half a bracket": b"[",
    "a byte order mark": b"\xef\xbb\xbf1",
}
"""What a part of an answer may be, as bytes; not all of it is JSON."""
IN_TEXT = [kind for kind in RAW if kind not in ("invalid UTF-8", "a raw control character", "a raw newline")]


@each_wire
@both_ways
@pytest.mark.parametrize("kind", RAW)
def test_values_that_json_has_not_or_hardly(name: str, streaming: bool, kind: str) -> None:
    """As arguments' value, as their text, as a name, as an id, as a text, and in a field that nobody knows."""
    made = body(name, streaming, ("NAME", {"x": "HERE"}), size=10**9)
    for place in (b'"HERE"', b'\\"HERE\\"', b'"NAME"', b'"c0"', json.dumps(TEXT, ensure_ascii=False).encode()):
        inner = json.dumps(RAW[kind].decode("utf-8", "replace"))[1:-1].encode() if place[:1] == b"\\" else RAW[kind]
        outcome(name, made.replace(place, inner), streaming=streaming)
    outcome(name, made.replace(b'{"', b'{"unknown":' + RAW[kind] + b',"', 1), streaming=streaming)


@each_wire
@pytest.mark.parametrize("kind", ["duplicate keys", "a lone surrogate", "a number of 300 digits"])
def test_what_is_json_gives_the_call(name: str, kind: str) -> None:
    document = body(name, False, ("f", {"x": "HERE"}))
    in_text = b'\\"HERE\\"' in document
    raw = json.dumps(RAW[kind].decode())[1:-1].encode() if in_text else RAW[kind]
    turn = outcome(name, document.replace(b'\\"HERE\\"' if in_text else b'"HERE"', raw), streaming=False)
    assert turn is not None and [call.name for call in turn.calls] == ["f"]


@each_wire
def test_a_stream_of_nothing_ends(name: str) -> None:
    """Bytes without an end of a line, of an event or of an answer: nothing is repeated over what came before."""
    for one in (
        b" ",
        b"\n",
        b"\r",
        b":",
        b"data:\n",
        b"data: \n\n",
        b"event: x\n",
        b"{",
        b"[",
        b'{"a":',
        b"\xef\xbb\xbf",
    ):
        read: Callable[[bytes], object] = lambda text: feed_whatever(name, text)  # noqa: E731
        takes_linear_time(read, one * 4_000, one * 32_000)


def feed_whatever(name: str, text: bytes) -> None:
    try:
        feed(wire(name).stream_reader(), text, 4096).finish()
    except ProviderError as error:
        assert str(error)
