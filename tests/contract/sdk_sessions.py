"""One conversation held by each official SDK, the way its own documentation says, and by our client.

Three requests: the task; the answer with two calls and their results, of which one failed; the last answer and a
further message of the user. What the model says is scripted, so both sides echo the same answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from equitrcoder.providers import PROVIDERS, ModelChoice, ModelClient, ModelRequest, choose_model
from equitrcoder.settings import Settings
from equitrcoder.testing import Answer, Call, ReceivedRequest, ScriptedProvider
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    RequestOptions,
    ResultForModel,
    ToolResults,
    ToolSpec,
    UserMessage,
)
from tests.wire.reading import client_calls

KEY = "k"
SYSTEM, TASK, NEXT = "Be brief.", "Read both.", "And now?"
LIMIT, EFFORT = 5000, "low"
NAME, ABOUT = "read_file", "Read a file."
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "Which."},
        "lines": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["path"],
    "additionalProperties": False,
}
RESULTS = (("text of a", False), ("There is no file b.", True))
IDS = ("abcdefgh1", "abcdefgh2")  # of a form that every host takes
MODELS = {
    "gemini": "gemini-4-argon",
    "openai": "gpt-6.1-sol",
    "anthropic": "claude-opus-5-5",
    "anyscale": "m",
    "local": "m",
    "ollama": "m",
}


def script() -> list[Answer]:
    calls = [Call(NAME, {"path": path}, id=wire_id, deltas=0) for path, wire_id in zip("ab", IDS, strict=True)]
    return [Answer(text="I look.", calls=calls, reasoning="Hm."), Answer(text="Only a."), Answer(text="Done.")]


def sent(talk: Callable[[ScriptedProvider, bool], None], *, stream: bool) -> list[ReceivedRequest]:
    """What one side sent: three requests, or only the first one where it asked for a stream."""
    with ScriptedProvider(script()) as provider:
        talk(provider, stream)
        assert provider.errors == []
        return provider.requests


def root_of(provider: ScriptedProvider) -> str:
    return provider.base_url.removesuffix("/v1")


def model_of(row: str) -> str:
    return MODELS.get(row) or PROVIDERS[row].default_model or "m"


# --- ours ----------------------------------------------------------------------------------------------------------


def choice_of(row: str, root: str) -> ModelChoice:
    """The row as a user has it with a key, but that the host stands on loopback."""
    provider = PROVIDERS[row]
    environ = {provider.keys[0]: KEY, "ANYSCALE_BASE_URL": "https://example.org/v1"}
    choice = choose_model(Settings(), environ, f"{row}/{model_of(row)}")
    return replace(choice, base_url=root + urlsplit(choice.base_url).path)


def our_talk(row: str, wire_of_row: str | None = None) -> Callable[[ScriptedProvider, bool], None]:
    def talk(provider: ScriptedProvider, stream: bool) -> None:
        choice = choice_of(row, root_of(provider))
        if wire_of_row:
            choice = replace(choice, provider=replace(choice.provider, wire=wire_of_row))
        asyncio.run(_our_session(choice, stream))

    return talk


async def _our_session(choice: ModelChoice, stream: bool) -> None:
    options = RequestOptions(model=choice.model, stream=stream, output_limit_tokens=LIMIT, reasoning_effort=EFFORT)
    tools = [ToolSpec(name=NAME, description=ABOUT, parameters=SCHEMA)]
    said = Conversation(system=SYSTEM, messages=[UserMessage(text=TASK)])
    request = ModelRequest(conversation=said, tools=tools, options=options)
    async with ModelClient(choice, max_attempts=1) as client:
        for _ in range(1 if stream else 3):
            turn = (await client.ask(request)).turn
            calls = client_calls(turn, as_given=True)
            said.messages.append(
                AssistantMessage(text=turn.text, calls=calls, native=turn.native, origin=choice.provider.name)
            )
            if calls:
                pairs = zip(calls, RESULTS, strict=True)
                results = [ResultForModel(wire_id=c.wire_id, name=c.name, text=t, is_error=e) for c, (t, e) in pairs]
                said.messages.append(ToolResults(results=tuple(results)))
            else:
                said.messages.append(UserMessage(text=NEXT))


# --- the SDKs ------------------------------------------------------------------------------------------------------


def chat_tool() -> dict[str, Any]:
    return {"type": "function", "function": {"name": NAME, "description": ABOUT, "parameters": SCHEMA}}


def chat_session(ask: Callable[[list[Any]], Any], provider: ScriptedProvider, stream: bool) -> None:
    """What the clients of Chat Completions share: messages go back as they came."""
    messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": TASK}]
    answer = ask(messages)
    if stream:
        list(answer)
        return
    messages.append(answer.choices[0].message)
    for wire_id, (text, _) in zip(IDS, RESULTS, strict=True):
        messages.append({"role": "tool", "tool_call_id": wire_id, "content": text})
    messages.append(ask(messages).choices[0].message)
    ask([*messages, {"role": "user", "content": NEXT}])


def openai_chat(row: str, **extra: Any) -> Callable[[ScriptedProvider, bool], None]:
    def talk(provider: ScriptedProvider, stream: bool) -> None:
        import openai

        path = urlsplit(PROVIDERS[row].base_url or "https://example.org/v1").path
        with openai.OpenAI(base_url=root_of(provider) + path, api_key=KEY, max_retries=0) as client:
            asked: dict[str, Any] = {
                "model": model_of(row),
                "tools": [chat_tool()],
                "max_tokens": LIMIT,
                "reasoning_effort": EFFORT,
            }
            asked |= extra
            asked |= {"stream": True} if stream else {}
            if stream and "stream_options" not in extra:
                asked["stream_options"] = {"include_usage": True}
            chat_session(lambda messages: client.chat.completions.create(messages=messages, **asked), provider, stream)

    return talk


def groq(provider: ScriptedProvider, stream: bool) -> None:
    import groq as sdk

    asked: Any = {"model": model_of("groq"), "tools": [chat_tool()], "max_completion_tokens": LIMIT}
    asked |= {"reasoning_effort": EFFORT, "stream": stream}
    with sdk.Groq(base_url=root_of(provider), api_key=KEY, max_retries=0) as client:
        chat_session(lambda messages: client.chat.completions.create(messages=messages, **asked), provider, stream)


def huggingface(provider: ScriptedProvider, stream: bool) -> None:
    from huggingface_hub import InferenceClient

    asked: Any = {"model": model_of("huggingface"), "tools": [chat_tool()], "max_tokens": LIMIT, "stream": stream}
    asked |= {"stream_options": {"include_usage": True}} if stream else {}
    with InferenceClient(base_url=provider.base_url, api_key=KEY) as client:
        chat_session(lambda messages: client.chat_completion(messages, **asked), provider, stream)


def mistral(provider: ScriptedProvider, stream: bool) -> None:
    from mistralai.client import Mistral

    asked: Any = {"model": model_of("mistral"), "tools": [chat_tool()], "max_tokens": LIMIT, "reasoning_effort": EFFORT}
    with Mistral(api_key=KEY, server_url=root_of(provider)) as client:
        ask = client.chat.stream if stream else client.chat.complete
        chat_session(lambda messages: ask(messages=messages, **asked), provider, stream)


def responses(row: str) -> Callable[[ScriptedProvider, bool], None]:
    def talk(provider: ScriptedProvider, stream: bool) -> None:
        import openai

        tool = {"type": "function", "name": NAME, "description": ABOUT, "parameters": SCHEMA, "strict": False}
        asked: Any = {"model": model_of(row), "instructions": SYSTEM, "tools": [tool], "store": False}
        asked |= {"max_output_tokens": LIMIT, "reasoning": {"effort": EFFORT}} | ({"stream": True} if stream else {})
        if row == "openai":
            asked["include"] = ["reasoning.encrypted_content"]
        said: list[Any] = [{"role": "user", "content": TASK}]
        with openai.OpenAI(base_url=provider.base_url, api_key=KEY, max_retries=0) as client:
            answer: Any = client.responses.create(input=said, **asked)
            if stream:
                list(answer)
                return
            # Perplexity's input knows no reasoning items
            said += [item for item in answer.output if row == "openai" or item.type != "reasoning"]
            for wire_id, (text, _) in zip(IDS, RESULTS, strict=True):
                said.append({"type": "function_call_output", "call_id": wire_id, "output": text})
            said += client.responses.create(input=said, **asked).output
            client.responses.create(input=[*said, {"role": "user", "content": NEXT}], **asked)

    return talk


def anthropic(provider: ScriptedProvider, stream: bool) -> None:
    import anthropic as sdk

    tool = {"name": NAME, "description": ABOUT, "input_schema": SCHEMA}
    asked: Any = {"model": model_of("anthropic"), "max_tokens": LIMIT, "system": SYSTEM, "tools": [tool]}
    asked |= {"output_config": {"effort": EFFORT}} | ({"stream": True} if stream else {})
    messages: list[Any] = [{"role": "user", "content": TASK}]
    with sdk.Anthropic(base_url=root_of(provider), api_key=KEY, max_retries=0) as client:
        answer: Any = client.messages.create(messages=messages, **asked)
        if stream:
            list(answer)
            return
        messages.append({"role": "assistant", "content": answer.content})
        ids = [block.id for block in answer.content if block.type == "tool_use"]
        results = [
            {"type": "tool_result", "tool_use_id": wire_id, "content": text} | ({"is_error": True} if failed else {})
            for wire_id, (text, failed) in zip(ids, RESULTS, strict=True)
        ]
        messages.append({"role": "user", "content": results})
        messages.append({"role": "assistant", "content": client.messages.create(messages=messages, **asked).content})
        client.messages.create(messages=[*messages, {"role": "user", "content": NEXT}], **asked)


def gemini(provider: ScriptedProvider, stream: bool) -> None:
    from google import genai
    from google.genai import types

    tool = types.FunctionDeclaration(name=NAME, description=ABOUT, parameters_json_schema=SCHEMA)
    thinking = types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW, include_thoughts=True)
    config = types.GenerateContentConfig(
        system_instruction=SYSTEM,
        tools=[types.Tool(function_declarations=[tool])],
        max_output_tokens=LIMIT,
        thinking_config=thinking,
    )
    said: list[Any] = [types.UserContent(TASK)]
    asked: Any = {"model": model_of("gemini"), "config": config}
    options = types.HttpOptions(base_url=root_of(provider), api_version="v1beta")
    with genai.Client(api_key=KEY, http_options=options) as client:
        if stream:
            list(client.models.generate_content_stream(contents=said, **asked))
            return
        answer = client.models.generate_content(contents=said, **asked)
        said.append(answer.candidates[0].content)  # type: ignore[index]
        parts = []
        for call, (text, failed) in zip(answer.function_calls or (), RESULTS, strict=True):
            told = {"error" if failed else "output": text}
            parts.append(
                types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response=told))
            )
        said.append(types.UserContent(parts))
        said.append(client.models.generate_content(contents=said, **asked).candidates[0].content)  # type: ignore[index]
        client.models.generate_content(contents=[*said, types.UserContent(NEXT)], **asked)


def ollama(provider: ScriptedProvider, stream: bool) -> None:
    import ollama as sdk

    messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": TASK}]
    asked: Any = {"tools": [chat_tool()], "think": EFFORT, "options": {"num_predict": LIMIT, "num_ctx": 32_768}}
    client = sdk.Client(host=root_of(provider), headers={"authorization": f"Bearer {KEY}"})
    try:
        if stream:
            list(client.chat("m", messages, stream=True, **asked))
            return
        messages.append(client.chat("m", messages, **asked).message)
        messages += [{"role": "tool", "tool_name": NAME, "content": text} for text, _ in RESULTS]
        messages.append(client.chat("m", messages, **asked).message)
        client.chat("m", [*messages, {"role": "user", "content": NEXT}], **asked)
    finally:
        client._client.close()


def cohere(provider: ScriptedProvider, stream: bool) -> None:
    import cohere as sdk
    import httpx

    with httpx.Client() as http:
        _cohere(sdk.ClientV2(api_key=KEY, base_url=root_of(provider), httpx_client=http), stream)


def _cohere(client: Any, stream: bool) -> None:
    messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": TASK}]
    asked: Any = {"model": model_of("cohere"), "tools": [chat_tool()], "max_tokens": LIMIT}
    asked |= {"thinking": {"type": "enabled", "token_budget": 4096}, "request_options": {"max_retries": 0}}
    if stream:
        list(client.chat_stream(messages=messages, **asked))
        return
    messages.append(client.chat(messages=messages, **asked).message)
    for call, (text, _) in zip(messages[-1].tool_calls, RESULTS, strict=True):
        messages.append({"role": "tool", "tool_call_id": call.id, "content": text})
    messages.append(client.chat(messages=messages, **asked).message)
    client.chat(messages=[*messages, {"role": "user", "content": NEXT}], **asked)


SDKS: Mapping[str, Callable[[ScriptedProvider, bool], None]] = {
    "gemini": gemini,
    "ollama": ollama,
    "openai": responses("openai"),
    "anthropic": anthropic,
    "groq": groq,
    "deepseek": openai_chat("deepseek"),
    "together": openai_chat("together", stream_options=None),
    "fireworks": openai_chat("fireworks", extra_body={"context_length_exceeded_behavior": "error"}),
    "perplexity": responses("perplexity"),
    "mistral": mistral,
    "cohere": cohere,
    "huggingface": huggingface,
    "anyscale": openai_chat("anyscale"),
    "local": openai_chat("local", parallel_tool_calls=True),
}
"""Each row's own SDK; hosts that say that OpenAI's is to be used, and those that anybody may run, with that one."""
