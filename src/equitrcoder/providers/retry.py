"""When a failed request is sent again, and after how long. Pure: no clock, no randomness, no network.

What a provider asks for is read by the wires (`wires.waiting`).

Source: DESIGN.md section 4, "Client rules"; design/providers.md section 1.8.
"""

from __future__ import annotations

from collections.abc import Mapping

from equitrcoder.errors import AuthenticationError, ContextTooLongError, ProviderError, QuotaExhaustedError

MAX_WAIT_S = 60.0
"""Nobody waits longer than this, whatever the provider asks for."""

FIRST_BACKOFF_S = 1.0
MAX_BACKOFF_S = 16.0
JITTER = 0.25
"""A backoff is shortened by up to this share, so that many clients do not come back at once."""

_NEVER = frozenset({401, 403, 404, 422})
_HOPELESS = (AuthenticationError, ContextTooLongError, QuotaExhaustedError)


def is_retryable(error: ProviderError, headers: Mapping[str, str], failures: int) -> bool:
    """Whether the same request may succeed later.

    401, 403, 404, 422, exhausted quota and a refused key are never tried again. A 400 is tried once more, if the wire
    says that the model itself failed there (Groq's `tool_use_failed`). Otherwise `x-should-retry` decides where the
    provider sends it, else the wire.

    Args:
        error: What went wrong, `retryable` as the wire set it.
        headers: Of the answer, names in lower case; empty when there was none.
        failures: Attempts that failed so far, from 1.
    """
    if error.status in _NEVER or isinstance(error, _HOPELESS):
        return False
    if error.status == 400:
        return error.retryable and failures == 1
    said = headers.get("x-should-retry", "").strip().lower()
    return said == "true" if said in ("true", "false") else error.retryable


def wait_s(failures: int, asked_s: float | None, luck: float) -> float:
    """How long to wait before the next attempt.

    Args:
        failures: Attempts that failed so far, from 1.
        asked_s: What the provider asked for; it counts as it is, up to `MAX_WAIT_S`.
        luck: A random number in 0..1.

    Example:
        >>> wait_s(1, None, 0.0), wait_s(3, None, 0.0), wait_s(3, None, 1.0), wait_s(1, 3600, 0.5)
        (1.0, 4.0, 3.0, 60.0)
    """
    if asked_s is not None:
        return min(asked_s, MAX_WAIT_S)
    backoff = min(FIRST_BACKOFF_S * 2.0 ** min(failures - 1, 10), MAX_BACKOFF_S)
    return backoff * (1.0 - JITTER * luck)
