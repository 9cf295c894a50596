"""The models to go on with when the first cannot be used.

Source: DESIGN.md section 4, "Client rules".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from equitrcoder.errors import MissingKeyError, ProviderError, RequestRefusedError
from equitrcoder.providers.choice import ModelChoice, choose_model
from equitrcoder.settings import Settings
from equitrcoder.wires.values import Message, UserMessage


def fallback_names(settings: Settings) -> tuple[str, ...]:
    """The names in the settings, in order, each once: `fallback_model`, then `fallback_models`.

    Said in different places (a file and a flag, say), the closer one counts alone.

    Example:
        >>> fallback_names(Settings(fallback_model="a/x", fallback_models=("b/y", "a/x")))
        ('a/x', 'b/y')
    """
    one = (settings.fallback_model,) if settings.fallback_model else ()
    places = [_PLACES.index(settings.origins[key].split()[0]) for key in ("fallback_model", "fallback_models")]
    if one and settings.fallback_models and places[0] != places[1]:
        return one if places[0] > places[1] else tuple(dict.fromkeys(settings.fallback_models))
    return tuple(dict.fromkeys([*one, *settings.fallback_models]))


_PLACES = ("default", "user", "repository", "environment", "flag", "argument")
"""The first words of an origin, from the farthest to the closest."""


def choose_models(
    settings: Settings, environ: Mapping[str, str], model: str | None
) -> tuple[ModelChoice, list[ModelChoice], str]:
    """Choose the model to ask and those to go on with.

    Args:
        model: As in `choose_model`.

    Returns:
        The model; the fallback models left; what to tell the user: empty, or why a fallback was taken at once.

    Raises:
        ConfigError: As `choose_model`; also for a fallback model. A missing key of the first is none if there is a
            fallback.
    """
    fallbacks = [choose_model(settings, environ, name) for name in fallback_names(settings)]
    try:
        return choose_model(settings, environ, model), fallbacks, ""
    except MissingKeyError as error:
        if not fallbacks:
            raise
        return fallbacks[0], fallbacks[1:], f"{error} Going on with {fallbacks[0].model_requested}."


def next_model(
    fallbacks: Sequence[ModelChoice], current: ModelChoice, error: ProviderError, messages: Sequence[Message]
) -> ModelChoice | None:
    """The first fallback model that can go on from here; None when there is none.

    At the start of a run any can; after its first answer only one on the same wire. A request that is wrong in itself
    would be refused elsewhere too.
    """
    if isinstance(error, RequestRefusedError) and error.status != HTTPStatus.NOT_FOUND:
        return None
    begun = not (messages and isinstance(messages[-1], UserMessage))
    return next((each for each in fallbacks if not begun or each.provider.wire == current.provider.wire), None)
