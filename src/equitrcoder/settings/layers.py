"""Variables, flags and arguments checked: the layers that need no file. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equitrcoder.errors import ConfigError
from equitrcoder.settings.checks import Mismatch
from equitrcoder.settings.complaints import nearest, shown, unknown_name, wrong_kind
from equitrcoder.settings.kinds import KEYS, SECTION, SECTION_KEYS, Layer

PREFIX = "EQUITRCODER_"

OTHER_VARIABLES = frozenset({"EQUITRCODER_STATE_DIR", "EQUITRCODER_CORPUS"})
"""Variables with our prefix that are no settings."""

FLAG_NAMES = {
    "ai_model": "--model",
    "ai_provider": "--provider",
    "ai_base_url": "--base-url",
    "use_multi_agent": "--multi-agent",
    "max_time_s": "--max-time",
    "rules": "--allow, --ask and --deny",
}
"""Flags that are not called like their key."""


def environment_layer(environ: Mapping[str, str]) -> tuple[Layer, tuple[str, ...]]:
    """Check the variables with our prefix; an empty one counts as not set.

    Returns:
        The layer, and a warning for each variable that is none of ours.

    Raises:
        ConfigError: A variable's value is not of its key's kind, or two names of one key disagree.
    """
    layer: Layer = {}
    warnings: list[str] = []
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        key = variable_key(variable)
        if key is None:
            if variable not in OTHER_VARIABLES:
                warnings.append(_no_setting(variable))
        elif KEYS[key].read is None:
            warnings.append(f"{variable} was not read: {key} can be set in a settings file only.")
        elif environ[variable]:
            value = _from_variable(variable, key, environ[variable])
            if key in layer and layer[key][0] != value:
                raise ConfigError(f"{layer[key][1].split()[-1]} and {variable} disagree.", hint="unset one of them")
            layer[key] = (value, f"environment {variable}")
    return layer, tuple(warnings)


def variable_key(variable: str) -> str | None:
    """The key that a variable sets; None when it sets none.

    Example:
        >>> variable_key("EQUITRCODER_ORCHESTRATOR_WORKER_MODEL"), variable_key("EQUITRCODER_WORKER_MODEL")
        ('worker_model', 'worker_model')
    """
    name = variable.removeprefix(PREFIX)
    inner = name.removeprefix(f"{SECTION.upper()}_").lower()
    key = inner if inner in SECTION_KEYS else name.lower()
    return key if key in KEYS and name.isupper() and variable.startswith(PREFIX) else None


def _no_setting(variable: str) -> str:
    known = [*sorted(OTHER_VARIABLES), *(PREFIX + key.upper() for key in KEYS)]
    return f"{shown(variable)} is no setting and was not read. Closest: {nearest(variable, known)}"


def _from_variable(variable: str, key: str, text: str) -> Any:
    kind = KEYS[key]
    try:
        return kind.check((kind.read or str)(text))
    except (Mismatch, ValueError):
        raise wrong_kind(variable, kind.expected, text, secret=key == "ai_api_key") from None


def given_layer(given: Mapping[str, Any], *, source: str = "flag") -> Layer:
    """Check flags (`source` "flag") or arguments ("argument"); None counts as not given.

    Raises:
        ConfigError: No such setting, or not of its kind.
    """
    layer: Layer = {}
    for key, value in given.items():
        if value is None:
            continue
        if key not in KEYS:
            raise unknown_name(f'unknown setting "{shown(key)}"', key, KEYS)
        called = FLAG_NAMES.get(key, "--" + key.replace("_", "-")) if source == "flag" else key
        try:
            layer[key] = (KEYS[key].check(value), f"{source} {called}")
        except Mismatch as error:
            raise wrong_kind(called, error.expected, error.found, secret=key == "ai_api_key") from None
    return layer
