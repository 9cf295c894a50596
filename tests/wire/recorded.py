"""Recorded traffic, where a folder of it is given in EQUITRCODER_CORPUS.

The folder holds `expected.json` (id -> what the exchange must give), `<id>.json` (one exchange each: request, response)
and `sessions/` (exchanges of one conversation; a link says which request carries the results of which answer). None of
it is in this repository; departures from its expectations, if there were any, would be listed in docs/wires.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.wires import wire
from equitrcoder.wires.values import Turn, WireCall
from tests.wire.reading import read_body

FOLDER = os.environ.get("EQUITRCODER_CORPUS")
needs_recordings = pytest.mark.skipif(not FOLDER, reason="EQUITRCODER_CORPUS names no folder of recorded traffic")

FIELDS = ("name", "arguments", "id", "kind", "index")


@cache
def load(name: str) -> Any:
    return json.loads((Path(FOLDER or "") / name).read_bytes())


@cache
def expectations(wire_name: str) -> dict[str, Any]:
    """What each exchange of this wire must give."""
    return {each: told for each, told in load("expected.json").items() if told["wire"] == wire_name}


def exchange(which: str) -> dict[str, Any]:
    return dict(load(f"{which}.json"))


def body_of(which: str) -> bytes:
    return str(exchange(which)["response"]["body"]).encode("utf-8", "surrogatepass")


def status_of(which: str) -> int:
    return int(exchange(which)["response"]["status"])


def is_stream(which: str) -> bool:
    return bool(exchange(which)["streaming"])


def read(wire_name: str, which: str, size: int | None = None) -> Turn:
    """The whole answer; a stream in pieces of this size."""
    module = wire(wire_name)
    if status_of(which) >= 400:
        raise module.error(status_of(which), {}, body_of(which))
    return read_body(module, body_of(which), streaming=is_stream(which), size=size)


def plain(calls: Iterable[WireCall]) -> list[dict[str, Any]]:
    return [{field: getattr(call, field) for field in FIELDS} for call in calls]


def expected_calls(wire_name: str, which: str) -> list[dict[str, Any]]:
    return [{field: call[field] for field in FIELDS} for call in expectations(wire_name)[which]["calls"]]


def expected_client_calls(wire_name: str, which: str, field: str) -> list[Any]:
    """This field of each expected call that the client answers."""
    return [call[field] for call in expected_calls(wire_name, which) if call["kind"] == "client"]


def links(wire_name: str) -> list[tuple[str, str]]:
    """Pairs of an answer and the exchange whose request carries the results of its calls."""
    pairs = []
    for file in sorted((Path(FOLDER or "") / "sessions").glob("*.json")):
        session = json.loads(file.read_bytes())
        for link in session["links"]:
            pair = session["exchanges"][link["from"]], session["exchanges"][link["to"]]
            if all(each in expectations(wire_name) for each in pair):
                pairs.append(pair)
    return pairs
