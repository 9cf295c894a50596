"""Recorded sessions go on as their clients went on: the same results to the same ids, and what must be kept is kept."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from equitrcoder import jsontext
from equitrcoder.agent.session import Session
from equitrcoder.providers import PROVIDERS
from equitrcoder.settings import Settings
from tests.wire.recorded import body_of, exchange, expectations, is_stream, needs_recordings, read, status_of
from tests.wire.replay import ROWS, Replayed, Step, replay, sealed, steps, told_by

pytestmark = needs_recordings


class Found(NamedTuple):
    """What was compared."""

    sessions: int
    requests: int
    results: int
    kept: int
    """Parts that only go through: signatures, sealed reasoning, blocks of the provider's own tools."""


LEAST = {
    "openai-chat": Found(132, 271, 366, 42),
    "openai-responses": Found(50, 76, 93, 24),
    "anthropic-messages": Found(50, 66, 82, 4),
    "gemini-generate": Found(60, 89, 129, 110),
    "mistral": Found(10, 10, 13, 0),
    "cohere-v2": Found(8, 12, 16, 1),
}
"""What the folder holds at least. No recorded client of Ollama's own wire sent results back."""

LEFT_AT_THE_PROVIDER = "the client named the answer by previous_response_id; we leave nothing with a provider"
DIFFERENT = {
    "openai-openai-responses-n-cf6cd8076c": LEFT_AT_THE_PROVIDER,
    "openai-openai-responses-n-c448104af9": LEFT_AT_THE_PROVIDER,
    "openai-openai-responses-n-d438b986ef": LEFT_AT_THE_PROVIDER,
}
"""Requests of ours that differ from the recorded one, and why that is right."""


def differences(found: Replayed) -> dict[str, Any]:
    ours, theirs = found.ours, found.theirs
    pairs = {
        "calls": ([(call.name, call.arguments) for call in side.calls] for side in (ours, theirs)),
        "ids": ([call.id for call in side.calls] for side in (ours, theirs)),
        "results": ([(each.id, each.text, each.is_error) for each in side.results] for side in (ours, theirs)),
    }
    said = {what: tuple(pair) for what, pair in pairs.items()}
    different: dict[str, Any] = {what: pair for what, pair in said.items() if pair[0] != pair[1]}
    return different | ({"lost": found.lost} if found.lost else {})


@pytest.mark.parametrize("name", LEAST)
def test_recorded_sessions_go_on_as_their_clients_did(name: str) -> None:
    different: dict[str, Any] = {}
    seen: list[tuple[Step, Replayed]] = []
    for step in steps(name):
        found = replay(name, step)
        if found is None:
            continue
        seen.append((step, found))
        if differences(found):
            different[step.request] = differences(found)
    assert {which: said for which, said in different.items() if which not in DIFFERENT} == {}
    assert set(DIFFERENT) & {step.request for step, _ in seen} <= set(different), "listed, but no difference any more"
    counted = Found(
        len({step.session for step, _ in seen}),
        len(seen),
        sum(len(found.ours.results) for _, found in seen),
        sum(found.kept for _, found in seen),
    )
    print(name, counted)
    assert all(count >= least for count, least in zip(counted, LEAST[name], strict=True)), counted


# --- through the agent and a socket --------------------------------------------------------------------------------


class Recorder(ThreadingHTTPServer):
    """Answers with recorded bodies, one after the other, and keeps what was asked."""

    daemon_threads = True

    def __init__(self, answers: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers
        self.asked: list[Any] = []


class _Handler(BaseHTTPRequestHandler):
    server: Recorder

    def do_POST(self) -> None:
        self.server.asked.append(jsontext.loads(self.rfile.read(int(self.headers["content-length"]))))
        which = self.server.answers[min(len(self.server.asked), len(self.server.answers)) - 1]
        body = body_of(which)
        self.send_response(status_of(which))
        self.send_header("content-type", exchange(which)["response"]["content_type"] or "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def recorder(answers: list[str]) -> Iterator[Recorder]:
    with Recorder(answers) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def chains(name: str, *, stream: bool) -> list[list[str]]:
    """Recorded answers that end with one without calls, the longest first."""
    if name == "ollama-chat":
        called = [which for which, told in expectations(name).items() if told["calls"] and is_stream(which) == stream]
        plain = [which for which, told in expectations(name).items() if not told["calls"] and not told["error"]]
        return [[which, next(each for each in plain if is_stream(each) == stream)] for which in called]
    found = []
    for step in steps(name):
        chain = [*step.answers, step.request]
        told = [expectations(name)[each] for each in chain]
        clean = not told[-1]["calls"] and all(
            not each["error"] and "malformed" not in str(each["shape"]) for each in told
        )
        ours = all(call["kind"] == "client" for each in told for call in each["calls"])
        if clean and ours and all(is_stream(each) == stream for each in chain):
            found.append(chain)
    return sorted(found, key=len, reverse=True)


ENDED = {"end", "calls"}
NOT_RECORDED = {("mistral", True)}
"""Wires of which no whole session was recorded in this form."""


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ROWS)
def test_the_agent_goes_through_recorded_sessions(name: str, stream: bool, tmp_path: Path) -> None:
    """The whole agent, over a socket. It has not the tools of that time: the results are its own."""
    whole = [chain for chain in chains(name, stream=stream) if all(read(name, each).stop in ENDED for each in chain)]
    assert (whole == []) == ((name, stream) in NOT_RECORDED)
    for number, chain in enumerate(whole[:3]):
        asked = asyncio.run(_run(name, chain, tmp_path / str(number), stream=stream))
        assert len(asked) == len(chain)
        kept: set[str] = set()
        for which, request in zip(chain, asked[1:], strict=False):
            turn = read(name, which)
            kept |= set(sealed(turn.native))
            told = told_by(name, request)
            calls = [call for call in turn.calls if call.kind == "client"]
            echoed, results = told.calls[-len(calls) :], told.results[-len(calls) :]
            assert [(each.name, each.arguments) for each in echoed] == [(c.name, c.arguments or {}) for c in calls]
            assert [each.id for each, call in zip(echoed, calls, strict=True) if call.id] == [
                c.id for c in calls if c.id
            ]
            assert len(told.results) == len(told.calls), "each call has its result"
            assert [each.id for each in results] == [each.id for each in echoed]
            assert all(each.text for each in results)
            assert kept <= told.kept, which


async def _run(name: str, chain: list[str], folder: Path, *, stream: bool) -> list[Any]:
    repo = folder / "repo"
    repo.mkdir(parents=True)
    row = PROVIDERS[ROWS[name]]
    with recorder(chain) as server:
        root = f"http://127.0.0.1:{server.server_port}"
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "EQUITRCODER_STATE_DIR": str(folder / "state"),
            row.base_url_variables[0]: root + urlsplit(row.base_url or "").path,
            row.keys[0]: "k",
        }
        providers = {"openai": {"wire": "openai-responses"}} if name == "openai-responses" else {}
        settings = Settings(approve="all", sandbox="off", stream=stream, providers=providers, max_attempts=1)
        async with Session(repo, settings, environ, model=f"{row.name}/m") as agent:
            await agent.run("go on")
        return server.asked
