"""Events as rows of the index: pure, and indifferent to what a damaged or foreign entry may hold."""

from __future__ import annotations

import math
from typing import Any

from equitrcoder import jsontext
from equitrcoder.ledger.encoding import encode, text_bytes
from equitrcoder.records import CLOSED_OUTCOMES, OPEN_OUTCOMES

ARGUMENTS_BYTES = 16_384
RESULT_BYTES = 2_048

NONE, WHOLE = 0, 1
IN_JOURNAL = 2
"""Form of arguments that are too long for the index."""
WHOLE_JSON, HEAD, HEAD_JSON = 2, 3, 4
"""Forms of a result: JSON that is no text, the first part of a text, the first part of JSON."""

_LARGEST = 1 << 53

REPORTED_SUMS = ("steps_taken", "input_tokens", "output_tokens", "cached_read_tokens", "reasoning_tokens")
"""Columns of a run that `run_finished` may set."""

CALL_COLUMNS: dict[str, Any] = {
    "call_uid": "",
    "run_id": "",
    "ordinal": 0,
    "step": 0,
    "position": 0,
    "provider_call_id": None,
    "tool_name": "",
    "tool_kind": "function",
    "executed_by": "client",
    "actor": 0,
    "arguments": None,
    "arguments_form": NONE,
    "arguments_raw": None,
    "arguments_raw_form": NONE,
    "result": None,
    "result_form": NONE,
    "result_metadata": None,
    "result_bytes": None,
    "result_sha256": None,
    "truncated_to": None,
    "outcome": "requested",
    "error_type": None,
    "error_message": None,
    "requested_at": "",
    "order_at": "",
    "run_number": 0,
    "started_at": None,
    "ended_at": None,
    "duration_ms": None,
    "duration_source": "unknown",
    "approval": "auto",
    "sandbox": "not_applicable",
    "redactions": None,
    "requested_offset": None,
    "requested_length": None,
    "finished_offset": None,
    "finished_length": None,
}
"""A row of tool_calls before anything is known, in the order of the columns."""


def whole_number(value: Any) -> int | None:
    """An integer that a database can hold and add up; anything else None."""
    return value if type(value) is int and -_LARGEST < value < _LARGEST else None


def number(value: Any) -> float | None:
    """A finite number; anything else None."""
    if type(value) is float:
        return value if math.isfinite(value) else None
    return float(value) if whole_number(value) is not None else None


def text(value: Any) -> str | None:
    """A text; None for none; anything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return encode(value).decode()


def json_text(value: Any) -> str | None:
    """JSON of an object or list that is not empty, else None. Bytes are JSON already."""
    if type(value) is bytes:
        return value.decode()
    return encode(value).decode() if value and isinstance(value, dict | list) else None


_REQUESTED_WORDS = ("provider_call_id", "tool_name", "tool_kind", "executed_by")


def put_requested(row: dict[str, Any], event: dict[str, Any]) -> None:
    """Enter what `call_requested`, or a turn's outline of the call, says. Raises KeyError, TypeError, ValueError."""
    row["ordinal"] = int(event["ordinal"])
    row["step"] = int(event["step"])
    row["position"] = int(event["position"])
    for name in _REQUESTED_WORDS:
        value = event.get(name)
        if value is not None:
            row[name] = value if type(value) is str else text(value)
    row["requested_at"] = event["at"]
    if "arguments" in event:
        arguments = event["arguments"]
        if type(arguments) is bytes:  # JSON already, as the recorder hands it over
            arguments = None if arguments[:1] != b"{" else arguments.decode()
        else:
            arguments = encode(arguments).decode() if isinstance(arguments, dict) else None
        if arguments is not None:
            row["arguments"], row["arguments_form"] = _bounded(arguments)
    if "arguments_raw" in event and type(event["arguments_raw"]) is str:
        row["arguments_raw"], row["arguments_raw_form"] = _bounded(event["arguments_raw"])
    if "redactions" in event:
        row["redactions"] = json_text(event["redactions"])


def _bounded(value: str) -> tuple[str | None, int]:
    if len(value) * 4 <= ARGUMENTS_BYTES or len(text_bytes(value)) <= ARGUMENTS_BYTES:
        return value, WHOLE
    return None, IN_JOURNAL


def put_started(row: dict[str, Any], event: dict[str, Any]) -> None:
    """Enter what `call_started` says."""
    row["outcome"] = "running"
    row["started_at"] = event["at"]
    for name in ("sandbox", "approval"):
        value = event.get(name)
        if value is not None:
            row[name] = value if type(value) is str else text(value)


def put_finished(row: dict[str, Any], event: dict[str, Any]) -> None:
    """Enter what `call_finished` says. A recovered one was closed later by somebody else: it has no end."""
    outcome = event.get("outcome")
    row["outcome"] = outcome if outcome in CLOSED_OUTCOMES else "unknown"
    if "recovered" not in event or not event["recovered"]:
        row["ended_at"] = event["at"]
    if "duration_ms" in event:
        duration_ms = number(event["duration_ms"])
        if duration_ms is not None:
            row["duration_ms"] = duration_ms
            row["duration_source"] = "measured"
    if "result" in event:
        row["result"], row["result_form"] = _result(event["result"])
    if "result_bytes" in event:  # also where the result itself is not kept
        row["result_bytes"] = whole_number(event["result_bytes"])
        row["result_sha256"] = text(event.get("result_sha256"))
    if "error_type" in event or "error_message" in event:
        row["error_type"] = text(event.get("error_type"))
        row["error_message"] = text(event.get("error_message"))
    if "truncated_to" in event:
        row["truncated_to"] = whole_number(event["truncated_to"])
    if "result_metadata" in event:
        row["result_metadata"] = json_text(event["result_metadata"])
    if event.get("approval"):
        row["approval"] = text(event["approval"])


def _result(value: Any) -> tuple[str | None, int]:
    if value is None:
        return None, NONE
    if isinstance(value, str):
        head = first_bytes(value, RESULT_BYTES)
        return head, WHOLE if len(head) == len(value) else HEAD
    encoded = (value if type(value) is bytes else encode(value)).decode()
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
    head = value[:limit]
    if head.isascii():
        return head
    data = text_bytes(head)
    return head if len(data) <= limit else data[:limit].decode("utf-8", "ignore")


def turn_row(event: dict[str, Any]) -> dict[str, Any]:
    """What `turn` says of a model's answer."""
    found = event.get("usage")
    usage: dict[str, Any] = found if isinstance(found, dict) else {}
    calls, attempts = event.get("calls"), whole_number(event.get("attempts"))
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
        "attempts": 1 if attempts is None else attempts,
        "cost_nanousd": whole_number(event.get("cost_nanousd")),
        "price_version": text(event.get("price_version")),
        "text": text(event.get("text")) or "",
        "calls": len(calls) if isinstance(calls, list) else 0,
    }


def reported_facts(event: dict[str, Any]) -> dict[str, int]:
    """What `run_finished` says was counted elsewhere; it replaces the sums of the run's row. Empty for most runs."""
    usage, steps_taken = (_handed(event.get(name)) for name in ("usage", "steps_taken"))
    found = {**(usage if isinstance(usage, dict) else {}), "steps_taken": steps_taken}
    known = {name: whole_number(found.get(name)) for name in REPORTED_SUMS}
    return {name: count for name, count in known.items() if count is not None}


def _handed(value: Any) -> Any:
    """A value that may come as JSON, from its recorder."""
    return jsontext.loads(value) if type(value) is bytes else value


def is_failed(outcome: str) -> bool:
    """Closed and not success."""
    return outcome != "success" and outcome not in OPEN_OUTCOMES
