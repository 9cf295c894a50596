"""Mistral's chat wire: Chat Completions with rules of its own for ids, for the order of messages and for fields.

Reading and building are those of `openai_chat`; here is only what differs. What that is: docs/wires.md.

Source: https://docs.mistral.ai/api/endpoint/chat
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from equitrcoder.errors import ProviderError
from equitrcoder.wires.documents import is_stream
from equitrcoder.wires.openai_chat import ChatDialect, error
from equitrcoder.wires.openai_chat import read_response as read_chat_response
from equitrcoder.wires.openai_chat.requests import message_forms, request_with
from equitrcoder.wires.openai_chat.stream import ChatStreamReader
from equitrcoder.wires.values import Conversation, Delta, Message, RequestOptions, ToolSpec, Turn, WireRequest

__all__ = ["DIALECT", "MistralStreamReader", "error", "read_response", "request", "stream_reader"]

DIALECT = ChatDialect(id_format="nine_alnum", stream_usage=False, echo_unknown=False, cache_key=True)
"""`max_tokens`, ids of nine letters and digits, no `stream_options` (usage comes anyway), no fields unknown to it."""

NO_ID = "null"
"""What stands for a missing id: the official SDK's own default."""

AFTER_RESULTS = "I have read the results."
"""Said for the model between tool results and words of the user, which are refused directly after them."""

_FOREIGN_FIELDS = frozenset({"reasoning_content", "reasoning", "reasoning_details", "refusal"})


def request(
    conversation: Conversation,
    tools: Sequence[ToolSpec],
    options: RequestOptions,
    dialect: ChatDialect | None = None,
    *,
    origin: str,
) -> WireRequest:
    """Build the request; see `equitrcoder.wires.values.Wire.request`. Without a dialect it is `DIALECT`.

    Example:
        >>> from equitrcoder.wires.values import UserMessage
        >>> hello = Conversation(system="", messages=[UserMessage(text="Hi")])
        >>> request(hello, [], RequestOptions(model="m", output_limit_tokens=9), origin="mistral").body["max_tokens"]
        9
    """
    chosen = dialect or DIALECT
    owner = ("mistral", chosen, origin)
    forms = conversation.forms.of(owner, conversation.messages, lambda: _Accepted(chosen, origin).forms)
    return request_with(forms, conversation, tools, options, chosen)


class _Accepted:
    """Messages as this host takes them: in an order it accepts, and with no field that it does not know."""

    def __init__(self, dialect: ChatDialect, origin: str) -> None:
        self._dialect = dialect
        self._origin = origin
        self._role = ""

    def forms(self, message: Message) -> list[dict[str, Any]]:
        return [form for each in message_forms(message, self._dialect, self._origin) for form in self._accepted(each)]

    def _accepted(self, message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if message["role"] == "assistant" and not (message.get("content") or message.get("tool_calls")):
            return  # "must have either content or tool_calls": an empty answer is refused
        if message["role"] == "user" and self._role == "tool":
            yield {"role": "assistant", "content": AFTER_RESULTS}
        self._role = message["role"]
        yield {key: value for key, value in message.items() if key not in _FOREIGN_FIELDS}


def read_response(body: bytes, *, status: int = 200) -> Turn:
    """Read one complete answer; see `openai_chat.read_response`. A call whose id is `"null"` has none.

    Raises:
        ProviderError: The body is no answer of this wire (BadResponseError), or it is an error, also one inside a 200.
    """
    if status < 400 and is_stream(body):  # a stream that nobody asked for
        reader = stream_reader()
        reader.feed(body)
        return reader.finish()
    try:
        return _without_null_ids(read_chat_response(body, status=status))
    except ProviderError as problem:
        _clean_partial(problem)
        raise


def stream_reader() -> MistralStreamReader:
    """A reader for one streamed answer."""
    return MistralStreamReader()


class MistralStreamReader(ChatStreamReader):
    r"""Reads a stream as Chat Completions are read; several calls under the id `"null"` stay several.

    Example:
        >>> reader = stream_reader()
        >>> call = b'{"id":"null","function":{"name":"f","arguments":"{}"}}'
        >>> _ = reader.feed(b'data: {"choices":[{"delta":{"tool_calls":[%s]},"finish_reason":"stop"}]}\n\n' % call)
        >>> [(call.name, call.id) for call in reader.finish().calls]
        [('f', None)]
    """

    def _take_choice(self, choice: dict[str, Any], shown: list[Delta]) -> None:
        delta = choice.get("delta")
        calls = delta.get("tool_calls") if isinstance(delta, dict) else None
        if isinstance(calls, list):
            for call in calls:
                if isinstance(call, dict) and call.get("id") == NO_ID:
                    call["id"] = None
        super()._take_choice(choice, shown)

    def partial(self) -> Turn:
        """What has been read so far, finished or not. Never raises."""
        return _without_null_ids(super().partial())

    def finish(self) -> Turn:
        """The whole answer; see `ChatStreamReader.finish`."""
        try:
            return _without_null_ids(super().finish())
        except ProviderError as problem:
            _clean_partial(problem)
            raise


def _without_null_ids(turn: Turn) -> Turn:
    if NO_ID not in [call.id for call in turn.calls]:
        return turn
    return replace(turn, calls=tuple(replace(call, id=None) if call.id == NO_ID else call for call in turn.calls))


def _clean_partial(problem: ProviderError) -> None:
    if problem.partial is not None:
        problem.partial = _without_null_ids(problem.partial)
