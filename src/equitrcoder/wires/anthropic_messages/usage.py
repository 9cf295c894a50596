"""Reads the tokens of an answer."""

from __future__ import annotations

from typing import Any

from equitrcoder.wires.arguments import count_of
from equitrcoder.wires.values import Usage


def read_usage(usage: Any) -> Usage:
    """Read the tokens of an answer.

    The wire counts cached tokens beside the input; ours holds them.

    Example:
        >>> read_usage({"input_tokens": 3, "cache_read_input_tokens": 90, "output_tokens": 7}).input_tokens
        93

    Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching#tracking-cache-performance
    """
    if not isinstance(usage, dict):
        return Usage()
    fresh = count_of(usage.get("input_tokens"))
    read = count_of(usage.get("cache_read_input_tokens"))
    written = count_of(usage.get("cache_creation_input_tokens"))
    details = usage.get("output_tokens_details")
    return Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        cached_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=count_of(usage.get("output_tokens")),
        reasoning_tokens=count_of(details.get("thinking_tokens")) if isinstance(details, dict) else None,
    )
