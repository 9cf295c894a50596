"""Who does what when a supervisor works with workers: their models, checked before anything is asked.

Source: DESIGN.md section 7. The team itself comes next; until then asking for it is an error that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from equitrcoder.errors import MissingKeyError, MultiAgentNotReadyError, ToolsUnsupportedError

if TYPE_CHECKING:
    from equitrcoder.providers.choice import ModelChoice
    from equitrcoder.settings import Settings


class Roles(NamedTuple):
    """The models of a team."""

    supervisor: ModelChoice
    worker: ModelChoice


def choose_roles(settings: Settings, environ: Mapping[str, str], model: str | None = None) -> Roles:
    """Choose the models of supervisor and workers; where none is named it is the main model.

    Args:
        model: The main model; None: that of the settings.

    Raises:
        MissingKeyError: A key is missing; when both are, it names both variables.
        ToolsUnsupportedError: One of them takes no tools.
        ConfigError: As `choose_model`.
    """
    from equitrcoder.providers.choice import choose_model

    chosen: dict[str, ModelChoice] = {}
    missing: dict[str, MissingKeyError] = {}
    for role, name in (("supervisor", settings.supervisor_model), ("worker", settings.worker_model)):
        try:
            chosen[role] = choose_model(settings, environ, name or model)
        except MissingKeyError as error:
            missing[role] = error
    if missing:
        raise _all_missing(missing)
    for role, choice in chosen.items():
        _check_takes_tools(choice, role)
    return Roles(**chosen)


def _all_missing(missing: Mapping[str, MissingKeyError]) -> MissingKeyError:
    first, *rest = {error.message: error for error in missing.values()}.values()
    if not rest:
        return first
    messages = [f"For the {role}: {error.message}" for role, error in missing.items()]
    fixes = [error.hint.partition(",")[0] for error in (first, *rest)]
    return MissingKeyError(" ".join(messages), hint=" and ".join(fixes))


def _check_takes_tools(choice: ModelChoice, role: str) -> None:
    if choice.provider.tools == "no":
        raise ToolsUnsupportedError(
            f"{choice.model_requested} takes no tools, and a {role} needs them.",
            hint="take a model that does: equitrcoder providers",
            provider=choice.provider.name,
            model=choice.model,
        )


def refuse_multi_agent(settings: Settings, environ: Mapping[str, str], model: str | None = None) -> NoReturn:
    """Say that the team comes next, once its models have been found to be usable.

    Raises:
        MultiAgentNotReadyError: Always, unless `choose_roles` has something to say.
    """
    choose_roles(settings, environ, model)
    asked_by = settings.origins.get("use_multi_agent", "the settings")
    raise MultiAgentNotReadyError(
        f"Supervisor and workers are not built yet, they come next (asked for by {asked_by}). Nothing was run.",
        hint="leave multi_agent away: one agent does the whole task, on the main model",
    )
