"""What one host of the Messages wire does its own way, and what its models take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from equitrcoder.records import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesDialect:
    """A row's departures from the Messages wire; the defaults are Anthropic's own.

    Source: design/providers.md sections 1.3 and 2.
    """

    version: str = "2023-06-01"
    """The `anthropic-version` header; without it Anthropic refuses a request. `""`: none is sent."""
    cache: bool = True
    """Whether `cache_control` marks the parts of a request that the next one repeats."""
    parallel_calls: bool = True
    """Whether `tool_choice` with `disable_parallel_tool_use` may be sent, to ask for one call at a time."""
    reasoning_effort: bool = True
    """Whether `output_config.effort` and `thinking` may be sent."""
    output_limit: int = 0
    """`max_tokens` where nothing else limits an answer; 0: by the model."""
    extra_body: Mapping[str, JSON] = field(default_factory=dict)
    """Put into the body as it stands; wins over what the wire would send."""


class ModelTraits(NamedTuple):
    """What a model takes, as far as its name tells."""

    most_tokens: int | None
    """The largest `max_tokens`; None when not known."""
    thinking: Literal["unsaid", "adaptive", "budget", "none"]
    """How thinking is asked for beside an effort: not at all, `adaptive`, with `budget_tokens`, or it has none."""
    least: Literal["disabled", "between_tools", "low"]
    """The least thinking it takes: none, between tools only, or some at low effort."""


_OTHER = ModelTraits(None, "unsaid", "disabled")
_FAMILIES = frozenset({"opus", "sonnet", "haiku", "fable", "mythos"})


def model_traits(model: str) -> ModelTraits:
    """Say what a model takes; for a name that is none of Anthropic's, what hosts of this wire take in general.

    Example:
        >>> model_traits("claude-opus-5-5").least, model_traits("claude-haiku-4-5-20251001").most_tokens
        ('low', 64000)
        >>> model_traits("claude-3-haiku-20240307").most_tokens, model_traits("glm-5.3").most_tokens
        (4096, None)

    Source: design/providers.md sections 1.3 and 2, https://platform.claude.com/docs/en/about-claude/models/overview
    """
    words = model.rpartition("/")[2].lower().replace(".", "-").split("-")
    family = next((word for word in words if word in _FAMILIES), None)
    if "claude" not in words or family is None:
        return _OTHER
    version = tuple(int(word) for word in words if word.isascii() and word.isdigit() and len(word) <= 2)[:2]
    if not version:
        return _OTHER
    return _traits(family, version)


def _traits(family: str, version: tuple[int, ...]) -> ModelTraits:
    if family in ("fable", "mythos") or (version >= (5, 5) and family == "opus"):  # they always think
        return ModelTraits(128_000, "unsaid", "low")
    if version >= (5, 5):
        return ModelTraits(128_000, "unsaid", "between_tools" if family == "sonnet" else "disabled")
    if version >= (4, 6):
        return ModelTraits(128_000, "adaptive", "disabled")
    if version >= (4,):
        most = 32_000 if family == "opus" and version < (4, 5) else 64_000
        return ModelTraits(most, "budget", "disabled")
    if version == (3, 7):
        return ModelTraits(64_000, "budget", "disabled")
    return ModelTraits(8192 if version >= (3, 5) else 4096, "none", "disabled")
