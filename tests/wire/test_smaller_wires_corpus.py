"""The wires of Mistral, Ollama and Cohere on recorded traffic, where a folder of it is given in EQUITRCODER_CORPUS.

What the folder holds: test_openai_chat_corpus.py.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.errors import EquitrError, ProviderError
from equitrcoder.wires import read_calls, wire
from equitrcoder.wires.values import Turn, WireCall

FOLDER = os.environ.get("EQUITRCODER_CORPUS")
pytestmark = pytest.mark.skipif(not FOLDER, reason="EQUITRCODER_CORPUS names no folder of recorded traffic")

WIRES = {"mistral": 50, "ollama-chat": 9, "cohere-v2": 40}
"""And how many exchanges there are at least."""


@cache
def expectations(name: str) -> dict[str, Any]:
    everything = json.loads((Path(FOLDER or "") / "expected.json").read_bytes())
    return {each: told for each, told in everything.items() if told["wire"] == name}


@cache
def exchange(which: str) -> dict[str, Any]:
    return json.loads((Path(FOLDER or "") / f"{which}.json").read_bytes())  # type: ignore[no-any-return]


def body_of(which: str) -> bytes:
    return str(exchange(which)["response"]["body"]).encode("utf-8", "surrogatepass")


def read(name: str, which: str, size: int | None = None) -> Turn:
    module, body, response = wire(name), body_of(which), exchange(which)["response"]
    if response["status"] >= 400:
        raise module.error(response["status"], {}, body)
    if not exchange(which)["streaming"]:
        return module.read_response(body)
    reader = module.stream_reader()
    for start in range(0, len(body), size or len(body)):
        reader.feed(body[start : start + (size or len(body))])
    return reader.finish()


FIELDS = ("name", "arguments", "id", "kind", "index")


def plain(calls: list[WireCall] | tuple[WireCall, ...]) -> list[dict[str, Any]]:
    return [{field: getattr(call, field) for field in FIELDS} for call in calls]


def expected_calls(name: str, which: str) -> list[dict[str, Any]]:
    return [{field: call[field] for field in FIELDS} for call in expectations(name)[which]["calls"]]


@pytest.mark.parametrize("name", WIRES)
def test_every_exchange_gives_the_expected_calls(name: str) -> None:
    assert len(expectations(name)) >= WIRES[name], "the folder holds exchanges of this wire"
    different = []
    for which in expectations(name):
        status, streaming = exchange(which)["response"]["status"], exchange(which)["streaming"]
        calls = read_calls(name, body_of(which), streaming=streaming, status=status)
        if plain(calls) != expected_calls(name, which):
            different.append((which, plain(calls), expected_calls(name, which)))
    assert different == []


@pytest.mark.parametrize("name", WIRES)
def test_every_answer_is_read_whole_and_its_finish_words_and_tokens_too(name: str) -> None:
    different = []
    for which, told in expectations(name).items():
        try:
            turn = read(name, which)
        except ProviderError as error:
            assert told["error"] is not None or told["shape"] == [], (which, error)
            continue
        if plain(turn.calls) != expected_calls(name, which) or turn.finish != next(iter(told["finish"]), None):
            different.append(which)
        if "text" in told["shape"]:
            assert turn.text, which
        if "reasoning" in told["shape"]:
            assert turn.reasoning, which
        if b"eval_count" in body_of(which) or b"tokens" in body_of(which):
            assert turn.usage.output_tokens is not None, which
    assert different == []


@pytest.mark.parametrize("name", WIRES)
def test_where_a_stream_is_cut_makes_no_difference(name: str) -> None:
    streams = [which for which in expectations(name) if exchange(which)["streaming"]]
    for number, which in enumerate(streams):
        if not expectations(name)[which]["error"]:
            assert read(name, which, size=1 + number % 61) == read(name, which), which


@pytest.mark.parametrize("name", WIRES)
def test_every_error_of_the_corpus_is_typed(name: str) -> None:
    for which, told in expectations(name).items():
        if told["error"]:
            with pytest.raises(EquitrError) as caught:
                read(name, which)
            assert type(caught.value) is not ProviderError, which
