"""Error answers: which typed error they are, and how long the provider asks to wait.

Shared by the wires whose errors are JSON objects. Loaded only when there is an error.

Source: design/providers.md sections 1.8 to 1.10.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from equitrcoder import jsontext
from equitrcoder.errors import (
    AuthenticationError,
    BadResponseError,
    ContextTooLongError,
    ProviderError,
    ProviderOverloadedError,
    ProviderTimeoutError,
    QuotaExhaustedError,
    RateLimitError,
    RequestRefusedError,
    ToolsUnsupportedError,
)
from equitrcoder.wires.waiting import asked_wait_s


class Failure(NamedTuple):
    """What a provider says of an error, in one shape for all the shapes that hosts use."""

    message: str
    words: frozenset[str]
    """Its type, code and status words, lower case."""
    status: int | None
    """A status inside the body; None when there is none."""
    data: Any
    """The error object itself."""


def error_from_http(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Turn an error answer into a typed error.

    Args:
        status: The HTTP status.
        headers: In any case.
        body: The whole body, or as much of it as was received.

    Returns:
        The error, with `status`, `retryable`, `excerpt` and `retry_after_s` (None when the provider did not say; not
        capped). Only 408, 409, 429 and 5xx are retryable, and a model's own broken call (Groq).
    """
    lower = {key.lower(): value for key, value in headers.items()}
    excerpt = _clean(body[:2000].decode("utf-8", "replace"))
    failure = read_failure(body)
    error = _typed(failure, status, f"The provider answered {status}: {failure.message or 'no message'}")
    error.status = status
    error.excerpt = excerpt[:500]
    if lower.get("x-should-retry", "").strip().lower() == "false":
        error.retryable = False
    if error.retryable:
        error.retry_after_s = asked_wait_s(lower, failure.message, failure.data)
    return error


def error_inside(data: Any, *, status: int = 200) -> ProviderError:
    """Turn an error object inside an answer with a success status (or inside a stream) into a typed error.

    The status that the object names, or that its words stand for, decides. Without either it is a BadResponseError, not
    to be tried again, unless the message says that the host was overloaded or ran out of time.
    """
    failure = _failure(data)
    told = failure.status or next((number for words, number in _STATUS_OF if failure.words & words), None)
    text = f"The provider put an error into its answer: {failure.message or 'no message'}"
    error = _typed(failure, told, text) if told else _by_content(failure, text) or _by_words(failure.message, text)
    error.status = status
    error.excerpt = _excerpt(data)
    if error.retryable:
        error.retry_after_s = asked_wait_s({}, failure.message, failure.data)
    return error


def read_failure(body: bytes) -> Failure:
    """Read the body of an error answer, whatever it is: JSON of several shapes, HTML, text, nothing."""
    try:
        return _failure(jsontext.loads(body))
    except jsontext.InvalidJSON:
        text = body[:2000].decode("utf-8", "replace").strip()
        if text.startswith("<"):
            title = re.search(r"<title[^>]*>([^<]{1,200})", text, re.IGNORECASE)
            text = "an HTML page" + (f" titled {title[1].strip()}" if title else "")
        return Failure(_clean(text)[:500], frozenset(), None, None)


def _failure(data: Any) -> Failure:
    if isinstance(data, list) and data:
        data = data[0]
    outer: dict[str, Any] = data if isinstance(data, dict) else {}
    for key in ("error", "detail", "errors", "message"):
        if outer.get(key):
            data = outer[key]
            break
    inner = data[0] if isinstance(data, list) and data else data
    named: dict[str, Any] = inner if isinstance(inner, dict) else outer
    message = _message(inner)
    words = {_word(source.get(key)) for source in (outer, named) for key in ("type", "code", "status", "error_code")}
    status = next((number for key in _STATUS_KEYS if (number := _status(named.get(key)))), None)
    return Failure(_clean(message)[:500], frozenset(words - {""}), status, named)


_STATUS_KEYS = ("status_code", "raw_status_code", "code", "status")


def _message(inner: Any) -> str:
    if isinstance(inner, str):
        return inner
    if isinstance(inner, dict):
        for key in ("message", "msg", "detail", "error", "reason"):
            value = inner.get(key)
            if isinstance(value, str) and value:
                return value + _upstream(inner.get("metadata"))
    return _excerpt(inner) if inner else ""


def _upstream(metadata: Any) -> str:
    """OpenRouter's own message is only "Provider returned error"; the host's is beside it."""
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return f" ({raw[:300]})" if isinstance(raw, str) and raw else ""


def _word(value: Any) -> str:
    return value.lower() if isinstance(value, str) else ""


def _status(value: Any) -> int | None:
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600 else None


_STATUS_OF: tuple[tuple[frozenset[str], int], ...] = (
    (frozenset({"rate_limit_exceeded", "rate_limit_error", "rate_limited", "resource_exhausted"}), 429),
    (frozenset({"authentication_error", "invalid_api_key"}), 401),
    (frozenset({"permission_error", "permission_denied"}), 403),
    (frozenset({"insufficient_quota", "billing_error"}), 402),
    (frozenset({"overloaded_error", "service_unavailable", "unavailable", "engine_overloaded"}), 503),
    (frozenset({"server_error", "internal_server_error", "internal_error", "api_error", "internal"}), 500),
    (frozenset({"timeout", "timeout_error"}), 504),
    (frozenset({"invalid_request_error", "badrequesterror", "invalid_argument", "bad_request"}), 400),
    (frozenset({"not_found_error", "model_not_found"}), 404),
)
"""Which status the words of an error object stand for; the first that fits."""

