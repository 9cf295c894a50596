"""The gemini row, end to end: what it is sent, where, and what comes back."""

from __future__ import annotations

from typing import Any

import pytest

from equitrcoder.errors import AuthenticationError, QuotaExhaustedError, StreamBrokenError
from equitrcoder.providers import PROVIDERS, ModelChoice, ModelClient, ModelRequest, choose_model
from equitrcoder.settings import Settings
from equitrcoder.testing import Answer, Call, Fault, ScriptedProvider
from equitrcoder.testing.script import Usage
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    Delta,
    EchoedCall,
    RequestOptions,
    ResultForModel,
    ToolResults,
    ToolSpec,
    UserMessage,
)

KEY = "test-key-0123456789"
TOOL = ToolSpec(name="read_file", description="Read a file.", parameters={"type": "object", "properties": {}})


def choice_for(server: ScriptedProvider, path: str = "", model: str = "gemini/gemini-3.8-flash") -> ModelChoice:
    origin = server.base_url.removesuffix("/v1")
    return choose_model(Settings(), {"GEMINI_BASE_URL": origin + path, "GEMINI_API_KEY": KEY}, model)


async def ask(choice: ModelChoice, *, stream: bool, messages: Any = None, on_delta: Any = None, **client: Any) -> Any:
    options = RequestOptions(model=choice.model, stream=stream, output_limit_tokens=100, reasoning_effort="low")
    conversation = Conversation(system="Be brief.", messages=messages or [UserMessage(text="What is in a.py?")])
    async with ModelClient(choice, **client) as asking:
        request = ModelRequest(conversation=conversation, tools=[TOOL], options=options)
        return await asking.ask(request, on_delta=on_delta)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_request_and_its_answer(stream: bool) -> None:
    usage = Usage(input_tokens=20, output_tokens=12, cached_read_tokens=8, reasoning_tokens=5)
    calls = [Call("read_file", {"file_path": "a.py"}), Call("git_status", id=None)]
    shown: list[Delta] = []
    async with ScriptedProvider([Answer(text="Look.", reasoning="Hm.", calls=calls, usage=usage)]) as server:
        response = await ask(choice_for(server), stream=stream, on_delta=shown.append)
    assert server.errors == []
    (request,) = server.requests
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    assert (request.method, request.path) == ("POST", f"/v1beta/models/gemini-3.8-flash:{method}")
    assert request.headers["x-goog-api-key"] == KEY
    assert "authorization" not in request.headers and KEY not in request.path
    assert request.json == {
        "contents": [{"role": "user", "parts": [{"text": "What is in a.py?"}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "read_file", "description": "Read a file.", "parametersJsonSchema": TOOL.parameters}
                ]
            }
        ],
        "generationConfig": {
            "maxOutputTokens": 100,
            "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True},
        },
    }
    turn = response.turn
    assert (turn.text, turn.reasoning, turn.usage) == ("Look.", "Hm.", usage)
    assert [(call.name, call.arguments, call.id) for call in turn.calls] == [
        ("read_file", {"file_path": "a.py"}, "00010000"),
        ("git_status", {}, None),
    ]
    assert (turn.model_answered, turn.stop) == ("gemini-3.8-flash", "calls")
    assert "".join(delta.text for delta in shown) == ("Hm.Look." if stream else "")


@pytest.mark.parametrize("stream", [True, False])
async def test_the_answer_goes_back_with_its_signature_and_the_result_beside_the_call(stream: bool) -> None:
    async with ScriptedProvider([Answer(calls=[Call("read_file"), Call("f", id=None)]), Answer(text="ok")]) as server:
        choice = choice_for(server)
        turn = (await ask(choice, stream=stream)).turn
        calls = tuple(
            EchoedCall(wire_id=call.id or "ours", name=call.name, arguments={}, index=call.index) for call in turn.calls
        )
        results = tuple(ResultForModel(wire_id=call.wire_id, name=call.name, text=call.name) for call in calls)
        said = AssistantMessage(text="", calls=calls, native=turn.native, origin="gemini")
        messages = [UserMessage(text="go"), said, ToolResults(results=results)]
        await ask(choice, stream=stream, messages=messages)
    second = server.requests[1]
    assert (second.turn, second.tool_results) == (1, ["read_file", "f"])
    echoed = [part for part in second.messages[1]["parts"] if "functionCall" in part]
    assert echoed == [
        {"functionCall": {"id": "00010000", "name": "read_file", "args": {}}, "thoughtSignature": "c2lnbmVkLTE="},
        {"functionCall": {"name": "f", "args": {}}},
    ]
    assert ["id" in part["functionResponse"] for part in second.messages[2]["parts"]] == [True, False]


