"""Ollama's own chat wire."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ollama import ChatResponse
from ollama import Message as SDKMessage
from ollama._types import ChatRequest

from equitrcoder.errors import (
    BadResponseError,
    ProviderError,
    ProviderOverloadedError,
    RequestRefusedError,
    StreamBrokenError,
    ToolsUnsupportedError,
)
from equitrcoder.wires import read_calls, wire
from equitrcoder.wires.ollama_chat import OllamaDialect
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    EchoedCall,
    Message,
    RequestOptions,
    ResultForModel,
    ToolResults,
    ToolSpec,
    Turn,
    UserMessage,
)

OLLAMA = wire("ollama-chat")
TOOL = ToolSpec(
    name="read_file", description="Read.", parameters={"type": "object", "properties": {"path": {"type": "string"}}}
)
END = {"done": True, "done_reason": "stop", "prompt_eval_count": 12, "eval_count": 5, "total_duration": 1}


def line(message: dict[str, Any] | None = None, **top: Any) -> bytes:
    body: dict[str, Any] = {"model": "qwen3", "created_at": "2026-01-01T00:00:00Z"}
    if message is not None:
        body["message"] = {"role": "assistant", "content": "", **message}
    return json.dumps({**body, "done": False, **top}).encode() + b"\n"


def call(name: str, arguments: Any, **more: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}, **more}


def stream(body: bytes, size: int | None = None) -> Turn:
    reader = OLLAMA.stream_reader()
    for start in range(0, len(body), size or max(len(body), 1)):
        reader.feed(body[start : start + (size or len(body))])
    return reader.finish()


def without_ids(value: Any) -> Any:
    """Without the ids of calls, which only newer servers know and the SDK does not."""
    return [{"function": each["function"]} for each in value] if isinstance(value, list) else value


def sent(*messages: Message, dialect: OllamaDialect | None = None, **options: Any) -> dict[str, Any]:
    """The body of the request; the official SDK's own type takes it and keeps all of it."""
    conversation = Conversation(system="Be brief.", messages=list(messages))
    made = OLLAMA.request(conversation, [TOOL], RequestOptions(model="m", **options), dialect, origin="ollama")
    assert made.path == "/api/chat"
    ChatRequest.model_validate(made.body)
    for ours in made.body["messages"]:
        kept = SDKMessage.model_validate(ours).model_dump(exclude_none=True)
        assert kept == {key: without_ids(value) for key, value in ours.items() if key != "tool_call_id"}
    assert set(made.body) <= set(ChatRequest.model_fields)
    return made.body


def echoed(turn: Turn, *ids: str) -> AssistantMessage:
    calls = tuple(
        EchoedCall(
            wire_id=wire_id,
            name=each.name,
            arguments=each.arguments if isinstance(each.arguments, dict) else None,
            index=each.index,
        )
        for each, wire_id in zip(turn.calls, ids, strict=True)
    )
    return AssistantMessage(text=turn.text, calls=calls, native=turn.native, origin="ollama")


def results(*told: tuple[str, str, str]) -> ToolResults:
    return ToolResults(results=tuple(ResultForModel(wire_id=i, name=name, text=text) for i, name, text in told))


TWO = {"thinking": "Hm.", "tool_calls": [call("read_file", {"path": "a"}), call("git_status", {})]}


@pytest.mark.parametrize("size", [None, 1, 7, 100])
def test_a_stream_of_thinking_text_and_calls(size: int | None) -> None:
    body = b"".join(
        [
            line({"thinking": "H"}),
            line({"thinking": "m."}),
            line({"content": "Grü"}),
            line({"content": "ße"}),
            line({"tool_calls": [call("read_file", {"path": "a"})]}),
            line({"tool_calls": [call("git_status", {})]}),
            line({}, **END),
        ]
    )
    turn = stream(body, size)
    assert (turn.text, turn.reasoning, turn.stop, turn.finish) == ("Grüße", "Hm.", "calls", "stop")
    assert [(each.name, each.arguments, each.id, each.index) for each in turn.calls] == [
        ("read_file", {"path": "a"}, None, 0),
        ("git_status", {}, None, 1),
    ]
    assert (turn.usage.input_tokens, turn.usage.output_tokens, turn.model_answered) == (12, 5, "qwen3")


