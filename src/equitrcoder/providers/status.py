"""What `equitrcoder providers` and `models` show: each row, and whether it could be used now. Shows no key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from equitrcoder.errors import ConfigError
from equitrcoder.providers.addresses import is_loopback, own_base_url
from equitrcoder.providers.checks import Checks, checks_of
from equitrcoder.providers.provider import Provider
from equitrcoder.providers.user_rows import all_rows
from equitrcoder.records import Capture

if TYPE_CHECKING:
    from equitrcoder.settings import Settings


class ProviderStatus(NamedTuple):
    """One row as it stands here and now."""

    name: str
    wire: str
    """The one that would be used."""
    capture: Capture
    base_url: str | None
    """The one that would be used; None: the user has to say it."""
    key_variable: str | None
    """Where the key is, or should be; None: it needs none."""
    key_set: bool
    default_model: str | None
    worker_model: str | None
    tools: str
    checks: Checks
    """What its reading was checked on, for each thing that matters."""
    free: bool
    state: Literal["ready", "no key", "no base URL"]
    source: str


def provider_rows(settings: Settings, environ: Mapping[str, str]) -> list[ProviderStatus]:
    """The 15 rows and the user's own, in the order of the registry; an address that cannot be used counts as none.

    Raises:
        ConfigError: A row of the user's own cannot be used.

    Example:
        >>> from equitrcoder.settings import Settings
        >>> rows = provider_rows(Settings(), {"GROQ_API_KEY": "gsk_1"})
        >>> [(row.name, row.state) for row in rows if row.key_set]
        [('groq', 'ready')]
    """
    rows = all_rows(settings.providers)
    return [_status(row, settings, rows, environ) for row in rows.values()]


def _status(
    row: Provider, settings: Settings, rows: Mapping[str, Provider], environ: Mapping[str, str]
) -> ProviderStatus:
    from equitrcoder.providers.choice import main_row

    main = main_row(settings, rows)
    mine = main is not None and main.name == row.name
    try:
        own = own_base_url(row, environ, settings.ai_base_url if mine else None)
    except ConfigError:
        own = None
    wire = row.wire_with_base_url if own and row.wire_with_base_url else row.wire
    place = next((name for name in row.keys if environ.get(name, "").strip()), None)
    if mine and settings.ai_api_key:
        place = "ai_api_key"
    base_url = own or row.base_url
    needed = row.auth not in ("none", "bearer-optional") and not is_loopback(base_url or "")
    return ProviderStatus(
        name=row.name,
        wire=wire,
        capture=row.capture,
        base_url=base_url,
        key_variable=place or (row.keys[0] if row.keys else None),
        key_set=place is not None,
        default_model=row.default_model,
        worker_model=row.worker_model,
        tools=row.tools,
        checks=checks_of(row, wire),
        free=row.free,
        state=_state(base_url, has_key=place is not None or not needed),
        source=row.source,
    )


def _state(base_url: str | None, *, has_key: bool) -> Literal["ready", "no key", "no base URL"]:
    if base_url is None:
        return "no base URL"
    return "ready" if has_key else "no key"
