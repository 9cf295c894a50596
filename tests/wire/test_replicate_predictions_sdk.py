"""The official SDK as oracle: it sends what we send, and reads what we read, from the same scripted provider."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from equitrcoder.providers import ModelClient, ModelRequest, choose_model
from equitrcoder.settings import Settings
from equitrcoder.testing import Answer, Fault, ScriptedProvider
from equitrcoder.wires.values import Conversation, RequestOptions, UserMessage

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import replicate
    import replicate.exceptions

KEY = "r8_0123456789abcdef"
MODEL = "meta/llama"
VERSION = f"me/mine:{'0a' * 32}"


@contextmanager
def sdk(server: ScriptedProvider) -> Iterator[replicate.Client]:
    client = replicate.Client(api_token=KEY, base_url=server.base_url.removesuffix("/v1"))
    client.poll_interval = 0
    yield client
    client._client.close()  # it has no close of its own


async def no_wait(_seconds: float) -> None:
    await asyncio.sleep(0)


async def ours(server: ScriptedProvider, *, stream: bool, model: str = MODEL) -> str:
    environ = {"REPLICATE_API_TOKEN": KEY, "REPLICATE_BASE_URL": server.base_url}
    conversation = Conversation(system="Be brief.", messages=[UserMessage(text="Hi")])
    async with ModelClient(
        choose_model(Settings(), environ, f"replicate/{model}"), max_attempts=1, sleep=no_wait
    ) as client:
        options = RequestOptions(model=model, stream=stream)
        return (await client.ask(ModelRequest(conversation=conversation, options=options))).turn.text


def essence(server: ScriptedProvider) -> tuple[str, str, Any, str]:
    (made,) = [request for request in server.requests if request.method == "POST"]
    return made.method, made.path, made.json, made.headers["authorization"]


TEXTS = ["Hello, world.", "one\n\ntwo\n", " spaces  kept ", "日本 ✓", ""]


@pytest.mark.parametrize("model", [MODEL, VERSION], ids=["model", "version"])
@pytest.mark.parametrize("text", TEXTS)
async def test_streams(text: str, model: str) -> None:
    given = {"prompt": "Hi", "system_prompt": "Be brief."}
    with ScriptedProvider([Answer(text=text)]) as server, ScriptedProvider([Answer(text=text)]) as other:
        with sdk(server) as client:
            events = client.stream(model, input=given, use_file_output=False)
            read = "".join(str(event) for event in events)
        assert await ours(other, stream=True, model=model) == read == text
        assert essence(server) == essence(other)


@pytest.mark.parametrize("text", TEXTS[:-1])
async def test_whole_answers(text: str) -> None:
    given = {"prompt": "Hi", "system_prompt": "Be brief."}
    with ScriptedProvider([Answer(text=text)]) as server, ScriptedProvider([Answer(text=text)]) as other:
        with sdk(server) as client:
            prediction = client.models.predictions.create(MODEL, input=given)
            prediction.wait()
        assert prediction.output is not None and prediction.status == "succeeded"
        assert await ours(other, stream=False) == "".join(prediction.output) == text
        assert essence(server) == essence(other)


def test_the_scripted_provider_is_enough_for_the_sdk() -> None:
    with ScriptedProvider([Answer(text="Hello.")] * 2) as server, sdk(server) as client:
        assert "".join(client.run(MODEL, input={"prompt": "Hi"})) == "Hello."
        prediction = client.models.predictions.create(MODEL, input={"prompt": "Hi"})
        prediction.cancel()
        assert client.predictions.get(prediction.id).status == "canceled"
        assert client.models.get(MODEL).name == "llama"
        assert server.errors == []


async def test_errors() -> None:
    body = {"title": "Input validation failed", "detail": "- input: prompt is required", "status": 422}
    with ScriptedProvider([Fault(status=422, body=body)] * 2) as server, sdk(server) as client:
        with pytest.raises(replicate.exceptions.ReplicateError) as theirs:
            client.models.predictions.create(MODEL, input={})
        with pytest.raises(Exception, match="prompt is required") as caught:
            await ours(server, stream=False)
    assert getattr(caught.value, "status", None) == theirs.value.status == 422
