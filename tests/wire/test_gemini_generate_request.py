"""Gemini's wire writes requests: what goes back of an answer, and in which words a request is put."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from equitrcoder.wires.gemini_generate import GeminiDialect
from equitrcoder.wires.gemini_generate.requests import FOREIGN_SIGNATURE
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    EchoedCall,
    RequestOptions,
    ResultForModel,
    ToolResults,
    ToolSpec,
    UserMessage,
)
from tests.wire.gemini_bodies import GEMINI, after, answer, both, call, sent, text

TOOL = ToolSpec(
    name="read_file",
    description="Read.",
    parameters={"type": "object", "properties": {}, "additionalProperties": False},
)
HELLO = Conversation(system="Be brief.", messages=[UserMessage(text="Hi")])


def made(conversation: Conversation = HELLO, dialect: GeminiDialect | None = None, **options: Any) -> Any:
    asked = RequestOptions(**{"model": "gemini-3.8-flash", **options})
    return GEMINI.request(conversation, [TOOL], asked, dialect, origin="row")


def test_a_request() -> None:
    request = made(output_limit_tokens=100)
    assert request.path == "/models/gemini-3.8-flash:streamGenerateContent?alt=sse"
    assert request.body == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "read_file", "description": "Read.", "parametersJsonSchema": TOOL.parameters}
                ]
            }
        ],
        "generationConfig": {"maxOutputTokens": 100},
    }


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-x", "/models/gemini-x:generateContent"),
        ("models/gemini-x", "/models/gemini-x:generateContent"),
        ("tunedModels/mine", "/tunedModels/mine:generateContent"),
        ("some/model", "/models/some/model:generateContent"),
        ("what?alt=x#y z", "/models/what%3Falt%3Dx%23y%20z:generateContent"),
    ],
)
def test_the_model_stands_in_the_path(model: str, path: str) -> None:
    assert made(model=model, stream=False).path == path


def test_without_system_and_tools_nothing_is_said_of_them() -> None:
    body = GEMINI.request(
        Conversation(system="", messages=[UserMessage(text="Hi")]), [], RequestOptions(model="m"), None, origin="row"
    ).body
    assert body.keys() == {"contents"}


@pytest.mark.parametrize(
    ("model", "effort", "config"),
    [
        ("gemini-3.8-flash", "high", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-4-argon", "none", {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
        ("gemini-flash-latest", "xhigh", {"thinkingLevel": "XHIGH", "includeThoughts": True}),
        ("gemini-4-argon", "max", {"thinkingLevel": "XHIGH", "includeThoughts": True}),
        ("gemini-4-argon", "2048", {"thinkingBudget": 2048, "includeThoughts": True}),
        ("models/gemini-2.5-flash", "low", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128, "includeThoughts": True}),
        ("gemini-2.0-flash", "low", None),
        ("gemma-4-31b-it", "low", None),
        ("gemini-4-argon", None, None),
    ],
)
def test_reasoning_effort(model: str, effort: str | None, config: Any) -> None:
    body = made(model=model, reasoning_effort=effort).body
    assert body.get("generationConfig", {}).get("thinkingConfig") == config


def test_a_dialect_of_ones_own() -> None:
    dialect = GeminiDialect(thinking=False, extra_body={"cachedContent": "cachedContents/x", "tools": []})
    body = made(dialect=dialect, reasoning_effort="low").body
    assert "generationConfig" not in body
    assert (body["cachedContent"], body["tools"]) == ("cachedContents/x", [])


# --- what goes back ------------------------------------------------------------------------------------------------

SIGNED = [
    text("Hm.", thought=True),
    text("A"),
    text("B"),
    text("", thoughtSignature="ZW1wdHk="),
    call("f", {"a": 1}, "id-1", thoughtSignature="Y2FsbA==", partMetadata={"x": 1}),
    call("g", {}, "id-2"),
]


def test_an_answer_goes_back_part_by_part_as_it_came() -> None:
    for turn in both(*SIGNED):
        before = copy.deepcopy(turn.native)
        _, model, results = sent(after(turn))
        assert model == {"role": "model", "parts": turn.native["parts"]}
        assert turn.native == before
        assert results == {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "id-1", "name": "f", "response": {"output": "done"}}},
                {"functionResponse": {"id": "id-2", "name": "g", "response": {"output": "done"}}},
            ],
        }


def test_failed_results_are_errors() -> None:
    turn = GEMINI.read_response(answer(call("f", {})))
    assert sent(after(turn, is_error=True))[2]["parts"][0]["functionResponse"]["response"] == {"error": "done"}


def test_ids_go_back_only_where_they_were_given() -> None:
    parts = [call("f", {}, thoughtSignature="c2ln"), call("f", {}, ""), call("f", {}, "given")]
    for turn in both(*parts):
        _, model, results = sent(after(turn))
        assert [part["functionCall"].get("id") for part in model["parts"][:3]] == [None, None, "given"]
        assert [part["functionResponse"].get("id") for part in results["parts"]] == [None, None, "given"]


def test_an_id_that_was_used_before_is_replaced_in_call_and_result() -> None:
    turn = GEMINI.read_response(answer(call("f", {}, "x"), call("f", {}, "x")))
    conversation = after(turn)
    said, results = conversation.messages[1], conversation.messages[2]
    assert isinstance(said, AssistantMessage) and isinstance(results, ToolResults)
    ids = ["x", "call_new"]
    calls = tuple(
        EchoedCall(wire_id=wire_id, name=each.name, arguments={}, index=each.index)
        for wire_id, each in zip(ids, said.calls, strict=True)
    )
    told = tuple(ResultForModel(wire_id=wire_id, name="f", text=wire_id) for wire_id in ids)
    conversation.messages[1:] = [
        AssistantMessage(text="", calls=calls, native=said.native, origin="row"),
        ToolResults(results=told),
    ]
    _, model, answered = sent(conversation)
    assert [part["functionCall"]["id"] for part in model["parts"]] == ids
    assert [part["functionResponse"]["id"] for part in answered["parts"]] == ids


def test_arguments_that_were_no_object_go_back_empty_and_names_as_google_takes_them() -> None:
    turn = GEMINI.read_response(answer(call("read file", "not json", thoughtSignature="c2ln"), call("9", None)))
    _, model, results = sent(after(turn))
    assert [part["functionCall"] for part in model["parts"]] == [
        {"name": "read_file", "args": {}},
        {"name": "_9", "args": {}},
    ]
    assert [part["functionResponse"]["name"] for part in results["parts"]] == ["read_file", "_9"]


def test_what_google_ran_itself_goes_back_untouched() -> None:
    parts = [
        {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "args": {}, "id": "t1"}, "thoughtSignature": "c2ln"},
        {"toolResponse": {"toolType": "GOOGLE_SEARCH_WEB", "response": {}, "id": "t1"}, "thoughtSignature": "c2ln"},
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": ""}},
        call("f", {"a": 1}, thoughtSignature="c2ln"),
    ]
    turn = GEMINI.read_response(answer(*parts))
    assert sent(after(turn))[1]["parts"] == parts


def test_calls_of_a_further_candidate_go_back_beside_those_of_the_first() -> None:
    first, second = (json.loads(answer(call("f", {"n": n})))["candidates"][0] for n in (1, 2))
    turn = GEMINI.read_response(json.dumps({"candidates": [first, {**second, "index": 1}]}).encode())
    _, model, results = sent(after(turn))
    assert [part["functionCall"]["args"] for part in model["parts"]] == [{"n": 1}, {"n": 2}]
    assert len(results["parts"]) == 2


def test_an_answer_with_nothing_in_it_and_empty_parts_stay_behind() -> None:
    turn = GEMINI.read_response(answer({}, finish="STOP"))
    assert [content["role"] for content in sent(Conversation(system="", messages=after(turn).messages[:2]))] == ["user"]


def test_an_answer_of_another_row_is_rebuilt_with_the_signature_that_stands_for_foreign_ones() -> None:
    turn = GEMINI.read_response(answer(*SIGNED))
    _, model, results = sent(after(turn, origin="elsewhere"))
    assert model["parts"] == [
        {"text": "AB"},
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": FOREIGN_SIGNATURE},
        {"functionCall": {"name": "g", "args": {}}},
    ]
    assert [part["functionResponse"].get("id") for part in results["parts"]] == [None, None]


def test_the_stand_in_signature_is_for_models_that_demand_one_and_messages_that_have_none() -> None:
    unsigned = GEMINI.read_response(answer(call("f", {})))
    signed_text = GEMINI.read_response(answer(text("", thoughtSignature="c2ln"), call("f", {})))

    def signature(turn: Any, model: str) -> Any:
        parts = sent(after(turn), model)[1]["parts"]
        return next(part.get("thoughtSignature") for part in parts if "functionCall" in part)

    assert signature(unsigned, "gemini-3.8-flash") == FOREIGN_SIGNATURE
    assert signature(unsigned, "gemini-2.5-pro") is None
    assert signature(signed_text, "gemini-3.8-flash") is None


def test_the_prefix_of_a_session_never_changes() -> None:
    turn = GEMINI.read_response(answer(*SIGNED))
    conversation = after(turn)
    before = json.dumps(sent(conversation))
    conversation.messages.append(UserMessage(text="and now?"))
    assert json.dumps(sent(conversation)[:3]) == before
