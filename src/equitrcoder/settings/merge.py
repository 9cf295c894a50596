"""One `Settings` of all layers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from equitrcoder.settings.kinds import Layer
from equitrcoder.settings.model import Settings

NOT_TRUSTED = "This folder is not trusted"
"""How the warning begins that names what a repository's own file did not set."""


def _lower(new: Any, current: Any) -> bool:
    return current is None or bool(new <= current)


def _ranked(*words: str, unset: str = "") -> Callable[[Any, Any], bool]:
    """`words` from the loosest to the strictest; `unset` is what an unset one counts as."""
    return lambda new, current: words.index(new) >= words.index(current or unset)


def _all_lower(new: Any, current: Any) -> bool:
    from equitrcoder.settings.bounds import COMMAND_LIMITS

    held = {name: current.get(name) or value for name, value in COMMAND_LIMITS.items()}
    return all(not held[name] or value <= held[name] for name, value in new.items())


def _keeps_less(new: Any, current: Any) -> bool:
    from equitrcoder.settings.kept import keeps_less

    return keeps_less(new, current)


TIGHTER: dict[str, Callable[[Any, Any], bool]] = {
    "budget": _lower,
    "max_turns": _lower,
    "max_time_s": _lower,
    "max_tokens": _lower,
    "output_limit_tokens": _lower,
    "command_timeout_s": _lower,
    "command_limits": _all_lower,
    "max_attempts": _lower,
    "network": _lower,  # False is lower than True
    "network_hosts": lambda new, current: set(new) <= set(current),
    "allow_unpriced": _lower,
    "approve": _ranked("all", "edits", "ask", "deny", unset="ask"),
    "rules": lambda new, current: all(verdict != "allow" for verdict, _ in new),
    "sandbox": _ranked("off", "auto", "required"),
    "durability": _ranked("process", "full"),
    "content": _keeps_less,
    "stream": lambda new, current: True,
}
"""(new, current) -> whether a repository that nobody trusted yet may set it so.

It may make a run smaller or stricter, never larger or looser; `stream` only changes how the text arrives. Every other
key says where requests go, which key is sent, what runs, what is read or written, or what it may cost: that needs
trust.
"""


def merge(
    *,
    user: Layer,
    repository: Layer,
    environment: Layer,
    given: Layer,
    trusted: bool,
    home: str = "",
    warnings: tuple[str, ...] = (),
) -> Settings:
    """Lay the layers over the defaults; the later one wins: user, repository, environment, given.

    Of a repository that is not trusted only what tightens is taken (`TIGHTER`); one warning names what was left out.
    Rows of `providers` and `prices`, and the two of `content`, are joined by name, `rules` are put one after another;
    every other value replaces the one before as a whole.
    """
    merged: Layer = {}
    _apply(merged, user)
    taken, left_out = (repository, []) if trusted else _harmless(repository, merged)
    _apply(merged, taken)
    _apply(merged, environment)
    _apply(merged, given)
    if left_out:
        names = ", ".join(left_out)
        told = f"{NOT_TRUSTED}, so its equitrcoder.yaml did not set: {names}. Read the file, then: --trust"
        warnings = (*warnings, told)
    values = {key: value for key, (value, _) in merged.items()}
    if "readable_paths" in values:
        values["readable_paths"] = tuple(_at_home(path, home) for path in values["readable_paths"])
    return Settings(origins={key: origin for key, (_, origin) in merged.items()}, warnings=warnings, **values)


def _apply(merged: Layer, layer: Layer) -> None:
    for key, (value, origin) in layer.items():
        if isinstance(value, dict):
            before, told = merged.get(key, ({}, ""))
            merged[key] = (MappingProxyType(_joined(key, before, value)), f"{told}, {origin}" if told else origin)
        elif key == "rules" and key in merged:
            before, told = merged[key]
            merged[key] = ((*before, *value), f"{told}, {origin}")
        else:
            merged[key] = (value, origin)


def _joined(key: str, before: Mapping[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    if key == "content":
        from equitrcoder.settings.kept import joined

        return joined(before, value)
    return {**before, **value}


def _harmless(repository: Layer, merged: Layer) -> tuple[Layer, list[str]]:
    taken: Layer = {}
    left_out: list[str] = []
    for key, (value, origin) in repository.items():
        current = merged[key][0] if key in merged else getattr(Settings, key)
        if value == current:
            continue
        if key in TIGHTER and TIGHTER[key](value, current):
            taken[key] = (value, origin)
        else:
            left_out.append(key)
    return taken, left_out


def _at_home(path: str, home: str) -> str:
    return home + path[1:] if home and path.startswith("~/") else path