_CONTEXT_WORDS = frozenset({"context_length_exceeded", "too_many_prompt_tokens", "request_too_large"})
_CONTEXT = re.compile(
    r"prompt is too long|exceeds the context window|maximum context length|context_length_exceeded"
    r"|input token count.{0,80}exceeds the maximum number of tokens|reduce the length of the (messages|input|prompt)"
    r"|is longer than the model's|exceeds? the available context size|greater than the context length"
    r"|total length of all messages is too long|^request too large for model|: request too large for model"
    r"|request too large for \S+ .{0,80}tokens per min",
    re.IGNORECASE | re.DOTALL,
)

_QUOTA_WORDS = frozenset(
    {"insufficient_quota", "billing_error", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance"}
    | {"contract_spend_limit_reached", "enforced_spend_limit_reached", "insufficient_credits"}
)
_QUOTA = re.compile(
    r"insufficient (account )?(balance|credits?|quota|funds)|credit balance is too low|billing (hard )?limit"
    r"|out of credits|requires more credits|exceeded your (current quota|monthly|spend)|(spend|spending) limit"
    r"|(used|exceeded|depleted) (all )?(of )?your (monthly )?(included )?credits?",
    re.IGNORECASE,
)

_TOOLS = re.compile(
    r"(does not|doesn't|do not|cannot|not) support(ed)? (the use of )?['\"`]?"
    r"(tools?\b(?!_)|tool[ -]?(use|calling|calls?)|function[ -]?call(ing|s)?|functions\b)"
    r"|\b(tools?|tool[ -]?(use|calling|calls)|function[ -]?calling)['\"`]? (is|are) not (supported|available|enabled)"
    r"|no endpoints found that support tool use|unsupported (parameter|value): ['\"]tools['\"]"
    r"|tool choice requires --enable-auto-tool-choice|tools? param requires --jinja",
    re.IGNORECASE,
)

_KEY = re.compile(
    r"api[ _-]?key (is )?(not valid|invalid|expired)|(invalid|incorrect|missing) api[ _-]?key", re.IGNORECASE
)


def _typed(failure: Failure, status: int | None, text: str) -> ProviderError:
    """The error for a status; what the words say comes first where a status stands for several things."""
    if status == 401:
        return AuthenticationError(text, hint="check the key")
    found = _by_content(failure, text, status=status)
    if found is not None:
        return found
    match status:
        case 402:
            return QuotaExhaustedError(text, hint="add credit at the provider, or take another model")
        case 403:
            return AuthenticationError(text, hint="check what the key may do")
        case 408 | 504:
            return ProviderTimeoutError(text)
        case 409:
            return RequestRefusedError(text, retryable=True)
        case 413:
            return ContextTooLongError(text, hint="start a new session, or ask for less at once")
        case 429:
            return RateLimitError(text)
        case int() if status >= 500:
            return ProviderOverloadedError(text)
        case int() if status >= 400:
            return RequestRefusedError(text, hint=_refused_hint(failure, status))
        case _:
            return BadResponseError(text, hint="check the base URL")


def _by_content(failure: Failure, text: str, *, status: int | None = None) -> ProviderError | None:
    """The error that the provider's words name; None when they name none of those that matter here."""
    message, words = failure.message, failure.words
    if "tool_use_failed" in words:  # the model wrote a call that the host refused: it may do better the next time
        return BadResponseError(text, retryable=True)
    if words & _CONTEXT_WORDS or _CONTEXT.search(message):
        return ContextTooLongError(text, hint="start a new session, or ask for less at once")
    if words & _QUOTA_WORDS or (_QUOTA.search(message) and not _will_refill(failure)):
        return QuotaExhaustedError(text, hint="add credit at the provider, or take another model")
    if status not in (403, 429) and _TOOLS.search(message) and "reasoning_effort" not in message:
        return ToolsUnsupportedError(text, hint="take a model that does: equitrcoder models --tools")
    if "invalid_api_key" in words or _KEY.search(message):
        return AuthenticationError(text, hint="check the key")
    return None


_OVERLOADED = re.compile(
    r"overloaded|(over|at|out of) capacity|server (is )?busy|temporarily unavailable|service unavailable", re.IGNORECASE
)
_OUT_OF_TIME = re.compile(
    r"timed out|deadline exceeded|(request|gateway|upstream|connection|inference) time-?out", re.IGNORECASE
)


def _by_words(message: str, text: str) -> ProviderError:
    """The error for a message that came without any kind or status."""
    if _OVERLOADED.search(message):
        return ProviderOverloadedError(text)
    return ProviderTimeoutError(text) if _OUT_OF_TIME.search(message) else BadResponseError(text)


def _will_refill(failure: Failure) -> bool:
    """Google says "exceeded your current quota" also when a minute's limit is reached, and then how long to wait."""
    details = failure.data.get("details") if isinstance(failure.data, dict) else None
    return "retrydelay" in _excerpt(details).lower() and "perday" not in _excerpt(details, 4000).lower()


def _refused_hint(failure: Failure, status: int) -> str:
    if "reasoning_effort" in failure.message and "tools" in failure.message.lower():
        return "this model takes tools only on the Responses wire, or with reasoning_effort: none"
    if "model_not_found" in failure.words or (status == 404 and "model" in failure.message.lower()):
        return "see which there are: equitrcoder models"
    return "check the base URL" if status in (404, 405) else ""


def _excerpt(data: Any, limit: int = 2000) -> str:
    try:
        return _clean(jsontext.dumps(data)[:limit].decode("utf-8", "ignore"))
    except RecursionError:
        return ""


def _clean(text: str) -> str:
    """Text of a provider on one line, without control characters: it is shown in a terminal."""
    return "".join(char if char.isprintable() else " " for char in text).strip()
