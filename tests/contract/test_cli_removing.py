"""`db prune`, `runs delete`, `db backup` and `db size` as a person and a script use them."""

from __future__ import annotations

import json
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.cli.app import run_app
from equitrcoder.ledger import Ledger, Reader, rebuild_index
from equitrcoder.ledger.audit import audit
from tests.ledger_runs import one_call, start

Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EQUITRCODER_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Invoke:
    def invoke(*arguments: str) -> tuple[int, str, str]:
        code = run_app(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return invoke


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A person at a terminal who types this."""

    def types(words: str) -> None:
        import io

        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        monkeypatch.setattr(sys, "stdin", Terminal(words))

    return types


def record(state: Path, runs: int = 3) -> list[str]:
    ids = []
    with Ledger(state) as ledger:
        for number in range(runs):
            one = start(ledger)
            for step in range(1, number + 2):
                one_call(one, step=step)
            one.finish(status="completed")
            ids.append(one.run_id)
    return ids


def left(state: Path) -> list[str]:
    with Reader(state) as reader:
        return [one.run_id for one in reader.runs()][::-1]


def journals(state: Path) -> set[str]:
    return {path.stem for path in state.glob("journals/*/*/*.jsonl")}


REMOVING = [["runs", "delete", "last"], ["db", "prune", "--older-than", "2999-01-01"]]


@pytest.mark.parametrize("command", REMOVING, ids=["delete", "prune"])
def test_a_dry_run_removes_nothing_and_says_what_would_go(state: Path, run: Invoke, command: list[str]) -> None:
    ids = record(state)
    code, out, _ = run(*command, "--dry-run")
    assert code == 0 and "would be removed" in out and ids[-1][-4:] in out
    told = json.loads(run(*command, "--dry-run", "--json")[1])
    meant = ids if command[0] == "db" else ids[-1:]
    assert told["runs"] == meant and told["dry_run"] is True and told["calls"] == (6 if command[0] == "db" else 3)
    assert left(state) == ids and journals(state) == set(ids)


@pytest.mark.parametrize("command", REMOVING, ids=["delete", "prune"])
def test_a_terminal_is_asked_and_a_script_must_say_yes(
    state: Path, run: Invoke, command: list[str], answering: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = record(state)
    with monkeypatch.context() as patch:
        patch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
        code, out, err = run(*command)
    assert (code, out) == (2, "") and "--yes" in err and left(state) == ids
    answering("n\n")
    code, out, err = run(*command)
    assert code == 1 and "Nothing was removed" in err and left(state) == ids
    answering("y\n")
    code, out, err = run(*command)
    assert code == 0 and "removed; statistics are kept" in out and "for good?" in err
    rest = [] if command[0] == "db" else ids[:-1]
    assert left(state) == rest and journals(state) == set(rest)
    with Reader(state) as reader:
        assert reader.stats()["total_calls"] == 6
    rebuild_index(state)
    assert left(state) == rest
    assert run("db", "check")[0] == 0 and run("audit")[0] == 0


def test_several_are_deleted_and_one_that_is_not_there_deletes_none(state: Path, run: Invoke) -> None:
    ids = record(state)
    code, _, err = run("runs", "delete", ids[0], "NOPE", "--yes")
    assert code != 0 and "NOPE" in err and left(state) == ids
    code, out, _ = run("runs", "delete", ids[0], ids[1][-5:], "--yes", "--json")
    told = json.loads(out)
    assert code == 0 and sorted(told["runs"]) == ids[:2] and told["dry_run"] is False and told["bytes"] > 0
    assert left(state) == ids[2:]


def test_a_run_that_lives_is_refused(state: Path, run: Invoke) -> None:
    record(state, 1)
    with Ledger(state) as ledger:
        living = start(ledger)
        one_call(living)
        code, out, err = run("runs", "delete", living.run_id, "--yes")
        assert code != 0 and "removed" not in out.replace("No run", "") and living.run_id[-4:] in err + out
        assert run("db", "prune", "--older-than", "2999-01-01", "--yes")[0] == 0
        assert living.journal_path.exists() and left(state) == [living.run_id]
        living.finish(status="completed")


def test_a_backup_while_a_run_writes_is_whole(state: Path, run: Invoke, tmp_path: Path) -> None:
    record(state)
    stop, wrote = threading.Event(), threading.Semaphore(0)

    def write() -> None:
        with Ledger(state) as ledger:
            living = start(ledger)
            step = 0
            while not stop.is_set():
                step += 1
                one_call(living, step=step, result="x" * 3000)
                wrote.release()
            living.finish(status="completed")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(50):
            assert wrote.acquire(timeout=60)
        told = json.loads(run("db", "backup", str(tmp_path / "copy"), "--json")[1])
        assert run("db", "backup", str(tmp_path / "copy.tar.gz"))[0] == 0
    finally:
        stop.set()
        thread.join()
    assert (told["damage"], told["journals"]) == ([], 4)
    assert ((tmp_path / "copy").stat().st_mode & 0o077) == 0
    with tarfile.open(tmp_path / "copy.tar.gz") as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # not before 3.11.4
        archive.extractall(tmp_path / "unpacked")
    for copy in (tmp_path / "copy", tmp_path / "unpacked"):
        with Reader(copy) as reader:
            *finished, cut = reversed(reader.runs())
            assert [one.calls for one in finished] == [1, 2, 3]
            assert cut.status == "interrupted" and cut.calls >= 50
        assert audit(copy).differences == []


def test_a_backup_says_what_is_damaged_and_overwrites_nothing(state: Path, run: Invoke, tmp_path: Path) -> None:
    ids = record(state)
    (journal,) = state.glob(f"journals/*/*/{ids[1]}.jsonl")
    journal.write_bytes(journal.read_bytes().replace(b"fine", b"find", 1))
    code, out, _ = run("db", "backup", str(tmp_path / "copy"))
    assert code == 1 and ids[1] in out and "does not follow" in out
    code, _, err = run("db", "backup", str(tmp_path / "copy"))
    assert code != 0 and "copy" in err
    (state / f"journals/{journal.parent.parent.name}/{journal.parent.name}/{ids[0]}.jsonl").unlink()
    code, out, _ = run("db", "backup", str(tmp_path / "second"))
    assert code == 1 and ids[0] in out


def test_the_size_is_that_of_the_files(state: Path, run: Invoke) -> None:
    record(state)
    told: dict[str, Any] = json.loads(run("db", "size", "--json")[1])
    journal_bytes = sum(path.stat().st_size for path in state.glob("journals/*/*/*.jsonl"))
    assert told["journals"] == {"files": 3, "bytes": journal_bytes}
    every = [path for path in state.rglob("*") if path.is_file()]
    assert sum(part["bytes"] for part in told.values()) <= sum(path.stat().st_size for path in every)
    out = run("db", "size")[1].splitlines()
    assert out[0].split()[:2] == ["part", "files"] and out[-1].startswith("all")
