"""`equitrcoder.wires`: names, what is not built yet, and `read_calls`."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import equitrcoder.wires as wires
from equitrcoder.errors import WireNotReadyError
from equitrcoder.wires.anthropic_messages import MessagesDialect
from equitrcoder.wires.openai_chat import ChatDialect
from equitrcoder.wires.values import WireCall

ANSWER = (
    b'{"choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",'
    b'"function":{"name":"read_file","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}'
)
STREAM = (
    b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"read_file",'
    b'"arguments":"{\\"path\\":"}}]}}]}\n\n'
)


def test_the_wires_are_named() -> None:
    names = "openai-chat openai-responses anthropic-messages gemini-generate ollama-chat cohere-v2 mistral"
    assert tuple(names.split()) == wires.WIRES
    assert wires.TEXT_WIRES == ("replicate-predictions",)


def test_an_unknown_wire_is_refused_with_those_that_are_there() -> None:
    with pytest.raises(WireNotReadyError, match=r"E502 There is no wire named 'telegraph'\. Fix: one of openai-chat, "):
        wires.read_calls("telegraph", b"", streaming=False)


@pytest.mark.parametrize("name", [*wires.WIRES, *wires.TEXT_WIRES])
def test_every_wire_offers_every_function(name: str) -> None:
    module = wires.wire(name)
    assert all(callable(getattr(module, name)) for name in ("request", "read_response", "stream_reader", "error"))


def test_calls_of_a_complete_answer() -> None:
    expected = [WireCall(name="read_file", arguments={}, id="c1", index=0)]
    assert wires.read_calls("openai-chat", ANSWER, streaming=False) == expected


def test_calls_of_a_stream_that_broke_off_are_given_as_far_as_they_came() -> None:
    expected = [WireCall(name="read_file", arguments='{"path":', id="c1", index=0)]
    assert wires.read_calls("openai-chat", STREAM, streaming=True) == expected
    assert wires.read_calls("openai-chat", STREAM + b'data: {"choi', streaming=True) == expected
    assert wires.read_calls("openai-chat", STREAM + b'data: {"error":{"message":"no"}}\n\n', streaming=True) == expected


@pytest.mark.parametrize("streaming", [True, False])
def test_an_error_answer_holds_no_calls_whatever_its_body(streaming: bool) -> None:
    for body in (ANSWER, STREAM):
        assert wires.read_calls("openai-chat", body, streaming=streaming, status=400) == []


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"[]", b"null", b'{"a":1}', b'{"choices":[]}', b"\xff\xfe"])
def test_a_body_that_is_no_answer_holds_no_calls(body: bytes, streaming: bool) -> None:
    assert wires.read_calls("openai-chat", body, streaming=streaming) == []


@pytest.mark.parametrize("streaming", [True, False])
def test_the_form_that_came_is_read_not_the_one_that_was_asked_for(streaming: bool) -> None:
    stream = STREAM.replace(b'{\\"path\\":', b"{}") + b"data: [DONE]\n\n"
    expected = [("read_file", {})]
    for body in (ANSWER, stream):
        calls = wires.read_calls("openai-chat", body, streaming=streaming)
        assert [(call.name, call.arguments) for call in calls] == expected


def test_the_package_gives_the_value_and_loads_no_wire_before_it_is_asked_for() -> None:
    assert wires.WireCall is WireCall
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = wires.nothing
    code = "import sys, equitrcoder.wires; print([m for m in sys.modules if m.startswith('equitrcoder.wires.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_errors_load_only_when_there_is_one() -> None:
    code = (
        "import sys; from equitrcoder.wires import wire; m = wire('openai-chat'); "
        f"m.read_response({ANSWER!r}); r = m.stream_reader(); r.feed({STREAM!r}); "
        "print([n for n in ('equitrcoder.wires.failures', 'email.utils', 'hashlib') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_page_names_every_wire_and_every_departure() -> None:
    page = (Path(__file__).parents[2] / "docs" / "wires.md").read_text()
    names = [
        *wires.WIRES,
        *wires.TEXT_WIRES,
        *(field.name for field in (*fields(ChatDialect), *fields(MessagesDialect))),
    ]
    assert [name for name in names if f"`{name}`" not in page] == []
