"""The Responses wire: what is read from bodies written from its specification, and shapes that others lose."""

from __future__ import annotations

import json
from typing import Any

import pytest

from equitrcoder.errors import (
    AuthenticationError,
    BadResponseError,
    ProviderError,
    ProviderOverloadedError,
    RateLimitError,
    RequestRefusedError,
    StreamBrokenError,
)
from equitrcoder.wires import read_calls
from equitrcoder.wires.values import Delta, Usage
from tests.wire.responses_bodies import (
    RESPONSES,
    added,
    answer,
    arguments,
    call,
    completed,
    delta,
    done,
    events,
    message,
    read_stream,
    reasoning,
    response,
    stream_of,
    told,
)


def the_calls(*output: Any) -> list[Any]:
    return list(RESPONSES.read_response(answer(*output)).calls)


def test_text_reasoning_and_the_facts_around_them() -> None:
    turn = RESPONSES.read_response(answer(reasoning("Hm"), message("Hi"), message("On", wire_id="msg_2")))
    assert (turn.text, turn.reasoning, turn.refusal, turn.calls) == ("Hi\n\nOn", "Hm", None, ())
    assert (turn.finish, turn.stop, turn.model_answered, turn.response_id) == ("completed", "end", "m-1", "resp_1")
    assert turn.native == {"output": [reasoning("Hm"), message("Hi"), message("On", wire_id="msg_2")]}


def test_a_call_is_known_by_its_call_id_and_not_by_the_id_of_its_item() -> None:
    assert told(tuple(the_calls(call("call_9", "f", '{"a": 1}', id="fc_1")))) == [("call_9", "f", {"a": 1})]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ('{"a": 1}', {"a": 1}),
        ("", ""),
        ("null", "null"),
        ("[1]", "[1]"),
        ('{"a": ', '{"a": '),
        ('{"a": NaN}', '{"a": NaN}'),
        (None, None),
        ({"a": 1}, {"a": 1}),
        ([1], "[1]"),
    ],
)
def test_arguments_are_read_and_never_repaired(given: Any, read: Any) -> None:
    assert the_calls(call("a", arguments=given))[0].arguments == read


@pytest.mark.parametrize(("given", "read"), [(None, None), ("", ""), (7, "7")])
def test_ids_are_kept_as_sent(given: Any, read: Any) -> None:
    assert the_calls(call(given))[0].id == read
    assert the_calls({"type": "function_call", "name": "f", "arguments": "{}"})[0].id is None


