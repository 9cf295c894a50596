"""Which models think, and in which words they are asked to.

Source: https://ai.google.dev/gemini-api/docs/thinking, design/providers.md section 1.4
"""

from __future__ import annotations

from typing import Any

_LEVELS = {"none": "MINIMAL", "max": "XHIGH"}
"""Efforts whose level has another name; the others are the level's own, in capitals. Gemini 3 cannot stop thinking."""

_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}
"""Tokens, as Google's own compatibility layer translates the words."""

_LEAST_PRO_BUDGET = 128  # gemini-2.5-pro cannot stop thinking


def thinking_config(model: str, effort: str) -> dict[str, Any]:
    """The fields of `generationConfig` that ask for this much thinking; none for models that do not think.

    Args:
        model: As sent: Gemini 2.5 takes a budget in tokens, later ones a level.
        effort: none, minimal, low, medium, high, xhigh, max; another word goes out as a level, a number as a budget.

    Example:
        >>> thinking_config("gemini-4-argon", "low")
        {'thinkingConfig': {'thinkingLevel': 'LOW', 'includeThoughts': True}}
        >>> thinking_config("gemini-2.5-flash", "none")
        {'thinkingConfig': {'thinkingBudget': 0}}
        >>> thinking_config("gemini-2.0-flash", "low")
        {}
    """
    name, effort = _short(model), effort.strip().lower()
    if name.startswith(("gemini-1", "gemini-2.0", "gemma")):
        return {}
    budget = int(effort) if effort.isascii() and effort.isdigit() and len(effort) < 8 else None
    if budget is None and name.startswith("gemini-2"):
        budget = _BUDGETS.get(effort)
        if budget == 0 and "pro" in name:
            budget = _LEAST_PRO_BUDGET
    if budget is None:
        level = _LEVELS.get(effort, effort.upper())
        return {"thinkingConfig": {"thinkingLevel": level, "includeThoughts": True}}
    thoughts = {"includeThoughts": True} if budget else {}
    return {"thinkingConfig": {"thinkingBudget": budget, **thoughts}}


def needs_signatures(model: str) -> bool:
    """Whether a model refuses calls in the history that carry no thought signature: those after Gemini 2.

    Example:
        >>> needs_signatures("gemini-3.8-flash"), needs_signatures("gemini-2.5-pro")
        (True, False)
    """
    return not _short(model).startswith(("gemini-1", "gemini-2", "gemma"))


def _short(model: str) -> str:
    return model.rpartition("/")[2].lower()
