"""From what a provider tells of its tokens to the bill, on every wire, streaming and not: tests/data/bills.yaml."""

from __future__ import annotations

import ast
import json
import operator
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from equitrcoder.pricing import PRICE_TABLE_VERSION, cost_nanousd, find_price
from equitrcoder.wires import WIRES, wire
from equitrcoder.wires.values import Usage
from tests.wire.reading import read_body

BILLS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parents[1] / "data" / "bills.yaml").read_text())
TEXT = {"type": "text", "text": "x"}


def _lines(*objects: Any) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in objects)


def _events(*objects: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in objects)


def _named(*objects: dict[str, Any]) -> bytes:
    return b"".join(b"event: %s\n" % each["type"].encode() + _events(each) for each in objects)


def _chat(usage: Any) -> bytes:
    message = {"role": "assistant", "content": "x"}
    return _lines({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage})


def _chat_stream(told: list[Any]) -> bytes:
    pieces = [{"choices": [{"index": 0, "delta": {"content": "x"}}]}]
    pieces.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return _events(*pieces, *({"choices": [], "usage": usage} for usage in told)) + b"data: [DONE]\n\n"


def _response(usage: Any) -> dict[str, Any]:
    item = {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}
    return {"object": "response", "id": "r", "status": "completed", "output": [item], "usage": usage}


def _responses_stream(told: list[Any]) -> bytes:
    item = _response(None)["output"][0]
    started = {"type": "response.created", "response": {**_response(told[0]), "output": [], "status": "in_progress"}}
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    return _named(started, done, {"type": "response.completed", "response": _response(told[-1])})


def _message(usage: Any, **fields: Any) -> dict[str, Any]:
    message = {"type": "message", "id": "m", "role": "assistant", "content": [TEXT], "stop_reason": "end_turn"}
    return {**message, "usage": usage, **fields}


def _messages_stream(told: list[Any]) -> bytes:
    rest = told[1:] or [{"output_tokens": told[0]["output_tokens"]}]
    return _named(
        {"type": "message_start", "message": _message(told[0], content=[], stop_reason=None)},
        {"type": "content_block_start", "index": 0, "content_block": TEXT},
        {"type": "content_block_stop", "index": 0},
        *({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage} for usage in rest),
        {"type": "message_stop"},
    )


def _gemini(usage: Any, finish: str | None = "STOP") -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": [{"text": "x"}]}}
    return {"candidates": [candidate | ({"finishReason": finish} if finish else {})], "usageMetadata": usage}


def _gemini_stream(told: list[Any]) -> bytes:
    return _events(*(_gemini(usage, None) for usage in told[:-1]), _gemini(told[-1]))


def _ollama(facts: dict[str, Any], *, done: bool = True) -> dict[str, Any]:
    ends = {"done": True, "done_reason": "stop"} if done else {"done": False}
    return {"model": "m", "message": {"role": "assistant", "content": "x"}, **ends, **facts}


def _cohere(usage: Any) -> bytes:
    return _lines(
        {"id": "c", "finish_reason": "COMPLETE", "message": {"role": "assistant", "content": [TEXT]}, "usage": usage}
    )


def _cohere_stream(told: list[Any]) -> bytes:
    return _named(
        {"type": "message-start", "id": "c", "delta": {"message": {"role": "assistant", "content": []}}},
        {"type": "content-start", "index": 0, "delta": {"message": {"content": TEXT}}},
        {"type": "content-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": told[-1]}},
    )


FORMS: dict[str, tuple[Callable[[Any], bytes], Callable[[list[Any]], bytes]]] = {
    "openai-chat": (_chat, _chat_stream),
    "openai-responses": (lambda usage: _lines(_response(usage)), _responses_stream),
    "anthropic-messages": (lambda usage: _lines(_message(usage)), _messages_stream),
    "gemini-generate": (lambda usage: _lines(_gemini(usage)), _gemini_stream),
    "ollama-chat": (
        lambda usage: _lines(_ollama(usage)),
        lambda told: _lines(_ollama({}, done=False), *map(_ollama, told)),
    ),
    "cohere-v2": (_cohere, _cohere_stream),
    "mistral": (_chat, _chat_stream),
}
"""How a wire writes an answer with such a usage: whole, and as a stream."""


def usage_of(bill: dict[str, Any], *, streaming: bool) -> Usage:
    whole, stream = FORMS[bill["wire"]]
    body = stream(bill["told"]) if streaming else whole(bill.get("whole", bill["told"][-1]))
    return read_body(wire(bill["wire"]), body, streaming=streaming).usage


OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


