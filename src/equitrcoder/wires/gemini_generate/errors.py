"""Error answers of Google: which quota was used up tells whether waiting helps.

Source: https://ai.google.dev/gemini-api/docs/troubleshooting, https://cloud.google.com/apis/design/errors#error_details
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from equitrcoder.errors import AuthenticationError, ProviderError, QuotaExhaustedError, RateLimitError
from equitrcoder.wires.failures import error_from_http, error_inside, read_failure
from equitrcoder.wires.waiting import asked_wait_s


def error_from_gemini(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Turn an HTTP error answer into a typed error.

    A used-up limit of a day is `QuotaExhaustedError`, one of a minute `RateLimitError` with the wait of RetryInfo. A
    bad key comes with status 400 and is an `AuthenticationError`.
    """
    found = error_from_http(status, headers, body)
    return _by_details(found, status, {key.lower(): value for key, value in headers.items()}, read_failure(body).data)


def error_inside_answer(data: Any) -> ProviderError:
    """Turn an error object inside an answer with a success status into a typed error."""
    found = error_inside(data)
    code = data.get("code") if isinstance(data, dict) else None
    return _by_details(found, code if isinstance(code, int) else 200, {}, data)


def _by_details(found: ProviderError, status: int, headers: Mapping[str, str], data: Any) -> ProviderError:
    details = [detail for detail in _list(data, "details") if isinstance(detail, dict)]
    if any(str(detail.get("reason")).startswith("API_KEY_") for detail in details):
        return (
            found if isinstance(found, AuthenticationError) else _as(AuthenticationError, found, hint="check the key")
        )
    quotas = [quota.lower() for detail in details for quota in _quotas(detail)]
    if status != 429 or not quotas:
        return found
    if any("perday" in quota or "per_day" in quota for quota in quotas):
        hint = "wait until the day's quota is renewed, or take another model"
        return _as(QuotaExhaustedError, found, hint=hint)
    limited = _as(RateLimitError, found, hint="")
    limited.retry_after_s = asked_wait_s(headers, found.message, data)
    return limited


def _quotas(detail: Mapping[str, Any]) -> Iterator[str]:
    """The names of the limits that an entry of `details` says are used up."""
    for violation in _list(detail, "violations"):
        if isinstance(violation, dict):
            yield str(violation.get("quotaId") or violation.get("quotaMetric") or "")
    metadata = detail.get("metadata")
    if isinstance(metadata, dict) and metadata.get("quota_limit"):
        yield str(metadata["quota_limit"])


def _list(source: Any, field: str) -> list[Any]:
    value = source.get(field) if isinstance(source, dict) else None
    return value if isinstance(value, list) else []


def _as(kind: type[ProviderError], found: ProviderError, *, hint: str) -> ProviderError:
    return kind(found.message, hint=hint, status=found.status, excerpt=found.excerpt, partial=found.partial)
