"""Text that comes in pieces: a secret may be cut anywhere, and what is none goes on at once."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equitrcoder.agent.events import RunEvents
from equitrcoder.ledger import Redactor
from equitrcoder.ledger.redaction_stream import MOST_HELD_BYTES, StreamRedactor
from tests.redaction_keys import FORMATS, make_key

KNOWN = "correct horse / battery 7 ü staple"
LONG = "Zq7" * 60
REDACTOR = Redactor({KNOWN: "PHRASE", LONG: "LONG"})
PEM = "-----BEGIN EC PRIVATE KEY-----\n" + "MHcCAQEEIabc1234Zz+/\n" * 8 + "-----END EC PRIVATE KEY-----"
SECRETS = [
    KNOWN,
    LONG,
    PEM,
    *(make_key(format_, Random(format_.written)) for format_ in FORMATS),
]
OPEN = {make_key(format_, Random(format_.written)) for format_ in FORMATS if format_.needle.before[1]}
"""Keys that begin with anything: their first letters may have been said before it is seen what they are."""
SHAPES = [
    'DB_PASSWORD="hunter2hunter" next',
    "Authorization: Bearer 9f8e7d6c5b4a done",
    "see postgres://ada:s3cr3t-one@db/x now",
    '{"api_key": "q7w8e9r0t1"}',
]


def streamed(pieces: list[str], redactor: Redactor = REDACTOR) -> str:
    stream = StreamRedactor(redactor)
    return "".join([*map(stream.feed, pieces), stream.flush()])


def cut(text: str, sizes: list[int]) -> list[str]:
    pieces, position, number = [], 0, 0
    while position < len(text):
        size = sizes[number % len(sizes)]
        pieces.append(text[position : position + size])
        position, number = position + size, number + 1
    return pieces


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:12])
def test_a_secret_cut_at_every_place_does_not_pass(secret: str) -> None:
    text = f"It is {secret} then.\nGood"
    whole = REDACTOR.text(text)[0]
    assert secret not in whole
    step = max(1, len(text) // 24)
    for place in range(1, len(text), step):
        shown = streamed([text[:place], text[place:]])
        assert shown == whole or (secret in OPEN and _said_before(shown, secret) <= 7), place
    if secret not in OPEN:
        assert streamed(cut(text, [7])) == whole
        assert streamed(cut(text[:300], [3, 1])) == REDACTOR.text(text[:300])[0]


def _said_before(shown: str, secret: str) -> int:
    said = shown.removeprefix("It is ").partition("[redacted:")[0]
    assert secret.startswith(said)
    return len(said)


@pytest.mark.parametrize("text", SHAPES)
def test_what_makes_a_secret_one_may_have_been_said_before(text: str) -> None:
    whole = REDACTOR.text(text)[0]
    assert whole != text
    for first in range(1, len(text)):
        assert streamed([text[:first], text[first:]]) == whole, first
    assert streamed(list(text)) == whole


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.sampled_from([*SHAPES, KNOWN, SECRETS[3], "a word ", "\n", "https://x.example/", "ü", "-----", "sk-"])),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
)
def test_streamed_is_the_same_as_at_once(parts: list[str], sizes: list[int]) -> None:
    text = " ".join(parts)
    assert streamed(cut(text, sizes)) == REDACTOR.text(text)[0]


def test_live_text_stays_live() -> None:
    """Of ordinary prose and code all but the last word has been given, and mostly that too."""
    texts = [path.read_text(encoding="utf-8")[:6_000] for path in (_source("argparse"), _source("textwrap"))]
    held_bytes: list[int] = []
    for text in texts:
        stream = StreamRedactor(REDACTOR)
        given_characters = seen = 0
        for piece in cut(text, [4, 7, 2, 11]):
            seen += len(piece)
            given_characters += len(stream.feed(piece))
            held_bytes.append(seen - given_characters)
        assert streamed(cut(text, [5])) == text
    assert max(held_bytes) <= 100
    assert sum(held_bytes) / len(held_bytes) < 4


def _source(name: str) -> Path:
    return Path(sysconfig.get_paths()["stdlib"]) / f"{name}.py"


def test_what_is_held_is_bounded() -> None:
    stream = StreamRedactor(REDACTOR)
    given_characters = 0
    for number in range(800):
        given_characters += len(
            stream.feed("-----BEGIN PRIVATE KEY-----\n" if not number else "MIIEabcdefghijklmno 1.\n")
        )
        assert 28 + 23 * number - given_characters <= MOST_HELD_BYTES + 64
    assert given_characters > 0


def test_events_hold_no_secret_that_comes_in_pieces() -> None:
    """A secret over three pieces of text; what is held comes before the next event, and kinds do not mix."""
    key = SECRETS[3]
    seen: list[dict[str, object]] = []
    events = RunEvents(seen.append, run="R", agent="single", provider="groq", redactor=REDACTOR)
    for piece in ("The key ", key[:9], key[9:20], key[20:], " is bad"):
        events.say(piece, kind="text")
    events.say("thinking of g", kind="reasoning")
    events.say("done", kind="text")
    events.emit("turn.finished", text=f"x {key}")
    said = [(event["text"], event["kind"]) for event in seen if event["type"] == "text.delta"]
    assert "".join(str(text) for text, kind in said if kind == "text") == f"The key {REDACTOR.text(key)[0]} is baddone"
    assert [text for text, kind in said if kind == "reasoning"] == ["thinking of ", "g"]
    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))
    assert seen[-1]["type"] == "turn.finished"
    assert key not in str(seen)
