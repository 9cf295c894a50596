"""Answers for `bench.wires`, written from each wire's specification: whole ones of three sizes, and streams."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

DELTAS = 4_000
SENTENCE = (
    ' the parse function of dates.py reads ISO week numbers \n so that 2024 -W01 -1 is no error (quoted "date") .'
)
WORDS = SENTENCE.split(" ")
CODE = 'def parse_date(text: str) -> date:\n    """Read a date."""\n    return date(*map(int, text.split("-")))\n\n\n'
SAID = "I will read the file first, then change what parses the date. "
ID = "0b0d1528ca873fd80068f96717b898819584210b5eea6ab9e8"
Call = tuple[str, dict[str, str]]
SMALL: tuple[str, list[Call]] = SAID, [("read_file", {"file_path": "src/dates.py"})]
MIDDLE: tuple[str, list[Call]] = SAID * 8, [("edit_file", {"file_path": "src/dates.py", "new_text": CODE * 9})] * 3
LARGE: tuple[str, list[Call]] = SAID * 4000, [("write_file", {"file_path": "src/dates.py", "text": CODE * 6500})]


def words(count: int = DELTAS) -> list[str]:
    """What a model says, a token at a time."""
    return [" " + WORDS[number % len(WORDS)] for number in range(count)]


def as_json(value: Any) -> bytes:
    """As services write it: without spaces, letters outside of ASCII as they are."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def chat_whole(said: str, calls: list[Call]) -> bytes:
    entries = [
        {
            "id": f"call_Sn70VjjVrk8Vf7VKCi1W3OY{number}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for number, (name, arguments) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": said, "tool_calls": entries, "refusal": None, "annotations": []}
    details = {"cached_tokens": 1024, "audio_tokens": 0}
    made = {"reasoning_tokens": 64, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}
    return as_json(
        {
            "id": "chatcmpl-AZCKpkxaAFkeRLY66s44FuICTMbAh",
            "object": "chat.completion",
            "created": 1732952259,
            "model": "gpt-5.4-2026-03-05",
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}],
            "usage": {
                "prompt_tokens": 1200,
                "completion_tokens": 90,
                "total_tokens": 1290,
                "prompt_tokens_details": details,
                "completion_tokens_details": made,
            },
            "service_tier": "default",
            "system_fingerprint": "fp_7f6be3efb0",
        }
    )


def responses_whole(said: str, calls: list[Call]) -> bytes:
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": said}
    message = {"id": f"msg_{ID}", "type": "message", "status": "completed", "content": [part], "role": "assistant"}
    output: list[Any] = [
        {"id": f"rs_{ID}", "type": "reasoning", "summary": [], "encrypted_content": "gAAAAA" * 40},
        message,
    ]
    for number, (name, arguments) in enumerate(calls):
        call = {"call_id": f"call_Sn70VjjVrk8Vf7VKCi1W3OY{number}", "name": name, "arguments": json.dumps(arguments)}
        output.append({"id": f"fc_{number}{ID}", "type": "function_call", "status": "completed", **call})
    nothing = dict.fromkeys(
        ["error", "incomplete_details", "instructions", "max_output_tokens", "previous_response_id"]
    )
    usage = {"input_tokens": 1200, "input_tokens_details": {"cached_tokens": 1024}, "output_tokens": 90}
    usage |= {"output_tokens_details": {"reasoning_tokens": 64}, "total_tokens": 1290}
    head = {"id": f"resp_{ID}", "object": "response", "created_at": 1761175319, "status": "completed", **nothing}
    return as_json(
        {**head, "model": "gpt-5.4-2026-03-05", "output": output, "store": False, "usage": usage, "metadata": {}}
    )


def messages_whole(said: str, calls: list[Call]) -> bytes:
    blocks: list[Any] = [{"type": "text", "text": said}]
    for number, (name, arguments) in enumerate(calls):
        blocks.append(
            {"type": "tool_use", "id": f"toolu_01D7FLrfh4GYq7yT1ULFeyM{number}", "name": name, "input": arguments}
        )
    usage = {
        "input_tokens": 176,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 1024,
        "output_tokens": 90,
    }
    usage["cache_creation"] = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
    head = {"model": "claude-sonnet-5-5", "id": "msg_01XFDUDYJgAACzvnptvVoYEL", "type": "message", "role": "assistant"}
    tail = {"stop_reason": "tool_use", "stop_sequence": None, "usage": {**usage, "service_tier": "standard"}}
    return as_json({**head, "content": blocks, **tail})


def gemini_whole(said: str, calls: list[Call]) -> bytes:
    parts: list[Any] = [{"text": said}]
    for name, arguments in calls:
        parts.append({"functionCall": {"name": name, "args": arguments}, "thoughtSignature": "CtkBAVSoXO4" * 12})
    return as_json(
        {"candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": "STOP", "index": 0}], **FACTS}
    )


FACTS = {
    "usageMetadata": {
        "promptTokenCount": 1200,
        "candidatesTokenCount": 90,
        "totalTokenCount": 1290,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1200}],
        "thoughtsTokenCount": 64,
    },
    "modelVersion": "gemini-3.5-flash",
    "responseId": "iCUhao2zJ-LHjuMP1vvH2Qk",
}


