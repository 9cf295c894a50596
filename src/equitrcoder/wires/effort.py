"""How much a model is to think: one vocabulary of words, and tokens, said to each wire as it takes them.

Words are OpenAI's, the longest list there is; a number is a budget in tokens. A host that has no word for one gets the
nearest that it has; one that takes no budget gets the word nearest to it, which `said_instead` puts into a sentence.

Source: design/providers.md sections 1 and 2
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

WORDS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
TOKENS = {"none": 0, "minimal": 1024, "low": 4096, "medium": 8192, "high": 16_384, "xhigh": 24_576, "max": 32_000}
"""What a word stands for where only tokens are taken, and the other way round."""


def tokens_of(effort: str) -> int | None:
    """The budget that an effort is; None when it is a word.

    Example:
        >>> tokens_of("8000"), tokens_of("high")
        (8000, None)
    """
    text = effort.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else None


def word_of(effort: str, known: Sequence[str] = WORDS) -> str:
    """The word for an effort among those that a host takes; a word that is none of ours stays as it is.

    Example:
        >>> word_of("8000"), word_of("max", ("low", "medium", "high")), word_of("default", ("low", "high"))
        ('medium', 'high', 'default')
    """
    tokens, word = tokens_of(effort), effort.strip().lower()
    if tokens is not None:
        word = min(WORDS if tokens == 0 else WORDS[1:], key=lambda each: abs(TOKENS[each] - tokens))
    if word not in WORDS or word in known:
        return word
    place = WORDS.index(word)
    near = [each for each in known if each in WORDS and (each != "none" or word == "none")]  # none only when asked for
    return min(near, key=lambda each: abs(WORDS.index(each) - place))


def budget_of(effort: str) -> int | None:
    """The tokens for an effort; None for a word that is none of ours.

    Example:
        >>> budget_of("8000"), budget_of("low"), budget_of("default")
        (8000, 4096, None)
    """
    tokens = tokens_of(effort)
    return TOKENS.get(effort.strip().lower()) if tokens is None else tokens


def said_instead(effort: str | None, wire: str, model: str, dialect: Any) -> str | None:
    """What a person should know who asked for a budget that is not sent; None when it is, or none was asked for.

    Example:
        >>> said_instead("8000", "openai-responses", "gpt-6.1-sol", None)
        "gpt-6.1-sol takes no thinking budget in tokens; for 8000 its reasoning effort is set to 'medium'."
        >>> said_instead("8000", "cohere-v2", "command-a-plus-05-2026", None) is None
        True
    """
    if effort is None or tokens_of(effort) is None or _takes_tokens(wire, model, dialect):
        return None
    known = getattr(dialect, "efforts", WORDS)
    if getattr(dialect, "reasoning_effort", True) is False:
        return f"{model} cannot be asked to think more or less here; the budget of {effort} tokens is not sent."
    word = word_of(effort, known)
    return f"{model} takes no thinking budget in tokens; for {effort} its reasoning effort is set to {word!r}."


def _takes_tokens(wire: str, model: str, dialect: Any) -> bool:
    if wire == "anthropic-messages":
        from equitrcoder.wires.anthropic_messages.dialect import model_traits

        return model_traits(model).thinking == "budget"
    return wire in ("gemini-generate", "cohere-v2") or bool(getattr(dialect, "effort_in_tokens", False))
