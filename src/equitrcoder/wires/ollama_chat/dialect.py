"""What a row on Ollama's wire may set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OllamaDialect:
    """Settings of one server."""

    num_ctx: int = 32_768
    """Tokens of context that the server is to make room for. Its own default holds hardly more than a system prompt and
    a file, and what does not fit is cut off without a word. A model that was trained on less gets what it was trained
    on. 0: not sent, the server decides (OLLAMA_CONTEXT_LENGTH). Source: https://docs.ollama.com/context-length"""