def ollama_whole(said: str, calls: list[Call]) -> bytes:
    entries = [{"function": {"name": name, "arguments": arguments}} for name, arguments in calls]
    counts = {"total_duration": 1234567890, "load_duration": 12345678, "prompt_eval_count": 1200, "eval_count": 90}
    head = {"model": "qwen3", "created_at": "2026-11-20T20:48:37.257224Z"}
    message = {"role": "assistant", "content": said, "tool_calls": entries}
    return as_json({**head, "message": message, "done_reason": "stop", "done": True, **counts})


def cohere_whole(said: str, calls: list[Call]) -> bytes:
    entries = [
        {
            "id": f"{name}_{number}dkhdr8x",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for number, (name, arguments) in enumerate(calls)
    ]
    message = {"role": "assistant", "tool_plan": said, "tool_calls": entries}
    usage = {
        "billed_units": {"input_tokens": 1200, "output_tokens": 90},
        "tokens": {"input_tokens": 1900, "output_tokens": 99},
    }
    return as_json({"id": "1ad08dab-f7b2-4a9a-8e7f", "message": message, "finish_reason": "TOOL_CALL", "usage": usage})


_WHOLE: dict[str, Callable[[str, list[Call]], bytes]] = {
    "openai-chat": chat_whole,
    "openai-responses": responses_whole,
    "anthropic-messages": messages_whole,
    "gemini-generate": gemini_whole,
    "ollama-chat": ollama_whole,
    "cohere-v2": cohere_whole,
    "mistral": chat_whole,
}
WHOLE: dict[str, list[bytes]] = {
    name: [make(*size) for size in (SMALL, MIDDLE, LARGE)] for name, make in _WHOLE.items()
}
"""Per wire an answer of about 1, 5 and 1,000 KB."""


def sse(events: Iterable[Any], *, named: bool = False, done: bool = False) -> bytes:
    """A stream of server-sent events."""
    lines = [
        (b"event: %s\n" % event["type"].encode() if named else b"") + b"data: " + as_json(event) + b"\n\n"
        for event in events
    ]
    return b"".join(lines) + (b"data: [DONE]\n\n" if done else b"")


def chat_stream(deltas: list[dict[str, Any]], **more: Any) -> tuple[bytes, int]:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        head = {
            "id": "chatcmpl-AZCKpkxaAFkeRLY66s44FuICTMbAh",
            "object": "chat.completion.chunk",
            "created": 1732952259,
        }
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**head, "model": "gpt-5.4-2026-03-05", **more, "choices": [choice]}

    events = [chunk(delta) for delta in deltas]
    return sse([*events, chunk({}, "stop")], done=True), len(events) + 2


def chat_texts() -> tuple[bytes, int]:
    return chat_stream([{"content": word} for word in words()], system_fingerprint="fp_7f6be3efb0")


def chat_padded() -> tuple[bytes, int]:
    body, events = chat_texts()
    pads = [b'"obfuscation":"' + b"k3Xq9Zp0LmW4rT"[: 1 + number % 13] + b'",' for number in range(events)]
    pieces = body.split(b'"choices":')
    return b"".join(piece + pad + b'"choices":' for piece, pad in zip(pieces[:-1], pads, strict=False)) + pieces[
        -1
    ], events


def chat_reasoning() -> tuple[bytes, int]:
    return chat_stream([{"content": None, "reasoning_content": word} for word in words()], usage=None)


def chat_arguments() -> tuple[bytes, int]:
    first = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "write_file", "arguments": '{"text":"'},
    }
    middle = [
        {"tool_calls": [{"index": 0, "function": {"arguments": word.replace('"', "'").strip("\n")}}]}
        for word in words()
    ]
    last = {"tool_calls": [{"index": 0, "function": {"arguments": '"}'}}]}
    return chat_stream([{"role": "assistant", "content": None, "tool_calls": [first]}, *middle, last])


def mistral_texts() -> tuple[bytes, int]:
    return chat_stream([{"content": word} for word in words()], p="abcdefgh")


