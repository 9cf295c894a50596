"""How a setting that cannot be used is told: where, what was expected, what stands there, the nearest name."""

from __future__ import annotations

from collections.abc import Iterable

from equitrcoder.errors import ConfigError


def shown(value: object, limit: int = 60) -> str:
    """A value from an untrusted file as it may stand in a message: one line, no control characters, cut.

    Example:
        >>> shown("a\\x1b[2Jb"), shown(None), shown(True), shown("x" * 9, 4)
        ('a�[2Jb', 'null', 'true', 'xxxx…')
    """
    text = value if isinstance(value, str) else _written(value)
    line = "".join(char if char.isprintable() else "\ufffd" for char in text[: limit + 1])
    return line if len(line) <= limit else line[:limit] + "…"


def _written(value: object) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def described(value: object) -> str:
    """A value in a sentence: sections and lists by their shape, the rest as it stands."""
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list | tuple):
        return "a list"
    return f'"{shown(value)}"' if isinstance(value, str) else shown(value)


def wrong_kind(where: str, expected: str, found: object, *, secret: bool = False) -> ConfigError:
    """The error for a value of the wrong kind; `secret` leaves the value out."""
    seen = "" if secret else f", not {described(found)}"
    unquoted = isinstance(found, bool | int | float) and ("text" in expected or "one of" in expected)
    return ConfigError(f"{where} must be {expected}{seen}.", hint="put it in quotes" if unquoted else "")


def unknown_name(what: str, name: str, known: Iterable[str]) -> ConfigError:
    """The error for a name that does not exist."""
    return ConfigError(f"{what}. Closest: {nearest(name, known)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like this one; the first when none is like it.

    Example:
        >>> nearest("superviser_model", ["ai_model", "supervisor_model", "worker_model"])
        'supervisor_model'
    """
    from difflib import get_close_matches

    names = list(known)
    return (get_close_matches(name[:100], names, n=1, cutoff=0.0) or names)[0]
