"""Reads the tokens of an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from equitrcoder.wires.arguments import count_of
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
    told: Callable[[str], Any] = usage.get if "promptTokenCount" in usage else partial(pick, usage)
    thoughts = _count(told("thoughtsTokenCount"))
    return Usage(
        input_tokens=_sum(_count(told("promptTokenCount")), _count(told("toolUsePromptTokenCount"))),
        cached_read_tokens=_count(told("cachedContentTokenCount")),
        output_tokens=_sum(_count(told("candidatesTokenCount")), thoughts),
        reasoning_tokens=thoughts,
    )


def _sum(one: int | None, other: int | None) -> int | None:
    return other if one is None else one + (other or 0)


def _count(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:  # 64-bit numbers are text
        value = int(value)
    return count_of(value)
