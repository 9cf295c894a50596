"""Rows of the user's own: `providers:` in the settings, as rows beside the 15.

    providers:
      mine: {wire: openai-chat, base_url: "https://llm.example.com/v1", key_env: MY_KEY, default_model: qwen3}

A row with the name of one of the 15 changes that one in the fields it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from equitrcoder.errors import ConfigError
from equitrcoder.providers.addresses import checked_base_url
from equitrcoder.providers.provider import Provider
from equitrcoder.providers.registry import PROVIDERS

_SAME = ("wire", "headers", "capture", "auth", "default_model", "worker_model", "tools", "free")
_FIELDS = (*_SAME, "base_url", "key_env", "dialect")


def all_rows(own: Mapping[str, Mapping[str, Any]]) -> dict[str, Provider]:
    """The 15 rows and the user's own, by name; the user's own come last.

    Args:
        own: `Settings.providers`. Empty: the 15.

    Raises:
        ConfigError: A row names an unknown field, wire or departure, or lacks what a row needs.

    Example:
        >>> rows = all_rows({"mine": {"wire": "openai-chat", "base_url": "http://127.0.0.1:9000/v1/"}})
        >>> len(rows), rows["mine"].base_url, rows["mine"].auth
        (16, 'http://127.0.0.1:9000/v1', 'none')
    """
    if not own:
        return PROVIDERS
    return {**PROVIDERS, **{name: _row(name, fields) for name, fields in own.items()}}


def _row(name: str, fields: Mapping[str, Any]) -> Provider:
    where = f"providers.{name}"
    for field in fields:
        if field not in _FIELDS:
            raise _unknown(f'{where}: unknown field "{field}"', field, _FIELDS)
    base = PROVIDERS.get(name) or _new_row(name, fields, where)
    changes = {field: fields[field] for field in _SAME if field in fields}
    if "wire" in fields:
        changes["wire"] = _known_wire(fields["wire"], where)
        changes["wire_with_base_url"] = None
        if fields["wire"] == "replicate-predictions":
            changes["tools"] = "no"  # it cannot carry them, whatever the model could
    if "base_url" in fields:
        changes |= {"base_url": checked_base_url(fields["base_url"], f"{where}.base_url"), "own_base_url": True}
    if "key_env" in fields:
        changes["keys"] = _names(fields["key_env"])
    if "dialect" in fields:
        known = _known_quirks(fields["dialect"], where, changes.get("wire", base.wire))
        changes["quirks"] = {**base.quirks, **known}
    return replace(base, **changes)


def _new_row(name: str, fields: Mapping[str, Any], where: str) -> Provider:
    for field in ("wire", "base_url"):
        if not fields.get(field):
            raise ConfigError(f"{where} needs a {field}.", hint=_EXAMPLE)
    return Provider(
        name=name,
        wire=fields["wire"],
        base_url=None,
        base_url_variables=(f"{name.upper().replace('-', '_').replace('.', '_')}_BASE_URL",),
        auth="bearer" if fields.get("key_env") else "none",
        tools="model",
        yours=True,
        source="settings",
    )


_EXAMPLE = "wire: openai-chat, base_url: https://llm.example.com/v1, key_env: MY_KEY (docs/providers.md)"


def _names(key_env: Any) -> tuple[str, ...]:
    return (key_env,) if isinstance(key_env, str) else tuple(key_env)


def _known_wire(wire: str, where: str) -> str:
    from equitrcoder.wires import TEXT_WIRES, WIRES  # only a row of the user's own needs the list

    if wire not in (*WIRES, *TEXT_WIRES):
        raise _unknown(f'{where}: unknown wire "{wire}"', wire, (*WIRES, *TEXT_WIRES))
    return wire


def _known_quirks(dialect: Mapping[str, Any], where: str, wire: str) -> Mapping[str, Any]:
    kinds = _dialect_defaults(wire)
    for name, value in dialect.items():
        if name not in kinds:
            raise _unknown(f'{where}.dialect: unknown departure "{name}"', name, tuple(kinds))
        if not isinstance(value, _kind_of(kinds[name])):
            raise ConfigError(f"{where}.dialect.{name} must be like {kinds[name]!r}.", hint="see docs/providers.md")
    return dialect


def _dialect_defaults(wire: str) -> dict[str, Any]:
    """The departures that a wire knows, at their defaults."""
    from dataclasses import fields

    default: Any
    if wire == "openai-responses":
        from equitrcoder.wires.openai_responses import ResponsesDialect

        default = ResponsesDialect()
    elif wire == "anthropic-messages":
        from equitrcoder.wires.anthropic_messages import MessagesDialect

        default = MessagesDialect()
    elif wire == "gemini-generate":
        from equitrcoder.wires.gemini_generate import GeminiDialect

        default = GeminiDialect()
    elif wire == "ollama-chat":
        from equitrcoder.wires.ollama_chat import OllamaDialect

        default = OllamaDialect()
    else:
        from equitrcoder.wires.openai_chat import ChatDialect

        default = ChatDialect()
    return {field.name: getattr(default, field.name) for field in fields(default)}


def _kind_of(default: Any) -> type:
    for kind in (bool, int, str, Mapping):
        if isinstance(default, kind):
            return kind
    return object


def _unknown(what: str, name: str, known: tuple[str, ...]) -> ConfigError:
    from difflib import get_close_matches

    closest = (get_close_matches(str(name)[:100], known, n=1, cutoff=0.0) or known)[0]
    return ConfigError(f"{what}. Closest: {closest}")
