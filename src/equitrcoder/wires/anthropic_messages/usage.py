"""Reads the tokens of an answer."""

from __future__ import annotations

import math
from typing import Any

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
    fresh = _count(usage.get("input_tokens"))
    read = _count(usage.get("cache_read_input_tokens"))
    written = _count(usage.get("cache_creation_input_tokens"))
    details = usage.get("output_tokens_details")
    return Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        cached_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=_count(usage.get("output_tokens")),
        reasoning_tokens=_count(details.get("thinking_tokens")) if isinstance(details, dict) else None,
    )


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if 0 <= value < 2**53 else None
