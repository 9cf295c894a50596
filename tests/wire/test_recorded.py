"""Every wire on recorded traffic: what is the same for all of them (what is recorded: tests/wire/recorded.py)."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from equitrcoder.errors import EquitrError, ProviderError
from equitrcoder.wires import read_calls
from equitrcoder.wires.gemini_generate.reading import FINISHES
from tests.wire.recorded import (
    body_of,
    expectations,
    expected_calls,
    is_stream,
    needs_recordings,
    plain,
    read,
    status_of,
)

pytestmark = needs_recordings


class Least(NamedTuple):
    """How much of a wire the folder holds at least, so that no check passes on nothing."""

    exchanges: int
    streams: int = 0


WIRES = {
    "openai-chat": Least(501, 201),
    "openai-responses": Least(301, 101),
    "anthropic-messages": Least(401, 101),
    "gemini-generate": Least(201, 31),
    "mistral": Least(50),
    "ollama-chat": Least(9),
    "cohere-v2": Least(40),
}
NEVER_EMPTY = ("openai-responses", "gemini-generate")
"""Wires of which every answer that is no error is read; of the others those without any shape are refused."""
each_wire = pytest.mark.parametrize("name", WIRES)


@each_wire
def test_every_exchange_gives_the_expected_calls(name: str) -> None:
    assert len(expectations(name)) >= WIRES[name].exchanges, "the folder holds exchanges of this wire"
    different = []
    for which in expectations(name):
        calls = plain(read_calls(name, body_of(which), streaming=is_stream(which), status=status_of(which)))
        if calls != expected_calls(name, which):
            different.append((which, calls, expected_calls(name, which)))
    assert different == []


def expected_finish(told: dict[str, Any]) -> str | None:
    """The first finish word; one client of Gemini sends its number."""
    word = next(iter(told["finish"]), None)
    return FINISHES[word] if isinstance(word, int) else word


@each_wire
def test_every_answer_is_read_whole_and_the_finish_words_agree(name: str) -> None:
    different = []
    for which, told in expectations(name).items():
        try:
            turn = read(name, which)
        except ProviderError as error:
            empty = told["shape"] == [] and name not in NEVER_EMPTY
            assert told["error"] is not None or empty, (which, error)
            continue
        # a stream whose events have no blank line between them is no answer to its expectations; it is read here
        if "sse-event-not-json" in told["shape"] and name == "gemini-generate":
            continue
        if plain(turn.calls) != expected_calls(name, which) or turn.finish != expected_finish(told):
            different.append((which, turn.finish, told["finish"]))
    assert different == []


def outcome(name: str, which: str, size: int | None = None) -> Any:
    """The turn, or the error in its place."""
    try:
        return read(name, which, size)
    except ProviderError as error:
        return type(error), str(error), error.partial


@each_wire
def test_where_a_stream_is_cut_makes_no_difference(name: str) -> None:
    streams = [which for which in expectations(name) if is_stream(which)]
    assert len([which for which in streams if not expectations(name)[which]["error"]]) >= WIRES[name].streams
    for number, which in enumerate(streams):
        whole = outcome(name, which)
        assert not isinstance(whole, tuple) or expectations(name)[which]["error"], which
        assert outcome(name, which, size=1 + number % 61) == whole, which


@each_wire
def test_every_error_of_the_corpus_is_typed(name: str) -> None:
    for which, told in expectations(name).items():
        if told["error"]:
            with pytest.raises(EquitrError) as caught:
                read(name, which)
            assert type(caught.value) is not ProviderError, which
            assert str(told["error"]["message"])[:60] in caught.value.message, which
