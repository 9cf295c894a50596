"""How long a provider asks to wait before the next attempt.

Source: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after, design/providers.md sections 1.8 and 2.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from typing import Any

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|h|m|s|d)")
_WHOLE_DURATION = re.compile(r"(?:\d+(?:\.\d+)?\s*(?:ms|h|m|s|d)\s*)+")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TRY_AGAIN = re.compile(
    r"(?:try again|retry) (?:in|after) ((?:\d+(?:\.\d+)?\s?(?:ms|h|m|s|d)(?![a-z])\s?)+)", re.IGNORECASE
)
_TRY_AGAIN_WORDS = re.compile(r"(?:try again|retry) (?:in|after) (\d+(?:\.\d+)?) (second|minute)", re.IGNORECASE)


def asked_wait_s(headers: Mapping[str, str], message: str = "", data: Any = None) -> float | None:
    """Find the wait that an error answer asks for.

    Looked at in this order: `retry-after-ms`, `retry-after` (seconds or an HTTP date), the reset of a limit that is
    used up (`x-ratelimit-remaining-…: 0` with `x-ratelimit-reset-…`), Google's RetryInfo, "try again in 7.66s".

    Args:
        headers: Names in lower case.
        message: The provider's words.
        data: The error object, for its `details`.

    Returns:
        Seconds, 0 or more, not capped; None when nothing says.

    Example:
        >>> asked_wait_s({"retry-after": "2.5"}), asked_wait_s({"retry-after-ms": "1500"}), asked_wait_s({})
        (2.5, 1.5, None)
        >>> asked_wait_s({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"})
        360.0
        >>> asked_wait_s({}, "Rate limit reached. Please try again in 1m2.5s.")
        62.5
    """
    wait = _number(headers.get("retry-after-ms"))
    if wait is not None:
        return wait / 1000
    for found in (_retry_after(headers), _reset(headers), _retry_info(data), _told(message)):
        if found is not None:
            return found
    return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text and len(text) < 40 else math.nan
    except ValueError:
        return None
    return max(value, 0.0) if math.isfinite(value) else None


def duration_s(text: str) -> float | None:
    """Read a duration such as `12ms`, `6m0s`, `1h2m3.5s` or plain seconds; None when it is none.

    Example:
        >>> duration_s("12ms"), duration_s("6m0s"), duration_s("1.5"), duration_s("soon")
        (0.012, 360.0, 1.5, None)
    """
    text = text.strip()
    plain = _number(text)
    if plain is not None or len(text) > 40 or not _WHOLE_DURATION.fullmatch(text):
        return plain
    return math.fsum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = headers.get("retry-after", "").strip()
    seconds = _number(text)
    return seconds if seconds is not None or not text else _until_date(text, headers.get("date"))


def _until_date(text: str, now_text: str | None) -> float | None:
    """Seconds until an HTTP date, by the answer's own `Date` where it has one (clocks differ)."""
    moment = _timestamp(text)
    if moment is None:
        return None
    now = _timestamp(now_text) if now_text else None
    return max(moment - (time.time() if now is None else now), 0.0)


def _timestamp(text: str) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text[:100]).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _reset(headers: Mapping[str, str]) -> float | None:
    """The longest reset among the limits that are used up."""
    waits = []
    for name, remaining in headers.items():
        if not name.startswith("x-ratelimit-remaining") or _number(remaining) != 0:
            continue
        reset = headers.get(name.replace("remaining", "reset", 1), "")
        wait = duration_s(reset)
        if wait is not None:
            waits.append(_from_now(wait))
    return max(waits, default=None)


def _from_now(value: float) -> float:
    """Some hosts give a moment (seconds, or milliseconds, since 1970) in place of a wait."""
    if value > 1e11:
        value /= 1000
    return max(value - time.time(), 0.0) if value > 1e9 else value


def _retry_info(data: Any) -> float | None:
    """Source: https://cloud.google.com/apis/design/errors#error_details"""
    details = data.get("details") if isinstance(data, dict) else None
    for detail in details if isinstance(details, list) else []:
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str):
            return duration_s(delay)
    return None


def _told(message: str) -> float | None:
    found = _TRY_AGAIN.search(message[:2000])
    if found:
        return duration_s(found[1])
    words = _TRY_AGAIN_WORDS.search(message[:2000])
    return float(words[1]) * (60 if words[2].lower() == "minute" else 1) if words else None
