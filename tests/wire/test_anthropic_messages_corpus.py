"""Recorded answers of Messages go back letter for letter (what is recorded: tests/wire/recorded.py)."""

from __future__ import annotations

from typing import Any

from equitrcoder.wires.anthropic_messages import MessagesDialect
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    RequestOptions,
    Turn,
    UserMessage,
)
from tests.wire.messages_bodies import WIRE
from tests.wire.reading import client_calls
from tests.wire.recorded import expectations, needs_recordings, read

pytestmark = needs_recordings
NAME = "anthropic-messages"


def sent_after(turn: Turn, message: UserMessage) -> list[dict[str, Any]]:
    echoed = client_calls(turn, as_given=True)
    said = AssistantMessage(text=turn.text, calls=echoed, native=turn.native, origin="row")
    conversation = Conversation(system="", messages=[UserMessage(text="go on"), said, message])
    body = WIRE.request(conversation, [], RequestOptions(model="m"), MessagesDialect(cache=False), origin="row").body
    return list(body["messages"])


def test_every_recorded_answer_goes_back_block_by_block() -> None:
    """What the provider wrote, letter for letter: thinking and signatures, its own tools, blocks nobody knows."""
    checked = 0
    for which, told in expectations(NAME).items():
        if told["error"] or "malformed-arguments" in told["shape"]:
            continue
        turn = read(NAME, which)
        open_calls = [call for call in turn.calls if call.kind != "client" and call.result is None and not call.error]
        written = [block for block in turn.native["content"] if block["type"] != "text" or block["text"].strip()]
        sent = sent_after(turn, UserMessage(text="thanks"))
        if not written or open_calls:
            continue
        assert sent[1] == {"role": "assistant", "content": written}, which
        checked += 1
    assert checked > 350
