"""Scripts of the scripted provider: orders, what a request tells, the JSON form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from equitrcoder.testing import AUTO, Answer, Call, Fault, ProviderCall, ReceivedRequest, Usage, by_turn, repeated
from equitrcoder.testing.script import ScriptExhausted, in_order
from equitrcoder.testing.script_file import ScriptFileError, read_script


def received(body: Any, number: int = 1) -> ReceivedRequest:
    return ReceivedRequest(
        number=number,
        method="POST",
        path="/v1/chat/completions",
        headers={},
        body=json.dumps(body).encode(),
        json=body,
        received_at=0.0,
    )


CONVERSATION = [
    {"role": "user", "content": "go"},
    {"role": "assistant", "content": None, "tool_calls": []},
    {"role": "tool", "tool_call_id": "0", "content": "old"},
    {"role": "assistant", "content": None, "tool_calls": []},
    {"role": "tool", "tool_call_id": "a", "content": "first"},
    {
        "role": "tool",
        "tool_call_id": "b",
        "content": [{"type": "text", "text": "se"}, {"type": "text", "text": "cond"}],
    },
]


def test_a_request_tells_its_turn_and_the_newest_results() -> None:
    request = received({"messages": CONVERSATION, "stream": True})
    assert (request.turn, request.tool_results, request.streaming) == (2, ["first", "second"], True)


@pytest.mark.parametrize("body", [None, [], "text", {}, {"messages": None}, {"messages": ["x", 3]}])
def test_a_request_of_another_shape_tells_nothing(body: Any) -> None:
    request = received(body)
    assert (request.turn, request.tool_results, request.streaming, request.messages) == (0, [], False, [])


def test_replies_in_order_are_used_up() -> None:
    script = in_order([Answer(text="a"), Fault(status=500)])
    assert [script(received({})), script(received({}))] == [Answer(text="a"), Fault(status=500)]
    for _ in range(2):
        with pytest.raises(ScriptExhausted, match="all 2 replies were given"):
            script(received({}))


def test_by_turn_gives_the_same_request_the_same_answer() -> None:
    script = by_turn([Answer(text="a"), Answer(text="b"), Answer(text="c")])
    again = received({"messages": CONVERSATION})
    assert [script(received({})), script(again), script(again)] == [Answer(text=text) for text in "acc"]
    with pytest.raises(ScriptExhausted, match="1 replies, but this is turn 3"):
        by_turn([Answer()])(again)


def test_repeated_starts_over() -> None:
    script = repeated([Answer(text="a"), Answer(text="b")])
    assert [script(received({})).text for _ in range(5)] == list("ababa")  # type: ignore[union-attr]


def test_a_script_file_says_everything_that_python_can() -> None:
    text = json.dumps(
        [
            {
                "text": "t",
                "calls": [{"name": "f", "arguments": "{", "id": None, "index": None, "deltas": 3}, {"name": "g"}],
                "usage": {"input_tokens": 3, "output_tokens": 4},
                "finish": None,
            },
            {"usage": {"prompt_tokens": 9}, "calls": [{"name": "h", "arguments": None, "id": "", "index": 0}]},
            {"fault": {"status": 429, "headers": {"retry-after": "1"}, "body": {"error": {}}}},
            {"fault": {"answer": {"text": "half"}, "close_after_events": 2}},
        ]
    )
    assert read_script(text).script == [
        Answer(
            text="t",
            calls=[Call("f", "{", id=None, index=None, deltas=3), Call("g")],
            usage=Usage(input_tokens=3, output_tokens=4),
            finish=None,
        ),
        Answer(usage={"prompt_tokens": 9}, calls=[Call("h", None, id="", index=0)]),
        Fault(status=429, headers={"retry-after": "1"}, body={"error": {}}),
        Fault(answer=Answer(text="half"), close_after_events=2),
    ]
    assert Answer().usage is AUTO


def test_a_script_file_says_what_the_provider_ran() -> None:
    search = {"name": "web_search", "arguments": {"query": "x"}, "result": None, "id": "s"}
    first = {"calls": [{"provider_call": search}, {"name": "git_status"}]}
    text = json.dumps([first, {"late": [{"name": "web_search", "result": "found", "id": "s"}]}])
    assert read_script(text).script == [
        Answer(calls=[ProviderCall("web_search", {"query": "x"}, result=None, id="s"), Call("git_status")]),
        Answer(late=[ProviderCall("web_search", result="found", id="s")]),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[{"calls": [{"provider_call": {"nam": "x"}}]}]', r"provider_call: unknown key 'nam'; closest: name"),
        (
            '[{"calls": [{"provider_call": {"result": "x"}}]}]',
            r"replies\[0\].calls\[0\].provider_call: a call needs a name",
        ),
        ('[{"calls": [{"provider_call": {"name": "x"}, "id": "1"}]}]', r"calls\[0\]: unknown key 'id'"),
        ('[{"late": {"name": "x"}}]', r"replies\[0\].late: a list is needed"),
    ],
)
def test_a_wrong_call_of_the_providers_is_told_where(text: str, complaint: str) -> None:
    with pytest.raises(ScriptFileError, match=complaint):
        read_script(text)


def test_a_script_file_can_order_by_turn_or_repeat() -> None:
    replies = [{"text": "a"}, {"text": "b"}, {"text": "c"}]
    turn = read_script(json.dumps({"replies": replies, "order": "turn", "models": ["m"]}))
    assert turn.models == ("m",)
    assert callable(turn.script)
    assert turn.script(received({"messages": CONVERSATION})) == Answer(text="c")
    repeat = read_script(json.dumps({"replies": replies[:1], "order": "repeat"})).script
    assert callable(repeat)
    assert [repeat(received({})), repeat(received({}))] == [Answer(text="a")] * 2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not JSON"),
        ("3", "script: an object is needed"),
        ('{"answers": []}', "unknown key 'answers'"),
        ("{}", "replies: a list is needed"),
        ('{"replies": [], "order": "random"}', "order: one of arrival, turn, repeat"),
        ('{"replies": [], "order": "repeat"}', "nothing to repeat"),
        ('[{"txt": "a"}]', r"replies\[0\]: unknown key 'txt'; closest: text"),
        ('[{"calls": [{"arguments": {}}]}]', r"replies\[0\].calls\[0\]: a call needs a name"),
        ('[{"fault": {"status_code": 3}}]', r"replies\[0\].fault: unknown key 'status_code'; closest: status"),
        ('[{"usage": 3}]', r"replies\[0\].usage: an object or null"),
    ],
)
def test_a_wrong_script_file_is_told_where(text: str, complaint: str) -> None:
    with pytest.raises(ScriptFileError, match=complaint):
        read_script(text)
