"""The official anthropic SDK as oracle of the Messages wire.

What we send must be valid by the SDK's own types, with no field beside; what we read must equal what the SDK reads from
the same bytes, which it gets from a server on loopback, as from Anthropic.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic.types import MessageParam, ToolUnionParam, message_create_params
from pydantic import TypeAdapter

from equitrcoder.wires.anthropic_messages import MessagesDialect
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    EchoedCall,
    RequestOptions,
    ResultForModel,
    ToolResults,
    Turn,
    UserMessage,
)
from tests.wire.messages_bodies import (
    STOP,
    WIRE,
    answer,
    delta,
    ended,
    events,
    json_piece,
    opened,
    read_stream,
    start,
    text,
    use,
)
from tests.wire.test_openai_chat_sdk import TOOL, Answers, by_the_sdk, server

__all__ = ["server"]  # the fixture

USAGE = {
    "input_tokens": 9,
    "output_tokens": 5,
    "cache_read_input_tokens": 4,
    "cache_creation_input_tokens": 2,
}
THINKING = {"type": "thinking", "thinking": "Hm", "signature": "sig"}
SEARCH = use("srvtoolu_1", "web_search", {"query": "x"}, "server_tool_use")
FOUND = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": [{"type": "web_search_result", "title": "t", "url": "u", "encrypted_content": "e", "page_age": None}],
}
BODIES = {
    "text": answer(text("Hi"), usage=USAGE),
    "calls": answer(THINKING, use("a", "read_file", {"path": "x"}), use("b", "read_file", "not json"), usage=USAGE),
    "text and a call": answer(text("Hi"), text(""), use("a.1", "read file", {}), usage=USAGE),
    "redacted": answer({"type": "redacted_thinking", "data": "opaque"}, text("Hi"), usage=USAGE),
    "server tool": answer(SEARCH, FOUND, {**text("Hi"), "citations": None}, usage=USAGE),
    "refusal": answer(stop="refusal", usage=USAGE),
}


def conversation_after(turn: Turn, origin: str) -> Conversation:
    calls = tuple(
        EchoedCall(
            wire_id=each.id or f"made{each.index}",
            name=each.name,
            arguments=each.arguments if isinstance(each.arguments, dict) else None,
            index=each.index,
        )
        for each in turn.calls
        if each.kind == "client"
    )
    results = tuple(
        ResultForModel(wire_id=each.wire_id, name=each.name, text="done", is_error=each.index == 1) for each in calls
    )
    said = AssistantMessage(text=turn.text, calls=calls, native=turn.native, origin=origin)
    return Conversation(
        system="S", messages=[UserMessage(text="go"), said, ToolResults(results=results), UserMessage(text="on")]
    )


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-haiku-4-5", "claude-sonnet-4-6"])
@pytest.mark.parametrize("origin", ["row", "elsewhere"])
@pytest.mark.parametrize("case", BODIES)
def test_every_request_is_one_of_the_sdks_with_no_field_beside(case: str, origin: str, model: str) -> None:
    turn = WIRE.read_response(BODIES[case])
    options = RequestOptions(model=model, output_limit_tokens=5000, reasoning_effort="low", parallel_calls=False)
    body = WIRE.request(conversation_after(turn, origin), [TOOL], options, MessagesDialect(), origin="row").body
    TypeAdapter(message_create_params.MessageCreateParams).validate_python(body)
    if case == "server tool":  # its types take results as its own answers have them, which do not compare with ours
        body["messages"] = [message for message in body["messages"] if message["role"] == "user"]
    assert by_the_sdk(list[MessageParam], body["messages"]) == body["messages"]
    assert by_the_sdk(list[ToolUnionParam], body["tools"]) == body["tools"]
    assert by_the_sdk(message_create_params.MessageCreateParamsStreaming, body) == body


@pytest.fixture
def client(server: Answers) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=f"http://127.0.0.1:{server.server_port}", api_key="k", max_retries=0) as made:
        yield made


def ask(client: anthropic.Anthropic, server: Answers, body: bytes, *, stream: bool, status: int = 200) -> Any:
    """What the SDK makes of this answer."""
    kind = "text/event-stream" if stream else "application/json"
    server.status, server.body, server.headers = status, body, {"content-type": kind}
    asked: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    if not stream:
        return client.messages.create(**asked)
    with client.messages.stream(**asked) as messages:
        return messages.get_final_message()


def same(turn: Turn, message: Any) -> None:
    """Our turn and the SDK's message say the same."""
    theirs = [block.to_dict() for block in message.content]
    assert turn.native["content"] == theirs
    assert [(call.id, call.name, call.arguments) for call in turn.calls] == [
        (block["id"], block["name"], block["input"]) for block in theirs if block["type"].endswith("tool_use")
    ]
    assert turn.text == "".join(block["text"] for block in theirs if block["type"] == "text")
    assert (turn.finish, turn.model_answered, turn.response_id) == (message.stop_reason, message.model, message.id)
    usage = message.usage
    cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    assert turn.usage.input_tokens == usage.input_tokens + cached
    assert turn.usage.output_tokens == usage.output_tokens


