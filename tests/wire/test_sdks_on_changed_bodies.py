"""The official SDKs as a second oracle over changed bodies: cut anew, fields that nobody knows, usage said twice.

What an SDK makes of a body is compared with what we make of the same body. Bodies that an SDK does not take (it raises)
say nothing; how many it took is printed (`-s`) and has a lower bound. Beside an answer written for every wire these are
recorded ones where their folder is given: a few of each wire with one change each, all with EQUITRCODER_ALL_BODIES=1.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from equitrcoder.testing import Answer, Call, ScriptedProvider
from equitrcoder.wires import read_calls
from tests.contract.test_scripted_provider_sdks import SDKS
from tests.wire import recorded
from tests.wire.changes import FRAMINGS, blocks, cut_at_random, each_event, with_unknown_fields
from tests.wire.every_wire import FORMS
from tests.wire.test_changes_that_mean_nothing import CALLS, LEAVE
from tests.wire.test_openai_chat_sdk import Handler

BODIES = 10_000 if os.environ.get("EQUITRCODER_ALL_BODIES") else 4
"""Recorded answers of each kind (streams, documents) and wire, spread over all that hold calls."""
OF_WIRE = {
    "openai-chat": "openai-chat",
    "openai-responses": "openai-responses",
    "anthropic-messages": "anthropic",
    "gemini-generate": "google-genai",
    "ollama-chat": "ollama",
    "cohere-v2": "cohere",
    "mistral": "mistralai",
}
assert set(OF_WIRE) == set(FORMS)
NOT_ASKED = re.compile(rb'"type": ?"(custom_tool|tool_search|shell|local_shell|apply_patch|computer)_call"')
"""Calls that are no functions: what asks the SDK looks for functions only."""
MAY_REFUSE = ("comments", "unknown fields")
"""Changes that some SDK does not take: google-genai no comments, openai no list in a delta that it does not know."""


def unknown_fields(text: bytes, *, streaming: bool) -> bytes:
    change = partial(with_unknown_fields, leave=LEAVE)
    return each_event(text, change) if streaming else json.dumps(change(json.loads(text))).encode()


def usage_twice(text: bytes, *, streaming: bool) -> bytes:
    """An event that has usage and no other fact comes again."""
    if not streaming:
        return text
    made = [block + b"\n\n" + block if b'"choices":[]' in block.replace(b" ", b"") else block for block in blocks(text)]
    return b"\n\n".join(made) + b"\n\n"


def comments(text: bytes, *, streaming: bool) -> bytes:
    return FRAMINGS["comments"](text) if streaming else b" \n" + text


CHANGES: dict[str, Callable[..., bytes]] = {
    "cut anew": lambda text, streaming: text,
    "unknown fields": unknown_fields,
    "usage twice": usage_twice,
    "comments": comments,
}


class InPieces(Handler):
    """Writes the body in pieces, each at once."""

    def do_POST(self) -> None:
        server: Any = self.server
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", server.kind)
        self.send_header("content-length", str(sum(map(len, server.pieces))))
        self.end_headers()
        for piece in server.pieces:
            self.wfile.write(piece)


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), InPieces) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def written(name: str, *, streaming: bool) -> bytes:
    """An answer with every field that the SDKs want."""
    deltas = 0 if name == "mistral" else 3  # its SDK reads no calls in pieces
    answer = Answer(
        text="I look.", calls=[Call(name, given, deltas=deltas) for name, given in CALLS], usage_in_stream="always"
    )
    with ScriptedProvider([answer]) as provider:
        SDKS[OF_WIRE[name]][0](provider, streaming)
        module = import_module("equitrcoder.testing." + name.replace("mistral", "openai_chat").replace("-", "_"))
        return b"".join(module.render(answer, provider.requests[0]).events)


def bodies(name: str, *, streaming: bool) -> Iterator[tuple[str, bytes]]:
    yield "written", written(name, streaming=streaming)
    found = []
    for which in recorded.expectations(name) if recorded.FOLDER else ():
        if recorded.expected_calls(name, which) and recorded.is_stream(which) is streaming:
            found.append(which)
    for which in found[:: max(1, len(found) // BODIES)]:
        if recorded.status_of(which) == 200 and not NOT_ASKED.search(recorded.body_of(which)):
            yield which, recorded.body_of(which)


def ours(name: str, text: bytes, *, streaming: bool) -> list[tuple[str, Any]]:
    calls = read_calls(name, text, streaming=streaming)
    return [(call.name, call.arguments) for call in calls if call.kind == "client"]


@pytest.mark.parametrize("streaming", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("name", FORMS)
def test_the_sdk_reads_the_same_calls(name: str, streaming: bool, server: Any) -> None:
    ask, _ = SDKS[OF_WIRE[name]]
    address: Any = SimpleNamespace(base_url=f"http://127.0.0.1:{server.server_port}/v1")
    lines = name == "ollama-chat" and streaming
    server.kind = "application/x-ndjson" if lines else "text/event-stream" if streaming else "application/json"
    read = refused = 0
    told = []
    for number, (which, text) in enumerate(bodies(name, streaming=streaming)):
        for place, (change, changed) in enumerate(CHANGES.items()):
            if (lines and change != "cut anew") or (
                which != "written" and not lines and place != number % len(CHANGES)
            ):
                continue
            made = changed(text, streaming=streaming)
            server.pieces = cut_at_random(made, number)
            try:
                theirs = ask(address, streaming).calls
            except Exception as problem:  # whatever it raises, it is no oracle here
                assert which != "written" or change in MAY_REFUSE, (change, problem)
                refused += 1
                continue
            read += 1
            if theirs != ours(name, made, streaming=streaming):
                told.append((which, change, theirs, ours(name, made, streaming=streaming)))
    print(f"{name} {'streamed' if streaming else 'whole'}: {read} read by both, {refused} refused by the SDK")
    assert told == []
    assert read >= (1 if lines else 2)
