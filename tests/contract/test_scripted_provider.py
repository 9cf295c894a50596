"""The scripted provider against a client that was not written for it: the official SDK, unchanged."""

from __future__ import annotations

import json

import openai

from equitrcoder.testing import Answer, Call, ScriptedProvider, Usage


def client_of(provider: ScriptedProvider) -> openai.OpenAI:
    return openai.OpenAI(base_url=provider.base_url, api_key="no-key-needed", max_retries=0)


ANSWER = Answer(
    text="I look at both files.",
    calls=[Call("read_file", {"file_path": "a.py"}, id="call_a"), Call("read_file", {"file_path": "ü.py"})],
    usage=Usage(input_tokens=120, output_tokens=30, cached_read_tokens=100, reasoning_tokens=7),
)


def ask(client: openai.OpenAI, **options: object) -> object:
    return client.chat.completions.create(model="m-1", messages=[{"role": "user", "content": "go"}], **options)


def test_the_openai_sdk_reads_an_answer() -> None:
    with ScriptedProvider([ANSWER]) as provider, client_of(provider) as client:
        completion = ask(client)
    choice = completion.choices[0]
    assert (completion.model, choice.finish_reason, choice.message.content) == ("m-1", "tool_calls", ANSWER.text)
    assert [
        (call.id, call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls
    ] == [
        ("call_a", "read_file", {"file_path": "a.py"}),
        ("call_1_1", "read_file", {"file_path": "ü.py"}),
    ]
    assert completion.usage.total_tokens == 150
    assert completion.usage.prompt_tokens_details.cached_tokens == 100
    assert completion.usage.completion_tokens_details.reasoning_tokens == 7


def test_the_openai_sdk_reads_a_stream_with_usage() -> None:
    with ScriptedProvider([ANSWER]) as provider, client_of(provider) as client:
        stream = client.chat.completions.stream(
            model="m-1", messages=[{"role": "user", "content": "go"}], stream_options={"include_usage": True}
        )
        with stream as events:
            completion = events.get_final_completion()
    choice = completion.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", ANSWER.text)
    assert [call.function.arguments for call in choice.message.tool_calls] == [
        '{"file_path": "a.py"}',
        '{"file_path": "ü.py"}',
    ]
    assert completion.usage.prompt_tokens == 120
