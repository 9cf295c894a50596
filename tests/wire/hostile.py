"""What the robustness tests of all wires share: bodies nobody should send, and what reading them may do and cost."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equitrcoder.errors import ProviderError
from equitrcoder.wires import read_calls, wire
from equitrcoder.wires.values import Turn
from tests.wire.reading import feed, read_body

both_ways = pytest.mark.parametrize("streaming", [True, False])


LEAVES = 8
"""Of one value: enough to nest every kind in every other; what costs time is to make them up."""


def attempt(
    name: str, body: bytes, streaming: bool, size: int = 0, *, send_back: Callable[[Turn], None]
) -> Turn | None:
    """Read a body; our errors are fine, anything else fails the test. What came back must also go back."""
    turn: Turn | None = None
    try:
        turn = read_body(wire(name), body, streaming=streaming, size=size)
    except ProviderError as error:
        assert str(error)
        turn = error.partial
    calls = read_calls(name, body, streaming=streaming)
    if turn is not None:
        assert [each.name for each in calls] == [each.name for each in turn.calls]
        send_back(turn)
    return turn


def examples(most: int, **strategies: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`given` with this many examples, however long one takes on a busy machine."""
    return lambda test: settings(max_examples=most, deadline=None)(given(**strategies)(test))


def scalars(words: Sequence[str]) -> st.SearchStrategy[Any]:
    return st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(["", "a", *words])


def junk(keys: Sequence[str], words: Sequence[str], *more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values of any shape with a wire's own keys and words in them."""
    return st.recursive(
        st.one_of(scalars(words), *more),
        lambda inner: st.lists(inner, max_size=4) | objects(keys, inner, 5),
        max_leaves=LEAVES,
    )


def objects(keys: Sequence[str], values: st.SearchStrategy[Any], most: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(keys), values, max_size=most)


def bytes_or(values: st.SearchStrategy[Any], most: int = 400) -> st.SearchStrategy[bytes]:
    """Any bytes, or any of these values as JSON."""
    return st.binary(max_size=most) | values.map(lambda value: json.dumps(value).encode())


def flipped(data: st.DataObject, whole: bytes) -> tuple[bytes, int]:
    """The body with up to four bytes changed, and the size of the pieces it comes in (0: at once)."""
    body = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    return bytes(body), data.draw(st.sampled_from([0, 1, 50]))


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


def seconds(work: Callable[[], object]) -> float:
    """The best of three: what a busy machine adds is not the work's."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def takes_linear_time(read: Callable[[bytes], object], small: bytes, large: bytes, slack_s: float = 0.05) -> None:
    """Eight times as much takes about eight times as long; were it quadratic, it would take 64 times."""
    once, eight = seconds(lambda: read(small)), seconds(lambda: read(large))
    assert eight < 8 * once * 3 + slack_s, f"{once:.4f} s, then {eight:.4f} s for eight times as much"


def fed(name: str, body: bytes, size: int | None = 65536) -> Turn:
    """What a stream has given so far."""
    turn: Turn = feed(wire(name).stream_reader(), body, size).partial()
    return turn


def memory_stays_in_proportion(read: Callable[[bytes], Turn], body: bytes, times: int) -> Turn:
    """Reading this body takes at most that many times its size, and 2 MB."""
    tracemalloc.start()
    turn = read(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < times * len(body) + 2_000_000, f"{peak} bytes for a body of {len(body)}"
    return turn
