"""Each official SDK works against the scripted provider with nothing but its base URL and key set.

What is compared is what every SDK can say: text, calls, calls that the provider ran, tokens; streaming and not. That
our own readers agree with the SDKs is what tests/wire shows; here the SDKs hold the scripted provider to its word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from typing import Any

import pytest

from equitrcoder.testing import Answer, Call, Fault, ProviderCall, ScriptedProvider, Usage

HI: Any = [{"role": "user", "content": "hi"}]
KEY = "k"


@dataclass(kw_only=True)
class Said:
    """What an SDK makes of an answer."""

    text: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    """Names and arguments, in order."""
    ran: list[tuple[str, Any]] = field(default_factory=list)
    """What the provider ran: the SDK's word for it, and what came of it."""
    tokens: tuple[int | None, int | None] = (None, None)


def openai_chat(provider: ScriptedProvider, stream: bool) -> Said:
    import openai

    with openai.OpenAI(base_url=provider.base_url, api_key=KEY, max_retries=0) as client:
        if stream:
            options: Any = {"stream_options": {"include_usage": True}}
            with client.chat.completions.stream(model="m", messages=HI, **options) as events:
                done: Any = events.get_final_completion()
        else:
            done = client.chat.completions.create(model="m", messages=HI)
    message = done.choices[0].message
    calls = [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()]
    return Said(text=message.content, calls=calls, tokens=(done.usage.prompt_tokens, done.usage.completion_tokens))


def openai_responses(provider: ScriptedProvider, stream: bool) -> Said:
    import openai

    with openai.OpenAI(base_url=provider.base_url, api_key=KEY, max_retries=0) as client:
        if stream:
            with client.responses.stream(model="m", input="hi") as events:
                done: Any = events.get_final_response()
        else:
            done = client.responses.create(model="m", input="hi")
    said = Said(text=done.output_text, tokens=(done.usage.input_tokens, done.usage.output_tokens))
    for item in done.output:
        match item.type:
            case "function_call":
                said.calls.append((item.name, json.loads(item.arguments)))
            case "code_interpreter_call":
                said.ran.append((item.code, [output.logs for output in item.outputs]))
            case "web_search_call":
                said.ran.append((item.action.query, item.status))
            case "mcp_call":
                said.ran.append((item.name, item.output or item.error.message))
            case "mcp_approval_request":
                said.ran.append((item.name, json.loads(item.arguments)))
    return said


def anthropic_messages(provider: ScriptedProvider, stream: bool, *, beta: bool = False) -> Said:
    import anthropic

    with anthropic.Anthropic(base_url=origin(provider), api_key=KEY, max_retries=0) as client:
        messages: Any = client.beta.messages if beta else client.messages
        asked: Any = {"model": "m", "max_tokens": 99, "messages": HI}
        if stream:
            with messages.stream(**asked) as events:
                done = events.get_final_message()
        else:
            done = messages.create(**asked)
    said = Said(tokens=(done.usage.input_tokens, done.usage.output_tokens))
    for block in done.content:
        match block.type:
            case "text":
                said.text += block.text
            case "tool_use":
                said.calls.append((block.name, block.input))
            case "server_tool_use" | "mcp_tool_use":
                said.ran.append((block.name, block.input))
            case "web_search_tool_result" if isinstance(block.content, list):
                said.ran.append((block.tool_use_id, [found.title for found in block.content]))
            case "web_search_tool_result":
                said.ran.append((block.tool_use_id, block.content.error_code))
            case "code_execution_tool_result":
                said.ran.append((block.tool_use_id, block.content.stdout))
            case "mcp_tool_result":
                said.ran.append((block.tool_use_id, block.content[0].text))
    return said


def google_genai(provider: ScriptedProvider, stream: bool) -> Said:
    from google import genai

    with genai.Client(api_key=KEY, http_options={"base_url": origin(provider)}) as client:
        if stream:
            chunks: Any = list(client.models.generate_content_stream(model="m", contents="hi"))
        else:
            chunks = [client.models.generate_content(model="m", contents="hi")]
    usage = chunks[-1].usage_metadata
    said = Said(tokens=(usage.prompt_token_count, usage.candidates_token_count))
    for part in (part for chunk in chunks for part in chunk.candidates[0].content.parts or ()):
        said.text += part.text or ""
        if part.function_call:
            said.calls.append((part.function_call.name, part.function_call.args))
        if part.executable_code:
            said.ran.append((part.executable_code.code, part.executable_code.language.value))
        if part.code_execution_result:
            said.ran.append((part.code_execution_result.outcome.value, part.code_execution_result.output))
        if part.tool_call:
            said.ran.append((part.tool_call.tool_type.value, part.tool_call.args))
        if part.tool_response:
            said.ran.append((part.tool_response.tool_type.value, part.tool_response.response))
    return said


