"""A run cut off between any two entries of its journal goes on, on every wire, with the very bytes sent before.

What a kill leaves is a journal that ends somewhere: here it is cut there, so that no place is missed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.agent.rebuilding import NOT_RUN, OUTCOME_UNKNOWN
from equitrcoder.agent.resuming import go_back
from equitrcoder.agent.session import Session, SessionOptions
from equitrcoder.errors import UsageError
from equitrcoder.ledger.audit import audit
from equitrcoder.settings import Settings
from equitrcoder.testing import Answer, Call, ReceivedRequest, ScriptedProvider, by_turn
from tests.contract.test_fifteen_alike import CASES, KEY, Row

MODELS = {"anthropic": "claude-sonnet-5-5"}
WIRES = ["openai", "openai-responses", "anthropic", "gemini", "ollama", "cohere", "mistral", "deepseek", "perplexity"]
OPAQUE = {
    "anthropic": '"type": "thinking", "thinking": "I write.", "signature"',
    "gemini": '"thoughtSignature"',
    "openai-responses": '"encrypted_content"',
    "deepseek": '"reasoning_content": "I write."',
}
"""What only the provider reads, and demands back as it gave it."""


def write(mark: str) -> Call:
    return Call("run_command", {"command": f"echo {mark} >> log"})


SCRIPT = [
    Answer(text="One.", reasoning="I look.", calls=[Call("read_file", {"file_path": "a.txt"})]),
    Answer(reasoning="I write.", calls=[write("b1"), Call("read_file", {"file_path": "none"}), write("b2")]),
    Answer(
        text="Three.",
        calls=[
            Call("run_command", {"command": "echo c1 >> log"}, id="twice"),
            Call("read_file", {"file_path": "a.txt"}, id="twice"),
            Call("read_file", '{"file_path": ', id=""),
        ],
    ),
    Answer(text="done"),
]


@dataclass
class Place:
    """A repository and a ledger, and a row to ask."""

    folder: Path
    row: Row
    stream: bool = True

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def repo(self) -> Path:
        """The same for all places of a test, as it is part of the system prompt."""
        return self.folder.parent / "repo"

    @property
    def log(self) -> list[str]:
        path = self.repo / "log"
        return path.read_text().split() if path.exists() else []

    async def run(self, script: Sequence[Answer], which: str | None = None, **changes: Any) -> list[ReceivedRequest]:
        """Run a task, or go on with a run; what the provider was asked."""
        self.repo.mkdir(parents=True, exist_ok=True)
        (self.repo / "a.txt").write_text("alpha\n")
        with ScriptedProvider(by_turn(script)) as provider:
            environ = {
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "EQUITRCODER_STATE_DIR": str(self.state),
                f"{self.row.name.upper()}_BASE_URL": provider.base_url.removesuffix("/v1") + self.row.base,
                **({self.row.key: KEY} if self.row.key else {}),
            }
            settings = Settings(approve="all", sandbox="off", stream=self.stream, **self.row.settings)
            model = f"{self.row.name}/{MODELS.get(self.row.name, 'scripted')}"
            options = SessionOptions(**changes)
            async with Session(self.repo, settings, environ, model=model, options=options) as session:
                if which is None:
                    await session.run("do it")
                else:
                    with go_back(self.state, which) as before:
                        await session.resume(before)
            assert provider.errors == []
            return list(provider.requests)

    def entries(self) -> list[dict[str, Any]]:
        (journal,) = self.state.glob("journals/*/*/*.jsonl")
        return [json.loads(line) for line in journal.read_bytes().splitlines()]

    def cut(self, folder: Path, entries: int) -> Place:
        """A place where the process died after so many entries; of commands, those that began have left their mark."""
        left = replace(self, folder=folder)
        (journal,) = self.state.glob("journals/*/*/*.jsonl")
        copy = left.state / journal.relative_to(self.state)
        copy.parent.mkdir(parents=True)
        copy.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:entries]))
        (left.state / "runs.jsonl").write_bytes((self.state / "runs.jsonl").read_bytes().splitlines(keepends=True)[0])
        begun = {entry["call_uid"] for entry in self.entries()[:entries] if entry["type"] == "call_started"}
        (self.repo / "log").unlink(missing_ok=True)
        for entry in self.entries()[:entries]:
            if entry["type"] == "call_requested" and entry["call_uid"] in begun and "command" in entry["arguments"]:
                with (self.repo / "log").open("a") as log:
                    log.write(entry["arguments"]["command"].split()[1] + "\n")
        return left


@pytest.mark.parametrize("case", WIRES)
async def test_cut_off_while_it_asks_it_asks_again_with_the_same_bytes(tmp_path: Path, case: str) -> None:
    whole = Place(tmp_path / "whole", CASES[case], stream=WIRES.index(case) % 2 == 0)
    asked = await whole.run(SCRIPT)
    marks = sorted(whole.log)
    places = [number for number, entry in enumerate(whole.entries(), 1) if entry["type"] == "request_sent"]
    assert len(places) == len(asked) == 4
    for number, place in list(enumerate(places))[1::2]:
        left = whole.cut(tmp_path / str(place), place)
        again = await left.run(SCRIPT, "last")
        assert json.dumps(again[0].json) == json.dumps(asked[number].json)
        assert [each.turn for each in again] == [each.turn for each in asked[number:]]
        assert sorted(left.log) == marks
        assert audit(left.state).differences == []
    assert OPAQUE.get(case, "alpha") in json.dumps(again[0].json)


async def test_cut_off_between_any_two_entries_no_call_runs_twice(tmp_path: Path) -> None:
    whole = Place(tmp_path / "whole", CASES["openai"])
    asked = await whole.run(SCRIPT)
    entries = whole.entries()
    for place in range(1, len(entries)):
        left = whole.cut(tmp_path / str(place), place)
        before = left.log
        if any(entry["type"] == "turn" and entry["stop"] == "end" for entry in entries[:place]):
            with pytest.raises(UsageError, match="had given its last answer when it was interrupted"):
                go_back(left.state, "last")
            continue
        again = await left.run(SCRIPT, "last")
        kept = entries[:place]
        turns = sum(entry["type"] == "turn" for entry in kept)
        assert again[0].turn == turns, place
        # all that was told before is told again, in the same bytes
        sent = [entry for entry in kept if entry["type"] == "request_sent"]
        if sent:
            (last,) = [each for each in asked if each.turn == sent[-1]["step"] - 1]
            assert json.dumps(again[0].messages[: len(last.messages)]) == json.dumps(last.messages), place
        # no mark twice, and those that had begun before the cut exactly once
        assert len(left.log) == len(set(left.log)), (place, left.log)
        assert set(before) <= set(left.log)
        _check_told(kept, again[0])
        assert audit(left.state).differences == [], place


def _check_told(kept: Sequence[Mapping[str, Any]], request: ReceivedRequest) -> None:
    """Each call of the last answer has one result: its own, or that its outcome is unknown, or that it was not run."""
    turns = [entry for entry in kept if entry["type"] == "turn"]
    if not turns:
        return
    by_call = {(entry["type"], entry.get("call_uid")): entry for entry in kept}
    expected = []
    for call in turns[-1]["calls"]:
        finished = by_call.get(("call_finished", call["call_uid"]))
        if finished is not None:
            expected.append(finished["result"])
        else:
            expected.append(OUTCOME_UNKNOWN if ("call_started", call["call_uid"]) in by_call else NOT_RUN)
    assert request.tool_results == expected
