"""What a scripted model is to say, and how its answers are to go wrong: plain data, no wire and no I/O."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from equitrcoder.records import JSON
from equitrcoder.wires.values import Usage


class Auto(enum.Enum):
    """The type of `AUTO`, which stands for "as a well-behaved provider would do it"."""

    AUTO = "auto"

    def __repr__(self) -> str:
        return "AUTO"


AUTO = Auto.AUTO


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call in an answer.

    Example:
        >>> Call("read_file", {"file_path": "a.py"}).id
        AUTO
    """

    name: str
    arguments: Mapping[str, JSON] | str | None = field(default_factory=dict)
    """An object is written as JSON text; a string goes out as it stands (`''`, `'{"a":'`, …); None goes out as null."""
    id: str | Auto | None = AUTO
    """AUTO: one of its own. None: the field is missing. Any text, also `""` or another call's: as given."""
    index: int | Auto | None = AUTO
    """In streams. AUTO: the place in the answer. None: the field is missing. A number: as given, also one twice."""
    deltas: int = 2
    """In streams: how many pieces the arguments come in, after a piece with the name; 0: everything in one piece."""
    repeat_name: bool = False
    """In streams: every piece repeats id and name, as some hosts do."""


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """One call in an answer that the provider ran itself, written as the wire writes such calls (docs/testing.md).

    Example:
        >>> ProviderCall("web_search", {"query": "ulid"}, result="26 characters").deltas
        2
    """

    name: str
    """`web_search` and `code_execution` are the provider's own tools, whatever its wire calls them; any other name is a
    tool of an MCP server (Messages, Responses), or a type of tool as the wire names it (Gemini, Groq)."""
    arguments: Mapping[str, JSON] = field(default_factory=dict)
    """`{"query": …}` of a search, `{"code": …}` of code."""
    result: str | None = ""
    """What came of it; None: nothing yet (see `Answer.late`)."""
    error: str | None = None
    """How it failed, in place of a result."""
    id: str | Auto | None = AUTO
    awaits_approval: bool = False
    """On the Responses wire: it did not run, because it waits for an approval (`mcp_approval_request`)."""
    deltas: int = 2
    """In streams: how many pieces the arguments come in, where the wire cuts them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer of the scripted model.

    Example:
        >>> Answer(text="Done.").calls
        ()
    """

    text: str | None = None
    """None: null without streaming, no text piece with it."""
    calls: Sequence[Call | ProviderCall] = ()
    late: Sequence[ProviderCall] = ()
    """Calls of an earlier answer whose results come now, before anything else; their ids are given."""
    usage: Usage | Mapping[str, Any] | Auto | None = AUTO
    """AUTO: estimated from the lengths (a token for four bytes). A mapping: the wire's own object. None: not told."""
    reasoning: str = ""
    finish: str | Auto | None = AUTO
    """AUTO: what fits the calls. A text: as given. None: null, also at the end."""
    model: str | None = None
    """Model that claims to have answered; None: the one asked for."""
    text_deltas: int = 3
    """In streams: how many pieces the text comes in."""
    usage_in_stream: Literal["asked", "always", "with_finish"] = "asked"
    """Where usage comes in a stream: in a last chunk when asked for or always, or always in the chunk of the finish."""
    reasoning_field: str = "reasoning_content"
    """Some hosts say `reasoning`."""
    extra: Mapping[str, JSON] = field(default_factory=dict)
    """Further fields of the message (in streams: of the first piece)."""

    @property
    def client_calls(self) -> list[Call]:
        """The calls that are not the provider's own."""
        return [call for call in self.calls if isinstance(call, Call)]

    @property
    def provider_calls(self) -> list[ProviderCall]:
        """The calls that the provider ran itself."""
        return [call for call in self.calls if isinstance(call, ProviderCall)]

    def refuse_provider_calls(self, wire: str) -> None:
        """Say that a wire has none.

        Raises:
            ValueError: The answer has some, or results that come late.
        """
        if self.provider_calls or self.late:
            raise ValueError(f"the {wire} wire has no calls that the provider runs itself")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An answer gone wrong. Orders can be combined; without any, `answer` goes out unharmed.

    Counts of events and bytes are of the answer's body (streams: before chunking); an answer that is not streamed is
    one event.

    Example:
        >>> too_fast = Fault(status=429, headers={"retry-after": "2"}, body={"error": {"message": "slow down"}})
        >>> broken = Fault(answer=Answer(text="half of this"), close_after_events=2)
    """

    answer: Answer = Answer(text="ok")
    """What is spoilt."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = None
    """Instead of the right one."""
    body: bytes | str | Mapping[str, JSON] | list[JSON] | None = None
    """Sent whole, unchunked, instead of the answer; mappings and lists as JSON, texts as `text/html` with a leading
    `<` and as JSON otherwise (unless `content_type` says something else)."""
    delay_s: float = 0.0
    """Silence before the first byte."""
    close_before_answer: bool = False
    """The connection ends without a byte."""
    close_after_events: int | None = None
    close_after_bytes: int | None = None
    reset: bool = False
    """A close is a TCP reset instead of an orderly end."""
    stall_before_answer: bool = False
    """Silence, connection open, until `release()` or the end of the server; then the answer."""
    stall_after_events: int | None = None
    stall_after_bytes: int | None = None
    drop_finish: bool = False
    """The answer ends in good order but without its finish (and usage, and end mark)."""
    drop_done: bool = False
    """A stream ends after its finish without its end mark (`[DONE]`)."""
    error: Mapping[str, JSON] | None = None
    """An error object in the wire's form. Inside a 200: the body, or in a stream an event after `insert_after_events`,
    which ends it. With another `status`: the body."""
    insert: bytes | str | None = None
    """Bytes put into a stream as they stand, after `insert_after_events` events: garbage, comments, unknown events."""
    insert_after_events: int = 0
    drip_bytes: int | None = None
    """Body in pieces of so many bytes, `drip_pause_s` apart."""
    drip_pause_s: float = 0.001