@pytest.mark.parametrize("case", [case for case in BODIES if case != "calls"])
def test_complete_answers(client: anthropic.Anthropic, server: Answers, case: str) -> None:
    same(WIRE.read_response(BODIES[case]), ask(client, server, BODIES[case], stream=False))


FIRST = start(usage={**USAGE, "output_tokens": 1})
LAST = (ended("tool_use", usage={"output_tokens": 5}), STOP)
STREAMS = {
    "text": events(
        FIRST,
        opened(0, text("")),
        delta(0, "text_delta", text="Grü"),
        {"type": "ping"},
        delta(0, "text_delta", text="ße 🔧"),
        {"type": "content_block_stop", "index": 0},
        *LAST,
    ),
    "thinking and a call": events(
        FIRST,
        opened(0, {"type": "thinking", "thinking": "", "signature": ""}),
        delta(0, "thinking_delta", thinking="Hm"),
        delta(0, "signature_delta", signature="sig"),
        {"type": "content_block_stop", "index": 0},
        opened(1, use("a", "f", {})),
        json_piece(1, ""),
        json_piece(1, '{"x":'),
        json_piece(1, ' "é"}'),
        {"type": "content_block_stop", "index": 1},
        opened(2, use("b", "g", {})),
        {"type": "content_block_stop", "index": 2},
        *LAST,
    ),
    "server tool": events(
        FIRST,
        opened(0, use("srvtoolu_1", "web_search", {}, "server_tool_use")),
        json_piece(0, '{"query":"x"}'),
        {"type": "content_block_stop", "index": 0},
        opened(1, FOUND),
        {"type": "content_block_stop", "index": 1},
        *LAST,
    ),
    "whole call in the start": events(start(use("a", "f", {"x": 1}), stop_reason="tool_use", usage=USAGE), STOP),
    "carriage returns": events(FIRST, opened(0, text("Hi")), {"type": "content_block_stop", "index": 0}, *LAST).replace(
        b"\n", b"\r\n"
    ),
}


@pytest.mark.parametrize("case", STREAMS)
def test_streams(client: anthropic.Anthropic, server: Answers, case: str) -> None:
    same(read_stream(STREAMS[case]), ask(client, server, STREAMS[case], stream=True))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500, 503, 504, 529])
def test_the_same_errors_are_worth_another_attempt(client: anthropic.Anthropic, server: Answers, status: int) -> None:
    body = b'{"type":"error","error":{"type":"x","message":"m"}}'
    with pytest.raises(anthropic.APIStatusError) as caught:
        ask(client, server, body, stream=False, status=status)
    assert WIRE.error(status, {}, body).retryable == client._should_retry(caught.value.response)
