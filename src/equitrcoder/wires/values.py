"""What passes between a wire and everything above it: answers read, and conversations to send.

A wire turns bytes into a `Turn` and a `Conversation` into a `WireRequest`. Nothing here does I/O or knows a provider's
name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar, dataclass_transform

from equitrcoder.errors import ProviderError
from equitrcoder.records import JSON
from equitrcoder.wires.forms import Forms

CallKind: TypeAlias = Literal["client", "provider-executed"]

Pending: TypeAlias = Literal["result", "approval"]
"""What a call of the provider's still waits for: its result, in a later answer, or an approval of ours."""

StopKind: TypeAlias = Literal["end", "calls", "length", "filtered", "refusal", "paused", "unknown"]
"""Why an answer ended, in one vocabulary for all wires. Calls in the answer decide before any finish word does."""

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def value(made: type[T]) -> type[T]:
    """A dataclass that nobody changes: the type checker sees to that. Frozen at run time, it would take three times as
    long to make, and every answer is made of some."""
    return dataclass(slots=True, kw_only=True, unsafe_hash=True)(made)


@value
class WireCall:
    """One tool call as it stood in a provider's answer."""

    name: str
    """As on the wire; empty when the wire gave none."""
    arguments: dict[str, JSON] | str | None
    """The object; or the raw text when it was no JSON object; or None when it was null or absent."""
    id: str | None
    """As on the wire, also when empty; None when there was none."""
    kind: CallKind = "client"
    index: int
    """Place among the calls of this answer, from 0."""
    result: JSON = None
    """What the provider reported for a call it ran itself; None when it reported nothing or the call is ours to run."""
    error: str | None = None
    """The provider's error for a call it ran itself."""
    pending: Pending | None = None
    """What a call of the provider's waits for; None: nothing, and for every call that is ours to run."""


@value
class LateResult:
    """What came of a call that an earlier answer of the provider's left open."""

    id: str | None
    """The call's id; None where the wire gave none: then it is the last open call without one."""
    result: JSON = None
    error: str | None = None


@value
class Usage:
    """Tokens of one answer; None where the provider did not say."""

    input_tokens: int | None = None
    """Cached ones included."""
    cached_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    """Reasoning included."""
    reasoning_tokens: int | None = None
    billed_nanousd: int | None = field(default=None, repr=False)
    """What the provider itself says that the answer costs, in nano-dollars."""


@value
class Turn:
    """One answer of a model, read."""

    text: str = ""
    reasoning: str = ""
    refusal: str | None = None
    calls: tuple[WireCall, ...] = ()
    """In the order of the answer, those that the provider ran itself included."""
    late_results: tuple[LateResult, ...] = ()
    """Of calls of earlier answers, in the order in which they came."""
    usage: Usage = Usage()
    finish: str | None = None
    """The provider's own word."""
    stop: StopKind = "unknown"
    model_answered: str | None = None
    response_id: str | None = None
    native: dict[str, Any] = field(default_factory=dict)
    """The provider's own message, verbatim, for the next request; never edited in place."""
    further: tuple[dict[str, Any], ...] = ()
    """Messages of further choices, where there are any. They do not go back; they are kept as their calls count."""


class Delta(NamedTuple):  # there are thousands in an answer: a tuple is made four times as fast as a dataclass
    """A piece of text while it streams."""

    text: str
    kind: Literal["text", "reasoning"] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool as the model is told about it."""

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON Schema of the arguments: an object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMessage:
    """Words of the user (or of the harness on the user's side)."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoedCall:
    """A call in an assistant message as it goes back to a provider."""

    wire_id: str
    """The provider's id, or one we made where that was missing or repeated; its result carries the same."""
    name: str
    arguments: dict[str, JSON] | None
    """None when it was no JSON object: such a call is echoed with `{}`."""
    index: int
    """`WireCall.index`: which call of the native message this is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantMessage:
    """A model's answer as a pair: `native` for the row it came from, the rest for any other."""

    text: str
    calls: tuple[EchoedCall, ...] = ()
    """The calls that we answer, in order: those that we run, and those for which the provider asks our approval. Those
    that the provider ran stand in `native` only."""
    native: dict[str, Any] | None = None
    origin: str = ""
    """Name of the provider row that `native` came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultForModel:
    """The result of one call, as the model is told."""

    wire_id: str
    name: str
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResults:
    """The results of all calls of the assistant message before it, in the order of the calls."""

    results: tuple[ResultForModel, ...]


Message: TypeAlias = UserMessage | AssistantMessage | ToolResults


@dataclass(slots=True, kw_only=True)
class Conversation:
    """What a model is told: append-only, so that a session's prefix never changes."""

    system: str
    messages: list[Message] = field(default_factory=list)
    forms: Forms = field(default_factory=Forms, init=False, repr=False, compare=False)
    """What a wire made of the messages so far; no concern of anybody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOptions:
    """How to ask."""

    model: str
    stream: bool = True
    output_limit_tokens: int | None = None
    reasoning_effort: str | None = None
    parallel_calls: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    """One HTTP request, but for the base URL and the key."""

    path: str
    """Appended to the base URL; starts with a slash."""
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


class StreamReader(Protocol):
    """Reads one streamed answer, piece by piece."""

    def feed(self, data: bytes) -> Sequence[Delta]:
        """Take the next bytes, cut anywhere; return the text that they completed.

        Raises:
            ProviderError: The stream carries an error, or is none of this wire.
        """
        ...

    @property
    def finished(self) -> bool:
        """Whether the wire's own end has been read; after it a closed connection is no fault."""
        ...

    def partial(self) -> Turn:
        """What has been read so far, finished or not. Never raises."""
        ...

    def finish(self) -> Turn:
        """The whole answer, once the bytes have ended.

        Raises:
            StreamBrokenError: The stream ended without its finish; `partial` has what was read.
            BadResponseError: It was no answer of this wire.
        """
        ...


class Wire(Protocol):
    """The functions that a wire module offers. All are pure."""

    def request(
        self,
        conversation: Conversation,
        tools: Sequence[ToolSpec],
        options: RequestOptions,
        dialect: Any,
        *,
        origin: str,
    ) -> WireRequest:
        """Build the request.

        `origin` is the row's name: native messages of that row are echoed, others are rebuilt from their plain side.
        """
        ...

    def read_response(self, body: bytes, *, status: int = 200) -> Turn:
        """Read one complete answer. Raises ProviderError."""
        ...

    def stream_reader(self) -> StreamReader:
        """A reader for one streamed answer."""
        ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Turn an HTTP error answer into a typed error, with `retryable` and `retry_after_s` set."""
        ...
