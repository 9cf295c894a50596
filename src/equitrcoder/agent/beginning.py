"""How a run begins, and what of its settings stands in the ledger, so that another run can go on with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from equitrcoder.providers.choice import ModelChoice
from equitrcoder.records import JSON, SandboxLevel
from equitrcoder.settings import Settings
from equitrcoder.wires.values import ResultForModel, ToolSpec

if TYPE_CHECKING:
    from .calls import LoopGuard


class Beginning(NamedTuple):
    """How a run begins."""

    task: str
    """What it is called."""
    words: str | None
    """What the model is told; None: the conversation holds it already."""
    told: tuple[ResultForModel, ...]
    """Results that were missing in the conversation, and were added to it."""
    previous_run_id: str | None = None
    attempt: int = 1
    guard: LoopGuard | None = None
    begun: Callable[[], None] | None = None
    """Called when the run stands in the ledger."""


def settings_of_run(
    settings: Settings,
    choice: ModelChoice,
    *,
    approve: str,
    sandbox: SandboxLevel,
    tools: str,
    fallback_for: str | None,
    goes_on: bool,
) -> dict[str, JSON]:
    """The settings in `run_started`. What was not set is left out.

    Args:
        settings, choice, approve, sandbox: As they hold for the run.
        tools: See `tools_mark`.
        fallback_for: The model whose place this one takes.
        goes_on: Whether the task is not told again: the conversation holds it.
    """
    if_set: dict[str, JSON] = {
        "fallback_for": fallback_for,
        "goes_on": goes_on,
        "check": settings.check,
        "rules": [list(rule) for rule in settings.rules],
        "reasoning_effort": settings.reasoning_effort,
        "output_limit_tokens": settings.output_limit_tokens,
    }
    return {
        "model": choice.model,
        "approve": approve,
        "sandbox": sandbox,
        "network": settings.network,
        "budget": settings.budget,
        "max_turns": settings.max_turns,
        "stream": settings.stream,
        **{name: value for name, value in if_set.items() if value},
        "tools": choice.provider.takes_tools,
        "tools_mark": tools,
    }


def tools_mark(offered: Iterable[ToolSpec]) -> str:
    """The same for the same tools, told in the same words: they are part of the prefix."""
    from hashlib import sha256

    told = repr([(spec.name, spec.description, spec.parameters) for spec in offered])
    return sha256(told.encode("utf-8", "replace")).hexdigest()[:16]