@pytest.mark.parametrize(
    ("item", "name", "arguments", "wire_id"),
    [
        ({"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": '{"a": 1}'}, "sql", '{"a": 1}', "c"),
        (
            {"type": "local_shell_call", "call_id": "c", "action": {"command": ["ls"]}},
            "local_shell",
            {"command": ["ls"]},
            "c",
        ),
        ({"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}}, "shell", {"commands": ["ls"]}, "c"),
        (
            {"type": "shell_call", "call_id": "c", "action": {}, "environment": {"type": "local"}},
            "shell",
            {},
            "c",
        ),
        ({"type": "apply_patch_call", "call_id": "c", "operation": {"path": "x"}}, "apply_patch", {"path": "x"}, "c"),
        ({"type": "computer_call", "call_id": "c", "action": {"type": "wait"}}, "computer", {"type": "wait"}, "c"),
        ({"type": "computer_call", "call_id": "c", "actions": [1]}, "computer", {"actions": [1]}, "c"),
        (
            {"type": "tool_search_call", "call_id": "c", "execution": "client", "arguments": {"q": 1}},
            "tool_search",
            {"q": 1},
            "c",
        ),
    ],
)
def test_tools_of_the_wire_that_the_client_runs(item: dict[str, Any], name: str, arguments: Any, wire_id: str) -> None:
    (found,) = the_calls(item)
    assert (found.name, found.arguments, found.id, found.kind) == (name, arguments, wire_id, "client")


EXECUTED: list[tuple[dict[str, Any], str, Any, str | None, Any]] = [
    ({"type": "web_search_call", "id": "w", "action": {"query": "q"}}, "web_search", {"query": "q"}, "w", None),
    ({"type": "web_search_call", "id": "w"}, "web_search", {}, "w", None),
    (
        {"type": "file_search_call", "id": "f", "queries": ["q"], "results": [1]},
        "file_search",
        {"queries": ["q"]},
        "f",
        [1],
    ),
    (
        {"type": "code_interpreter_call", "id": "c", "code": "1", "outputs": [{"type": "logs"}]},
        "code_interpreter",
        {"code": "1"},
        "c",
        [{"type": "logs"}],
    ),
    ({"type": "image_generation_call", "id": "i", "result": "AA"}, "image_generation", {}, "i", "AA"),
    ({"type": "mcp_call", "id": "m", "name": "ask", "arguments": '{"q": 1}', "output": "o"}, "ask", {"q": 1}, "m", "o"),
    ({"type": "mcp_approval_request", "id": "r", "name": "ask", "arguments": "{}"}, "ask", {}, "r", None),
    (
        {"type": "shell_call", "call_id": "s", "action": {}, "environment": {"type": "container_reference"}},
        "shell",
        {},
        "s",
        None,
    ),
    (
        {"type": "tool_search_call", "call_id": None, "execution": "server", "arguments": {}},
        "tool_search",
        {},
        None,
        None,
    ),
    ({"type": "new_thing_call", "id": "n", "arguments": '{"a": 1}', "output": 3}, "new_thing", {"a": 1}, "n", 3),
    # Perplexity's own
    ({"type": "search_results", "queries": ["q"], "results": [1]}, "web_search", {"queries": ["q"]}, None, [1]),
    ({"type": "fetch_url_results", "contents": [2]}, "fetch_url", {}, None, [2]),
    (
        {"type": "sandbox_results", "call_id": "x", "code": "1", "language": "bash", "results": []},
        "sandbox",
        {"code": "1", "language": "bash"},
        "x",
        [],
    ),
    ({"type": "unknown", "item_name": "thing", "payload": {"a": 1}}, "thing", {}, None, {"a": 1}),
]


@pytest.mark.parametrize(("item", "name", "arguments", "wire_id", "result"), EXECUTED)
def test_tools_that_the_provider_ran(
    item: dict[str, Any], name: str, arguments: Any, wire_id: str | None, result: Any
) -> None:
    turn = RESPONSES.read_response(answer(item))
    (found,) = turn.calls
    assert (found.name, found.arguments, found.id, found.result) == (name, arguments, wire_id, result)
    assert (found.kind, turn.stop) == ("provider-executed", "end")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"error": "no such page"}, "no such page"),
        ({"error": {"type": "http_error", "code": 404, "message": "gone"}}, "gone"),
        (
            {"error": {"type": "mcp_tool_execution_error", "content": [1]}},
            '{"type":"mcp_tool_execution_error","content":[1]}',
        ),
        ({"error": None, "status": "failed"}, "failed"),
        ({"error": None, "status": "completed"}, None),
    ],
)
def test_a_tool_that_the_provider_ran_in_vain(fields: dict[str, Any], error: str | None) -> None:
    assert the_calls({"type": "mcp_call", "id": "m", "name": "ask", "arguments": "{}", **fields})[0].error == error


def test_a_call_whose_output_came_with_it_was_run_by_the_provider() -> None:
    shell = {"type": "shell_call", "call_id": "s", "action": {}}
    ran = {"type": "shell_call_output", "call_id": "s", "output": [{"stdout": "x"}]}
    tools = {"type": "tool_search_output", "call_id": None, "tools": [{"name": "f"}]}
    search = {"type": "tool_search_call", "call_id": None, "execution": "server", "arguments": {}}
    found = the_calls(
        shell, ran, search, tools, call("a"), {"type": "function_call_output", "call_id": "a", "output": "o"}
    )
    assert [(each.kind, each.result) for each in found] == [
        ("provider-executed", [{"stdout": "x"}]),
        ("provider-executed", [{"name": "f"}]),
        ("provider-executed", "o"),
    ]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "mcp_list_tools", "id": "l", "tools": [{"name": "ask"}]},
        {"type": "some_future_type", "content": [{"type": "output_text", "text": "x"}]},
        {"type": "program", "code": "f()"},
        {"type": "program_output", "call_id": "p", "result": "1"},
        {"type": "compaction", "encrypted_content": "x"},
        {"type": "skill_loaded", "name": "office"},
        {"name": "f", "arguments": "{}"},
    ],
)
def test_what_is_no_call(item: dict[str, Any]) -> None:
    turn = RESPONSES.read_response(answer(item))
    assert (turn.calls, turn.text, turn.native["output"]) == ((), "", [item])


