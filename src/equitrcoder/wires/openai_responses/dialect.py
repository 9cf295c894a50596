"""What one host of the Responses wire does its own way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from equitrcoder.records import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesDialect:
    """A row's departures from Responses; the defaults are OpenAI's own.

    Source: design/providers.md sections 1.1 and 2, and the page that each row of the registry names.
    """

    path: str = "/responses"
    """Where requests go, after the base URL. Perplexity: `/agent`."""
    encrypted_reasoning: bool = True
    """Whether `include: ["reasoning.encrypted_content"]` may be sent. It is left out for models without reasoning."""
    parallel_calls: bool = True
    """Whether `parallel_tool_calls` may be sent (it is sent only beside tools, and only to ask for one at a time)."""
    cache_key: bool = True
    """Whether `prompt_cache_key` may be sent: the same for all requests of one conversation."""
    reasoning_effort: bool = True
    """Whether `reasoning.effort` may be sent."""
    reasoning_echo: Literal["encrypted", "all", "none"] = "encrypted"
    """Which reasoning items go back: those with their encrypted content, which alone mean something to a host that
    stores nothing; all of them (hosts that give the text itself: DeepSeek, vLLM); or none."""
    echo_items: Literal["all", "messages_and_calls"] = "all"
    """Which other output items go back. Perplexity takes messages and function calls only."""
    result_names: bool = False
    """Whether a result says the name of its tool too."""
    extra_body: Mapping[str, JSON] = field(default_factory=dict)
    """Put into the body as it stands; wins over what the wire would send."""