def ollama_chat(provider: ScriptedProvider, stream: bool) -> Said:
    import ollama

    client = ollama.Client(host=origin(provider))
    try:
        lines: Any = list(client.chat("m", HI, stream=True)) if stream else [client.chat("m", HI)]
    finally:
        client._client.close()
    said = Said(tokens=(lines[-1].prompt_eval_count, lines[-1].eval_count))
    for line in lines:
        said.text += line.message.content or ""
        said.calls += [(call.function.name, dict(call.function.arguments)) for call in line.message.tool_calls or ()]
    return said


def cohere_v2(provider: ScriptedProvider, stream: bool) -> Said:
    import cohere

    with cohere.ClientV2(api_key=KEY, base_url=origin(provider)) as client:
        return cohere_said(client, stream)


def cohere_said(client: Any, stream: bool) -> Said:
    options: Any = {"request_options": {"max_retries": 0}}
    if not stream:
        done = client.chat(model="m", messages=HI, **options)
        message: Any = done.message
        text = message.tool_plan or "".join(part.text for part in message.content or ())
        calls = [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()]
        return Said(text=text, calls=calls, tokens=cohere_tokens(done.usage))
    said = Said()
    pieces: list[list[str]] = []
    for event in client.chat_stream(model="m", messages=HI, **options):
        told: Any = event
        match told.type:
            case "tool-plan-delta":
                said.text += told.delta.message.tool_plan
            case "content-delta":
                said.text += told.delta.message.content.text
            case "tool-call-start":
                pieces.append([told.delta.message.tool_calls.function.name, ""])
            case "tool-call-delta":
                pieces[told.index][1] += told.delta.message.tool_calls.function.arguments
            case "message-end":
                said.tokens = cohere_tokens(told.delta.usage)
    said.calls = [(name, json.loads(arguments)) for name, arguments in pieces]
    return said


def cohere_tokens(usage: Any) -> tuple[int, int]:
    return int(usage.tokens.input_tokens), int(usage.tokens.output_tokens)


def mistralai(provider: ScriptedProvider, stream: bool) -> Said:
    from mistralai.client import Mistral

    with Mistral(api_key=KEY, server_url=origin(provider)) as client:
        if not stream:
            return chat_said([client.chat.complete(model="m", messages=HI)], streamed=False)
        with client.chat.stream(model="m", messages=HI) as events:
            return chat_said([event.data for event in events], streamed=True)


def groq(provider: ScriptedProvider, stream: bool) -> Said:
    import groq as sdk

    with sdk.Groq(base_url=origin(provider), api_key=KEY, max_retries=0) as client:
        done: Any = client.chat.completions.create(model="m", messages=HI, stream=stream)
        return chat_said(list(done) if stream else [done], streamed=stream)


def huggingface_hub(provider: ScriptedProvider, stream: bool) -> Said:
    from huggingface_hub import InferenceClient

    with InferenceClient(base_url=provider.base_url, api_key=KEY) as client:
        done: Any = client.chat_completion(HI, model="m", stream=stream)
        return chat_said(list(done) if stream else [done], streamed=stream)


def chat_said(chunks: list[Any], *, streamed: bool) -> Said:
    """From the objects of an SDK that gathers no stream itself."""
    said = Said()
    pieces: dict[int, list[str]] = {}
    for chunk in chunks:
        if chunk.usage is not None and not type(chunk.usage).__name__.startswith("Unset"):
            said.tokens = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
        for choice in chunk.choices:
            message = choice.delta if streamed else choice.message
            said.text += message.content or ""
            for place, call in enumerate(message.tool_calls or ()):
                found = pieces.setdefault(call.index if streamed else place, ["", ""])
                found[0] = found[0] or call.function.name
                found[1] += call.function.arguments
            for tool in getattr(message, "executed_tools", None) or ():
                said.ran.append((f"{tool.type} {tool.arguments}", tool.output))
    said.calls = [(name, json.loads(arguments)) for name, arguments in pieces.values()]
    return said