def test_calls_of_all_kinds_are_counted_together() -> None:
    found = the_calls(call("a"), {"type": "web_search_call", "id": "w"}, message(), call("b"))
    assert [(each.index, each.id) for each in found] == [(0, "a"), (1, "w"), (2, "b")]


def test_refusal() -> None:
    part = {"type": "refusal", "refusal": "I cannot."}
    turn = RESPONSES.read_response(answer(message(content=[part])))
    assert (turn.text, turn.refusal, turn.stop) == ("", "I cannot.", "refusal")


@pytest.mark.parametrize(
    ("status", "reason", "stop"),
    [
        ("completed", None, "end"),
        ("incomplete", "max_output_tokens", "length"),
        ("incomplete", "content_filter", "filtered"),
        ("incomplete", "steered", "unknown"),
        ("incomplete", None, "unknown"),
        ("requires_action", None, "unknown"),
        (None, None, "unknown"),
    ],
)
def test_why_it_ended(status: str | None, reason: str | None, stop: str) -> None:
    details = {"incomplete_details": {"reason": reason} if reason else None}
    assert RESPONSES.read_response(answer(message(), status=status, **details)).stop == stop
    assert RESPONSES.read_response(answer(message(), call("a"), status=status, **details)).stop == "calls"


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        (
            {
                "input_tokens": 90,
                "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 8},
                "output_tokens": 7,
                "output_tokens_details": {"reasoning_tokens": 5},
                "total_tokens": 97,
            },
            Usage(input_tokens=90, cached_read_tokens=64, cache_write_tokens=8, output_tokens=7, reasoning_tokens=5),
        ),
        (
            {
                "input_tokens": 9,
                "input_tokens_details": {"cache_read_input_tokens": 4, "cache_creation_input_tokens": 2},
            },
            Usage(input_tokens=9, cached_read_tokens=4, cache_write_tokens=2),
        ),
        (
            {
                "input_tokens": 9,
                "output_tokens": 2,
                "output_tokens_details": {"reasoning_tokens": 3},
                "total_tokens": 14,
            },
            Usage(input_tokens=9, output_tokens=5, reasoning_tokens=3),
        ),
        ({"input_tokens": None, "output_tokens": "7", "input_tokens_details": []}, Usage()),
        (None, Usage()),
        ([1], Usage()),
    ],
)
def test_usage(usage: Any, read: Usage) -> None:
    assert RESPONSES.read_response(answer(message(), usage=usage)).usage == read


# --- streams -------------------------------------------------------------------------------------------------------


def test_deltas_are_shown_as_they_come() -> None:
    reader = RESPONSES.stream_reader()
    shown = reader.feed(
        events(
            added(0, reasoning("", "")),
            delta("reasoning_summary_text", 0, "Hm", summary_index=0),
            delta("reasoning_summary_text", 0, "Well", summary_index=1),
            added(1, message("")),
            delta("output_text", 1, "H", content_index=0),
            delta("output_text", 1, "i", content_index=0),
            done(1, message("Hi")),
            done(2, message("On", wire_id="msg_2")),
        )
    )
    assert shown == [
        Delta(text="Hm", kind="reasoning"),
        Delta(text="\n\nWell", kind="reasoning"),
        Delta(text="H"),
        Delta(text="i"),
        Delta(text="\n\nOn"),
    ]
    assert (reader.partial().text, reader.partial().reasoning, reader.finished) == ("Hi\n\nOn", "Hm\n\nWell", False)


