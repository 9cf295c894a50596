"""`equitrcoder audit` and `api.audit()` on what real runs of the command left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from equitrcoder import SyncEquitrAPI
from equitrcoder.testing import Answer, Call, ScriptedProvider
from tests.command import World

SCRIPT = [
    Answer(calls=[Call("read_file", {"file_path": "a.txt"}), Call("no_such_tool", {"x": 1})]),
    Answer(calls=[Call("run_command", {"command": "exit 3"}), Call("run_command", '{"command": "broken')]),
    Answer(text="Done."),
]


@pytest.fixture
def world(tmp_path: Path) -> World:
    with ScriptedProvider(SCRIPT) as provider:
        world = World(tmp_path, provider.base_url)
        (world.repo / "a.txt").write_text("hello\n")
        assert world.run().code == 0
    return world


def test_a_real_run_balances(world: World) -> None:
    done = world.equitrcoder("audit")
    assert (done.code, done.err) == (0, "")
    summary, titles, client = done.out.splitlines()
    assert summary == "1 run, 4 calls: balanced"
    assert titles.split() == ["executed", "by", "in", "answers", "requested", "failed", "invalid", "success"]
    assert client.split() == ["client", "4", "4", "1", "2", "1"]
    report = json.loads(world.equitrcoder("audit", "last", "--json").out)
    assert report["balanced"] is True and report["in_messages"] == report["requested"] == {"client": 4}


def test_a_difference_is_told_with_its_place_and_its_fix(world: World) -> None:
    world.balances = False
    (journal,) = world.state.glob("journals/*/*/*.jsonl")
    data = journal.read_bytes()
    journal.write_bytes(data.replace(b"hello", b"hallo"))
    done = world.equitrcoder("audit")
    assert done.code == 1
    assert done.out.splitlines()[0] == "1 run, 4 calls: 2 differences"
    line = data[: data.index(b"hello")].count(b"\n") + 1
    place = f"{journal.relative_to(world.state)}, line {line}, byte "
    assert f"result_differs · run {journal.stem[-4:]} · step 1 · call 1" in done.out.replace("…", "")
    assert place in done.out and "entry_changed" in done.out
    assert "Fix: take this journal from a backup" in done.out
    found = json.loads(world.equitrcoder("audit", "--json").out)["differences"]
    assert {(one["kind"], one["line"], one["step"], one["ordinal"]) for one in found} == {
        ("result_differs", line, 1, 1),
        ("entry_changed", line, 1, 1),
    }


def test_from_python(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EQUITRCODER_STATE_DIR", str(world.state))
    api = SyncEquitrAPI(repo_path=world.repo)
    assert str(api.audit()) == "0 runs, 0 calls: balanced"
    assert str(api.audit("last")) == str(api.audit(all_sessions=True)) == "1 run, 4 calls: balanced"


def test_without_such_a_run_it_says_so(tmp_path: Path) -> None:
    done = World(tmp_path).equitrcoder("audit", "7F3K")
    assert done.code == 1 and "E604" in done.err and done.out == ""
    done = World(tmp_path).equitrcoder("audit")
    assert (done.code, done.out) == (0, "0 runs, 0 calls: balanced\n")
