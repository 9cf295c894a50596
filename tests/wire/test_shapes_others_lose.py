"""Shapes of answers in which other readers lose calls, count them twice, or see some that are none: each by its name.

What a wire reads besides is in its own file; the bodies are written from the services' descriptions and from recorded
answers. Pairs in the results are name and arguments.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from equitrcoder.errors import BadResponseError, ProviderError
from equitrcoder.wires import read_calls, wire
from equitrcoder.wires.values import Turn
from tests.wire.reading import read_body

CHAT, MESSAGES, RESPONSES, GEMINI = "openai-chat", "anthropic-messages", "openai-responses", "gemini-generate"


def sse(*values: Any, done: bool = False) -> bytes:
    body = b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)
    return body + (b"data: [DONE]\n\n" if done else b"")


def chunk(delta: dict[str, Any], finish: str | None = None, *, choice: int = 0) -> dict[str, Any]:
    return {"id": "r", "choices": [{"index": choice, "delta": delta, "finish_reason": finish}]}


def piece(index: int | None, wire_id: str | None = None, name: str | None = None, arguments: str | None = None) -> Any:
    """A delta with one piece of a call, with the fields that are given."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    entry = {"index": index, "id": wire_id, "function": function}
    return {"tool_calls": [{key: value for key, value in entry.items() if value is not None}]}


def chat_stream(*deltas: dict[str, Any], finish: str | None = "tool_calls") -> bytes:
    return sse(*[chunk(delta) for delta in deltas], chunk({}, finish), done=True)


def chat_document(message: dict[str, Any], finish: str = "tool_calls") -> bytes:
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": finish}]}).encode()


def entry(wire_id: Any, arguments: Any = "{}", name: str = "f") -> dict[str, Any]:
    given = {} if wire_id is ... else {"id": wire_id}
    return {**given, "type": "function", "function": {"name": name, "arguments": arguments}}


def read(name: str, body: bytes, *, streaming: bool) -> Turn:
    """The turn; its calls are those that `read_calls` gives."""
    turn = read_body(wire(name), body, streaming=streaming)
    assert tuple(read_calls(name, body, streaming=streaming)) == turn.calls
    return turn


def told(turn: Turn) -> list[tuple[str, Any]]:
    return [(call.name, call.arguments) for call in turn.calls]


# Messages


def test_a_whole_tool_use_inside_message_start() -> None:
    use = {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}
    message = {"id": "m", "type": "message", "role": "assistant", "content": [use], "stop_reason": "tool_use"}
    turn = read(MESSAGES, sse({"type": "message_start", "message": message}, {"type": "message_stop"}), streaming=True)
    assert told(turn) == [("f", {"a": 1})] and turn.calls[0].id == "t1"


def test_a_block_index_used_again_and_a_message_that_starts_again() -> None:
    def use(wire_id: str) -> dict[str, Any]:
        block = {"type": "tool_use", "id": wire_id, "name": "f", "input": {}}
        return {"type": "content_block_start", "index": 0, "content_block": block}

    def arguments(text: str) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": text}}

    start = {"type": "message_start", "message": {"role": "assistant", "content": []}}
    end = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}}
    body = sse(start, use("t1"), arguments('{"a":'), start, use("t2"), arguments('{"b":'), arguments("2}"), end)
    turn = read(MESSAGES, body, streaming=True)
    assert [(call.id, call.arguments) for call in turn.calls] == [("t1", '{"a":'), ("t2", {"b": 2})]


def test_a_block_without_any_piece_of_input_is_an_empty_object() -> None:
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    body = sse({"type": "content_block_start", "index": 0, "content_block": block}, {"type": "message_stop"})
    assert told(read(MESSAGES, body, streaming=True)) == [("f", {})]


@pytest.mark.parametrize("streaming", [True, False])
def test_pause_turn_leaves_the_providers_call_open(streaming: bool) -> None:
    use = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}}
    message = {"type": "message", "role": "assistant", "content": [use], "stop_reason": "pause_turn"}
    body = sse({"type": "message_start", "message": message}, {"type": "message_stop"})
    turn = read(MESSAGES, body if streaming else json.dumps(message).encode(), streaming=streaming)
    assert told(turn) == [("web_search", {"query": "q"})] and turn.stop == "paused"
    assert turn.calls[0].kind == "provider-executed" and turn.calls[0].result is None


