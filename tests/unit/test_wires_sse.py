"""The decoder of server-sent events."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equitrcoder.errors import BadResponseError
from equitrcoder.wires.sse import SSEDecoder, SSEEvent


def decode(body: bytes, cuts: list[int] | None = None) -> list[tuple[str, bytes]]:
    decoder = SSEDecoder()
    edges = [0, *sorted(cut for cut in cuts or [] if cut <= len(body)), len(body)]
    events: list[SSEEvent] = []
    for start, end in itertools.pairwise(edges):
        events += decoder.feed(body[start:end])
    return [tuple(event) for event in events + decoder.flush()]


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: a\n\n", [("", b"a")]),
        (b"data:a\n\n", [("", b"a")]),
        (b"data:  a \n\n", [("", b" a ")]),  # one space is taken off, no more
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [("", b"a"), ("", b"b")]),
        (b"data: a\r\rdata: b\r\r", [("", b"a"), ("", b"b")]),
        (b"data: a\ndata: b\n\n", [("", b"a\nb")]),
        (b"data\ndata:\n\n", [("", b"\n")]),
        (b"event: error\ndata: x\n\ndata: y\n\n", [("error", b"x"), ("", b"y")]),
        (b"data: x\nevent: late\n\n", [("late", b"x")]),
        (b": comment\n\n:keep-alive\ndata: a\n: more\n\n", [("", b"a")]),
        (b"id: 1\nretry: 5\nnonsense\ndata: a\n\n", [("", b"a")]),
        (b"event: only\n\ndata: a\n\n", [("", b"a")]),  # no data, no event; the name does not stay
        (b"\xef\xbb\xbfdata: a\n\n", [("", b"a")]),
        (b"data: a", [("", b"a")]),  # neither line end nor blank line at the end
        (b"data: a\n", [("", b"a")]),
        ("data: é漢🔧\n\n".encode(), [("", "é漢🔧".encode())]),
        (b"\n\n\n", []),
        (b"", []),
    ],
)
def test_what_the_specification_says(body: bytes, events: list[tuple[str, bytes]]) -> None:
    assert decode(body) == events
    assert decode(body, list(range(len(body)))) == events, "cut at every byte"


LINES = st.sampled_from(
    [b"data: ab", "data: é🔧".encode(), b"event: e", b": c", b"", b"", b"id: 7", b"data", b"\xef\xbb\xbf"]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(st.lists(st.tuples(LINES, ENDS)), st.lists(st.integers(0, 200)))
def test_where_it_is_cut_makes_no_difference(lines: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    body = b"".join(line + end for line, end in lines)
    assert decode(body, cuts) == decode(body)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_any_bytes_cut_anywhere(body: bytes, cuts: list[int]) -> None:
    assert decode(body, cuts) == decode(body)


@pytest.mark.parametrize("body", [b"data: " + b"x" * 2000, b"data: xx\n" * 300, b":" + b"x" * 2000])
def test_one_event_has_a_bound(body: bytes) -> None:
    decoder = SSEDecoder(max_event_bytes=1000)
    with pytest.raises(BadResponseError, match="larger than 1000 bytes"):
        for start in range(0, len(body), 10):
            decoder.feed(body[start : start + 10])


def test_the_bound_is_per_event_not_per_stream() -> None:
    decoder = SSEDecoder(max_event_bytes=110)
    assert sum(len(decoder.feed(b": c\ndata: " + b"x" * 50 + b"\n\n")) for _ in range(100)) == 100
