"""Events as rows of the index: pure, and indifferent to what a damaged or foreign entry may hold."""

from __future__ import annotations

from typing import Any

from equitrcoder.ledger.encoding import encode, text_bytes
from equitrcoder.records import CLOSED_OUTCOMES, OPEN_OUTCOMES

ARGUMENTS_BYTES = 16_384
RESULT_BYTES = 2_048

NONE, WHOLE, WHOLE_JSON, HEAD, HEAD_JSON = range(5)
"""Forms of a stored text; for arguments HEAD_JSON and HEAD are not used and WHOLE_JSON means: look in the journal."""
IN_JOURNAL = 2

_LARGEST = 1 << 53


def whole_number(value: Any) -> int | None:
    """An integer that a database can hold and add up; anything else None."""
    return value if type(value) is int and abs(value) < _LARGEST else None


def number(value: Any) -> float | None:
    """A finite number; anything else None."""
    if type(value) is float:
        return value
    return float(value) if whole_number(value) is not None else None


def text(value: Any) -> str | None:
    """A text; None for none; anything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return encode(value).decode()


def json_text(value: Any) -> str | None:
    """JSON of an object or list that is not empty, else None."""
    return encode(value).decode() if isinstance(value, dict | list) and value else None


def requested_row(event: dict[str, Any]) -> dict[str, Any]:
    """What `call_requested` says of a call, but for its run and its place."""
    arguments, raw = event.get("arguments"), event.get("arguments_raw")
    encoded = encode(arguments).decode() if isinstance(arguments, dict) else None
    raw = raw if isinstance(raw, str) else None
    arguments_form, raw_form = _form(encoded), _form(raw)
    return {
        "call_uid": str(event["call_uid"]),
        "ordinal": int(event["ordinal"]),
        "step": int(event["step"]),
        "position": int(event["position"]),
        "provider_call_id": text(event.get("provider_call_id")),
        "tool_name": text(event.get("tool_name")) or "",
        "tool_kind": text(event.get("tool_kind")) or "function",
        "executed_by": text(event.get("executed_by")) or "client",
        "arguments": encoded if arguments_form == WHOLE else None,
        "arguments_form": arguments_form,
        "arguments_raw": raw if raw_form == WHOLE else None,
        "arguments_raw_form": raw_form,
        "requested_at": event["at"],
    }


def _form(value: str | None) -> int:
    if value is None:
        return NONE
    return WHOLE if len(value) <= ARGUMENTS_BYTES and len(text_bytes(value)) <= ARGUMENTS_BYTES else IN_JOURNAL


def started_row(event: dict[str, Any]) -> dict[str, Any]:
    """What `call_started` says of a call."""
    return {
        "outcome": "running",
        "started_at": event["at"],
        "sandbox": text(event.get("sandbox")) or "not_applicable",
        "approval": text(event.get("approval")) or "auto",
    }


def finished_row(event: dict[str, Any]) -> dict[str, Any]:
    """What `call_finished` says of a call. A recovered one was closed later by somebody else: it has no end."""
    outcome = event.get("outcome")
    duration_ms = number(event.get("duration_ms"))
    row: dict[str, Any] = {
        "outcome": outcome if outcome in CLOSED_OUTCOMES else "unknown",
        "ended_at": None if event.get("recovered") else event["at"],
        "error_type": text(event.get("error_type")),
        "error_message": text(event.get("error_message")),
        "duration_ms": duration_ms,
        "duration_source": "unknown" if duration_ms is None else "measured",
        "result_metadata": json_text(event.get("result_metadata")),
        "result_bytes": whole_number(event.get("result_bytes")),
        "result_sha256": text(event.get("result_sha256")),
        "truncated_to": whole_number(event.get("truncated_to")),
    }
    row["result"], row["result_form"] = _result(event.get("result"))
    if event.get("approval"):
        row["approval"] = text(event["approval"])
    return row


def _result(value: Any) -> tuple[str | None, int]:
    if value is None:
        return None, NONE
    if isinstance(value, str):
        head = first_bytes(value, RESULT_BYTES)
        return head, WHOLE if len(head) == len(value) else HEAD
    encoded = encode(value).decode()
    head = first_bytes(encoded, RESULT_BYTES)
    return head, WHOLE_JSON if len(head) == len(encoded) else HEAD_JSON


def first_bytes(value: str, limit: int) -> str:
    """The first characters of a text that fit into so many bytes of UTF-8.

    Example:
        >>> first_bytes("añb", 2)
        'a'
    """
    if len(value) * 4 <= limit:
        return value
    data = text_bytes(value[:limit])
    return value[:limit] if len(data) <= limit else data[:limit].decode("utf-8", "ignore")


def turn_row(event: dict[str, Any]) -> dict[str, Any]:
    """What `turn` says of a model's answer."""
    usage = event.get("usage") if isinstance(event.get("usage"), dict) else {}
    calls = event.get("calls")
    assert isinstance(usage, dict)
    return {
        "step": int(event["step"]),
        "at": event["at"],
        "model_answered": text(event.get("model_answered")),
        "input_tokens": whole_number(usage.get("input_tokens")),
        "cached_read_tokens": whole_number(usage.get("cached_read_tokens")),
        "cache_write_tokens": whole_number(usage.get("cache_write_tokens")),
        "output_tokens": whole_number(usage.get("output_tokens")),
        "reasoning_tokens": whole_number(usage.get("reasoning_tokens")),
        "finish": text(event.get("finish")),
        "duration_ms": number(event.get("duration_ms")),
        "time_to_first_byte_ms": number(event.get("time_to_first_byte_ms")),
        "attempts": whole_number(event.get("attempts")) or 1,
        "cost_nanousd": whole_number(event.get("cost_nanousd")),
        "price_version": text(event.get("price_version")),
        "text": text(event.get("text")) or "",
        "calls": len(calls) if isinstance(calls, list) else 0,
    }


def is_failed(outcome: str) -> bool:
    """Closed and not success."""
    return outcome != "success" and outcome not in OPEN_OUTCOMES
