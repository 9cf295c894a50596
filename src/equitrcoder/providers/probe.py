"""Asks a server on this machine which models it has; used only when no model is named."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import urlsplit

from equitrcoder import jsontext
from equitrcoder.providers.provider import Provider

TIMEOUT_S = 0.3
_MAX_BYTES = 4 << 20

_TOOL_USERS = ("qwen3-coder", "gpt-oss", "qwen3", "devstral", "llama3.1", "mistral")
"""Families of models that take tools, best first: of several models one of these is taken."""


def first_model(row: Provider, base_url: str) -> str | None:
    """The model to take when none is named.

    Args:
        row: `ollama`, or a row on the Chat Completions wire.
        base_url: Where it listens.

    Returns:
        Of the models it lists one that is known to take tools, else the first; None when it lists none or does not
        answer within `TIMEOUT_S`.

    Source: https://docs.ollama.com/api/tags; https://platform.openai.com/docs/api-reference/models/list
    """
    native = row.wire == "ollama-chat"
    document = _get(base_url + ("/api/tags" if native else "/models"))
    entries = document.get("models" if native else "data") if isinstance(document, dict) else None
    field = "name" if native else "id"
    names = (
        [entry.get(field) for entry in entries or () if isinstance(entry, dict)] if isinstance(entries, list) else []
    )
    return _best([name for name in names if isinstance(name, str) and name])


def _best(names: list[str]) -> str | None:
    for family in _TOOL_USERS:
        for name in names:
            if name.rpartition("/")[2].lower().startswith(family):
                return name
    return names[0] if names else None


def _get(url: str) -> Any:
    """Get a JSON document, None when there is none; no proxy, no key."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = connect(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", parts.path, headers={"accept": "application/json"})
        response = connection.getresponse()
        return jsontext.loads(response.read(_MAX_BYTES)) if response.status == 200 else None
    except (OSError, http.client.HTTPException, jsontext.InvalidJSON):
        return None
    finally:
        connection.close()