@dataclass(slots=True, kw_only=True, eq=False)
class ReceivedRequest:
    """One request as the scripted provider received it."""

    number: int
    """From 1, in the order of arrival."""
    method: str
    path: str
    """With its query, if any."""
    headers: dict[str, str]
    """Names in lower case; of repeated ones the last."""
    body: bytes
    json: Any
    """The body read as JSON; None when it was none."""
    received_at: float
    """`time.monotonic()` when the last byte had come."""
    answered_at: float | None = None
    """`time.monotonic()` when the last bytes of the answer were sent; None before, and when it was broken off."""
    hung_up_at: float | None = None
    """`time.monotonic()` when it was seen that the other side had gone in mid-answer; None when it has not."""

    @property
    def streaming(self) -> bool:
        """Whether the request asks for a stream."""
        if self.path.partition("?")[0].endswith(":streamGenerateContent"):  # Gemini says it in the path
            return True
        return isinstance(self.json, dict) and self.json.get("stream") is True

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation that was sent; empty when there is none."""
        body = self.json if isinstance(self.json, dict) else {}
        messages = body.get("messages", body.get("contents"))  # Gemini: contents
        if messages is None and isinstance(body.get("input"), list):  # Responses
            from equitrcoder.testing.openai_responses import chat_messages  # it needs what is defined here

            return chat_messages(body["input"])
        return [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []

    @property
    def turn(self) -> int:
        """How many answers of the model the conversation holds: 0 for the first request of a run."""
        return sum(message.get("role") in ("assistant", "model") for message in self.messages)

    @property
    def tool_results(self) -> list[str]:
        """Texts of the tool results that answer the newest calls, in order; empty when the newest message is none."""
        texts: list[str] = []
        newest = self.messages[-1].get("content") if self.messages else None
        if isinstance(newest, list):  # Messages: results are blocks of a message of the user
            results = [block for block in newest if isinstance(block, dict) and block.get("type") == "tool_result"]
            if results:
                return [plain_text(block.get("content")) for block in results]
        parts = self.messages[-1].get("parts") if self.messages else None
        if isinstance(parts, list):  # Gemini: results are parts of a content of the user
            responses = [part.get("functionResponse") for part in parts if isinstance(part, dict)]
            told = [each.get("response") or {} for each in responses if isinstance(each, dict)]
            return [str(each.get("output", each.get("error", ""))) for each in told]
        for message in reversed(self.messages):
            if message.get("role") != "tool":
                break
            texts.append(plain_text(message.get("content")))
        return texts[::-1]


def plain_text(content: Any) -> str:
    """The text of a message's content, given as text or as a list of parts.

    Example:
        >>> plain_text([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])
        'ab'
    """
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


Reply: TypeAlias = Answer | Fault
ScriptFunction: TypeAlias = Callable[[ReceivedRequest], Reply]
Script: TypeAlias = Sequence[Reply] | ScriptFunction
"""Replies used up in the order of arrival, or a function that looks at the request."""


class ScriptExhausted(LookupError):
    """There is no reply left for a request."""


def by_turn(replies: Sequence[Reply]) -> ScriptFunction:
    """A script that answers by the place in the conversation, so that a request sent again gets the same answer.

    Good for runs that are killed and resumed, and for many runs at a time on one server.

    Example:
        >>> script = by_turn([Answer(calls=[Call("git_status")]), Answer(text="Nothing to do.")])
    """

    def reply(request: ReceivedRequest) -> Reply:
        if request.turn >= len(replies):
            raise ScriptExhausted(f"the script has {len(replies)} replies, but this is turn {request.turn + 1}")
        return replies[request.turn]

    return reply


def repeated(replies: Sequence[Reply]) -> ScriptFunction:
    """A script that starts over when it is used up. Called for one request at a time, as the server does."""
    served = 0

    def reply(_request: ReceivedRequest) -> Reply:
        nonlocal served
        served += 1
        return replies[(served - 1) % len(replies)]

    return reply


def in_order(replies: Sequence[Reply]) -> ScriptFunction:
    """A script that gives each reply once, in the order in which requests arrive."""
    waiting = iter(replies)
    served = 0

    def reply(_request: ReceivedRequest) -> Reply:
        nonlocal served
        for found in waiting:
            served += 1
            return found
        raise ScriptExhausted(f"the script is used up: all {served} replies were given")

    return reply