def responses_stream(kind: str, item: dict[str, Any], pieces: list[str], done: dict[str, Any]) -> tuple[bytes, int]:
    more = {"content_index": 0} if kind == "output_text" else {}
    deltas = [
        {
            "type": f"response.{kind}.delta",
            "sequence_number": number + 2,
            "item_id": item["id"],
            "output_index": 0,
            **more,
            "delta": piece,
            "obfuscation": "mI4SuC4xB4EOPi"[: 1 + number % 14],
        }
        for number, piece in enumerate(pieces)
    ]
    whole = {**item, **done}
    events = [
        {"type": "response.created", "response": {"id": f"resp_{ID}", "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        *deltas,
        {"type": "response.output_item.done", "output_index": 0, "item": whole},
        {"type": "response.completed", "response": {"id": f"resp_{ID}", "status": "completed", "output": [whole]}},
    ]
    return sse(events, named=True), len(events)


def responses_texts() -> tuple[bytes, int]:
    item = {"id": f"msg_{ID}", "type": "message", "role": "assistant", "content": []}
    part = {"type": "output_text", "text": "".join(words()), "annotations": []}
    return responses_stream("output_text", item, words(), {"content": [part]})


def responses_arguments() -> tuple[bytes, int]:
    item = {"id": f"fc_{ID}", "type": "function_call", "call_id": "call_1", "name": "write_file", "arguments": ""}
    pieces = ['{"text":"', *[word.replace('"', "'").strip("\n") for word in words()], '"}']
    return responses_stream("function_call_arguments", item, pieces, {"arguments": "".join(pieces)})


def messages_stream(block: dict[str, Any], kind: str, field: str, pieces: list[str]) -> tuple[bytes, int]:
    deltas = [{"type": "content_block_delta", "index": 0, "delta": {"type": kind, field: piece}} for piece in pieces]
    usage = {"input_tokens": 176, "cache_read_input_tokens": 1024, "output_tokens": 1}
    message = {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5-5",
        "content": [],
        "usage": usage,
    }
    events = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *deltas,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 90}},
        {"type": "message_stop"},
    ]
    return sse(events, named=True), len(events)


def messages_texts() -> tuple[bytes, int]:
    return messages_stream({"type": "text", "text": ""}, "text_delta", "text", words())


def messages_arguments() -> tuple[bytes, int]:
    block = {"type": "tool_use", "id": "toolu_1", "name": "write_file", "input": {}}
    pieces = ['{"text":"', *[word.replace('"', "'").strip("\n") for word in words()], '"}']
    return messages_stream(block, "input_json_delta", "partial_json", pieces)


def gemini_texts() -> tuple[bytes, int]:
    def chunk(number: int, text: str) -> dict[str, Any]:
        usage = {"promptTokenCount": 1200, "candidatesTokenCount": number, "totalTokenCount": 1200 + number}
        content = {"parts": [{"text": text}], "role": "model"}
        facts = {"usageMetadata": usage, "modelVersion": "gemini-3.5-flash", "responseId": "iCUhao2zJ-LHjuMP1vvH2Qk"}
        return {"candidates": [{"content": content, "index": 0}], **facts}

    events = [chunk(number, word * 4) for number, word in enumerate(words())]
    events[-1]["candidates"][0]["finishReason"] = "STOP"
    return sse(events), len(events)


def ollama_texts() -> tuple[bytes, int]:
    head = {"model": "qwen3", "created_at": "2026-11-20T20:48:37.257224Z"}
    lines = [as_json({**head, "message": {"role": "assistant", "content": word}, "done": False}) for word in words()]
    last = {**head, "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}
    return b"\n".join([*lines, as_json(last), b""]), len(lines) + 1


def cohere_stream(before: list[Any], kind: str, pieces: list[dict[str, Any]]) -> tuple[bytes, int]:
    deltas = [{"type": kind, "index": 0, "delta": {"message": piece}} for piece in pieces]
    end = {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {}}}
    events = [{"type": "message-start", "id": "1", "delta": {"message": {"role": "assistant"}}}, *before, *deltas, end]
    return sse(events, named=True), len(events)


def cohere_texts() -> tuple[bytes, int]:
    start = {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}}
    return cohere_stream([start], "content-delta", [{"content": {"text": word}} for word in words()])


def cohere_arguments() -> tuple[bytes, int]:
    function = {"name": "write_file", "arguments": '{"text":"'}
    call = {"id": "c1", "type": "function", "function": function}
    start = {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": call}}}
    pieces = [*[word.replace('"', "'").strip("\n") for word in words()], '"}']
    return cohere_stream(
        [start], "tool-call-delta", [{"tool_calls": {"function": {"arguments": each}}} for each in pieces]
    )


_STREAMS: dict[str, tuple[str, Callable[[], tuple[bytes, int]]]] = {
    "openai-chat, text": ("openai-chat", chat_texts),
    "openai-chat, padded text": ("openai-chat", chat_padded),
    "openai-chat, reasoning": ("openai-chat", chat_reasoning),
    "openai-chat, arguments": ("openai-chat", chat_arguments),
    "openai-responses, text": ("openai-responses", responses_texts),
    "openai-responses, arguments": ("openai-responses", responses_arguments),
    "anthropic-messages, text": ("anthropic-messages", messages_texts),
    "anthropic-messages, arguments": ("anthropic-messages", messages_arguments),
    "gemini-generate, text": ("gemini-generate", gemini_texts),
    "ollama-chat, text": ("ollama-chat", ollama_texts),
    "cohere-v2, text": ("cohere-v2", cohere_texts),
    "cohere-v2, arguments": ("cohere-v2", cohere_arguments),
    "mistral, text": ("mistral", mistral_texts),
}
STREAMS: dict[str, tuple[str, bytes, int]] = {label: (name, *make()) for label, (name, make) in _STREAMS.items()}
"""Per label: the wire, the bytes, and how many events they are."""
