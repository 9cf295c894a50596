"""Reads the tokens of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equitrcoder.wires.gemini_generate.fields import pick
from equitrcoder.wires.values import Usage


def read_usage(usage: Mapping[str, Any] | None) -> Usage:
    """Read `usageMetadata`. Thoughts are counted beside the candidates and belong to the output; what Google's own
    tools put before the model is counted beside the prompt and belongs to the input.

    Example:
        >>> read_usage({"promptTokenCount": 15, "candidatesTokenCount": 37, "thoughtsTokenCount": 742}).output_tokens
        779

    Source: https://ai.google.dev/api/generate-content#UsageMetadata
    """
    if not isinstance(usage, dict):
        return Usage()
    thoughts = _count(usage, "thoughtsTokenCount")
    return Usage(
        input_tokens=_sum(_count(usage, "promptTokenCount"), _count(usage, "toolUsePromptTokenCount")),
        cached_read_tokens=_count(usage, "cachedContentTokenCount"),
        output_tokens=_sum(_count(usage, "candidatesTokenCount"), thoughts),
        reasoning_tokens=thoughts,
    )


def _sum(*counts: int | None) -> int | None:
    told = [count for count in counts if count is not None]
    return sum(told) if told else None


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    value = pick(usage, name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:  # 64-bit numbers are text
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < 2**53 else None
