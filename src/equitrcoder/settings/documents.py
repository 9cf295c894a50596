"""A settings file's values checked, each with its line. Pure; loaded only when there is a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from equitrcoder.errors import ConfigError
from equitrcoder.settings.checks import Mismatch, Place, UnknownName
from equitrcoder.settings.complaints import shown, unknown_name, wrong_kind
from equitrcoder.settings.files import Document
from equitrcoder.settings.kinds import FILE_NAMES, KEYS, SECTION, SECTION_KEYS, Layer
from equitrcoder.settings.rows import holds_credential

_TOP_KEYS = (*(key for key in KEYS if key not in SECTION_KEYS), *FILE_NAMES)


def file_layer(document: Document, kind: str, *, repository: bool) -> Layer:
    """Check a settings file's values; a key without a value (null) counts as not set.

    Args:
        document: The file as read.
        kind: What origins call it: "user file" or "repository file".
        repository: Whether it is a repository's, in which no secret may stand.

    Raises:
        ConfigError: Unknown key, wrong kind of value, or a secret where others can read it.
    """
    values = {key: value for key, value in document.values.items() if value is not None}
    section = values.pop(SECTION, {})
    if not isinstance(section, dict):
        raise wrong_kind(f"{document.at((SECTION,))}: {SECTION}", "a section with its own keys", section)
    layer = _checked(document, kind, values, (), _TOP_KEYS) | _checked(
        document, kind, section, (SECTION,), SECTION_KEYS
    )
    _refuse_exposed_secret(document, layer, repository=repository)
    return layer


def _checked(document: Document, kind: str, values: Mapping[str, Any], outer: Place, known: Iterable[str]) -> Layer:
    layer: Layer = {}
    for key, value in values.items():
        place = (*outer, key)
        if key not in known:
            raise _unknown_key(document.at(place), key, outer)
        if value is None:
            continue
        try:
            name = FILE_NAMES.get(key, key)
            layer[name] = (KEYS[name].check(value), f"{kind} {document.at(place)}")
        except Mismatch as error:
            raise _misfit(document, place + error.place, error) from None
    return layer


def _misfit(document: Document, place: Place, error: Mismatch) -> ConfigError:
    where = document.at(place)
    if isinstance(error, UnknownName):
        return unknown_name(f'{where}: unknown field "{shown(error.found)}"', str(error.found), error.known)
    dotted = ".".join(shown(str(part)) for part in place)
    return wrong_kind(
        f"{where}: {dotted}", error.expected, error.found, secret=bool({"ai_api_key", "headers", "env"} & {*place})
    )


def _unknown_key(where: str, key: str, outer: Place) -> ConfigError:
    if not outer and key in SECTION_KEYS:
        return ConfigError(f'{where}: "{key}" stands under {SECTION}: in a file.', hint=f"indent it below `{SECTION}:`")
    if outer and key in KEYS:
        return ConfigError(f'{where}: "{key}" does not stand under {SECTION}:.', hint="move it to the left margin")
    return unknown_name(f'{where}: unknown key "{shown(key)}"', key, (*_TOP_KEYS, *SECTION_KEYS, SECTION))


def _refuse_exposed_secret(document: Document, layer: Layer, *, repository: bool) -> None:
    place = holds_credential({key: value for key, (value, _) in layer.items()})
    if place is None:
        return
    where = f"{document.at(place)}: {'.'.join(place)}"
    if repository:
        raise ConfigError(
            f"{where} must not stand in a repository's file: whoever gets the repository gets the key.",
            hint="put it into your own settings file or EQUITRCODER_AI_API_KEY; if it was ever shared, replace the key",
        )
    if os.name == "posix" and document.mode & 0o077:
        raise ConfigError(
            f"{where} stands in a file that others on this machine can reach (mode {document.mode:04o}).",
            hint=f"chmod 600 {document.name}",
        )
