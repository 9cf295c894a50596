"""The setting `content` on a whole run of the real command: no file of the state directory holds what is turned off."""

from __future__ import annotations

from pathlib import Path

import pytest

from equitrcoder.testing import Answer, Call, ScriptedProvider
from tests.command import World

ASKED, GAVE, PRINTED = "asked-QUINCE", "gave-MEDLAR", "printed-SLOE"


def script() -> list[Answer]:
    return [
        Answer(calls=[Call("read_file", {"file_path": f"{ASKED}.txt"}), Call("read_file", {"file_path": "a.txt"})]),
        Answer(calls=[Call("write_file", {"file_path": "b.txt", "content": ASKED}), Call("no_such", {"x": ASKED})]),
        Answer(calls=[Call("run_command", {"command": f"cat a.txt; echo {ASKED}; exit 4"})]),
        Answer(calls=[Call("run_command", f'{{"command": "{ASKED}')]),
        Answer(text="Done."),
    ]


def one_run(tmp_path: Path, kept: str) -> World:
    with ScriptedProvider(script()) as provider:
        world = World(tmp_path, provider.base_url)
        (world.repo / "a.txt").write_text(f"{GAVE}\n")
        done = world.equitrcoder(
            *["run", "--model", "openai/scripted", "--approve", "all", "--sandbox", "off", "--log-tool-calls"],
            *[
                "--tool-log-file",
                "../state/tools.log",
                "--check",
                f"printf printed-; echo {PRINTED[8:]}; cat a.txt; exit 1",
            ],
            "fix it",
            environ={"EQUITRCODER_CONTENT": kept},
        )
        assert done.code == 1, done.err
    return world


@pytest.mark.parametrize("kept", ["hash", "off"])
def test_no_file_of_the_state_directory_holds_it(tmp_path: Path, kept: str) -> None:
    world = one_run(tmp_path, kept)
    for word in (ASKED, GAVE, PRINTED):
        assert world.files_holding(word, [world.state]) == []
    records = world.calls()
    assert [one["outcome"] for one in records] == ["failed", "success", "success", "invalid", "failed", "invalid"]
    assert {one["arguments"] for one in records} == {None}
    assert world.files_holding(ASKED, [world.state]) == []  # reading has made nothing of it again
    for command in (["show", "-v"], ["calls"], ["stats"], ["tail"], ["show", "--json"]):
        done = world.equitrcoder(*command)
        assert done.code == 0 and ASKED not in done.out and GAVE not in done.out, command


def test_by_default_it_is_all_there(tmp_path: Path) -> None:
    world = one_run(tmp_path, "full")
    for word in (ASKED, GAVE, PRINTED):
        names = {path.name.split(".")[-1] for path in world.files_holding(word, [world.state])}
        assert "jsonl" in names, word