ITEM = call("a", "f", '{"a": 1}')
STREAMS: dict[str, tuple[list[Any], list[tuple[str | None, str, Any]]]] = {
    "an item that was added and never done": (
        [added(0, call("a", "f", "")), arguments(0, '{"a":'), arguments(0, " 1}"), completed()],
        [("a", "f", {"a": 1})],
    ),
    "nothing but the response at the end": ([completed(ITEM)], [("a", "f", {"a": 1})]),
    "done items and an empty response at the end": ([done(0, ITEM), completed()], [("a", "f", {"a": 1})]),
    "no delta at all (Perplexity)": (
        [added(0, call("a", "f", None)), done(0, ITEM), completed(ITEM)],
        [("a", "f", {"a": 1})],
    ),
    "pieces whose item was never begun": (
        [arguments(0, '{"a": 1}', item_id="fc_a", name="f", call_id="a"), completed()],
        [("a", "f", {"a": 1})],
    ),
    "a done item that lost its arguments": (
        [added(0, call("a", "f", "")), arguments(0, '{"a": 1}'), done(0, call("a", "f", "")), completed()],
        [("a", "f", {"a": 1})],
    ),
    "arguments.done alone": (
        [
            added(0, call("a", "", "")),
            {"type": "response.function_call_arguments.done", "output_index": 0, "name": "f", "arguments": '{"a": 1}'},
            completed(),
        ],
        [("a", "f", {"a": 1})],
    ),
    "every item has the same output_index": (
        [
            added(0, call("a", "f", "")),
            arguments(0, '{"a": 1}', item_id="fc_a"),
            done(0, ITEM),
            added(0, call("b", "g", "")),
            arguments(0, "{}", item_id="fc_b"),
            done(0, call("b", "g")),
            completed(ITEM, call("b", "g")),
        ],
        [("a", "f", {"a": 1}), ("b", "g", {})],
    ),
    "every item has the same output_index and the response at the end is empty": (
        [
            added(0, call("a", "f", "")),
            done(0, ITEM),
            added(0, call("b", "g", "")),
            arguments(0, "{}", item_id="fc_b"),
            done(0, call("c", "h")),
            completed(),
        ],
        [("a", "f", {"a": 1}), ("b", "g", {}), ("c", "h", {})],
    ),
    "no output_index": (
        [
            added(None, call("a", "f", "")),
            added(None, call("b", "g", "")),
            arguments(None, '{"a": 1}', item_id="fc_a"),
            arguments(None, "{}", item_id="fc_b"),
            completed(),
        ],
        [("a", "f", {"a": 1}), ("b", "g", {})],
    ),
    "two calls at once": (
        [
            added(0, call("a", "f", "")),
            added(1, call("b", "g", "")),
            arguments(1, "{"),
            arguments(0, '{"a": '),
            arguments(1, "}"),
            arguments(0, "1}"),
            completed(),
        ],
        [("a", "f", {"a": 1}), ("b", "g", {})],
    ),
    "another item id in every event": (
        [
            added(0, call("a", "f", "", id="x1")),
            arguments(0, '{"a": 1}', item_id="x2"),
            done(0, call("a", "f", '{"a": 1}', id="x3")),
            completed(call("a", "f", '{"a": 1}', id="x4")),
        ],
        [("a", "f", {"a": 1})],
    ),
    "an item that is begun twice": (
        [added(0, call("a", "f", "")), added(0, call("a", "f", "")), arguments(0, '{"a": 1}'), completed()],
        [("a", "f", {"a": 1})],
    ),
    "an item that only the stream has": (
        [done(0, ITEM), done(1, call("b", "g")), completed(ITEM)],
        [("a", "f", {"a": 1}), ("b", "g", {})],
    ),
    "the same call id twice": (
        [done(0, ITEM), done(1, call("a", "g", "{}", id="fc_b")), completed(ITEM, call("a", "g", "{}", id="fc_b"))],
        [("a", "f", {"a": 1}), ("a", "g", {})],
    ),
    "done out of order": (
        [done(1, call("b", "g")), done(0, ITEM), completed()],
        [("a", "f", {"a": 1}), ("b", "g", {})],
    ),
    "a custom tool's input in pieces": (
        [
            added(0, {"type": "custom_tool_call", "id": "ct", "call_id": "a", "name": "sql", "input": ""}),
            delta("custom_tool_call_input", 0, "SELECT"),
            delta("custom_tool_call_input", 0, " 1"),
            completed(),
        ],
        [("a", "sql", "SELECT 1")],
    ),
    "commands of a shell in pieces": (
        [
            added(0, {"type": "shell_call", "id": "sh", "call_id": "a", "action": {"commands": []}}),
            delta("shell_call_command", 0, "l", command_index=0),
            delta("shell_call_command", 0, "s", command_index=0),
            delta("shell_call_command", 0, "pwd", command_index=1),
            completed(),
        ],
        [("a", "shell", {"commands": ["ls", "pwd"]})],
    ),
    "a patch in pieces": (
        [
            added(0, {"type": "apply_patch_call", "call_id": "a", "operation": {"type": "update_file", "path": "x"}}),
            delta("apply_patch_call_operation_diff", 0, "+1"),
            completed(),
        ],
        [("a", "apply_patch", {"type": "update_file", "path": "x", "diff": "+1"})],
    ),
    "an MCP call in pieces": (
        [
            added(0, {"type": "mcp_call", "id": "m", "name": "ask", "arguments": ""}),
            delta("mcp_call_arguments", 0, '{"q":1}'),
            completed(),
        ],
        [("m", "ask", {"q": 1})],
    ),
}