def test_client_and_provider_calls_in_one_answer_of_messages() -> None:
    content = [
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"url": "u"}]},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
        {"type": "mcp_tool_use", "id": "p1", "name": "g", "server_name": "s", "input": {}},
    ]
    body = json.dumps({"type": "message", "content": content, "stop_reason": "tool_use"}).encode()
    turn = read(MESSAGES, body, streaming=False)
    kinds = ["provider-executed", "client", "provider-executed"]
    assert [call.kind for call in turn.calls] == kinds and turn.stop == "calls"
    assert turn.calls[0].result == [{"url": "u"}]


def test_a_refusal_of_messages() -> None:
    body = json.dumps({"type": "message", "content": [], "stop_reason": "refusal"}).encode()
    turn = read(MESSAGES, body, streaming=False)
    assert (turn.stop, turn.calls) == ("refusal", ())


# Chat Completions


def test_the_same_id_in_consecutive_turns_is_a_call_in_each() -> None:
    body = chat_document({"tool_calls": [entry("call_1")]})
    turns = [read(CHAT, body, streaming=False) for _ in range(2)]
    assert [call.id for turn in turns for call in turn.calls] == ["call_1", "call_1"]


def test_the_same_id_twice_in_one_answer_is_two_calls() -> None:
    body = chat_document({"tool_calls": [entry("call_1", '{"a":1}'), entry("call_1", '{"a":2}')]})
    assert told(read(CHAT, body, streaming=False)) == [("f", {"a": 1}), ("f", {"a": 2})]


@pytest.mark.parametrize("wire_id", [..., None, "", "0", "call_1"], ids=["missing", "null", "empty", "0", "usual"])
def test_ids_missing_null_empty_and_0_in_a_document(wire_id: Any) -> None:
    turn = read(CHAT, chat_document({"tool_calls": [entry(wire_id)]}), streaming=False)
    assert [call.id for call in turn.calls] == [None if wire_id is ... else wire_id]


@pytest.mark.parametrize(("wire_id", "expected"), [(None, None), ("", None), ("0", "0")])
def test_ids_missing_empty_and_0_in_a_stream(wire_id: str | None, expected: str | None) -> None:
    body = chat_stream(piece(0, wire_id, "f", '{"a":'), piece(0, wire_id, None, "1}"))
    assert [(call.id, call.arguments) for call in read(CHAT, body, streaming=True).calls] == [(expected, {"a": 1})]


def test_deltas_without_index_go_by_id_else_to_the_last_call() -> None:
    body = chat_stream(
        piece(None, "a", "f", '{"n":'),
        piece(None, None, None, "1}"),
        piece(None, "b", "g", '{"n":'),
        piece(None, "b", None, "2}"),
    )
    assert told(read(CHAT, body, streaming=True)) == [("f", {"n": 1}), ("g", {"n": 2})]


def test_whole_calls_in_one_delta_without_index_or_id_are_as_many() -> None:
    calls = [{"function": {"name": "f", "arguments": '{"n":1}'}}, {"function": {"name": "f", "arguments": '{"n":2}'}}]
    body = chat_stream({"tool_calls": calls}, finish="stop")
    assert told(read(CHAT, body, streaming=True)) == [("f", {"n": 1}), ("f", {"n": 2})]


def test_an_index_used_again_with_another_id_and_a_name_is_another_call() -> None:
    body = chat_stream(
        piece(0, "a", "f", "{}"), piece(0, "b", "g", '{"n":'), piece(0, None, None, "1}"), piece(0, "c", "f", "{}")
    )
    assert told(read(CHAT, body, streaming=True)) == [("f", {}), ("g", {"n": 1}), ("f", {})]


def test_an_index_used_again_with_another_id_is_another_call_also_of_the_same_name_and_before_any_arguments() -> None:
    body = chat_stream(piece(0, "a", "f", ""), piece(0, "b", "f", ""), piece(0, None, None, '{"n":1}'))
    turn = read(CHAT, body, streaming=True)
    assert [(call.id, call.arguments) for call in turn.calls] == [("a", ""), ("b", {"n": 1})]


