"""Files of the ledger deleted, replaced and cut while a run goes on; a process that forks.

Everything that was acknowledged is there afterwards, once; it is said once, in one line, with the fix.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from equitrcoder.errors import LedgerError
from equitrcoder.ledger import Ledger, Reader, RunRecorder, rebuild_index
from equitrcoder.ledger import journal as journal_module
from equitrcoder.ledger.audit import audit
from tests.ledger_runs import journal_of, one_call, start

pytestmark = pytest.mark.crash

REGISTER = "runs.jsonl"
INDEX = "index.sqlite"


def delete(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    fresh = path.with_name("fresh")
    fresh.write_bytes(b"somebody else's, and long enough to be taken for what stood there before\n" * 200)
    fresh.replace(path)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def overwrite(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(b"\x5a" * size)


HARMS = [delete, replace, empty, cut, overwrite]


def run_with(state: Path, harm: Callable[[RunRecorder], None]) -> list[str]:
    """A run of six calls, harmed after the third; what was told. The index is up to date when it happens."""
    told: list[str] = []
    with Ledger(state, on_trouble=told.append) as ledger:
        run = start(ledger)
        for step in range(1, 4):
            one_call(run, step=step)
        with Reader(state) as reader:  # it stays open: also two at once go on
            assert reader.stats()["total_calls"] == 3
            harm(run)
            for step in range(4, 7):
                one_call(run, step=step)
            run.finish(status="completed", response="done")
            assert len(list(reader.calls())) >= 3
    return told


def check_all_is_there(state: Path) -> None:
    with Reader(state) as reader:
        calls = list(reader.calls())
        assert [(call.step, call.outcome) for call in calls] == [(step, "success") for step in range(1, 7)]
        (run,) = reader.runs()
        assert (run.status, run.response, run.calls) == ("completed", "done", 6)
    report = audit(state)
    assert report.balanced, report.to_dict()["differences"]


@pytest.mark.parametrize("harm", HARMS)
def test_the_register(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """Its journal brings the run back; that it was missing is told."""
    path = tmp_path / REGISTER
    told = run_with(tmp_path, lambda _: harm(path))
    what = f"{path} was deleted, replaced or cut during the run, which is in it again."
    assert told == [f"{what} Fix: equitrcoder db rebuild enters what else it had."]
    with Reader(tmp_path) as reader:
        assert any("was missing in it" in damage.what for damage in reader.damage())
        assert len(list(reader.calls())) == 6
    if harm in (replace, cut, overwrite):  # lines that are none stay, and are named
        report = audit(tmp_path)
        assert {difference.kind for difference in report.differences} <= {"register_unreadable"}
        assert report.differences or harm is cut
        assert report.notes or harm is not cut
        kept = [line for line in path.read_bytes().splitlines(keepends=True) if line.startswith(b'{"v":1,')]
        path.write_bytes(b"".join(kept))
        rebuild_index(tmp_path)
    if harm is not cut:
        check_all_is_there(tmp_path)


def test_the_register_with_other_runs(tmp_path: Path) -> None:
    """Those that it no longer names are brought back by whoever reads next."""
    for number in range(3):
        with Ledger(tmp_path) as ledger:
            one_call(run := start(ledger, session_id=f"s{number}"))
            run.finish(status="completed")
    told: list[str] = []
    with Ledger(tmp_path, on_trouble=told.append) as ledger:
        run = start(ledger, session_id="s3")
        one_call(run)
        delete(tmp_path / REGISTER)
        run.finish(status="completed")
    assert len(told) == 1
    with Reader(tmp_path) as reader:
        assert sorted(run.session_id for run in reader.runs()) == ["s0", "s1", "s2", "s3"]
        assert len(list(reader.calls())) == 4
    assert audit(tmp_path).balanced


@pytest.mark.parametrize("harm", HARMS)
def test_the_index(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """It is made anew from the journals: nothing is lost, so nothing has to be said."""
    assert run_with(tmp_path, lambda _: harm(tmp_path / INDEX)) == []
    check_all_is_there(tmp_path)


@pytest.mark.parametrize("suffixes", [("-wal",), ("-shm",), ("-wal", "-shm"), ("", "-wal", "-shm")])
@pytest.mark.parametrize("harm", [delete, replace])
def test_the_log_of_the_index(tmp_path: Path, harm: Callable[[Path], None], suffixes: tuple[str, ...]) -> None:
    def all_of_them(_: RunRecorder) -> None:
        for suffix in suffixes:
            if (tmp_path / f"{INDEX}{suffix}").exists():
                harm(tmp_path / f"{INDEX}{suffix}")
        with Reader(tmp_path) as reader:  # it opens what is left, beside the writer
            assert reader.stats()["total_calls"] == 3

    assert run_with(tmp_path, all_of_them) == []
    check_all_is_there(tmp_path)


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
@pytest.mark.parametrize("harm", [delete, replace])
def test_an_index_without_its_log_is_given_up(tmp_path: Path, harm: Callable[[Path], None], suffix: str) -> None:
    """What is written into a log without a name is seen by nobody else: another file takes the index's place."""
    path = tmp_path / INDEX
    with Ledger(tmp_path) as ledger, Reader(tmp_path) as reader:
        run = start(ledger)
        one_call(run)
        assert reader.stats()["total_calls"] == 1
        before = path.stat().st_ino
        harm(path.with_name(f"{INDEX}{suffix}"))
        assert reader.stats()["total_calls"] == 1
        assert path.stat().st_ino != before
        run.finish(status="completed")