@pytest.mark.parametrize("case", STREAMS)
def test_calls_of_a_stream(case: str) -> None:
    pieces, expected = STREAMS[case]
    body = events(*pieces)
    assert told(read_stream(body).calls) == expected
    assert told(read_stream(body, size=7).calls) == expected


def test_a_streamed_answer_is_the_same_as_complete_with_its_items_verbatim() -> None:
    items = [reasoning(), message("Hi", phase="final_answer"), call("a", "f", '{"a": 1}', namespace="n")]
    assert read_stream(stream_of(*items)) == RESPONSES.read_response(answer(*items))
    assert read_stream(stream_of(*items)).native == {"output": items}


def test_encrypted_reasoning_is_taken_from_the_item_that_is_done() -> None:
    body = events(
        added(0, reasoning("", "half")), done(0, reasoning("Hm", "whole")), completed(reasoning("Hm", "other"))
    )
    assert read_stream(body).native["output"][0]["encrypted_content"] == "whole"


def test_refusal_and_reasoning_text_in_pieces() -> None:
    body = events(
        delta("reasoning_text", 0, "Hm"), delta("refusal", 1, "I can"), delta("refusal", 1, "not."), completed()
    )
    turn = read_stream(body)
    assert (turn.reasoning, turn.refusal, turn.stop) == ("Hm", "I cannot.", "refusal")