def test_a_document_is_the_same_turn_as_its_stream() -> None:
    document = OLLAMA.read_response(line({"content": "Hi", **TWO}, **END))
    assert document == stream(line({"content": "H", "thinking": "Hm."}) + line({**TWO, "content": "i", "thinking": ""})
                              + line({}, **END))  # fmt: skip
    theirs = ChatResponse.model_validate_json(line({"content": "Hi", **TWO}, **END))
    assert [each.function.name for each in theirs.message.tool_calls or ()] == [each.name for each in document.calls]
    assert (theirs.message.content, theirs.message.thinking) == (document.text, document.reasoning)


def test_text_is_shown_as_it_comes() -> None:
    reader = OLLAMA.stream_reader()
    shown = reader.feed(line({"thinking": "Hm"}) + line({"content": "Hi"}) + line({}, **END))
    assert [(each.text, each.kind) for each in shown] == [("Hm", "reasoning"), ("Hi", "text")]
    assert reader.finished


@pytest.mark.parametrize(
    ("arguments", "read"),
    [({"a": 1}, {"a": 1}), ('{"a": 1}', {"a": 1}), ("", ""), ("no", "no"), (None, None), ([1], "[1]")],
)
@pytest.mark.parametrize("streaming", [True, False])
def test_arguments(arguments: Any, read: Any, streaming: bool) -> None:
    (found,) = read_calls("ollama-chat", line({"tool_calls": [call("f", arguments)]}, **END), streaming=streaming)
    assert found.arguments == read


def test_results_go_back_in_order_by_name() -> None:
    turn = OLLAMA.read_response(line(TWO, **END))
    body = sent(
        UserMessage(text="Hi"),
        echoed(turn, "call_1", "call_2"),
        results(("call_1", "read_file", "alpha"), ("call_2", "git_status", "clean")),
    )
    assert body["messages"][2:] == [
        {
            "role": "assistant",
            "content": "",
            "thinking": "Hm.",
            "tool_calls": [call("read_file", {"path": "a"}), call("git_status", {})],
        },
        {"role": "tool", "tool_name": "read_file", "content": "alpha"},
        {"role": "tool", "tool_name": "git_status", "content": "clean"},
    ]


def test_an_id_that_the_server_gave_goes_back_with_call_and_result() -> None:
    turn = OLLAMA.read_response(line({"tool_calls": [call("read_file", {}, id="call_x")]}, **END))
    assert turn.calls[0].id == "call_x"
    body = sent(UserMessage(text="Hi"), echoed(turn, "call_x"), results(("call_x", "read_file", "ok")))
    assert body["messages"][2]["tool_calls"] == [call("read_file", {}, id="call_x")]
    assert body["messages"][3]["tool_call_id"] == "call_x"


def test_arguments_that_were_no_object_go_back_as_an_empty_one() -> None:
    turn = OLLAMA.read_response(line({"tool_calls": [call("read_file", "no")]}, **END))
    assert sent(echoed(turn, "c"))["messages"][1]["tool_calls"] == [call("read_file", {})]


def test_an_answer_of_another_row_is_rebuilt() -> None:
    said = EchoedCall(wire_id="toolu_1", name="read_file", arguments={"path": "a"}, index=0)
    other = AssistantMessage(text="So", calls=(said,), native={"role": "assistant", "x": 1}, origin="anthropic")
    body = sent(other, results(("toolu_1", "read_file", "ok")))
    assert body["messages"][1] == {
        "role": "assistant",
        "content": "So",
        "tool_calls": [call("read_file", {"path": "a"})],
    }
    assert body["messages"][2] == {"role": "tool", "tool_name": "read_file", "content": "ok"}


def test_limits_and_stream_are_said_always() -> None:
    body = sent(UserMessage(text="Hi"), output_limit_tokens=7, stream=False)
    assert (body["stream"], body["options"]) == (False, {"num_ctx": 32768, "num_predict": 7})
    assert sent(UserMessage(text="Hi"))["options"] == {"num_ctx": 32768}
    assert "options" not in sent(UserMessage(text="Hi"), dialect=OllamaDialect(num_ctx=0))
    assert "think" not in body and "parallel_tool_calls" not in body


@pytest.mark.parametrize(
    ("effort", "think"), [("none", False), ("minimal", "low"), ("low", "low"), ("high", "high"), ("max", "high")]
)
def test_reasoning_effort(effort: str, think: bool | str) -> None:
    assert sent(UserMessage(text="Hi"), reasoning_effort=effort)["think"] == think


