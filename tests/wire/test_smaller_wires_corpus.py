"""Mistral's, Ollama's and Cohere's recorded answers keep their text, reasoning and tokens (tests/wire/recorded.py)."""

from __future__ import annotations

import pytest

from equitrcoder.errors import ProviderError
from tests.wire.recorded import body_of, expectations, needs_recordings, read

pytestmark = needs_recordings


@pytest.mark.parametrize("name", ["mistral", "ollama-chat", "cohere-v2"])
def test_text_reasoning_and_tokens_are_read(name: str) -> None:
    for which, told in expectations(name).items():
        try:
            turn = read(name, which)
        except ProviderError:
            continue  # which answers may be refused: tests/wire/test_recorded.py
        if "text" in told["shape"]:
            assert turn.text, which
        if "reasoning" in told["shape"]:
            assert turn.reasoning, which
        if b"eval_count" in body_of(which) or b"tokens" in body_of(which):
            assert turn.usage.output_tokens is not None, which
