"""Errors for names that are none: what the user may have meant. Loaded only when a name is not known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from equitrcoder.errors import UnknownModelError
from equitrcoder.providers.provider import Provider

_FAMILIES = {
    "gpt": "openai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "chatgpt": "openai",
    "claude": "anthropic",
    "gemini": "gemini",
    "deepseek": "deepseek",
    "mistral": "mistral",
    "ministral": "mistral",
    "magistral": "mistral",
    "devstral": "mistral",
    "codestral": "mistral",
    "command": "cohere",
    "sonar": "perplexity",
}
"""Start of a model's name to the provider whose own it is."""

_SLIP_EDITS = 2


def closest(name: str, known: Iterable[str], *, cutoff: float = 0.0) -> list[str]:
    """The at most three known names most like this one, the most like first; case ignored.

    Example:
        >>> closest("opnai", ["groq", "openai", "anyscale", "cohere"])
        ['openai', 'groq', 'cohere']
    """
    by_lower = {one.lower(): one for one in known}
    return [by_lower[found] for found in get_close_matches(name[:200].lower(), by_lower, n=3, cutoff=cutoff)]


def unknown_provider(name: str, rows: Mapping[str, Provider], *, where: str = "") -> UnknownModelError:
    """E102 for a provider's name."""
    said = f' ("{where}" in the settings)' if where else ""
    near = ", ".join(closest(name, rows))
    return UnknownModelError(f"Unknown provider {_shown(name)}{said}. Closest: {near}. All: equitrcoder providers")


def unknown_model(row: Provider, name: str) -> UnknownModelError:
    """E102 for a model's name."""
    near = ", ".join(f"{row.name}/{one}" for one in closest(name, row.models, cutoff=0.5))
    said = f"Closest: {near}. " if near else ""
    return UnknownModelError(f"Unknown model {row.name}/{_shown(name)}. {said}All: equitrcoder models {row.name}")


def no_provider_named(name: str, rows: Mapping[str, Provider]) -> UnknownModelError:
    """E103 for a model's name without its provider."""
    lowered = name.lower()
    owners = [row.name for row in rows.values() if name in row.models or name in row.aliases]
    owners += [row for start, row in _FAMILIES.items() if lowered.startswith(start)]
    said = f'"{_shown(name)}" names no provider.'
    if owners:
        return UnknownModelError(f"{said} Write {owners[0]}/{_shown(name)}.", code="E103")
    near = ", ".join(closest(name, (f"{row.name}/{model}" for row in rows.values() for model in row.models)))
    return UnknownModelError(f"{said} Write provider/model. Closest: {near}. All: equitrcoder providers", code="E103")


def check_for_slip(row: Provider, name: str) -> None:
    """Refuse a name that is a known one but for a letter or two in one word; any other unknown name may be a new model.

    Raises:
        UnknownModelError: E102.
    """
    for known in row.models:
        if _is_slip(name.lower(), known.lower()):
            raise unknown_model(row, name)


def _is_slip(name: str, known: str) -> bool:
    words, known_words = _words(name), _words(known)
    if len(words) != len(known_words):
        return False
    pairs = [(word, right) for word, right in zip(words, known_words, strict=True) if word != right]
    if len(pairs) != 1:
        return False
    word, right = pairs[0]
    return len(right) >= 4 and right.isalpha() and word.isalpha() and 0 < _edits(word, right) <= _SLIP_EDITS


def _words(name: str) -> list[str]:
    for separator in "./:_":
        name = name.replace(separator, "-")
    return name.split("-")


def _edits(one: str, other: str) -> int:
    """Letters to put in, take out or change to get from one word to the other."""
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, 1):
        above, row[0] = row[0], place
        for at, right in enumerate(other, 1):
            above, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, above + (letter != right))
    return row[-1]


def _shown(name: str) -> str:
    return "".join(char if char.isprintable() else "\ufffd" for char in name[:100])
