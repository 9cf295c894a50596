"""What stands at the start of a request stands there in all later requests of the run, so that hosts find it again."""

from __future__ import annotations

from typing import Any

import pytest

from equitrcoder import jsontext
from equitrcoder.providers import PROVIDERS
from equitrcoder.wires import wire
from equitrcoder.wires.forms import Forms
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    EchoedCall,
    Message,
    RequestOptions,
    ResultForModel,
    ToolResults,
    ToolSpec,
    UserMessage,
)

ROWS = [name for name, row in PROVIDERS.items() if row.wire != "replicate-predictions"]
TOOLS = [
    ToolSpec(name=name, description="D.", parameters={"oneOf": [{"properties": {"p": {"const": name}}}]})
    for name in "ab"
]
GROWING = {"messages", "contents", "input"}


def called(row: str, n: int) -> AssistantMessage:
    """An answer with a call, as the row's wire has it."""
    arguments = {"p": str(n)}
    function = {"name": "a", "arguments": jsontext.dumps(arguments).decode()}
    one = {"id": f"abcdefg{n:02}", "type": "function", "function": function}
    natives: dict[str, Any] = {
        "openai-responses": {
            "output": [
                {"type": "reasoning", "id": f"rs_{n}", "summary": [], "encrypted_content": "x"},
                {"type": "function_call", "id": f"fc_{n}", "call_id": one["id"], **function},
            ]
        },
        "anthropic-messages": {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "", "signature": "s"},
                {"type": "tool_use", "id": one["id"], "name": "a", "input": arguments},
            ],
        },
        "gemini-generate": {"role": "model", "parts": [{"functionCall": {"name": "a", "args": arguments}}]},
        "ollama-chat": {
            "role": "assistant",
            "tool_calls": [{"id": one["id"], "function": {**function, "arguments": arguments}}],
        },
    }
    native = natives.get(PROVIDERS[row].wire, {"role": "assistant", "content": None, "tool_calls": [one]})
    call = EchoedCall(wire_id=str(one["id"]), name="a", arguments=arguments, index=0)
    return AssistantMessage(text="", calls=(call,), native=native, origin=row)


def session(row: str) -> list[Message]:
    """A run of some turns, a stopped one, the user twice in a row, an answer of another row, and on."""
    said: list[Message] = [UserMessage(text="go")]
    for n in range(4):
        answer = called(row, n)
        told = ResultForModel(wire_id=answer.calls[0].wire_id, name="a", text="r" * n, is_error=n == 2)
        said += [answer, ToolResults(results=(told,))]
    said += [UserMessage(text="stop"), UserMessage(text="go on")]
    said += [AssistantMessage(text="Hi.", native={"role": "assistant"}, origin="elsewhere"), UserMessage(text="more")]
    return [*said, called(row, 5), ToolResults(results=(ResultForModel(wire_id="abcdefg05", name="a", text="x"),))]


def unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: unmarked(item) for key, item in value.items() if key != "cache_control"}
    return [unmarked(item) for item in value] if isinstance(value, list) else value


def bodies(row: str, *, anew: bool = False) -> list[bytes]:
    """The request after each message, of one conversation that grows, or each of a conversation of its own."""
    provider = PROVIDERS[row]
    options = RequestOptions(model="claude-sonnet-5-5" if row == "anthropic" else "m", reasoning_effort="low")
    whole, made = Conversation(system="S", messages=[]), []
    for message in session(row):
        whole.messages.append(message)
        asked = Conversation(system="S", messages=list(whole.messages)) if anew else whole
        body = wire(provider.wire).request(asked, TOOLS, options, provider.dialect, origin=row).body
        made.append(jsontext.dumps(body))
    return made


@pytest.mark.parametrize("row", ROWS)
def test_nothing_changes_before_what_is_new(row: str) -> None:
    before: dict[str, Any] | None = None
    turns = [jsontext.loads(body) for body in bodies(row)]
    asked = [
        turn for turn, message in zip(turns, session(row), strict=True) if not isinstance(message, AssistantMessage)
    ]
    for body in asked:
        now = unmarked(body)
        if before is not None:
            assert {k: v for k, v in now.items() if k not in GROWING} == {
                k: v for k, v in before.items() if k not in GROWING
            }
            key = next(iter(GROWING & set(now)))
            same = before[key] if row != "anthropic" else before[key][:-1]  # neighbours of one role are one message
            assert now[key][: len(same)] == same
            if row == "anthropic":
                last, grown = before[key][-1]["content"], now[key][len(same)]["content"]
                assert all(block in grown for block in last)
        before = now


@pytest.mark.parametrize("row", ROWS)
def test_what_was_built_before_is_what_would_be_built_now(row: str) -> None:
    assert bodies(row) == bodies(row, anew=True)


@pytest.mark.parametrize("row", ["openai", "fireworks", "mistral"])
def test_one_key_for_all_requests_of_a_session(row: str) -> None:
    keys = {jsontext.loads(body)["prompt_cache_key"] for body in bodies(row)}
    assert len(keys) == 1
    assert len(next(iter(keys))) == 32


@pytest.mark.parametrize("row", sorted(set(ROWS) - {"openai", "fireworks", "mistral"}))
def test_no_key_where_none_is_taken(row: str) -> None:
    assert "prompt_cache_key" not in jsontext.loads(bodies(row)[-1])


def test_anthropics_marks_stand_where_the_next_request_finds_them() -> None:
    """At most four; the newest of one request is the last but one of the next."""
    newest = None
    for body, message in zip(bodies("anthropic"), session("anthropic"), strict=True):
        sent = jsontext.loads(body)
        marked = [block for each in sent["messages"] for block in each["content"] if "cache_control" in block]
        assert "cache_control" in sent["tools"][-1]
        assert "cache_control" in sent["system"][-1]
        assert 1 <= len(marked) <= 2
        if newest is not None and not isinstance(message, UserMessage):
            assert newest in marked
        newest = marked[-1]


def test_another_row_or_a_changed_past_is_built_anew() -> None:
    said = Conversation(system="S", messages=session("groq"))
    options = RequestOptions(model="m")
    chat, row = wire("openai-chat"), PROVIDERS["groq"]
    first = chat.request(said, [], options, row.dialect, origin="groq").body
    assert chat.request(said, [], options, PROVIDERS["deepseek"].dialect, origin="deepseek").body != first
    assert chat.request(said, [], options, row.dialect, origin="groq").body == first
    said.messages[0] = UserMessage(text="something else")
    assert (
        chat.request(said, [], options, row.dialect, origin="groq").body["messages"][1]["content"] == "something else"
    )
    del said.messages[1:]
    assert len(chat.request(said, [], options, row.dialect, origin="groq").body["messages"]) == 2


@pytest.mark.parametrize("row", ROWS)
def test_a_turn_builds_only_what_is_new(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that its cost does not grow with the conversation beyond serialising it (bench/requests.py measures that)."""
    built: list[Message] = []
    of = Forms.of

    def counting(forms: Forms, owner: Any, messages: Any, new_builder: Any) -> Any:
        def counted() -> Any:
            build = new_builder()
            return lambda message: (built.append(message), build(message))[1]

        return of(forms, owner, messages, counted)

    monkeypatch.setattr(Forms, "of", counting)
    bodies(row)
    assert built == session(row), "each message once, in order"
