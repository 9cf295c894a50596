"""What we send means what each official SDK sends for the same conversation (tests/contract/sdk_sessions.py).

Both sides talk to a server on loopback that keeps what arrives. Compared are method, path, the header that carries the
key, and the body after `plain`; every difference that is left is intended and stands in `INTENDED` with its reason.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

import openai
import pytest
from groq.types.chat import completion_create_params as groq_params
from huggingface_hub import ChatCompletionInput

from equitrcoder.providers import PROVIDERS
from equitrcoder.testing import ReceivedRequest
from tests.contract.sdk_sessions import KEY, SDKS, openai_chat, our_talk, sent
from tests.wire.test_openai_chat_sdk import by_the_sdk

MISSING = "(missing)"


def plain(value: Any) -> Any:
    """A body without what means nothing: null and empty members, one text part for a text, spaces within arguments.

    Anthropic's marks for the cache are left out too: tests/wire/test_prompt_caching.py has them.
    """
    if isinstance(value, dict):
        said = {SAME_KEYS.get(key, key): member for key, member in value.items() if key != "cache_control"}
        out = {key: plain(member) for key, member in said.items() if member not in (None, [], {})}
        if isinstance(out.get("arguments"), str):
            out["arguments"] = json.loads(out["arguments"])
        return out
    if isinstance(value, list):
        items = [plain(item) for item in value]
        if len(items) == 1 and isinstance(items[0], dict) and set(items[0]) == {"type", "text"}:
            return items[0]["text"]
        return items
    return value


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two bodies differ: path, ours, theirs."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in dict.fromkeys([*ours, *theirs]):
            yield from differences(ours.get(key, MISSING), theirs.get(key, MISSING), f"{path}.{key}".lstrip("."))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(one, other, f"{path}.{place}")
    elif ours != theirs:
        yield path, ours, theirs


def told(request: ReceivedRequest) -> dict[str, Any]:
    """What is compared of a request."""
    headers = {key.lower(): value for key, value in request.headers.items()}
    carriers = sorted(name for name, value in headers.items() if value in (KEY, f"Bearer {KEY}"))
    return {"method": request.method, "path": request.path, "key in": carriers, "body": plain(request.json)}


NOT_STREAMED = {"body.stream": "false is what the host does anyway"}
INTENDED: dict[str, dict[str, str]] = {
    "gemini": {"body.systemInstruction.role": "a system prompt has no role; Google ignores it"},
    "ollama": {
        "body.messages.*.tool_calls.*.id": "its types know no ids; a server that gives them gets them back",
        "body.messages.*.tool_call_id": "the same",
        "body.tools.*.parameters.additionalProperties": "its types leave out most of JSON Schema; so does the server",
    },
    "openai": {
        "body.input.*.type": "said, though a message is what it is without",
        "body.prompt_cache_key": "sends all requests of a session to where its prefix is kept",
    },
    "anthropic": {"key in.0": "x-api-key as in Anthropic's documentation; both are taken"},
    "groq": {
        **NOT_STREAMED,
        "body.messages.*.reasoning_content": "fields that Groq does not know are refused; reasoning is not needed back",
        "body.stream_options": "tells the tokens of a stream",
    },
    "fireworks": {"body.prompt_cache_key": "sends all requests of a session to where its prefix is kept"},
    "perplexity": {
        "path": "/agent is its own name for it (https://docs.perplexity.ai/docs/agent-api/openai-compatibility)",
        "body.input.*.type": "said, though a message is what it is without",
        "body.input.*.id": "its input has no ids beside call_id",
        "body.input.*.status": "its input has no status",
        "body.input.*.name": "some of the models behind it ask for the tool's name beside a result",
    },
    "mistral": {
        "body.prompt_cache_key": "sends all requests of a session to where its prefix is kept",
        **NOT_STREAMED,
        "body.messages.*.tool_calls.*.index": "its default, always 0",
        "body.messages.*.prefix": "its default",
    },
    "huggingface": NOT_STREAMED,
}
"""Differences that are meant: path in the request (with *) to the reason."""

SAME_KEYS = {
    "parameters_json_schema": "parametersJsonSchema",
    "include_thoughts": "includeThoughts",
    "thinking_level": "thinkingLevel",
}
"""Google takes both spellings of a field."""


def unexplained(ours: list[ReceivedRequest], theirs: list[ReceivedRequest], intended: dict[str, str]) -> list[Any]:
    """The differences that are not meant; and of those that are the patterns that no difference fits any more."""
    assert len(ours) == len(theirs) > 0
    pairs = zip(ours, theirs, strict=True)
    found = [each for one, other in pairs for each in differences(told(one), told(other))]
    stale = [pattern for pattern in intended if not any(fnmatch(path, pattern) for path, _, _ in found)]
    return [each for each in found if not any(fnmatch(each[0], pattern) for pattern in intended)] + stale


@pytest.mark.parametrize("row", SDKS)
def test_a_session_goes_out_as_the_sdk_sends_it(row: str) -> None:
    meant = {key: reason for key, reason in INTENDED.get(row, {}).items() if key != "body.stream_options"}
    ours = sent(our_talk(row), stream=False)
    assert len(ours) == 3
    assert unexplained(ours, sent(SDKS[row], stream=False), meant) == []


@pytest.mark.parametrize("row", SDKS)
def test_a_stream_is_asked_for_as_the_sdk_asks(row: str) -> None:
    left = unexplained(sent(our_talk(row), stream=True), sent(SDKS[row], stream=True), INTENDED.get(row, {}))
    assert [each for each in left if not isinstance(each, str)] == []  # one request has fewer differences


def test_openais_chat_completions() -> None:
    """OpenAI's chat completions, for those who ask for them by a base URL of their own."""
    theirs = openai_chat("openai", max_tokens=openai.omit, max_completion_tokens=5000)
    assert unexplained(sent(our_talk("openai", "openai-chat"), stream=False), sent(theirs, stream=False), {}) == []


def test_every_row_with_tools_stands_beside_an_sdk() -> None:
    assert set(PROVIDERS) - set(SDKS) == {"replicate"}, "it has no tools: docs/providers.md"


# --- the SDKs' own types, where the wire's tests do not hold requests to them already --------------------------------


def test_groqs_types_take_our_requests_with_no_field_beside() -> None:
    for request in sent(our_talk("groq"), stream=False):
        assert by_the_sdk(groq_params.CompletionCreateParams, request.json) == request.json


def test_hugging_faces_types_take_our_requests_with_no_field_beside() -> None:
    for request in sent(our_talk("huggingface"), stream=False):
        taken = ChatCompletionInput.parse_obj_as_instance(request.json)
        assert set(request.json) <= {field.name for field in dataclasses.fields(taken)}
        told_so = [
            (each.role, each.content) for each in taken.messages
        ]  # its calls have no arguments: a slip of its own
        assert told_so == [(each["role"], each["content"]) for each in request.json["messages"]]
        assert taken.tools is not None
        assert [tool.function.name for tool in taken.tools] == ["read_file"]
