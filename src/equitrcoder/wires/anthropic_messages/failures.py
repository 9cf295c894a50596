"""Error answers of the Messages wire. Loaded only when there is an error.

Source: https://platform.claude.com/docs/en/api/errors
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equitrcoder.errors import ProviderError, QuotaExhaustedError, RateLimitError
from equitrcoder.wires import failures

_SPENT = frozenset({"contract_spend_limit_reached", "enforced_spend_limit_reached"})


def error_from_http(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Turn an error answer into a typed error.

    As for the other wires, but for two of Anthropic's own: a rate limit names its wait, so a 429 without `retry-after`
    is a spend limit, which waiting does not lift; and `details.error_code` tells a spend limit under any status.
    """
    error = failures.error_from_http(status, headers, body)
    told = failures.read_failure(body)
    if _error_code(told.data) in _SPENT or (type(error) is RateLimitError and _names_no_wait(error, headers, told)):
        return _spent(error)
    return error


def _error_code(data: Any) -> str:
    details = data.get("details") if isinstance(data, dict) else None
    code = details.get("error_code") if isinstance(details, dict) else None
    return code.lower() if isinstance(code, str) else ""


def _names_no_wait(error: ProviderError, headers: Mapping[str, str], told: failures.Failure) -> bool:
    """Only Anthropic's own error object says so: other hosts, and proxies before it, name no wait for other reasons."""
    lower = {name.lower(): value.strip().lower() for name, value in headers.items()}
    asked = error.retry_after_s is not None or lower.get("x-should-retry") == "true"
    return not asked and "rate_limit_error" in told.words


def _spent(error: ProviderError) -> QuotaExhaustedError:
    return QuotaExhaustedError(
        error.message,
        hint="raise the spend limit at the provider, or take another model",
        status=error.status,
        excerpt=error.excerpt,
    )