def origin(provider: ScriptedProvider) -> str:
    return provider.base_url.removesuffix("/v1")


SDKS: dict[str, tuple[Callable[[ScriptedProvider, bool], Said], str]] = {
    "openai-chat": (openai_chat, "/v1/chat/completions"),
    "openai-responses": (openai_responses, "/v1/responses"),
    "anthropic": (anthropic_messages, "/v1/messages"),
    "anthropic-beta": (partial(anthropic_messages, beta=True), "/v1/messages*"),
    "google-genai": (google_genai, "/v1*/models/m:*enerateContent*"),
    "ollama": (ollama_chat, "/api/chat"),
    "cohere": (cohere_v2, "/v2/chat"),
    "mistralai": (mistralai, "/v1/chat/completions*"),
    "groq": (groq, "/openai/v1/chat/completions"),
    "huggingface_hub": (huggingface_hub, "/v1/chat/completions"),
}
"""Each SDK, and where it asks by itself."""
STREAMS = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])

TOKENS = Usage(input_tokens=120, output_tokens=30)
CALLS = [("read_file", {"file_path": "ü.py"}), ("git_status", {}), ("edit", {"a": [1, None, {"b": "\n🔧"}]})]


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedProvider]]:
    started: list[ScriptedProvider] = []

    def start(*script: Answer | Fault) -> ScriptedProvider:
        started.append(ScriptedProvider(script))
        return started[-1]

    yield start
    for provider in started:
        provider.close()


@STREAMS
@pytest.mark.parametrize("sdk", SDKS)
def test_text_calls_and_tokens_arrive(sdk: str, stream: bool, serve: Any) -> None:
    ask, path = SDKS[sdk]
    deltas = 0 if sdk == "mistralai" else 3  # its SDK reads no calls in pieces: Mistral writes them whole
    answers = [
        Answer(text="Hello, 世界.", usage=TOKENS, usage_in_stream="always"),
        Answer(
            text="I look.", calls=[Call(*call, deltas=deltas) for call in CALLS], usage=TOKENS, usage_in_stream="always"
        ),
        Answer(calls=[Call(*CALLS[0], deltas=deltas)], usage=TOKENS, usage_in_stream="always"),
    ]
    provider = serve(*answers)
    assert [ask(provider, stream) for _ in answers] == [
        Said(text="Hello, 世界.", tokens=(120, 30)),
        Said(text="I look.", calls=CALLS, tokens=(120, 30)),
        Said(text=ask_empty(sdk, stream), calls=CALLS[:1], tokens=(120, 30)),
    ]
    assert provider.errors == [] and len(provider.requests) == len(answers)
    assert all(fnmatch(request.path, path) and request.streaming is stream for request in provider.requests)


def ask_empty(sdk: str, stream: bool) -> Any:
    """No text is null on Chat Completions, also for the SDK."""
    return None if sdk == "openai-chat" else ""


@STREAMS
@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize("status", [401, 429, 500])
def test_errors_are_the_sdks_own_with_their_status(sdk: str, stream: bool, status: int, serve: Any) -> None:
    ask, _ = SDKS[sdk]
    provider = serve(Fault(status=status, error={"message": "not now", "type": "scripted"}))
    with pytest.raises(Exception, match="not now") as raised:
        ask(provider, stream)
    error: Any = raised.value
    assert type(error).__module__.partition(".")[0] == sdk.partition("-")[0]
    told = [getattr(error, "status_code", None), getattr(error, "code", None)]
    told.append(getattr(getattr(error, "response", None), "status_code", None))
    assert status in told
    assert provider.errors == [] and len(provider.requests) == 1


IN_A_STREAM = {
    "openai-chat": "APIError: overloaded",
    "openai-responses": "RuntimeError: Didn't receive a `response.completed` event",
    "anthropic": "APIStatusError: .*overloaded",
    "anthropic-beta": "APIStatusError: .*overloaded",
    "google-genai": "ServerError: 503 .*overloaded",
    "ollama": "ResponseError: overloaded",
    "mistralai": "ResponseValidationError: ",
    "groq": "APIError: overloaded",
    "huggingface_hub": "UnknownError: .*overloaded",
}
"""What an SDK raises for an error in the middle of a stream. Cohere's raises nothing: the answer just ends."""