@pytest.mark.parametrize("end", ["incomplete", "completed"])
def test_an_incomplete_answer_says_why_and_keeps_what_it_has(end: str) -> None:
    cut = call("a", "f", '{"a": ', status="incomplete")
    told_why = response(cut, status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    turn = read_stream(events(done(0, cut), {"type": f"response.{end}", "response": told_why}))
    assert (turn.finish, turn.stop, turn.calls[0].arguments) == ("incomplete", "calls", '{"a": ')


def test_a_stream_without_its_end_is_broken_and_tells_what_it_held() -> None:
    begun = events(added(0, call("a", "f", "")), arguments(0, '{"a"'))
    reader = RESPONSES.stream_reader()
    reader.feed(begun)
    assert not reader.finished
    reader.feed(b"data: [DONE]\n\n")
    assert reader.finished, "nothing more will come"
    for body in (begun, begun + b"data: [DONE]\n\n", begun + b'data: {"type":"response.comp'):
        with pytest.raises(StreamBrokenError) as caught:
            read_stream(body)
        assert told(caught.value.partial.calls) == [("a", "f", '{"a"')]
        assert told(tuple(read_calls("openai-responses", body, streaming=True))) == [("a", "f", '{"a"')]


def test_the_end_is_the_end_whatever_follows() -> None:
    body = stream_of(message("Hi"))
    assert read_stream(body + b"data: [DONE]\n\n").text == "Hi"
    assert read_stream(body + events({"type": "error", "message": "late"})).text == "Hi"


ERRORS: list[tuple[dict[str, Any], type[ProviderError]]] = [
    ({"type": "error", "code": "rate_limit_exceeded", "message": "slow down", "param": None}, RateLimitError),
    ({"type": "error", "code": None, "message": "broken"}, BadResponseError),
    ({"type": "error", "error": {"type": "server_error", "message": "busy"}}, ProviderOverloadedError),
    ({"error": {"type": "server_error", "message": "busy"}}, ProviderOverloadedError),
    (
        {
            "type": "response.failed",
            "response": response(status="failed", error={"code": "server_error", "message": "x"}),
        },
        ProviderOverloadedError,
    ),
    (
        {
            "type": "response.failed",
            "response": response(status="failed", error={"code": "invalid_prompt", "message": "x"}),
        },
        RequestRefusedError,
    ),
    ({"type": "response.failed", "error": {"code": "invalid_api_key", "message": "x"}}, AuthenticationError),
    ({"type": "response.failed", "response": response(status="failed")}, BadResponseError),
    ({"type": "response.cancelled", "response": response(status="cancelled")}, BadResponseError),
]


@pytest.mark.parametrize(("event", "kind"), ERRORS)
def test_errors_can_come_at_any_time_and_carry_what_was_read(event: dict[str, Any], kind: type[ProviderError]) -> None:
    for before in ([], [done(0, call("a", "f"))]):
        with pytest.raises(ProviderError) as caught:
            read_stream(events(*before, event))
        assert type(caught.value) is kind
        assert len(caught.value.partial.calls) == len(before)


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"", BadResponseError, "empty"),
        (b"<html>", BadResponseError, "HTML"),
        (b"{", BadResponseError, "ends in the middle of its JSON"),
        (b"[]", BadResponseError, "no object"),
        (b"{}", BadResponseError, "no output"),
        (b'{"choices": [{"message": {"content": "Hi"}}]}', BadResponseError, "openai-chat"),
        (b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}', RateLimitError, "slow down"),
        (b'{"object": "error", "message": "down", "type": "server_error"}', ProviderOverloadedError, "down"),
        (answer(status="failed", error={"code": "server_error", "message": "x"}), ProviderOverloadedError, "x"),
        (answer(status="failed", error={"code": "bio_policy", "message": "x"}), RequestRefusedError, "x"),
        (answer(status="failed"), BadResponseError, "nothing says why"),
        (answer(status="cancelled"), BadResponseError, "cancelled"),
        (answer(status="queued"), BadResponseError, "queued"),
        (answer("text"), BadResponseError, "no object"),
    ],
)
def test_what_is_no_answer(body: bytes, kind: type[ProviderError], words: str) -> None:
    with pytest.raises(ProviderError, match=words) as caught:
        RESPONSES.read_response(body)
    assert type(caught.value) is kind


def test_an_error_status_is_an_error_whatever_the_body() -> None:
    with pytest.raises(RequestRefusedError):
        RESPONSES.read_response(answer(message()), status=400)
    body = b'{"error": {"message": "Incorrect API key provided: x", "code": "invalid_api_key"}}'
    assert type(RESPONSES.error(401, {}, body)) is AuthenticationError


def test_either_form_is_read_whatever_was_asked_for() -> None:
    assert RESPONSES.read_response(stream_of(message("Hi"))).text == "Hi"
    assert read_stream(answer(message("Hi")), size=5).text == "Hi"
    with pytest.raises(BadResponseError):
        read_stream(b"<html>no</html>")


def test_hosts_that_forget_the_blank_line_and_the_type() -> None:
    lines = b"\n".join(b"data: " + json.dumps(each).encode() for each in (done(0, ITEM), completed(ITEM)))
    assert told(read_stream(lines + b"\n\n").calls) == [("a", "f", {"a": 1})]
    untyped = b'event: response.completed\ndata: {"response": %s}\n\n' % answer(ITEM)
    assert told(read_stream(untyped).calls) == [("a", "f", {"a": 1})]