@pytest.mark.parametrize(
    ("path", "arrives"),
    [("", "/v1beta/"), ("/v1beta", "/v1beta/"), ("/v1", "/v1/"), ("/gateway/v1beta/", "/gateway/v1beta/")],
)
async def test_the_version_is_that_of_the_base_url_and_v1beta_where_that_has_none(path: str, arrives: str) -> None:
    async with ScriptedProvider([Answer(text="ok")]) as server:
        await ask(choice_for(server, path), stream=False)
    assert server.requests[0].path == f"{arrives}models/gemini-3.8-flash:generateContent"


def test_googles_own_address_is_the_public_one_however_it_is_written() -> None:
    for url in ("https://generativelanguage.googleapis.com", "https://generativelanguage.googleapis.com/v1beta"):
        choice = choose_model(Settings(), {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": KEY}, "gemini/m")
        assert choice.base_url == PROVIDERS["gemini"].base_url
    stable = choose_model(
        Settings(ai_base_url=url.replace("v1beta", "v1"), ai_provider="gemini"), {"GEMINI_API_KEY": KEY}
    )
    assert stable.base_url == "https://generativelanguage.googleapis.com/v1"


async def test_what_google_asks_to_wait_is_waited() -> None:
    limited = {
        "error": {
            "code": 429,
            "message": "You exceeded your current quota.",
            "status": "RESOURCE_EXHAUSTED",
            "details": [
                {"violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}]},
                {"retryDelay": "2.5s"},
            ],
        }
    }
    waits: list[float] = []

    async def sleep(wait_s: float) -> None:
        waits.append(wait_s)

    async with ScriptedProvider([Fault(status=429, body=[limited]), Answer(text="ok")]) as server:
        response = await ask(choice_for(server), stream=True, sleep=sleep)
    assert (response.turn.text, response.attempts) == ("ok", 2)
    assert len(waits) == 1 and waits[0] >= 2.5


async def test_a_used_up_day_is_not_tried_again() -> None:
    details = [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}]}, {"retryDelay": "2s"}]
    body = {"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": details}}
    async with ScriptedProvider([Fault(status=429, body=body)]) as server:
        with pytest.raises(QuotaExhaustedError, match="gemini answered 429"):
            await ask(choice_for(server), stream=True)
    assert len(server.requests) == 1


async def test_a_bad_key_comes_with_status_400() -> None:
    error = {"code": 400, "message": f"API key not valid: {KEY}", "status": "INVALID_ARGUMENT"}
    async with ScriptedProvider([Fault(status=400, body={"error": error})]) as server:
        with pytest.raises(AuthenticationError) as caught:
            await ask(choice_for(server), stream=False)
    assert caught.value.hint == "check GEMINI_API_KEY"
    assert KEY not in str(caught.value) + caught.value.excerpt


async def test_a_call_that_google_could_not_read_is_asked_for_again() -> None:
    broken = Answer(text=None, finish="MALFORMED_FUNCTION_CALL")

    async def sleep(_: float) -> None:
        pass

    for stream in (True, False):
        async with ScriptedProvider([broken, Answer(text="ok")]) as server:
            response = await ask(choice_for(server), stream=stream, sleep=sleep)
        assert (response.turn.text, response.attempts) == ("ok", 2)


async def test_a_stream_without_its_finish_is_no_answer() -> None:
    async with ScriptedProvider([Fault(answer=Answer(calls=[Call("read_file")]), drop_finish=True)]) as server:
        with pytest.raises(StreamBrokenError) as caught:
            await ask(choice_for(server), stream=True, max_attempts=1)
    assert [call.name for call in caught.value.partial.calls] == ["read_file"]


async def test_an_error_inside_a_stream_is_one() -> None:
    error = {"code": 403, "message": "not for you", "status": "PERMISSION_DENIED"}
    async with ScriptedProvider([Fault(answer=Answer(text="abc"), error=error, insert_after_events=1)]) as server:
        with pytest.raises(AuthenticationError, match="not for you"):
            await ask(choice_for(server), stream=True)


async def test_a_row_of_the_users_own_on_this_wire() -> None:
    async with ScriptedProvider([Answer(text="hi")]) as server:
        row = {
            "wire": "gemini-generate",
            "base_url": server.base_url,
            "key_env": ["MINE_KEY"],
            "auth": "x-goog-api-key",
            "dialect": {"thinking": False},
        }
        choice = choose_model(Settings(providers={"mine": row}), {"MINE_KEY": KEY}, "mine/gemini-x")
        response = await ask(choice, stream=True)
    assert response.turn.text == "hi"
    assert server.requests[0].headers["x-goog-api-key"] == KEY
    assert server.requests[0].json["generationConfig"] == {"maxOutputTokens": 100}
