"""The tokens of every recorded answer: told wherever the provider told them, plausible, and those that others read."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest
from genai_prices import extract_usage

from equitrcoder.errors import ProviderError
from equitrcoder.wires.values import Usage
from tests.wire.recorded import body_of, expectations, is_stream, needs_recordings, read, status_of

pytestmark = needs_recordings

LEAST_TOLD = {
    "openai-chat": 900,
    "openai-responses": 400,
    "anthropic-messages": 400,
    "gemini-generate": 300,
    "mistral": 50,
    "ollama-chat": 9,
    "cohere-v2": 45,
}
ORACLE: dict[str, tuple[str, str, str, str]] = {
    # wire: genai-prices' provider and flavour, the field of the model, and a model that it knows
    "openai-chat": ("openai", "chat", "model", "gpt-4o"),
    "openai-responses": ("openai", "responses", "model", "gpt-4o"),
    "anthropic-messages": ("anthropic", "default", "model", "claude-opus-4-1"),
    "gemini-generate": ("google", "default", "modelVersion", "gemini-2.5-pro"),
    "mistral": ("mistral", "default", "model", "mistral-large-latest"),
    "cohere-v2": ("cohere", "default", "model", "command-r-plus"),
}


def answers(wire: str) -> dict[str, Usage]:
    found = {}
    for which in expectations(wire):
        if status_of(which) < 400:
            try:
                found[which] = read(wire, which).usage
            except ProviderError:
                continue
    return found


@pytest.mark.parametrize("wire", LEAST_TOLD)
def test_every_usage_that_was_told_is_read_and_plausible(wire: str) -> None:
    told = 0
    for which, usage in answers(wire).items():
        if usage.input_tokens is None or usage.output_tokens is None:
            assert usage == Usage(), which
            assert not re.search(r'"usage(Metadata)?"\s*:\s*\{\s*"', body_of(which).decode("utf-8", "replace")), which
            continue
        told += 1
        cached, written = usage.cached_read_tokens or 0, usage.cache_write_tokens or 0
        assert cached + written <= usage.input_tokens, (which, usage)
        gateway = which.startswith(("o_openrouter-", "o_vercel-"))  # some count more reasoning than output
        assert gateway or (usage.reasoning_tokens or 0) <= usage.output_tokens, (which, usage)
        assert usage.input_tokens < 10**7, which
        assert usage.output_tokens < 10**6, which
    assert told >= LEAST_TOLD[wire]


LEAST_COMPARED = {
    "openai-chat": 400,
    "openai-responses": 250,
    "anthropic-messages": 250,
    "gemini-generate": 200,
    "mistral": 30,
    "cohere-v2": 30,
}


def theirs(wire: str, body: Any) -> tuple[int | None, ...]:
    provider, flavour, field, model = ORACLE[wire]
    body = json.loads(
        re.sub(r'"(text|modality)": ?1\b', r'"\1": "TEXT"', json.dumps(body))
    )  # a client that sends numbers
    usage = extract_usage({**body, field: model}, provider_id=provider, api_flavor=flavour).usage
    return usage.input_tokens, usage.cache_read_tokens or 0, usage.cache_write_tokens or 0, usage.output_tokens


@pytest.mark.parametrize("wire", ORACLE)
def test_genai_prices_reads_the_same_tokens(wire: str) -> None:
    """But for what it does not read: Mistral's cached tokens, other hosts' reasoning beside the output, their names."""
    compared: Counter[bool] = Counter()
    different = []
    for which, usage in answers(wire).items():
        body = None if is_stream(which) else json.loads(body_of(which))
        if not isinstance(body, dict) or usage == Usage():
            continue
        ours = usage.input_tokens, usage.cached_read_tokens or 0, usage.cache_write_tokens or 0, usage.output_tokens
        if wire == "mistral":
            ours = usage.input_tokens, 0, 0, usage.output_tokens
        told = theirs(wire, body)
        compared[ours == told] += 1
        if ours != told:
            different.append((which, ours, told))
    assert compared[True] > 20 * len(different), different
    assert compared[True] >= LEAST_COMPARED[wire]