@pytest.mark.parametrize("harm", [empty, cut, overwrite])
def test_the_writer_makes_an_index_anew_that_was_damaged_in_its_place(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    """While it has it open, and nobody reads."""
    told: list[str] = []
    path = tmp_path / INDEX
    with Ledger(tmp_path, on_trouble=told.append) as ledger:
        run = start(ledger)
        one_call(run, step=1)
        while not path.exists() or _rows(path) < 1:
            pass
        harm(path)
        for step in range(2, 7):
            one_call(run, step=step)
        run.finish(status="completed", response="done")
    assert told == []
    assert _rows(path) == 6
    check_all_is_there(tmp_path)


def _rows(path: Path) -> int:
    """Calls in the index, as a stranger counts them."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return int(connection.execute("SELECT count(*) FROM tool_calls").fetchone()[0])
    except sqlite3.DatabaseError:  # it is being made
        return 0
    finally:
        connection.close()


@pytest.mark.parametrize("harm", [empty, cut, overwrite])
def test_the_log_of_the_index_cut(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """SQLite notices, or old pages come back: then the audit names what the index lacks, and the fix helps."""
    assert run_with(tmp_path, lambda _: harm(tmp_path / f"{INDEX}-wal")) == []
    report = audit(tmp_path)
    assert {difference.fix for difference in report.differences} <= {"equitrcoder db rebuild"}
    if not report.balanced:
        rebuild_index(tmp_path)
    check_all_is_there(tmp_path)


SHM_CUT = """
import os, sys
from pathlib import Path
from equitrcoder.ledger import Ledger, Reader
from tests.ledger_runs import one_call, start
state = Path(sys.argv[1])
with Ledger(state) as ledger, Reader(state) as reader:
    run = start(ledger)
    one_call(run, step=1)
    reader.stats()
    os.truncate(state / "index.sqlite-shm", 0)
    one_call(run, step=2)
    print("acknowledged", flush=True)
    reader.stats()
"""


def test_the_mapped_part_of_the_index_cut(tmp_path: Path) -> None:
    """The system ends whoever has it mapped (SIGBUS), and no program can prevent that: it is a kill like any other."""
    done = subprocess.run(
        [sys.executable, "-c", SHM_CUT, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "acknowledged\n"
    assert done.returncode in (0, -signal.SIGBUS), done.stderr
    with Reader(tmp_path) as reader:
        assert [(call.step, call.outcome) for call in reader.calls()] == [(1, "success"), (2, "success")]
        assert reader.run("last").status == "interrupted"
    report = audit(tmp_path)
    assert report.balanced, report.to_dict()["differences"]


@pytest.mark.parametrize("harm", [delete, replace])
def test_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], None]) -> None:
    monkeypatch.setattr(journal_module, "_LOOK_EVERY_NS", 0)
    told = run_with(tmp_path, lambda run: harm(run.journal_path))
    what = {delete: "was deleted", replace: "was replaced"}[harm]
    assert told == [f"{journal_of(tmp_path)} {what} during the run; it was made anew with all its entries."]
    check_all_is_there(tmp_path)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.5, 0.77, 0.99])
def test_the_journal_cut(tmp_path: Path, keep: float) -> None:
    """What stood after the cut is lost in the file; the index has it still, and the audit says what is missing."""
    sizes = []

    def harm(run: RunRecorder) -> None:
        size = run.journal_path.stat().st_size
        sizes.extend([size, int(size * keep)])
        os.truncate(run.journal_path, sizes[1])

    told = run_with(tmp_path, harm)
    path = journal_of(tmp_path)
    lost = f"{path} was cut from {sizes[0]} to {sizes[1]} bytes during the run; what stood there is lost."
    assert told == [f"{lost} Fix: take it from a backup; equitrcoder audit names what is missing."]
    with Reader(tmp_path) as reader:
        assert [(call.step, call.outcome) for call in reader.calls()] == [(step, "success") for step in range(1, 7)]
    rebuild_index(tmp_path)
    with Reader(tmp_path) as reader:  # what was acknowledged after it is whole, also in the file
        after = [(call.step, call.outcome) for call in reader.calls() if call.step >= 4]
        assert after == [(step, "success") for step in range(4, 7)]
        assert reader.run("last").status == "completed"
    report = audit(tmp_path)
    assert {difference.path for difference in report.differences} == {path.relative_to(tmp_path).as_posix()}
    assert "entries_out_of_sequence" in {difference.kind for difference in report.differences} or keep > 0


def test_a_stranger_writes_into_the_journal(tmp_path: Path) -> None:
    def harm(run: RunRecorder) -> None:
        with run.journal_path.open("ab") as file:
            file.write(b"hello")

    told = run_with(tmp_path, harm)
    more = f"Somebody else wrote 5 bytes into {journal_of(tmp_path)} during the run."
    assert told == [f"{more} They are passed over; equitrcoder audit names them."]
    rebuild_index(tmp_path)
    with Reader(tmp_path) as reader:
        assert [(call.step, call.outcome) for call in reader.calls()] == [(step, "success") for step in range(1, 7)]
    (difference,) = audit(tmp_path).differences
    assert difference.kind == "entry_unreadable"


# Fork.

FORKING = """
import os, sys, time
from pathlib import Path
from equitrcoder.errors import LedgerError
from equitrcoder.ledger import Ledger, Reader
from tests.ledger_runs import ask, one_call, start

state = Path(sys.argv[1])
told = []
with Ledger(state, on_trouble=told.append) as ledger, Reader(state) as reader:
    run = start(ledger, session_id="parent")
    (call,) = ask(run, ("work", {}))
    run.start(call)
    assert len(list(reader.calls())) == 1
    inherited = reader._index
    pid = os.fork()
    if pid == 0:
        for harmful in (lambda: one_call(run, step=9), lambda: run.message(role="user", text="from the child")):
            try:
                harmful()
            except LedgerError as error:
                print(error, flush=True)
        own = start(ledger, session_id="child")
        one_call(own)
        own.finish(status="completed", response="child")
        assert len(list(reader.calls())) == 2
        assert reader._index is not inherited  # a connection of SQLite does not survive a fork
        reader.close()
        ledger.close()
        assert told == [], told
        sys.exit(0)  # through all that an interpreter does at its end
    assert os.waitpid(pid, 0)[1] == 0
    with Reader(state) as other:
        assert {found.session_id: found.status for found in other.runs()} == {"parent": "running", "child": "completed"}
    run.close_call(call, outcome="success", result="fine")
    one_call(run, step=2)
    assert len(list(reader.calls())) == 3
    run.finish(status="completed", response="parent")
assert told == [], told
"""


def test_a_fork_leaves_the_run_to_its_parent(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKING, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    with Reader(tmp_path) as reader:
        runs = {run.session_id: run for run in reader.runs()}
        found = {name: (run.status, run.response, run.calls) for name, run in runs.items()}
    assert found == {"parent": ("completed", "parent", 2), "child": ("completed", "child", 1)}
    words = f"E605 Run {runs['parent'].run_id} belongs to the process that started it, and this is a fork of it."
    assert [line.startswith(words) for line in done.stdout.splitlines()] == [True, True], done.stdout
    report = audit(tmp_path)
    assert report.balanced, report.to_dict()["differences"]


def test_a_child_that_lives_on_does_not_keep_a_dead_run_alive(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from equitrcoder.ledger import Ledger
from tests.ledger_runs import ask, start
run = start(Ledger(Path(sys.argv[1])))
(call,) = ask(run, ("work", {}))
run.start(call)
if os.fork() == 0:
    print("child", flush=True)
    sys.stdin.read()
    os._exit(0)
signal.pause()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == "child\n"
    with Reader(tmp_path) as reader:
        assert reader.run("last").status == "running"
        process.kill()
        process.wait()
        assert reader.run("last").status == "interrupted"
        assert [call.outcome for call in reader.calls()] == ["interrupted"]
    process.stdin.close()
    process.stdout.close()


def test_a_closed_recorder_still_says_that_it_is_finished(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        run.finish(status="completed")
        with pytest.raises(LedgerError, match="is finished; nothing can be added"):
            run.message(role="user", text="more")