def test_the_slot_of_a_piece_is_its_choice_and_its_index() -> None:
    values = [
        chunk(piece(0, "a", "f", '{"n":'), choice=0),
        chunk(piece(0, "b", "g", '{"n":'), choice=1),
        chunk(piece(0, None, None, "1}"), "tool_calls", choice=0),
        chunk(piece(0, None, None, "2}"), "tool_calls", choice=1),
    ]
    assert told(read(CHAT, sse(*values, done=True), streaming=True)) == [("f", {"n": 1}), ("g", {"n": 2})]


def test_the_name_repeated_in_every_piece_is_one_name() -> None:
    body = chat_stream(piece(0, "a", "f", ""), piece(0, "a", "f", '{"n":'), piece(0, "a", "f", "1}"))
    assert told(read(CHAT, body, streaming=True)) == [("f", {"n": 1})]


@pytest.mark.parametrize("phantom", [{"name": "", "arguments": ""}, {"name": None, "arguments": None}, {}, None])
@pytest.mark.parametrize("streaming", [True, False])
def test_a_phantom_function_call_is_none(phantom: Any, streaming: bool) -> None:
    message = {"content": "Hi", "function_call": phantom}
    body = chat_stream(message, finish="stop") if streaming else chat_document(message, "stop")
    turn = read(CHAT, body, streaming=streaming)
    assert (turn.text, turn.calls, turn.stop) == ("Hi", (), "end")


def test_a_legacy_function_call_is_one_without_id() -> None:
    body = chat_stream({"function_call": {"name": "f", "arguments": ""}}, {"function_call": {"arguments": "{}"}})
    turn = read(CHAT, body, streaming=True)
    assert told(turn) == [("f", {})] and turn.calls[0].id is None


@pytest.mark.parametrize("arguments", ["", "null", "[1]", '"text"', '{"a":', "{} {}", "NaN", " "])
@pytest.mark.parametrize("streaming", [True, False])
def test_arguments_empty_null_as_text_and_broken_stay_as_they_came(arguments: str, streaming: bool) -> None:
    message = {"tool_calls": [{**entry("a", arguments), "index": 0}]}
    body = chat_stream(message) if streaming else chat_document(message)
    assert told(read(CHAT, body, streaming=streaming)) == [("f", arguments)]


@pytest.mark.parametrize("streaming", [True, False])
def test_arguments_null_stay_null(streaming: bool) -> None:
    message = {"tool_calls": [{**entry("a", None), "index": 0}]}
    body = chat_stream(message) if streaming else chat_document(message)
    assert told(read(CHAT, body, streaming=streaming)) == [("f", None)]


def test_arguments_cut_by_the_token_limit_are_neither_repaired_nor_lost() -> None:
    body = chat_stream(piece(0, "a", "f", '{"path": "src/ma'), finish="length")
    turn = read(CHAT, body, streaming=True)
    assert told(turn) == [("f", '{"path": "src/ma')] and turn.finish == "length"


@pytest.mark.parametrize("finish", ["stop", "length", "eos", None])
def test_finish_stop_in_spite_of_calls(finish: str | None) -> None:
    turn = read(CHAT, chat_stream(piece(0, "a", "f", "{}"), finish=finish), streaming=True)
    assert told(turn) == [("f", {})] and turn.stop == "calls"


def test_a_finish_that_arrives_twice() -> None:
    body = sse(chunk(piece(0, "a", "f", "{}"), "tool_calls"), chunk({}, "stop"), chunk({}, "tool_calls"), done=True)
    assert told(read(CHAT, body, streaming=True)) == [("f", {})]


def test_a_finish_before_the_last_pieces() -> None:
    body = sse(chunk(piece(0, "a", "f", '{"n":'), "tool_calls"), chunk(piece(0, None, None, "1}")), done=True)
    assert told(read(CHAT, body, streaming=True)) == [("f", {"n": 1})]


FAILED = {"message": "Tool call validation failed", "type": "invalid_request_error", "code": "tool_use_failed"}
FAILED["failed_generation"] = '{"name": "f", "arguments": {}}'


