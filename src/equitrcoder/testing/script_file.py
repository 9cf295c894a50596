"""Scripts as JSON, for a scripted provider in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from equitrcoder.testing.script import Answer, Call, Fault, ProviderCall, Reply, Script, by_turn, repeated
from equitrcoder.wires.values import Usage

_ORDERS = ("arrival", "turn", "repeat")


class ScriptFileError(ValueError):
    """The text is no script; says where and what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptFile:
    """What a script file says."""

    script: Script
    models: tuple[str, ...] = ("scripted-model",)


def read_script(text: str | bytes) -> ScriptFile:
    """Read a script from JSON (its form: docs/testing.md).

    Raises:
        ScriptFileError: It is none.

    Example:
        >>> read_script('[{"text": "Hello."}]').script[0].text
        'Hello.'
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ScriptFileError(f"not JSON: {error}") from None
    if isinstance(value, list):
        value = {"replies": value}
    _check(value, {"replies", "order", "models"}, "script")
    replies = [_reply(item, f"replies[{place}]") for place, item in enumerate(_list(value.get("replies"), "replies"))]
    models = _list(value.get("models", ["scripted-model"]), "models")
    return ScriptFile(script=_ordered(replies, value.get("order", "arrival")), models=tuple(map(str, models)))


def _ordered(replies: list[Reply], order: Any) -> Script:
    if order not in _ORDERS:
        raise ScriptFileError(f"order: one of {', '.join(_ORDERS)}")
    if order == "turn":
        return by_turn(replies)
    if order == "repeat" and not replies:
        raise ScriptFileError("replies: nothing to repeat")
    return repeated(replies) if order == "repeat" else replies


def _reply(value: Any, where: str) -> Reply:
    if isinstance(value, dict) and "fault" in value:
        _check(value, {"fault"}, where)
        return _fault(value["fault"], f"{where}.fault")
    return _answer(value, where)


def _fault(value: Any, where: str) -> Fault:
    _check(value, {field.name for field in fields(Fault)}, where)
    spoilt = {"answer": _answer(value["answer"], f"{where}.answer")} if "answer" in value else {}
    return Fault(**{**value, **spoilt})


def _answer(value: Any, where: str) -> Answer:
    _check(value, {field.name for field in fields(Answer)}, where)
    options = dict(value)
    if "calls" in options:
        calls = _list(options["calls"], f"{where}.calls")
        options["calls"] = [_call(call, f"{where}.calls[{place}]") for place, call in enumerate(calls)]
    if "late" in options:
        late = _list(options["late"], f"{where}.late")
        options["late"] = [_provider_call(call, f"{where}.late[{place}]") for place, call in enumerate(late)]
    if "usage" in options:
        options["usage"] = _usage(options["usage"], f"{where}.usage")
    return Answer(**options)


def _call(value: Any, where: str) -> Call | ProviderCall:
    if isinstance(value, dict) and "provider_call" in value:
        _check(value, {"provider_call"}, where)
        return _provider_call(value["provider_call"], f"{where}.provider_call")
    _check(value, {field.name for field in fields(Call)}, where)
    if "name" not in value:
        raise ScriptFileError(f"{where}: a call needs a name")
    return Call(**value)


def _provider_call(value: Any, where: str) -> ProviderCall:
    _check(value, {field.name for field in fields(ProviderCall)}, where)
    if "name" not in value:
        raise ScriptFileError(f"{where}: a call needs a name")
    return ProviderCall(**value)


def _usage(value: Any, where: str) -> Usage | Mapping[str, Any] | None:
    """Our field names make a `Usage`; any other object goes out as it stands."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ScriptFileError(f"{where}: an object or null")
    ours = {field.name for field in fields(Usage)}
    return Usage(**value) if set(value) <= ours else value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise ScriptFileError(f"{where}: a list is needed")
    return value


def _check(value: Any, known: set[str], where: str) -> None:
    if not isinstance(value, dict):
        raise ScriptFileError(f"{where}: an object is needed")
    for key in value:
        if key not in known:
            closest = get_close_matches(key, known, n=1)
            raise ScriptFileError(f"{where}: unknown key {key!r}" + (f"; closest: {closest[0]}" if closest else ""))
