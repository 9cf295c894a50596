"""What one host of Chat Completions does its own way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from equitrcoder.records import JSON
from equitrcoder.wires.effort import WORDS


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatDialect:
    """A row's departures from Chat Completions; the defaults are what most compatible hosts take.

    Source: design/providers.md section 3, and the page that each row of the registry names.
    """

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """Where the output limit goes. OpenAI's reasoning models refuse `max_tokens`; several hosts know only that."""
    parallel_calls: bool = True
    """Whether `parallel_tool_calls` may be sent at all (it is sent only beside tools)."""
    parallel_default: bool = True
    """What the host does without `parallel_tool_calls`; that is sent only to ask for the other. llama.cpp: False."""
    stream_usage: bool = True
    """Whether `stream_options.include_usage` may be sent; without it most hosts tell no tokens in a stream."""
    reasoning_echo: Literal["none", "same_field", "required_with_calls"] = "same_field"
    """What goes back of an answer's reasoning: nothing; the fields that it came in; or (DeepSeek) `reasoning_field` in
    every assistant message with calls, an empty string where there was none, and in no other message."""
    reasoning_field: str = "reasoning_content"
    """The field of `required_with_calls`."""
    reasoning_effort: bool = True
    """Whether `reasoning_effort` may be sent."""
    efforts: tuple[str, ...] = WORDS
    """The words that the host takes there; others become the nearest of them."""
    effort_in_tokens: bool = False
    """Whether `reasoning_effort` may be a number: a budget in tokens (Fireworks)."""
    no_reasoning: Mapping[str, JSON] = field(default_factory=dict)
    """Sent in its place for the effort `none`, by hosts that turn thinking off elsewhere. Empty: the word is sent."""
    cache_key: bool = False
    """Whether `prompt_cache_key` may be sent: the same for all requests of one conversation."""
    echo_unknown: bool = True
    """Whether fields of an answer that this wire does not know go back (thought signatures of gateways live there).
    False for hosts that refuse unknown fields (Groq)."""
    null_content: bool = True
    """Whether a message with calls and no text has `content: null`; False: `""`."""
    id_format: Literal["any", "nine_alnum"] = "any"
    """Call ids the host takes. `nine_alnum` (templates of Mistral models): others are mapped, the same id always to the
    same nine letters and digits."""
    extra_body: Mapping[str, JSON] = field(default_factory=dict)
    """Put into the body as it stands; wins over what the wire would send."""