def worked_out(text: str) -> Decimal:
    """The sum as it is written: numbers, + - * and brackets."""

    def value(node: ast.expr) -> Decimal:
        if isinstance(node, ast.BinOp):
            return Decimal(OPERATORS[type(node.op)](value(node.left), value(node.right)))
        assert isinstance(node, ast.Constant)
        return Decimal(str(node.value))

    return value(ast.parse(text.strip(), mode="eval").body)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("bill", BILLS, ids=lambda bill: f"{bill['wire']}: {bill['name']}")
def test_the_bill_is_the_one_computed_by_hand(bill: dict[str, Any], streaming: bool) -> None:
    usage = usage_of(bill, streaming=streaming)
    names = ("input_tokens", "cached_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
    assert [getattr(usage, name) for name in names] == bill["tokens"]
    provider, _, model = bill["model"].partition("/")
    price = find_price(provider, model)
    at = datetime.fromisoformat(str(bill.get("at", "2026-11-20 12:00"))).replace(tzinfo=UTC)
    found = None if price is None else cost_nanousd(price, usage, at=at)
    assert found == bill["nanousd"]
    if found is None:
        assert "sum" not in bill
        return
    assert found == worked_out(bill["sum"]).quantize(Decimal(1), ROUND_HALF_UP)
    assert price is not None
    assert price.version == ("no charge" if provider in ("ollama", "local") else PRICE_TABLE_VERSION)
    if "rates" in bill:
        rates, told = price.rates(usage.input_tokens or 0, at), bill["rates"]
        in_dollars = [rates.input_picousd, rates.cached_picousd, rates.cache_write_picousd, rates.output_picousd]
        expected = [
            told["input"],
            told.get("cached", told["input"]),
            told.get("written", told["input"]),
            told["output"],
        ]
        assert [Decimal(one) / 10**6 for one in in_dollars] == [Decimal(str(one)) for one in expected]


def test_every_wire_that_tells_tokens_has_its_bills() -> None:
    counted = Counter(bill["wire"] for bill in BILLS)
    assert counted.keys() == set(WIRES) - {"replicate-predictions"}
    assert min(counted.values()) >= 3


@pytest.mark.parametrize(
    ("cost", "nanousd"),
    [
        ({"input_cost": 0.001, "output_cost": 0.0005, "total_cost": 0.0015, "currency": "USD"}, 1_500_000),
        ({"total_cost": 0, "currency": "USD"}, 0),
        ({"total_cost": 0.0015, "currency": "EUR"}, None),
        ({"total_cost": -1, "currency": "USD"}, None),
        ({"total_cost": 1e300, "currency": "USD"}, None),
        ({"total_cost": True, "currency": "USD"}, None),
        ({"total_cost": "1", "currency": "USD"}, None),
        (0.0015, None),
    ],
)
@pytest.mark.parametrize("streaming", [True, False])
def test_the_bill_of_the_provider_itself_is_read(cost: Any, nanousd: int | None, streaming: bool) -> None:
    told = [{"input_tokens": 10, "output_tokens": 5, "cost": cost}]
    usage = usage_of({"wire": "openai-responses", "told": told}, streaming=streaming)
    assert (usage.billed_nanousd, usage.input_tokens) == (nanousd, 10)


HOSTILE: list[Any] = [-1, 2.5, "7", "x", True, None, [], {}, 10**10, 2**53, 10**30, 1e300, -(2**63), [[7]]]


@pytest.mark.parametrize("wire_name", FORMS)
def test_no_usage_however_odd_makes_a_number_that_is_none(wire_name: str) -> None:
    """Every number of a usage replaced by something that is none, one at a time and all at once, and no object."""
    full = [bill for bill in BILLS if bill["wire"] == wire_name and isinstance(bill["told"][-1], dict)]
    for bill in full:
        for odd in HOSTILE:
            spoilt = [_spoilt(bill["told"][-1], odd, only) for only in (None, 0, 1)]
            for told in [*spoilt, *([odd] if wire_name not in ("ollama-chat", "anthropic-messages") else [])]:
                for streaming in (True, False):
                    usage = usage_of({"wire": wire_name, "told": [told], "whole": told}, streaming=streaming)
                    for name in Usage.__slots__:
                        value = getattr(usage, name)
                        assert value is None or (type(value) is int and 0 <= value < 2 * 10**10), (told, name)


def _spoilt(usage: Any, odd: Any, only: int | None) -> Any:
    seen = -1

    def walk(value: Any) -> Any:
        nonlocal seen
        if isinstance(value, dict):
            return {key: walk(inner) for key, inner in value.items()}
        seen += 1
        return odd if only in (None, seen) else value

    return walk(usage)
