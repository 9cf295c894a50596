"""Answers of the scripted model in the bytes of Chat Completions, well-behaved and not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equitrcoder.testing import Answer, Call, Fault, ReceivedRequest, Usage
from equitrcoder.testing import openai_chat as wire
from equitrcoder.testing.faults import Plan, Step, plan


def request(*, stream: bool, usage: bool = False) -> ReceivedRequest:
    body: dict[str, Any] = {"model": "m", "messages": [], "stream": stream}
    if usage:
        body["stream_options"] = {"include_usage": True}
    return ReceivedRequest(
        number=7, method="POST", path="/chat/completions", headers={}, body=b"x" * 40, json=body, received_at=0.0
    )


def message(answer: Answer) -> dict[str, Any]:
    (body,) = wire.render(answer, request(stream=False)).events
    found: dict[str, Any] = json.loads(body)["choices"][0]["message"]
    return found


def chunks(answer: Answer, *, usage: bool = False) -> list[dict[str, Any]]:
    *events, done = wire.render(answer, request(stream=True, usage=usage)).events
    assert done == b"data: [DONE]\n\n"
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


def deltas(answer: Answer) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in chunks(answer)]


def call_pieces(*calls: Call) -> list[dict[str, Any]]:
    return [piece for delta in deltas(Answer(calls=calls)) for piece in delta.get("tool_calls", [])]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [({"a": "ü"}, '{"a": "ü"}'), ({}, "{}"), ("", ""), ('{"a":', '{"a":'), ("null", "null"), (None, None)],
)
def test_arguments_go_out_as_given(arguments: Any, sent: str | None) -> None:
    call = Call("f", arguments)
    (whole,) = message(Answer(calls=[call]))["tool_calls"]
    assert whole["function"] == {"name": "f", "arguments": sent}
    pieces = [piece["function"]["arguments"] for piece in call_pieces(call)]
    assert (None if pieces == [None] else "".join(pieces)) == sent


def test_ids_can_be_missing_empty_or_repeated() -> None:
    calls = [Call("f", id=None), Call("f", id=""), Call("f", id="x"), Call("f", id="x"), Call("f")]
    whole = message(Answer(calls=calls))["tool_calls"]
    assert [call.get("id", "missing") for call in whole] == ["missing", "", "x", "x", "call_7_4"]
    named = [piece for piece in call_pieces(*calls) if "name" in piece["function"]]
    assert [piece.get("id", "missing") for piece in named] == ["missing", "", "x", "x", "call_7_4"]


def test_indexes_can_be_missing_or_reused() -> None:
    pieces = call_pieces(Call("f", index=None, deltas=0), Call("g", index=0, deltas=0), Call("h", deltas=0))
    assert [piece.get("index", "missing") for piece in pieces] == ["missing", 0, 2]


def test_arguments_come_in_as_many_pieces_as_ordered() -> None:
    arguments = {"key": "value"}
    pieces = call_pieces(Call("f", arguments, deltas=4))
    assert [piece["function"].get("name") for piece in pieces] == ["f", None, None, None, None]
    assert "".join(piece["function"]["arguments"] for piece in pieces) == json.dumps(arguments)
    (whole,) = call_pieces(Call("f", arguments, deltas=0))
    assert whole["function"] == {"name": "f", "arguments": json.dumps(arguments)}
    repeating = call_pieces(Call("f", arguments, deltas=2, repeat_name=True, id="i"))
    assert [(piece["id"], piece["function"]["name"]) for piece in repeating] == [("i", "f")] * 3


def test_text_and_reasoning_come_in_pieces_before_the_calls() -> None:
    answer = Answer(text="abcdef", reasoning="why", calls=[Call("f", deltas=0)], text_deltas=2, extra={"x_mark": 1})
    first, *rest = deltas(answer)
    assert first == {"role": "assistant", "content": "", "x_mark": 1}
    assert rest[:4] == [{"reasoning_content": "wh"}, {"reasoning_content": "y"}, {"content": "abc"}, {"content": "def"}]
    assert message(answer)["reasoning_content"] == "why"
    assert message(Answer(reasoning="why", reasoning_field="reasoning"))["reasoning"] == "why"


@pytest.mark.parametrize(
    ("answer", "finish"),
    [
        (Answer(text="a"), "stop"),
        (Answer(calls=[Call("f")]), "tool_calls"),
        (Answer(calls=[Call("f")], finish="stop"), "stop"),
        (Answer(text="a", finish="length"), "length"),
        (Answer(text="a", finish=None), None),
    ],
)
def test_the_finish_fits_the_calls_unless_ordered(answer: Answer, finish: str | None) -> None:
    assert chunks(answer)[-1]["choices"][0]["finish_reason"] == finish


def test_usage_comes_where_it_is_ordered() -> None:
    usage = Usage(input_tokens=5, output_tokens=6)
    told = {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}
    assert [chunk.get("usage") for chunk in chunks(Answer(usage=usage))] == [None, None]
    asked = chunks(Answer(usage=usage), usage=True)
    assert (asked[-1]["choices"], asked[-1]["usage"]) == ([], told)
    assert chunks(Answer(usage=usage, usage_in_stream="always"))[-1]["usage"] == told
    last = chunks(Answer(usage=usage, usage_in_stream="with_finish"), usage=True)[-1]
    assert (last["choices"][0]["finish_reason"], last["usage"]) == ("stop", told)
    assert chunks(Answer(usage={"mine": 1}), usage=True)[-1]["usage"] == {"mine": 1}
    assert "usage" not in chunks(Answer(usage=None), usage=True)[-1]
    estimated = chunks(Answer(text="12345678"), usage=True)[-1]["usage"]
    assert estimated == {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}


# --- faults: what is done on the connection, step by step


def steps(fault: Fault, *, stream: bool = True) -> tuple[Step, ...]:
    return plan(fault, request(stream=stream), wire).steps


def body_of(found: tuple[Step, ...]) -> bytes:
    return b"".join(step for step in found if isinstance(step, bytes))


WHOLE = Answer(text="some text ü", calls=[Call("f", {"a": 1})])
WHOLE_BODY = body_of(steps(Fault(answer=WHOLE)))


def test_an_answer_is_a_plan_without_harm() -> None:
    found = plan(WHOLE, request(stream=False), wire)
    assert found == plan(Fault(answer=WHOLE), request(stream=False), wire)
    assert (found.status, found.headers, found.before) == (200, {"content-type": "application/json"}, ())
    assert found.body_bytes == len(body_of(found.steps))
    assert plan(WHOLE, request(stream=True), wire).body_bytes is None


@given(st.integers(0, len(WHOLE_BODY)))
def test_a_close_after_any_number_of_bytes_lets_exactly_these_through(count: int) -> None:
    found = steps(Fault(answer=WHOLE, close_after_bytes=count))
    assert found[-1] == "close"
    assert body_of(found) == WHOLE_BODY[:count]


@given(stall=st.integers(0, len(WHOLE_BODY)), drip=st.integers(1, 50))
def test_a_stall_and_a_drip_lose_nothing(stall: int, drip: int) -> None:
    found = steps(Fault(answer=WHOLE, stall_after_bytes=stall, drip_bytes=drip, drip_pause_s=0.5))
    place = found.index("stall")
    assert (body_of(found[:place]), body_of(found)) == (WHOLE_BODY[:stall], WHOLE_BODY)
    assert all(len(step) <= drip for step in found if isinstance(step, bytes))
    assert found.count(0.5) == sum(isinstance(step, bytes) for step in found)


@given(stall=st.integers(0, len(WHOLE_BODY)), close=st.integers(0, len(WHOLE_BODY)), stream=st.booleans())
def test_a_stall_and_a_close_each_come_at_their_place(stall: int, close: int, stream: bool) -> None:
    whole = body_of(steps(Fault(answer=WHOLE), stream=stream))
    found = steps(Fault(answer=WHOLE, stall_after_bytes=stall, close_after_bytes=close), stream=stream)
    assert (found[-1], body_of(found)) == ("close", whole[:close])
    assert ("stall" in found) == (stall <= close)
    if stall <= close:
        assert body_of(found[: found.index("stall")]) == whole[:stall]


def test_a_close_after_events_and_a_stall_before_it() -> None:
    events = wire.render(WHOLE, request(stream=True)).events
    found = steps(Fault(answer=WHOLE, stall_after_events=2, close_after_events=2, reset=True))
    assert found == (*events[:2], "stall", "reset")
    assert steps(Fault(answer=WHOLE, close_after_events=0)) == ("close",)
    assert steps(Fault(answer=WHOLE, close_after_events=99)) == (*events, "close")


def test_nothing_before_the_answer_but_what_is_ordered() -> None:
    fault = Fault(delay_s=0.25, stall_before_answer=True, close_before_answer=True)
    assert plan(fault, request(stream=True), wire).before == (0.25, "stall", "close")


def test_bodies_of_the_callers_own_are_sent_whole() -> None:
    def own(**options: Any) -> Plan:
        return plan(Fault(**options), request(stream=True), wire)

    html = own(body="<html>sign in</html>")
    assert (html.headers["content-type"], html.body_bytes) == ("text/html; charset=utf-8", 20)
    refusal = own(status=429, headers={"retry-after": "3"}, body={"error": {"message": "slow"}})
    assert refusal.headers == {"content-type": "application/json", "retry-after": "3"}
    assert (refusal.status, refusal.steps) == (429, (b'{"error": {"message": "slow"}}',))
    assert own(body=b"\xff\x00", content_type="application/octet-stream").steps == (b"\xff\x00",)
    assert (own(body="").steps, own(body="").body_bytes) == ((), 0)


def test_an_error_object_takes_the_place_of_the_rest() -> None:
    error = {"message": "overloaded"}
    first, last = steps(Fault(answer=WHOLE, error=error, insert_after_events=1))
    assert last == b'data: {"error":{"message":"overloaded"}}\n\n'
    assert first == wire.render(WHOLE, request(stream=True)).events[0]
    assert steps(Fault(error=error), stream=False) == (b'{"error":{"message":"overloaded"}}',)


def test_garbage_is_put_where_ordered() -> None:
    events = list(wire.render(WHOLE, request(stream=True)).events)
    found = steps(Fault(answer=WHOLE, insert="data: {oops\n\n", insert_after_events=2))
    assert list(found) == [*events[:2], b"data: {oops\n\n", *events[2:]]


def test_the_finish_or_only_the_end_mark_can_be_left_out() -> None:
    assert body_of(steps(Fault(answer=WHOLE, drop_done=True))) == WHOLE_BODY.removesuffix(b"data: [DONE]\n\n")
    unfinished = body_of(steps(Fault(answer=WHOLE, drop_finish=True)))
    assert WHOLE_BODY.startswith(unfinished)
    assert b'"finish_reason":"' not in unfinished
    (body,) = steps(Fault(answer=WHOLE, drop_finish=True), stream=False)
    assert isinstance(body, bytes)
    assert json.loads(body)["choices"][0]["finish_reason"] is None