def test_what_was_sent_stays_as_it_was() -> None:
    turn = OLLAMA.read_response(line(TWO, **END))
    said = [UserMessage(text="Hi"), echoed(turn, "a", "b"), results(("a", "read_file", "1"), ("b", "git_status", "2"))]
    before, after = sent(*said)["messages"], sent(*said, UserMessage(text="more"))["messages"]
    assert after[:-1] == before


@pytest.mark.parametrize("streaming", [True, False])
def test_an_error_inside_a_200(streaming: bool) -> None:
    body = line({"tool_calls": [call("f", {})]}) + b'{"error":"an error was encountered while running the model"}\n'
    with pytest.raises(BadResponseError, match="encountered while running the model") as caught:
        stream(body) if streaming else OLLAMA.read_response(body)
    assert caught.value.partial is not None
    assert [each.name for each in caught.value.partial.calls] == ["f"]


def test_a_call_that_the_server_could_not_read_is_worth_another_attempt() -> None:
    with pytest.raises(BadResponseError) as caught:
        stream(b'{"error":"error parsing tool call: raw=\'{\\"a\\"\', err=unexpected end of JSON input"}\n')
    assert caught.value.retryable


def test_what_follows_the_end_takes_nothing_away() -> None:
    assert stream(line({"content": "Hi"}, **END) + b'{"error":"late"}\n').text == "Hi"


def test_a_stream_without_its_end_is_broken_and_keeps_what_it_held() -> None:
    body = line({"content": "Hi"}) + line({"tool_calls": [call("f", {})]})
    for cut in (body, body + b'{"model":"qw'):
        with pytest.raises(StreamBrokenError) as caught:
            stream(cut)
        assert caught.value.partial is not None
        assert (caught.value.partial.text, len(caught.value.partial.calls)) == ("Hi", 1)


def test_an_end_without_a_line_break_is_an_end() -> None:
    assert stream((line({"content": "Hi"}) + line({}, **END)).rstrip()).text == "Hi"


def test_a_document_over_several_lines_where_a_stream_was_asked_for() -> None:
    body = json.dumps(json.loads(line({"content": "Hi"}, **END)), indent=2).encode()
    assert [stream(body, size).text for size in (None, 1, 10)] == ["Hi"] * 3
    assert OLLAMA.read_response(body).text == "Hi"


def test_lines_where_a_document_was_asked_for() -> None:
    assert OLLAMA.read_response(line({"content": "H"}) + line({"content": "i"}) + line({}, **END)).text == "Hi"


def test_an_answer_that_is_not_done_is_none() -> None:
    with pytest.raises(BadResponseError) as caught:
        OLLAMA.read_response(line({"content": "Hi"}))
    assert caught.value.retryable and caught.value.partial is not None


@pytest.mark.parametrize("word", ["length", "load", "unload"])
def test_other_finish_words(word: str) -> None:
    turn = stream(line({"content": "x"}, **{**END, "done_reason": word}))
    assert (turn.finish, turn.stop) == (word, "length" if word == "length" else "unknown")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"done":true}', b'{"choices":[]}', b"data: {}\n\n"])
def test_what_is_no_answer(body: bytes) -> None:
    for streaming in (True, False):
        with pytest.raises(BadResponseError):
            stream(body) if streaming else OLLAMA.read_response(body)


ERRORS: list[tuple[int, str, type[ProviderError], bool]] = [
    (400, "registry.ollama.ai/library/gemma:2b does not support tools", ToolsUnsupportedError, False),
    (400, '"qwen2.5" does not support thinking', RequestRefusedError, False),
    (404, 'model "qwen3" not found, try pulling it first', RequestRefusedError, False),
    (500, "error parsing tool call: raw='{'", ProviderOverloadedError, True),
    (503, "server busy, please try again. maximum pending requests exceeded", ProviderOverloadedError, True),
]


@pytest.mark.parametrize(("status", "words", "kind", "retryable"), ERRORS)
def test_errors(status: int, words: str, kind: type[ProviderError], retryable: bool) -> None:
    error = OLLAMA.error(status, {}, json.dumps({"error": words}).encode())
    assert (type(error), error.retryable) == (kind, retryable)
    assert words in error.message
    if "thinking" in words:
        assert "reasoning_effort" in error.hint
