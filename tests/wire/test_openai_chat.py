"""The Chat Completions wire reads answers: bodies written from the specification, and from what hosts do besides."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from equitrcoder.errors import (
    BadResponseError,
    ContextTooLongError,
    ProviderError,
    ProviderOverloadedError,
    RateLimitError,
    StreamBrokenError,
)
from equitrcoder.wires.values import Delta, Turn, Usage
from tests.wire.chat_bodies import CHAT, answer, call, chunk, events, piece, read_stream, told


def as_stream(message: dict[str, Any], finish: str | None = "stop") -> bytes:
    """The same answer as a stream with everything in one delta, calls with their index."""
    delta = copy.deepcopy(message)
    for index, entry in enumerate(delta.get("tool_calls") or []):
        entry["index"] = index
    return events(chunk(delta), chunk({}, finish))


def both(message: dict[str, Any], finish: str | None = "stop") -> list[Turn]:
    """The answer read complete and as a stream."""
    return [CHAT.read_response(answer(message, finish)), read_stream(as_stream(message, finish))]


# --- answers -------------------------------------------------------------------------------------------------------


def test_text() -> None:
    for turn in both({"content": "Hello"}):
        assert (turn.text, turn.calls, turn.finish, turn.stop) == ("Hello", (), "stop", "end")
        assert (turn.model_answered, turn.response_id) == ("m-1", "chatcmpl-1")
        assert turn.native == {"role": "assistant", "content": "Hello"}


def test_calls_in_the_order_of_the_answer() -> None:
    calls = [call("a", "read_file", '{"path": "x"}'), call("b", "search", '{"n": 1}'), call("c", "read_file", "{}")]
    for turn in both({"tool_calls": calls}, "tool_calls"):
        assert told(turn.calls) == [
            ("a", "read_file", {"path": "x"}),
            ("b", "search", {"n": 1}),
            ("c", "read_file", {}),
        ]
        assert [(each.index, each.kind) for each in turn.calls] == [(0, "client"), (1, "client"), (2, "client")]
        assert turn.native["tool_calls"] == calls
        assert turn.stop == "calls"


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ('{"a": {"b": [1, null, "é🔧"]}}', {"a": {"b": [1, None, "é🔧"]}}),
        ("{}", {}),
        ("", ""),
        (None, None),
        ("null", "null"),
        ("[1]", "[1]"),
        ('"text"', '"text"'),
        ('{"a": 1', '{"a": 1'),
        ('{"a": NaN}', '{"a": NaN}'),
        ('{"a": 1, "a": 2}', {"a": 2}),
        ('{"n": 12345678901234567890123}', {"n": 12345678901234567890123}),
        ("rm -rf /", "rm -rf /"),
        ('{"a":1}{"a":1}', '{"a":1}{"a":1}'),
    ],
)
def test_arguments_are_read_and_never_repaired(arguments: str | None, read: Any) -> None:
    for turn in both({"tool_calls": [call("a", "f", arguments)]}):
        assert turn.calls[0].arguments == read
        assert type(turn.calls[0].arguments) is type(read)


def test_arguments_as_an_object_instead_of_text() -> None:
    for turn in both({"tool_calls": [call("a", "f", {"path": "x", "n": [1]})]}):
        assert turn.calls[0].arguments == {"path": "x", "n": [1]}


@pytest.mark.parametrize("arguments", [[1, 2], 5, True])
def test_arguments_of_another_kind_are_kept_as_their_text(arguments: Any) -> None:
    for turn in both({"tool_calls": [call("a", "f", arguments)]}):
        assert turn.calls[0].arguments == json.dumps(arguments, separators=(",", ":"))


def test_ids_are_kept_as_sent_in_a_complete_answer() -> None:
    calls = [
        call("", "f", "{}"),
        call(None, "f", "{}"),
        call("x", "f", "{}"),
        call("x", "f", "{}"),
        {"function": {"name": "g"}},
    ]
    turn = CHAT.read_response(answer({"tool_calls": calls}))
    assert told(turn.calls) == [("", "f", {}), (None, "f", {}), ("x", "f", {}), ("x", "f", {}), (None, "g", None)]


def test_numbers_as_ids_become_their_text() -> None:
    for turn in both({"tool_calls": [call(7, "f", "{}")]}):  # type: ignore[arg-type]
        assert turn.calls[0].id == "7"


def test_a_call_without_a_name_is_still_a_call() -> None:
    for turn in both({"tool_calls": [{"id": "a", "type": "function", "function": {"arguments": "{}"}}]}):
        assert told(turn.calls) == [("a", "", {})]


def test_an_entry_with_nothing_in_it_is_no_call() -> None:
    phantom = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
    for turn in both({"content": "Hi", "tool_calls": [phantom, call("b", "f", "{}")]}):
        assert told(turn.calls) == [("b", "f", {})]


def test_the_legacy_function_call() -> None:
    for turn in both({"function_call": {"name": "f", "arguments": '{"a": 1}'}}, "function_call"):
        assert told(turn.calls) == [(None, "f", {"a": 1})]
        assert turn.stop == "calls"


def test_an_empty_function_call_is_no_call() -> None:
    for turn in both({"content": "Hi", "function_call": {"name": "", "arguments": ""}}):
        assert turn.calls == ()


def test_a_function_call_that_repeats_a_tool_call_is_not_counted_twice() -> None:
    message = {"tool_calls": [call("a", "f", "{}")], "function_call": {"name": "f", "arguments": "{}"}}
    for turn in both(message):
        assert told(turn.calls) == [("a", "f", {})]
    message["function_call"] = {"name": "g", "arguments": "{}"}
    for turn in both(message):
        assert told(turn.calls) == [("a", "f", {}), (None, "g", {})]


def test_a_custom_tools_input_stays_text() -> None:
    entry = {"id": "a", "type": "custom", "custom": {"name": "shell", "input": '{"looks": "like json"}'}}
    for turn in both({"tool_calls": [entry]}):
        assert told(turn.calls) == [("a", "shell", '{"looks": "like json"}')]


def test_refusal() -> None:
    for turn in both({"content": None, "refusal": "I cannot."}):
        assert (turn.refusal, turn.stop, turn.text) == ("I cannot.", "refusal", "")
    for turn in both({"content": "Hi", "refusal": ""}):
        assert (turn.refusal, turn.stop) == (None, "end")
    for turn in both({"content": [{"type": "refusal", "refusal": "No."}]}):
        assert turn.refusal == "No."


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_fields(field: str) -> None:
    for turn in both({"content": "Hi", field: "Hm."}):
        assert (turn.text, turn.reasoning) == ("Hi", "Hm.")
        assert turn.native[field] == "Hm."


def test_reasoning_under_both_names_is_read_once() -> None:
    for turn in both({"content": "Hi", "reasoning_content": "Hm.", "reasoning": "Hm."}):
        assert turn.reasoning == "Hm."
    reader = CHAT.stream_reader()
    shown = reader.feed(
        events(chunk({"reasoning_content": "Hm.", "reasoning": "Hm."}), chunk({"content": "Hi"}, "stop"))
    )
    assert shown == [Delta(text="Hm.", kind="reasoning"), Delta(text="Hi")]


def test_content_as_a_list_with_thinking() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    for turn in both({"content": [thinking, {"type": "text", "text": "Hi"}]}):
        assert (turn.text, turn.reasoning) == ("Hi", "Hm.")
        assert turn.native["content"] == [thinking, {"type": "text", "text": "Hi"}]
    summary = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm.", "signature": "s"}]}
    for turn in both({"content": [summary, "Hi", {"type": "image", "url": "u"}, None]}):
        assert (turn.text, turn.reasoning) == ("Hi", "Hm.")


def test_content_as_an_object_is_its_json() -> None:
    for turn in both({"content": {"title": "T"}}):
        assert turn.text == '{"title":"T"}'


def test_reasoning_details_alone() -> None:
    details = [{"type": "reasoning.text", "text": "Hm.", "signature": "s", "index": 0}]
    for turn in both({"content": "Hi", "reasoning_details": details}):
        assert turn.reasoning == "Hm."
        assert turn.native["reasoning_details"] == details


def test_tools_that_the_provider_ran() -> None:
    tools = [
        {
            "index": 0,
            "type": "search",
            "arguments": '{"query": "q"}',
            "output": "found",
            "search_results": {"results": []},
        },
        {"index": 1, "type": "python", "arguments": "print(1)", "output": None, "code_results": [{"text": "1"}]},
        {"index": 2, "type": "mcp", "name": "lookup", "id": "m1", "arguments": None, "error": "down"},
    ]
    for turn in both({"content": "Hi", "executed_tools": tools}):
        assert told(turn.calls) == [
            (None, "search", {"query": "q"}),
            (None, "python", "print(1)"),
            ("m1", "lookup", None),
        ]
        assert {each.kind for each in turn.calls} == {"provider-executed"}
        assert [each.result for each in turn.calls] == ["found", {"code_results": [{"text": "1"}]}, None]
        assert [each.error for each in turn.calls] == [None, None, "down"]
        assert turn.stop == "end", "they ask nothing of us"


def test_a_tool_that_the_provider_ran_is_told_twice_in_a_stream_and_counted_once() -> None:
    start = {"index": 0, "type": "search", "arguments": '{"query": "q"}', "search_results": {"results": []}}
    other = {"index": 1, "type": "search", "arguments": '{"query": "r"}', "output": "more"}
    body = events(
        chunk({"executed_tools": [start]}),
        chunk({"executed_tools": [{**start, "output": "found"}, other]}),
        chunk({}, "stop"),
    )
    turn = read_stream(body)
    assert [(each.arguments, each.result) for each in turn.calls] == [
        ({"query": "q"}, "found"),
        ({"query": "r"}, "more"),
    ]


def test_calls_of_several_choices_are_all_read() -> None:
    choices = [
        {"index": 0, "message": {"content": "A", "tool_calls": [call("a", "f", "{}")]}, "finish_reason": "tool_calls"},
        {"index": 1, "message": {"content": "B", "tool_calls": [call("a", "g", "{}")]}, "finish_reason": "tool_calls"},
    ]
    turn = CHAT.read_response(answer(choices=choices))
    assert (turn.text, told(turn.calls)) == ("A", [("a", "f", {}), ("a", "g", {})])
    body = events(
        chunk(piece(0, "a", "f", "{"), choice=0),
        chunk(piece(0, "a", "g", "{"), choice=1),
        chunk({"content": "B"}, choice=1),
        chunk(piece(0, arguments="}"), "tool_calls", choice=0),
        chunk(piece(0, arguments="}"), "tool_calls", choice=1),
    )
    turn = read_stream(body)
    assert (turn.text, told(turn.calls)) == ("", [("a", "f", {}), ("a", "g", {})])
    assert [each.index for each in turn.calls] == [0, 1]


@pytest.mark.parametrize(
    ("finish", "stop"),
    [
        ("stop", "end"),
        ("eos", "end"),
        ("STOP", "end"),
        ("length", "length"),
        ("model_length", "length"),
        ("content_filter", "filtered"),
        ("tool_calls", "unknown"),  # it names calls and there are none
        ("something_new", "unknown"),
        (None, "unknown"),
        ("", "unknown"),
    ],
)
def test_finish_words(finish: str | None, stop: str) -> None:
    for turn in both({"content": "Hi"}, finish):
        assert (turn.finish, turn.stop) == (finish or None, stop)


@pytest.mark.parametrize("finish", ["stop", "length", "tool_calls", None])
def test_calls_decide_before_the_finish_word(finish: str | None) -> None:
    for turn in both({"tool_calls": [call("a", "f", "{}")]}, finish):
        assert turn.stop == "calls"


def test_text_that_looks_like_a_call_is_text() -> None:
    text = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    for turn in both({"content": text}):
        assert (turn.calls, turn.text) == ((), text)


def test_native_is_the_providers_own_message() -> None:
    message = {
        "role": "assistant",
        "content": None,
        "extra_content": {"google": {"thought_signature": "sig"}},
        "tool_calls": [{**call("", "f", "{}"), "extra_content": {"google": {"thought_signature": "s2"}}}],
        "annotations": [],
    }
    assert CHAT.read_response(answer(message)).native == message


# --- usage ---------------------------------------------------------------------------------------------------------

USAGES: list[tuple[dict[str, Any], Usage]] = [
    (
        {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14, "prompt_tokens_details": {"cached_tokens": 4}}
        | {"completion_tokens_details": {"reasoning_tokens": 2}},
        Usage(input_tokens=9, cached_read_tokens=4, output_tokens=5, reasoning_tokens=2),
    ),
    (
        {"prompt_tokens": 9, "completion_tokens": 5, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 5},
        Usage(input_tokens=9, cached_read_tokens=4, output_tokens=5),
    ),
    (
        {
            "prompt_tokens": 9,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
        },
        Usage(input_tokens=9, cached_read_tokens=3, cache_write_tokens=2, output_tokens=5),
    ),
    (
        {"prompt_tokens": 9, "completion_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 1},
        Usage(input_tokens=9, cached_read_tokens=3, cache_write_tokens=1, output_tokens=5),
    ),
    (
        {"prompt_tokens": 9, "completion_tokens": 5, "cached_tokens": 3},
        Usage(input_tokens=9, cached_read_tokens=3, output_tokens=5),
    ),
    (
        {"prompt_tokens": 9, "completion_tokens": 5, "num_cached_tokens": 3},
        Usage(input_tokens=9, cached_read_tokens=3, output_tokens=5),
    ),
    ({"input_tokens": 9, "output_tokens": 5}, Usage(input_tokens=9, output_tokens=5)),
    (  # xAI: reasoning beside the output
        {
            "prompt_tokens": 9,
            "completion_tokens": 5,
            "total_tokens": 21,
            "completion_tokens_details": {"reasoning_tokens": 7},
        },
        Usage(input_tokens=9, output_tokens=12, reasoning_tokens=7),
    ),
    (  # Grok on Azure: cached beside the input
        {"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 60}},
        Usage(input_tokens=69, cached_read_tokens=60, output_tokens=5),
    ),
    ({"prompt_tokens": 9, "completion_tokens": None, "prompt_tokens_details": None}, Usage(input_tokens=9)),
    ({"prompt_tokens": 9.0, "completion_tokens": True}, Usage(input_tokens=9)),
    ({"prompt_tokens": -1, "completion_tokens": "5", "prompt_tokens_details": [1]}, Usage()),
    ({"prompt_tokens": 10**30}, Usage()),
    ({}, Usage()),
]


@pytest.mark.parametrize(("usage", "read"), USAGES)
def test_usage_in_every_spelling(usage: dict[str, Any], read: Usage) -> None:
    assert CHAT.read_response(answer({"content": "Hi"}, usage=usage)).usage == read
    assert read_stream(events(chunk({"content": "Hi"}, "stop"), chunk(usage=usage))).usage == read


@pytest.mark.parametrize("usage", [None, [], 5, "many"])
def test_usage_that_is_none(usage: Any) -> None:
    assert CHAT.read_response(answer({"content": "Hi"}, usage=usage)).usage == Usage()
    assert read_stream(events(chunk({"content": "Hi"}, "stop", usage=usage))).usage == Usage()


def test_groqs_usage_stands_elsewhere_in_a_stream() -> None:
    used = {"prompt_tokens": 9, "completion_tokens": 5}
    assert (
        read_stream(events(chunk({"content": "Hi"}, "stop", x_groq={"id": "r", "usage": used}))).usage.input_tokens == 9
    )
    twice = events(chunk({"content": "Hi"}, "stop", x_groq={"usage": used}), chunk(usage={"prompt_tokens": 10}))
    assert read_stream(twice).usage.input_tokens == 10


def test_the_last_usage_of_a_stream_counts_and_nulls_do_not_erase() -> None:
    body = events(
        chunk({"content": "H"}, usage={"prompt_tokens": 9, "completion_tokens": 1}),
        chunk({"content": "i"}, usage={"prompt_tokens": 9, "completion_tokens": 2}),
        chunk({}, "stop", usage={"prompt_tokens": None, "completion_tokens": 3}),
    )
    assert read_stream(body).usage == Usage(input_tokens=9, output_tokens=3)


# --- streams -------------------------------------------------------------------------------------------------------

PIECES: list[tuple[str, list[dict[str, Any]], list[tuple[str | None, str, Any]]]] = [
    (
        "by index, interleaved",
        [
            piece(0, "a", "f", ""),
            piece(1, "b", "g", ""),
            piece(0, arguments='{"x":'),
            piece(1, arguments="{}"),
            piece(0, arguments="1}"),
        ],
        [("a", "f", {"x": 1}), ("b", "g", {})],
    ),
    ("index from 1", [piece(1, "a", "f", "{"), piece(1, arguments="}")], [("a", "f", {})]),
    ("index as float", [piece(0.0, "a", "f", "{"), piece(0, arguments="}")], [("a", "f", {})]),  # type: ignore[arg-type]
    ("index as text", [piece("0", "a", "f", "{"), piece(0, arguments="}")], [("a", "f", {})]),  # type: ignore[arg-type]
    ("empty ids after the first", [piece(0, "a", "f", "{"), piece(0, "", "", "}")], [("a", "f", {})]),
    (
        "name and id repeated",
        [piece(0, "a", "f", ""), piece(0, "a", "f", "{"), piece(0, "a", "f", "}")],
        [("a", "f", {})],
    ),
    ("a new id with every piece", [piece(0, "a", "f", "{"), piece(0, "b", None, "}")], [("a", "f", {})]),
    ("the id comes late", [piece(0, None, "f", ""), piece(0, "a", None, "{}")], [("a", "f", {})]),
    (
        "index used again, other id",
        [piece(0, "a", "f", "{}"), piece(0, "b", "f", "{"), piece(0, "b", None, "}")],
        [("a", "f", {}), ("b", "f", {})],
    ),
    (
        "index used again and pieces interleaved",
        [piece(0, "a", "f", "{"), piece(0, "b", "g", "{"), piece(0, "a", None, "}"), piece(0, "b", None, "}")],
        [("a", "f", {}), ("b", "g", {})],
    ),
    (
        "index used again, no ids, other name",
        [piece(0, None, "f", "{}"), piece(0, None, "g", "{}")],
        [(None, "f", {}), (None, "g", {})],
    ),
    (
        "index used again, no ids, same name",
        [piece(0, None, "f", '{"x":1}'), piece(0, None, "f", '{"x":2}')],
        [(None, "f", {"x": 1}), (None, "f", {"x": 2})],
    ),
    ("same id on two indexes", [piece(0, "a", "f", "{}"), piece(1, "a", "f", "{}")], [("a", "f", {}), ("a", "f", {})]),
    (
        "no index, by id",
        [
            piece(None, "a", "f", "{"),
            piece(None, "b", "g", "{"),
            piece(None, "a", None, "}"),
            piece(None, "b", None, "}"),
        ],
        [("a", "f", {}), ("b", "g", {})],
    ),
    ("no index, no id: the last call", [piece(None, "a", "f", "{"), piece(None, None, None, "}")], [("a", "f", {})]),
    (
        "no index, no id, whole calls",
        [piece(None, None, "f", "{}"), piece(None, "", "g", "{}")],
        [(None, "f", {}), (None, "g", {})],
    ),
    (
        "no index, same id, other arguments",
        [piece(None, "a", "f", '{"x":1}'), piece(None, "a", "f", '{"x":2}')],
        [("a", "f", {"x": 1}), ("a", "f", {"x": 2})],
    ),
    (
        "the whole call said twice",
        [piece(0, "a", "f", '{"x":1}'), piece(0, "a", "f", '{"x":1}')],
        [("a", "f", {"x": 1})],
    ),
    (
        "index used again, other id, same tool, arguments in pieces",
        [piece(0, "a", "f", "{"), piece(0, None, None, "}"), piece(0, "b", "f", "{"), piece(0, None, None, "}")],
        [("a", "f", {}), ("b", "f", {})],
    ),
    (
        "name in pieces",
        [piece(0, "a", "read_"), piece(0, None, "file"), piece(0, arguments="{}")],
        [("a", "read_file", {})],
    ),
    ("arguments as an object", [piece(0, "a", "f", {"x": 1})], [("a", "f", {"x": 1})]),
    ("no arguments at all", [piece(0, "a", "f")], [("a", "f", None)]),
    ("empty arguments", [piece(0, "a", "f", ""), piece(0, arguments="")], [("a", "f", "")]),
    ("cut arguments", [piece(0, "a", "f", '{"x": ')], [("a", "f", '{"x": ')]),
    (
        "several calls in one delta, no index, no ids",
        [
            {
                "tool_calls": [
                    {"function": {"name": "f"}},
                    {"function": {"name": "f"}},
                    {"function": {"name": "g", "arguments": "{}"}},
                ]
            }
        ],
        [(None, "f", None), (None, "f", None), (None, "g", {})],
    ),
    (
        "an object in place of the list",
        [{"tool_calls": {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}}],
        [("a", "f", {})],
    ),
    (
        "nulls",
        [
            {"tool_calls": [None, {"index": None, "id": None, "function": None}]},
            {"tool_calls": None},
            piece(0, "a", "f", "{}"),
        ],
        [("a", "f", {})],
    ),
]


@pytest.mark.parametrize(("deltas", "expected"), [pytest.param(*case[1:], id=case[0]) for case in PIECES])
def test_pieces_of_calls(deltas: list[dict[str, Any]], expected: list[tuple[str | None, str, Any]]) -> None:
    body = events(*[chunk(delta) for delta in deltas], chunk({}, "tool_calls"))
    turn = read_stream(body)
    assert told(turn.calls) == expected
    assert [each.index for each in turn.calls] == list(range(len(expected)))


def test_legacy_function_call_in_pieces() -> None:
    deltas = [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": '{"a"'}},
        {"function_call": {"arguments": ":1}"}},
    ]
    turn = read_stream(events(*map(chunk, deltas), chunk({}, "function_call")))
    assert told(turn.calls) == [(None, "f", {"a": 1})]


def test_deltas_are_shown_as_they_come() -> None:
    reader = CHAT.stream_reader()
    assert reader.feed(events(chunk({"role": "assistant", "content": ""}), chunk({"reasoning": "Hm"}), done=False)) == [
        Delta(text="Hm", kind="reasoning")
    ]
    thinking = {
        "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "."}]}, {"type": "text", "text": "H"}]
    }
    assert reader.feed(events(chunk(thinking), chunk({"content": "i"}, "stop"))) == [
        Delta(text=".", kind="reasoning"),
        Delta(text="H"),
        Delta(text="i"),
    ]
    turn = reader.finish()
    assert (turn.text, turn.reasoning) == ("Hi", "Hm")


def test_content_parts_of_a_stream_are_joined_but_for_signed_ones() -> None:
    def think(text: str, **more: Any) -> dict[str, Any]:
        return {"type": "thinking", "thinking": [{"type": "text", "text": text}], **more}

    parts = [
        [think("a")],
        [think("b")],
        [think("c", signature="s")],
        [think("d")],
        "e",
        "f",
        [{"type": "text", "text": "g"}],
    ]
    turn = read_stream(events(*[chunk({"content": part}) for part in parts], chunk({}, "stop")))
    expected = [think("ab"), think("c", signature="s"), think("d"), {"type": "text", "text": "efg"}]
    assert turn.native["content"] == expected
    assert (turn.text, turn.reasoning) == ("efg", "abcd")


def test_fields_of_a_stream_that_nobody_knows_stay_in_the_message() -> None:
    details = [{"type": "reasoning.text", "text": text, "index": 0, "format": None} for text in ("a", "b")]
    signed = {"type": "reasoning.text", "text": "", "signature": "sig", "index": 0, "format": "f"}
    sealed = {"type": "reasoning.encrypted", "data": "xx", "index": 1}
    body = events(
        chunk({"extra_content": {"google": {"thought": True}}, "reasoning_details": details[:1]}),
        chunk({"extra_content": {"other": 1}, "reasoning_details": details[1:]}),
        chunk({"marks": [1], "mood": "calm", "reasoning_details": [signed, sealed]}),
        chunk({"marks": [2], "mood": "calm"}),
        chunk(
            {
                "tool_calls": [
                    {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}, "extra_content": {"s": "sig"}}
                ]
            },
            "stop",
        ),
    )
    assert read_stream(body).native == {
        "role": "assistant",
        "content": None,
        "extra_content": {"google": {"thought": True}, "other": 1},
        "marks": [1, 2],
        "mood": "calm",
        "reasoning_details": [
            {"type": "reasoning.text", "text": "ab", "index": 0, "signature": "sig", "format": "f"},
            sealed,
        ],
        "tool_calls": [{**call("a", "f", "{}"), "extra_content": {"s": "sig"}}],
    }


def test_nothing_is_joined_to_reasoning_that_is_signed() -> None:
    details = [{"type": "reasoning.text", "text": each, "signature": each, "index": 0} for each in ("a", "b")]
    turn = read_stream(
        events(*[chunk({"reasoning_details": [each]}) for each in details], chunk({"content": "Hi"}, "stop"))
    )
    assert turn.native["reasoning_details"] == details
    assert turn.reasoning == "ab"


def test_a_stream_reads_like_the_same_answer_complete_however_it_is_cut() -> None:
    message = {
        "content": "Grüße 🔧",
        "reasoning_content": "Hm. 漢",
        "tool_calls": [call("a", "f", '{"p": "é🔧"}'), call("b", "g", "{}")],
    }
    complete = CHAT.read_response(answer(message, "tool_calls", usage={"prompt_tokens": 1, "completion_tokens": 2}))
    body = as_stream(message, "tool_calls").replace(
        b"data: [DONE]", b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\ndata: [DONE]'
    )
    body = body.replace(b"\n", b"\r\n")
    for size in (1, 2, 3, 7, None):
        assert read_stream(body, size) == complete


def test_comments_event_names_and_pings_are_no_chunks() -> None:
    body = b": OPENROUTER PROCESSING\n\n\nevent: ping\ndata: {}\n\ndata: \n\nevent: message\n" + events(
        chunk({"content": "Hi"}, "stop")
    )
    assert read_stream(body).text == "Hi"


def test_hosts_that_forget_the_blank_line_between_events() -> None:
    body = events(chunk({"content": "H"}), chunk({"content": "i"}, "stop")).replace(b"\n\n", b"\n")
    assert read_stream(body).text == "Hi"


# --- how a stream ends ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "ended"),
    [
        (events(chunk({"content": "Hi"}, "stop")), True),
        (events(chunk({"content": "Hi"}, "stop"), done=False), True),
        (events(chunk({"content": "Hi"})), True),  # [DONE] without a finish reason
        (events(chunk({"content": "Hi"}, "stop"), done=False)[:-2], True),  # the last blank line is missing
        (events(chunk({"content": "Hi"}, "stop"), done=False) + b'data: {"usage":{"prom', True),  # cut after the end
        (events(chunk({"content": "Hi"}), done=False), False),
        (events(chunk({"content": "Hi"}, ""), done=False), False),
        (events(chunk({"content": "Hi"}), chunk({"content": "."}), done=False)[:-5], False),
        (events(chunk({"content": "Hi"}), done=False) + b"data: [DON", False),
        (events(chunk({"content": "Hi"}, "stop"), chunk({"content": "B"}, choice=1), done=False), False),
    ],
)
def test_the_end_of_a_stream(body: bytes, ended: bool) -> None:
    reader = CHAT.stream_reader()
    reader.feed(body)
    if ended:
        assert reader.finish().text == "Hi"
        assert reader.finished
        return
    assert not reader.finished
    with pytest.raises(StreamBrokenError) as caught:
        reader.finish()
    assert caught.value.retryable
    assert caught.value.partial.text == "Hi"
    assert caught.value.partial == reader.partial()


def test_a_broken_stream_tells_what_it_held() -> None:
    with pytest.raises(StreamBrokenError) as caught:
        read_stream(events(chunk(piece(0, "a", "f", '{"x"')), chunk(usage={"prompt_tokens": 9}), done=False))
    partial = caught.value.partial
    assert told(partial.calls) == [("a", "f", '{"x"')]
    assert (partial.usage.input_tokens, partial.model_answered) == (9, "m-1")


def test_partial_can_be_asked_for_at_any_time() -> None:
    reader = CHAT.stream_reader()
    assert reader.partial() == Turn(native={"role": "assistant", "content": None})
    reader.feed(events(chunk({"content": "H"}), done=False))
    assert reader.partial().text == "H"
    reader.feed(events(chunk({"content": "i"}, "stop")))
    assert reader.partial() == reader.finish()


def test_nothing_after_done_counts() -> None:
    assert read_stream(events(chunk({"content": "Hi"}, "stop")) + events(chunk({"content": " there"}))).text == "Hi"


def test_no_event_yet_is_a_broken_stream() -> None:
    for body in (b"", b"\n\n", b"\xef\xbb\xbf", b": keep-alive\n\n", b"dat", b"event: ping\n"):
        with pytest.raises(StreamBrokenError):
            read_stream(body)


def test_a_stream_without_choices_is_no_answer() -> None:
    with pytest.raises(BadResponseError, match="held no answer"):
        read_stream(b"data: [DONE]\n\n")


# --- what is no answer ---------------------------------------------------------------------------------------------

HTML = b"<!DOCTYPE html><html><title>Login</title></html>"
NO_ANSWERS: list[tuple[bytes, type[ProviderError], str]] = [
    (HTML, BadResponseError, "HTML page"),
    (b"  \n" + HTML, BadResponseError, "HTML page"),
    (b'{"choices":[]}', BadResponseError, "the list is empty"),
    (b'{"choices":null}', BadResponseError, "no choices"),
    (b'{"pathname":"/bin"}', BadResponseError, "no choices"),
    (b'{"choices":[{"index":0}]}', BadResponseError, "no message"),
    (b'{"choices":["text"]}', BadResponseError, "no message"),
    (b'{"choices":[{"text":"completion"}]}', BadResponseError, "no message"),
    (b"[1, 2]", BadResponseError, "no object"),
    (b'{"choices":[{"message":{"content":"Hi"', BadResponseError, "ends in the middle of its JSON"),
    (b'{"choices":[{"message":{"tool_calls":["f"]}}]}', BadResponseError, "An entry of tool_calls is no object"),
    (b'{"error":{"message":"slow down","code":429}}', RateLimitError, "slow down"),
    (b'{"error":{"message":"broken","type":"server_error"},"choices":[]}', ProviderOverloadedError, "broken"),
    (b'[{"error":{"code":400,"message":"prompt is too long"}}]', ContextTooLongError, "too long"),
    (b'{"object":"error","message":"bad model","code":404}', ProviderError, "bad model"),
    (b'{"error":"only text"}', BadResponseError, "only text"),
    (
        b'{"choices":[{"message":{"content":""},"error":{"code":502,"message":"upstream"}}]}',
        ProviderOverloadedError,
        "upstream",
    ),
    (answer({"content": "Hi"}, "error"), BadResponseError, "finish_reason error"),
    (
        answer({"content": "Hi"}, "insufficient_system_resource"),
        ProviderOverloadedError,
        "insufficient_system_resource",
    ),
]


@pytest.mark.parametrize(("body", "kind", "words"), NO_ANSWERS)
def test_what_is_no_answer(body: bytes, kind: type[ProviderError], words: str) -> None:
    for read in (CHAT.read_response, read_stream):
        with pytest.raises(kind, match=words) as caught:
            read(body)
        assert len(caught.value.excerpt) <= 500


@pytest.mark.parametrize(
    ("body", "words"), [(b"", "empty"), (b"upstream connect error", "no JSON"), (b"\xff\xfe{}", "no JSON")]
)
def test_text_with_a_success_status(body: bytes, words: str) -> None:
    with pytest.raises(BadResponseError, match=words):
        CHAT.read_response(body)
    with pytest.raises(BadResponseError, match="no event stream" if body else "broke off"):
        read_stream(body)


def test_an_error_status_is_an_error_whatever_the_body() -> None:
    with pytest.raises(RateLimitError):
        CHAT.read_response(answer({"content": "Hi"}), status=429)


START = chunk(piece(0, "a", "f", "{"))
ERRORS: list[tuple[bytes, type[ProviderError], str]] = [
    (events({"error": {"message": "busy", "type": "server_error"}}, done=False), ProviderOverloadedError, "busy"),
    (b'event: error\ndata: {"message":"busy","code":503}\n\n', ProviderOverloadedError, "busy"),
    (
        b'event: error\ndata: {"error":{"message":"bad call","code":"tool_use_failed"}}\n\n',
        BadResponseError,
        "bad call",
    ),
    (
        events(chunk({"content": ""}, "error", error={"code": 502, "message": "upstream"})),
        ProviderOverloadedError,
        "upstream",
    ),
    (
        events({"choices": [{"delta": {}, "finish_reason": "error", "error": {"message": "inner"}}]}),
        BadResponseError,
        "inner",
    ),
    (events(chunk({}, None, x_groq={"error": "over capacity"})), ProviderOverloadedError, "over capacity"),
    (b'data: [{"error":{"code":429,"message":"slow"}}]\n\n', RateLimitError, "slow"),
    (b"data: <html>\n\n", BadResponseError, "no JSON"),
    (b"data: 5\n\n", BadResponseError, "no object"),
    (b'data: {"choices":[7]}\n\n', BadResponseError, "no object"),
    (b'data: {"choices":[{"delta":"x"}]}\n\n', BadResponseError, "no object"),
    (events(chunk({"tool_calls": ["f"]})), BadResponseError, "tool_calls"),
    (events(chunk({"executed_tools": ["f"]})), BadResponseError, "executed_tools"),
    (events(chunk({}, "error")), BadResponseError, "finish_reason error"),
    (events(chunk({}, "insufficient_system_resource")), ProviderOverloadedError, "insufficient"),
    (b"data: \xff\xfe\n\n", BadResponseError, "no JSON"),
]


@pytest.mark.parametrize(("body", "kind", "words"), ERRORS)
def test_errors_in_the_middle_of_a_stream_carry_what_was_read(
    body: bytes, kind: type[ProviderError], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        read_stream(events(START, done=False) + body)
    assert told(caught.value.partial.calls) == [("a", "f", "{")]


def test_an_error_after_the_end_takes_nothing_away() -> None:
    body = events(
        chunk({"content": "Hi"}, "length"), chunk({"content": ""}, None, error={"code": 400, "message": "limit"})
    )
    assert (read_stream(body).text, read_stream(body).stop) == ("Hi", "length")
