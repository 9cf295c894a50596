"""Providers: who can be asked, how one is chosen, and the client that asks. Names are resolved on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equitrcoder.providers.choice import ModelChoice as ModelChoice
    from equitrcoder.providers.choice import choose_model as choose_model
    from equitrcoder.providers.client import FailedAttempt as FailedAttempt
    from equitrcoder.providers.client import ModelClient as ModelClient
    from equitrcoder.providers.client import ModelRequest as ModelRequest
    from equitrcoder.providers.client import ModelResponse as ModelResponse
    from equitrcoder.providers.provider import Provider as Provider
    from equitrcoder.providers.registry import PROVIDERS as PROVIDERS
    from equitrcoder.providers.status import ProviderStatus as ProviderStatus
    from equitrcoder.providers.status import provider_rows as provider_rows

_HOMES = {
    "FailedAttempt": "client",
    "ModelChoice": "choice",
    "ModelClient": "client",
    "ModelRequest": "client",
    "ModelResponse": "client",
    "PROVIDERS": "registry",
    "Provider": "provider",
    "ProviderStatus": "status",
    "choose_model": "choice",
    "provider_rows": "status",
}

__all__ = [
    "PROVIDERS",
    "FailedAttempt",
    "ModelChoice",
    "ModelClient",
    "ModelRequest",
    "ModelResponse",
    "Provider",
    "ProviderStatus",
    "choose_model",
    "provider_rows",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
