"""Looking at a conversation, and making one fit to go on."""

from __future__ import annotations

from collections.abc import Sequence

from equitrcoder.ledger.encoding import text_bytes
from equitrcoder.wires.values import AssistantMessage, Conversation, ResultForModel, ToolResults, ToolSpec


def mend(conversation: Conversation) -> tuple[ResultForModel, ...]:
    """Answer the calls of a run that was stopped in the middle: a provider refuses calls without results.

    Returns:
        The results that were added; empty where none were missing.
    """
    messages = conversation.messages
    if messages and isinstance(messages[-1], AssistantMessage) and messages[-1].calls:
        results = tuple(
            ResultForModel(wire_id=call.wire_id, name=call.name, text="The run was stopped.", is_error=True)
            for call in messages[-1].calls
        )
        messages.append(ToolResults(results=results))
        return results
    return ()


def size_bytes(conversation: Conversation, tools: Sequence[ToolSpec]) -> int:
    """About how large a request with this conversation and these tools is, in bytes of UTF-8."""
    size = len(text_bytes(conversation.system))
    size += sum(len(text_bytes(spec.description)) + len(text_bytes(str(spec.parameters))) for spec in tools)
    return size + sum(len(text_bytes(str(message))) for message in conversation.messages)
