"""What `equitrcoder config show` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equitrcoder.settings.complaints import shown
from equitrcoder.settings.kinds import SECTION, SECTION_KEYS
from equitrcoder.settings.model import FIELDS, Settings


def show_rows(settings: Settings) -> list[tuple[str, str, str]]:
    """Key, value and origin of every setting, in the order of docs/settings.md; secrets only as "set" or "not set".

    Example:
        >>> [row for row in show_rows(Settings(ai_api_key="sk-secret")) if row[0] in ("ai_api_key", "max_turns")]
        [('ai_api_key', 'set', 'argument ai_api_key'), ('max_turns', '100', 'default')]
    """
    return [(_called(key), _value(key, getattr(settings, key)), settings.origins[key]) for key in FIELDS]


def _called(key: str) -> str:
    return f"{SECTION}.{key}" if key in SECTION_KEYS else key


def _value(key: str, value: Any) -> str:
    if key == "ai_api_key":
        return "set" if value else "not set"
    if key == "ai_base_url" and value:
        return without_password(value)
    if value is None or value == ():
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    if key == "rules":
        return ", ".join(shown(f"{verdict}: {text}") for verdict, text in value) or "not set"
    if key == "content":
        rows = {"": value, **value.get("tools", {})}
        return ", ".join(
            f"{name} {what} {row.get(what, 'full')}".strip()
            for name, row in rows.items()
            for what in ("arguments", "results")
            if not name or what in row
        )
    if key == "command_limits":
        from equitrcoder.settings.bounds import COMMAND_LIMITS

        return ", ".join(f"{name} {number or 'of the machine'}" for name, number in {**COMMAND_LIMITS, **value}.items())
    if isinstance(value, Mapping):
        return ", ".join(map(shown, value)) or "not set"  # names only: rows may hold credentials
    if isinstance(value, tuple):
        return ", ".join(map(shown, value))
    return f"{value:g}" if isinstance(value, float) else shown(value, 200)


def without_password(url: str) -> str:
    """An address without the user and password in it, and without its query.

    Example:
        >>> without_password("https://me:secret@host/v1?key=abc")
        'https://***@host/v1?***'
    """
    scheme, _, rest = url.partition("://")
    place, mark, _ = rest.partition("?")
    host, slash, path = place.partition("/")
    login, at, host = host.rpartition("@")
    return f"{scheme}://{'***@' if at and login else ''}{host}{slash}{path}{'?***' if mark else ''}"
