"""What the demo says of itself, and what to type next. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from equitrcoder.providers.choice import ModelChoice, Probe
    from equitrcoder.settings import Settings

NO_AI = "scripted model, no AI was called"


def next_command(settings: Settings, environ: Mapping[str, str], *, probe: Probe | None = None) -> str:
    """What to type next to see it with a model: for the settings, key or local server that is found here.

    Args:
        settings: The user's own; `Settings()` when he has none.
        probe: Instead of asking local servers, for tests.

    Returns:
        Two or three lines; how to set up a provider when none is.
    """
    from equitrcoder.errors import EquitrError
    from equitrcoder.providers.choice import choose_model

    try:
        choice = choose_model(settings, environ, probe=probe)
    except EquitrError as error:
        return _how_to_set_up(error)
    return f'{_found(choice)}\n  equitrcoder run --model {choice.model_requested} "make the failing test pass"'


def _found(choice: ModelChoice) -> str:
    if choice.key_variable:
        return f"With a model, in a repository of yours ({choice.key_variable} is set):"
    return f"With a model, in a repository of yours ({choice.provider.name} answers at {choice.base_url}):"


def _how_to_set_up(error: Exception) -> str:
    from equitrcoder.providers.choice import no_provider

    if getattr(error, "message", "") != no_provider():
        return str(error)
    lines = [line for line in no_provider().splitlines() if "equitrcoder demo" not in line]
    return "\n".join([*lines, 'Then, in a repository of yours: equitrcoder run "make the failing test pass"'])