@pytest.mark.parametrize("sdk", SDKS)
def test_an_error_in_the_middle_of_a_stream_is_met(sdk: str, serve: Any) -> None:
    whole = Answer(text="Hello, this is a long answer.", text_deltas=5)
    error = {"message": "overloaded", "code": 503, "status": "UNAVAILABLE"}
    provider = serve(Fault(answer=whole, error=error, insert_after_events=3))
    if sdk not in IN_A_STREAM:
        assert whole.text and SDKS[sdk][0](provider, True).text in whole.text[:-1]
        return
    with pytest.raises(Exception) as raised:
        SDKS[sdk][0](provider, True)
    assert re.match(IN_A_STREAM[sdk], f"{type(raised.value).__name__}: {raised.value}")


RAN = {
    "openai-responses": (
        [
            ProviderCall("web_search", {"query": "ulid"}),
            ProviderCall("code_execution", {"code": "6 * 7"}, result="42"),
            ProviderCall("lookup", {"id": 7}, result="found"),
            ProviderCall("lookup", {"id": 8}, error="down"),
            ProviderCall("delete", {"id": 9}, awaits_approval=True),
        ],
        [("ulid", "completed"), ("6 * 7", ["42"]), ("lookup", "found"), ("lookup", "down"), ("delete", {"id": 9})],
    ),
    "anthropic-beta": (
        [
            ProviderCall("web_search", {"query": "ulid"}, result="26 characters", id="a"),
            ProviderCall("web_search", {"query": "x"}, error="unavailable", id="b"),
            ProviderCall("code_execution", {"code": "6 * 7"}, result="42", id="c"),
            ProviderCall("lookup", {"id": 7}, result="found", id="d"),
            ProviderCall("web_search", {"query": "y"}, result=None, id="e"),
        ],
        [
            ("web_search", {"query": "ulid"}),
            ("a", ["26 characters"]),
            ("web_search", {"query": "x"}),
            ("b", "unavailable"),
            ("code_execution", {"code": "6 * 7"}),
            ("c", "42"),
            ("lookup", {"id": 7}),
            ("d", "found"),
            ("web_search", {"query": "y"}),
        ],
    ),
    "google-genai": (
        [
            ProviderCall("code_execution", {"code": "6 * 7"}, result="42"),
            ProviderCall("code_execution", {"code": "1 / 0"}, error="division by zero"),
            ProviderCall("web_search", {"queries": ["ulid"]}, result="26 characters"),
        ],
        [
            ("6 * 7", "PYTHON"),
            ("OUTCOME_OK", "42"),
            ("1 / 0", "PYTHON"),
            ("OUTCOME_FAILED", "division by zero"),
            ("GOOGLE_SEARCH_WEB", {"queries": ["ulid"]}),
            ("GOOGLE_SEARCH_WEB", {"output": "26 characters"}),
        ],
    ),
    "groq": (
        [
            ProviderCall("web_search", {"query": "ulid"}, result="26 characters"),
            ProviderCall("code_execution", {"code": "6 * 7"}, result="42"),
        ],
        [('search {"query": "ulid"}', "26 characters"), ('python {"code": "6 * 7"}', "42")],
    ),
}
"""Per SDK whose wire has them: calls that the provider ran, and what the SDK makes of them."""


@STREAMS
@pytest.mark.parametrize("sdk", RAN)
def test_what_the_provider_ran_arrives_beside_a_call_of_the_clients(sdk: str, stream: bool, serve: Any) -> None:
    calls, expected = RAN[sdk]
    provider = serve(Answer(text="So.", calls=[*calls, Call("git_status")]))
    said = SDKS[sdk][0](provider, stream)
    ran = said.ran
    if sdk == "groq" and stream:  # each is told when it begins, and once more when it is done
        assert [output for _, output in ran[::2]] == [None] * len(expected)
        ran = ran[1::2]
    assert (said.text, said.calls, ran) == ("So.", [("git_status", {})], expected)


@pytest.mark.parametrize("sdk", ["ollama", "cohere"])
def test_a_wire_without_such_calls_refuses_to_write_them(sdk: str, serve: Any) -> None:
    provider = serve(Answer(calls=[ProviderCall("web_search")]))
    with pytest.raises(Exception, match="no calls that the provider runs"):
        SDKS[sdk][0](provider, False)
    assert "no calls that the provider runs itself" in provider.errors[0]