def test_groqs_failed_generation_in_a_400_is_an_error_and_no_call() -> None:
    body = json.dumps({"error": FAILED}).encode()
    assert read_calls(CHAT, body, streaming=False, status=400) == []
    assert read_calls(CHAT, body, streaming=True, status=400) == []
    error = wire(CHAT).error(400, {}, body)
    assert type(error) is BadResponseError and error.retryable, "the model may do better the next time"


@pytest.mark.parametrize("named", [True, False])
def test_groqs_failed_generation_inside_a_200_stream_is_an_error_and_no_call(named: bool) -> None:
    failed = b"event: error\n" * named + sse({"error": {**FAILED, "status_code": 400}})
    body = sse(chunk({"role": "assistant", "content": "I"})) + failed
    assert read_calls(CHAT, body, streaming=True) == []
    with pytest.raises(BadResponseError, match="Tool call validation failed") as caught:
        read_body(wire(CHAT), body, streaming=True)
    assert caught.value.partial is not None and caught.value.partial.text == "I"


@pytest.mark.parametrize("streaming", [True, False])
def test_groqs_executed_tools_are_the_providers_and_counted_once(streaming: bool) -> None:
    begun = {"index": 0, "type": "search", "arguments": '{"query": "q"}', "output": None}
    ended = {**begun, "output": "found"}
    if streaming:
        body = chat_stream({"executed_tools": [begun]}, {"executed_tools": [ended]}, {"content": "Hi"}, finish="stop")
    else:
        body = chat_document({"content": "Hi", "executed_tools": [ended]}, "stop")
    turn = read(CHAT, body, streaming=streaming)
    assert told(turn) == [("search", {"query": "q"})] and turn.stop == "end"
    assert (turn.calls[0].kind, turn.calls[0].result) == ("provider-executed", "found")


def test_client_and_provider_calls_in_one_answer_of_groq() -> None:
    tool = {"index": 0, "type": "search", "arguments": "{}", "output": "o"}
    turn = read(CHAT, chat_document({"tool_calls": [entry("a")], "executed_tools": [tool]}), streaming=False)
    assert [call.kind for call in turn.calls] == ["client", "provider-executed"] and turn.stop == "calls"


def test_several_choices() -> None:
    choices = [
        {"index": n, "message": {"content": f"c{n}", "tool_calls": [entry(f"i{n}")]}, "finish_reason": "tool_calls"}
        for n in range(3)
    ]
    turn = read(CHAT, json.dumps({"choices": choices}).encode(), streaming=False)
    assert [call.id for call in turn.calls] == ["i0", "i1", "i2"] and turn.text == "c0"


@pytest.mark.parametrize("streaming", [True, False])
def test_a_refusal_of_chat(streaming: bool) -> None:
    message = {"content": None, "refusal": "No."}
    body = chat_stream(message, finish="stop") if streaming else chat_document(message, "stop")
    turn = read(CHAT, body, streaming=streaming)
    assert (turn.refusal, turn.stop, turn.calls) == ("No.", "refusal", ())


def test_text_that_looks_like_a_call_is_text() -> None:
    text = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    assert read(CHAT, chat_document({"content": text}, "stop"), streaming=False).calls == ()


ERROR = {"error": {"message": "overloaded", "type": "server_error"}}


@pytest.mark.parametrize("name", [CHAT, MESSAGES, RESPONSES, GEMINI, "ollama-chat", "cohere-v2", "mistral"])
@pytest.mark.parametrize("form", ["document", "stream asked for", "in a stream"])
def test_a_200_with_an_error_object_is_an_error_and_no_call(name: str, form: str) -> None:
    streaming = form != "document"
    body = json.dumps(ERROR).encode() + b"\n"
    if form == "in a stream" and name != "ollama-chat":
        body = sse(ERROR)
    with pytest.raises(ProviderError, match="overloaded") as caught:
        read_body(wire(name), body, streaming=streaming)
    assert type(caught.value) is not ProviderError
    assert read_calls(name, body, streaming=streaming) == []


# Cohere


