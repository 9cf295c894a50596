"""Reads the tokens of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equitrcoder.wires.arguments import count_of
from equitrcoder.wires.values import Usage

_OTHER_SPELLINGS = frozenset(
    {"input_tokens", "output_tokens", "reasoning_tokens", "prompt_cache_hit_tokens", "cached_tokens"}
    | {"num_cached_tokens", "cache_read_input_tokens", "cache_write_tokens", "cache_creation_input_tokens"}
)
"""Of counts that OpenAI names otherwise, or keeps in the details."""


def read_usage(usage: Mapping[str, Any] | None) -> Usage:
    """Read the tokens of an answer in any of the spellings that hosts use.

    Hosts that count reasoning beside the output instead of in it (xAI) show it in their own total; it is added then.
    So are cached tokens beside the input (Grok on Azure) when there are more of them than of input.

    Example:
        >>> read_usage({"prompt_tokens": 90, "completion_tokens": 7, "prompt_cache_hit_tokens": 64}).cached_read_tokens
        64

    Source: design/providers.md sections 1.2 and 2.
    """
    if not isinstance(usage, dict):
        return Usage()
    inputs, outputs = count_of(usage.get("prompt_tokens")), count_of(usage.get("completion_tokens"))
    cached = written = reasoning = None
    if not _OTHER_SPELLINGS.isdisjoint(usage):
        inputs = _first(usage, "input_tokens") if inputs is None else inputs
        outputs = _first(usage, "output_tokens") if outputs is None else outputs
        cached = _first(
            usage, "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens", "cache_read_input_tokens"
        )
        written = _first(usage, "cache_write_tokens", "cache_creation_input_tokens")
        reasoning = _first(usage, "reasoning_tokens")
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    if details and isinstance(details, dict):
        cached = _first(details, "cached_tokens", otherwise=cached)
        written = _first(details, "cache_write_tokens", "cache_creation_tokens", otherwise=written)
    details = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    if details and isinstance(details, dict):
        reasoning = _first(details, "reasoning_tokens", otherwise=reasoning)
    if reasoning and None not in (inputs, outputs):
        outputs = _with_reasoning(inputs or 0, outputs or 0, reasoning, _first(usage, "total_tokens"))
    if cached and inputs is not None and cached > inputs:
        inputs += cached
    return Usage(
        input_tokens=inputs,
        cached_read_tokens=cached,
        cache_write_tokens=written,
        output_tokens=outputs,
        reasoning_tokens=reasoning,
    )


def _with_reasoning(inputs: int, outputs: int, reasoning: int, total: int | None) -> int:
    return outputs + reasoning if total == inputs + outputs + reasoning else outputs


def _first(numbers: Mapping[str, Any], *names: str, otherwise: int | None = None) -> int | None:
    for name in names:
        if name in numbers:
            count = count_of(numbers[name])
            if count is not None:
                return count
    return otherwise