@pytest.mark.parametrize("arguments", ["", "not JSON", '{"a": '])
def test_coheres_invalid_tool_generation_keeps_the_raw_arguments(arguments: str) -> None:
    call = {"id": "f_1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    body = {"id": "r", "message": {"role": "assistant", "tool_calls": [call]}, "finish_reason": "TOOL_CALL"}
    assert told(read("cohere-v2", json.dumps(body).encode(), streaming=False)) == [("f", arguments)]


def test_coheres_error_for_an_invalid_tool_generation_is_an_error_and_no_call() -> None:
    body = json.dumps({"id": "r", "message": "invalid tool generation: the tool f does not exist"}).encode()
    assert read_calls("cohere-v2", body, streaming=False, status=422) == []
    assert read_calls("cohere-v2", body, streaming=False) == []
    with pytest.raises(BadResponseError, match="invalid tool generation"):
        wire("cohere-v2").read_response(body)


# Gemini


def gemini(*parts: dict[str, Any], finish: Any = "STOP") -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": finish}]}


def test_geminis_partial_args_become_one_call() -> None:
    def part(path: str, text: str, *, name: str | None = None, goes_on: bool = True) -> dict[str, Any]:
        entry = {"jsonPath": path, "stringValue": text, "willContinue": goes_on}
        return {"functionCall": {**({"name": name} if name else {}), "partialArgs": [entry], "willContinue": goes_on}}

    values = [
        gemini(part("$.city", "Par", name="f"), finish=None),
        gemini(part("$.city", "is"), finish=None),
        gemini(part("$.days[0]", "Monday", goes_on=False)),
    ]
    assert told(read(GEMINI, sse(*values), streaming=True)) == [("f", {"city": "Paris", "days": ["Monday"]})]


def test_geminis_server_side_tool_call_and_code_are_the_providers() -> None:
    body = json.dumps(
        gemini(
            {"toolCall": {"id": "g1", "toolType": "GOOGLE_SEARCH_WEB", "args": {"queries": ["q"]}}},
            {"toolResponse": {"id": "g1", "toolType": "GOOGLE_SEARCH_WEB", "response": {"x": 1}}},
            {"executableCode": {"language": "PYTHON", "code": "1"}},
            {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
            {"functionCall": {"name": "f", "args": {}}},
        )
    ).encode()
    turn = read(GEMINI, body, streaming=False)
    assert [call.kind for call in turn.calls] == ["provider-executed", "provider-executed", "client"]
    assert turn.calls[0].result == {"x": 1} and turn.stop == "calls"


def test_geminis_calls_without_id_and_without_args() -> None:
    body = json.dumps(gemini({"functionCall": {"name": "f"}}, {"functionCall": {"name": "f", "args": {}}})).encode()
    turn = read(GEMINI, body, streaming=False)
    assert [(call.id, call.name, call.arguments) for call in turn.calls] == [(None, "f", None), (None, "f", {})]


def test_geminis_enums_as_integers() -> None:
    parts = {"executableCode": {"language": 1, "code": "1"}}, {"codeExecutionResult": {"outcome": 1, "output": "1"}}
    turn = read(GEMINI, json.dumps(gemini(*parts, finish=1)).encode(), streaming=False)
    assert turn.finish == "STOP" and turn.calls[0].arguments == {"language": "PYTHON", "code": "1"}
    assert turn.calls[0].result == {"outcome": "OUTCOME_OK", "output": "1"}


# Responses


def response(*items: dict[str, Any], status: str = "completed") -> dict[str, Any]:
    return {"id": "r", "object": "response", "status": status, "output": list(items)}


ITEMS: dict[str, tuple[dict[str, Any], tuple[str, Any, str, str | None]]] = {
    "a custom tool": (
        {"type": "custom_tool_call", "id": "i", "call_id": "c", "name": "f", "input": '{"a": 1}'},
        ("f", '{"a": 1}', "client", "c"),
    ),
    "the local shell": (
        {"type": "local_shell_call", "id": "i", "call_id": "c", "action": {"command": ["ls"]}},
        ("local_shell", {"command": ["ls"]}, "client", "c"),
    ),
    "the shell": (
        {"type": "shell_call", "id": "i", "call_id": "c", "action": {"commands": ["ls"]}},
        ("shell", {"commands": ["ls"]}, "client", "c"),
    ),
    "the shell of a container": (
        {
            "type": "shell_call",
            "id": "i",
            "call_id": "c",
            "action": {"commands": ["ls"]},
            "environment": {"type": "container_reference", "container_id": "x"},
        },
        ("shell", {"commands": ["ls"]}, "provider-executed", "c"),
    ),
    "apply_patch": (
        {"type": "apply_patch_call", "id": "i", "call_id": "c", "operation": {"type": "delete_file", "path": "a"}},
        ("apply_patch", {"type": "delete_file", "path": "a"}, "client", "c"),
    ),
    "an MCP call": (
        {"type": "mcp_call", "id": "i", "name": "f", "server_label": "s", "arguments": "{}", "output": "o"},
        ("f", {}, "provider-executed", "i"),
    ),
    "an MCP approval": (
        {"type": "mcp_approval_request", "id": "i", "name": "f", "server_label": "s", "arguments": '{"a":1}'},
        ("f", {"a": 1}, "provider-executed", "i"),
    ),
    "a search": (
        {"type": "web_search_call", "id": "i", "status": "completed", "action": {"type": "search", "query": "q"}},
        ("web_search", {"type": "search", "query": "q"}, "provider-executed", "i"),
    ),
    "a call of a type nobody knows": (
        {"type": "some_future_call", "id": "i", "status": "completed", "arguments": '{"a":1}'},
        ("some_future", {"a": 1}, "provider-executed", "i"),
    ),
}


@pytest.mark.parametrize("kind", ITEMS)
@pytest.mark.parametrize("form", ["document", "items", "the end alone", "added and never done"])
def test_items_of_responses(kind: str, form: str) -> None:
    item, expected = ITEMS[kind]
    added = {"type": "response.output_item.added", "output_index": 0, "item": item}
    ended = {"type": "response.completed", "response": response(item)}
    body = {
        "document": json.dumps(response(item)).encode(),
        "items": sse(added, {**added, "type": "response.output_item.done"}, ended),
        "the end alone": sse(ended),
        "added and never done": sse(added, {"type": "response.completed", "response": response()}),
    }[form]
    turn = read(RESPONSES, body, streaming=form != "document")
    assert [(call.name, call.arguments, call.kind, call.id) for call in turn.calls] == [expected]


def test_an_item_added_and_never_done_keeps_the_pieces_of_its_arguments() -> None:
    item = {"type": "function_call", "id": "i", "call_id": "c", "name": "f", "arguments": ""}
    body = sse(
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.function_call_arguments.delta", "output_index": 0, "item_id": "i", "delta": '{"a":'},
        {"type": "response.function_call_arguments.delta", "output_index": 0, "item_id": "i", "delta": "1"},
    )
    assert [(call.name, call.arguments) for call in read_calls(RESPONSES, body, streaming=True)] == [("f", '{"a":1')]
    ended = body + sse(
        {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "max_output_tokens"}}}
    )
    assert told(read(RESPONSES, ended, streaming=True)) == [("f", '{"a":1')]


@pytest.mark.parametrize("kind", ["mcp_list_tools", "reasoning", "message", "compaction", "some_future_type"])
def test_items_of_responses_that_are_no_call(kind: str) -> None:
    item = {"type": kind, "id": "i", "name": "f", "arguments": "{}", "content": [], "tools": []}
    assert read(RESPONSES, json.dumps(response(item)).encode(), streaming=False).calls == ()


def test_client_and_provider_calls_in_one_answer_of_responses() -> None:
    items = [ITEMS["a search"][0], ITEMS["a custom tool"][0], ITEMS["an MCP call"][0]]
    turn = read(RESPONSES, json.dumps(response(*items)).encode(), streaming=False)
    assert [call.kind for call in turn.calls] == ["provider-executed", "client", "provider-executed"]
    assert turn.stop == "calls"


def test_a_refusal_of_responses() -> None:
    message = {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    turn = read(RESPONSES, json.dumps(response(message)).encode(), streaming=False)
    assert (turn.refusal, turn.stop, turn.calls) == ("No.", "refusal", ())
