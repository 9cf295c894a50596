"""A full disk and a folder that cannot be written, as the kernel makes them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from equitrcoder.ledger import Ledger, Reader
from equitrcoder.ledger import journal as journal_module
from equitrcoder.ledger.audit import audit
from equitrcoder.ledger.reading import Damage, read_events
from tests.ledger_runs import journal_of, one_call, start

pytestmark = pytest.mark.crash

LIMITED = """
import resource, sys
from pathlib import Path
from equitrcoder.ledger import Ledger
from tests.ledger_runs import one_call, start

told = []
with Ledger(Path(sys.argv[1]), on_trouble=told.append) as ledger:
    run = start(ledger)
    one_call(run, result="before")
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, resource.RLIM_INFINITY))
    for step in range(2, 20):
        one_call(run, step=step, result="x" * 700)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    one_call(run, step=20, result="after")
    run.finish(status="completed", response="done")
print("\\n".join(told))
"""


def test_a_file_that_may_not_grow_is_told_once_and_loses_nothing(tmp_path: Path) -> None:
    """The kernel cuts the write at the limit: a short write, then none."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    waiting = "the run goes on, entries wait in memory until there is room"
    journal = journal_of(tmp_path)
    cannot = (
        f"Cannot write {journal} (no space left on device); {waiting}. Fix: make room, or give the folder to this user."
    )
    assert [line for line in done.stdout.splitlines() if not line.startswith("The index")] == [cannot]
    assert not [item for item in read_events(journal_of(tmp_path)) if isinstance(item, Damage)]
    with Reader(tmp_path) as reader:
        calls = list(reader.calls())
        assert [call.step for call in calls] == list(range(1, 21))
        assert {call.outcome for call in calls} == {"success"}
        assert reader.run("last").response == "done"
    report = audit(tmp_path)
    assert report.balanced, report.to_dict()["differences"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """4 MB of disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this system mounts no tmpfs")
    yield folder
    open_files = [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()]
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    assert [name for name in open_files if name.startswith(str(folder))] == []


def fill(disk: Path) -> Path:
    """Take all the room that there is."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    return filler


def check_what_was_told(told: list[str], disk: Path, *, lost: int = 0) -> None:
    """Each trouble once, in one line, with the fix."""
    waiting = "the run goes on, entries wait in memory until there is room"
    journal = journal_of(disk)
    why = "no space left on device"
    expected = [f"Cannot write {journal} ({why}); {waiting}. Fix: make room, or give the folder to this user."]
    if lost:
        gone = f"{lost} entries could not be written to {journal} and are lost."
        expected.append(f"{gone} equitrcoder audit names the calls that miss them.")
    about_journal = [line for line in told if str(journal) in line]
    assert about_journal == expected
    others = [line for line in told if line not in about_journal]
    assert all("Fix: make room" in line for line in others), others
    assert len({line.partition("(")[0] for line in others}) == len(others) <= 2  # the index, the register


def test_a_full_disk_ends_no_run(small_disk: Path) -> None:
    told: list[str] = []
    with Ledger(small_disk, on_trouble=told.append) as ledger:
        run = start(ledger)
        one_call(run, step=1)
        filler = fill(small_disk)
        for step in range(2, 12):
            one_call(run, step=step, result="y" * 3000)
        filler.unlink()
        one_call(run, step=12)
        run.finish(status="completed", response="done")
    check_what_was_told(told, small_disk)
    assert not [item for item in read_events(journal_of(small_disk)) if isinstance(item, Damage)]
    with Reader(small_disk) as reader:
        assert [call.step for call in reader.calls()] == list(range(1, 13))
        assert {call.outcome for call in reader.calls()} == {"success"}
    report = audit(small_disk)
    assert report.balanced, report.to_dict()["differences"]


def test_a_disk_that_is_full_for_too_long(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no longer fits into memory is counted; what could be written later is there; the audit says what is not."""
    monkeypatch.setattr(journal_module, "_KEPT_BYTES", 10_000)
    told: list[str] = []
    with Ledger(small_disk, on_trouble=told.append) as ledger:
        run = start(ledger)
        one_call(run, step=1)
        filler = fill(small_disk)
        for step in range(2, 12):
            one_call(run, step=step, result="y" * 3000)
        filler.unlink()
        one_call(run, step=12)
        run.finish(status="completed", response="done")
        lost = run.journal.lost
    assert lost > 0
    check_what_was_told(told, small_disk, lost=lost)
    with Reader(small_disk) as reader:
        outcomes = {call.step: call.outcome for call in reader.calls()}
        assert (outcomes[1], outcomes[12]) == ("success", "success")
        assert set(outcomes.values()) <= {"success", "unknown"}
        assert reader.run("last").status == "completed"
    kinds = [difference.kind for difference in audit(small_disk).differences]
    assert kinds.count("entries_lost") == 1
    (entry,) = [one for one in audit(small_disk).differences if one.kind == "entries_lost"]
    assert entry.found == str(lost)


def test_a_disk_that_is_full_to_the_end(small_disk: Path) -> None:
    """The run ends, and says what is lost; nothing shows as done that could not be written."""
    told: list[str] = []
    with Ledger(small_disk, on_trouble=told.append) as ledger:
        run = start(ledger)
        one_call(run, step=1)
        filler = fill(small_disk)
        for step in range(2, 12):
            one_call(run, step=step, result="y" * 3000)
        run.finish(status="completed", response="done")
    assert run.journal.lost > 30
    check_what_was_told(told, small_disk, lost=run.journal.lost)
    filler.unlink()
    with Reader(small_disk) as reader:
        outcomes = {call.step: call.outcome for call in reader.calls()}
        assert outcomes[1] == "success"
        assert reader.run("last").status in ("interrupted", "completed")  # runs.jsonl may have had room for its line
        results = [call.result for call in reader.calls(full=True) if call.outcome == "success" and call.step > 1]
        assert all(result == "y" * 3000 for result in results)
    report = audit(small_disk)
    assert {difference.kind for difference in report.differences} <= {"tail_missing"}


MADE_READ_ONLY = """
import os, sys
from pathlib import Path
from equitrcoder.ledger import Ledger
from tests.ledger_runs import one_call, start

state = Path(sys.argv[1])
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
told = []
with Ledger(state, on_trouble=told.append) as ledger:
    run = start(ledger)
    one_call(run, step=1)
    for path in (*state.rglob("*"), state):
        path.chmod(0o555 if path.is_dir() else 0o444)
    for step in range(2, 8):
        one_call(run, step=step)
    run.finish(status="completed", response="done")
print("\\n".join(told))
"""


def test_a_folder_made_read_only_under_a_run(tmp_path: Path) -> None:
    """The journal is open and goes on; that the run has ended is entered in the register when it can be written."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        state.mkdir()
        if os.geteuid() == 0:
            Path(folder).chmod(0o755)
            os.chown(state, 65534, 65534)
        command = [sys.executable, "-c", MADE_READ_ONLY, str(state)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        told = done.stdout.splitlines()
        healed = "the next command that reads the ledger enters the run's end there"
        fix = "Fix: make room, or give the folder to this user."
        register = f"Cannot write {state / 'runs.jsonl'} (permission denied); {healed}. {fix}"
        assert [line for line in told if not line.startswith("The index cannot be written")] == [register]
        assert len(told) <= 2
        for path in (state, *state.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        with Reader(state) as reader:
            assert [(call.step, call.outcome) for call in reader.calls()] == [(step, "success") for step in range(1, 8)]
            assert (reader.run("last").status, reader.run("last").response) == ("completed", "done")
        report = audit(state)
        assert report.balanced, report.to_dict()["differences"]


READ_ONLY = """
import os, sys
from pathlib import Path
import equitrcoder.ledger.rebuild, sqlite3
from equitrcoder.errors import LedgerError
from equitrcoder.ledger import Ledger, Reader
from equitrcoder.ledger import journal as journal_module
from equitrcoder.ledger.audit import audit
from tests.ledger_runs import start
state = Path(sys.argv[1])
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
with Reader(state) as reader:
    print(*[call.outcome for call in reader.calls()], reader.run("last").status)
try:
    start(Ledger(state))
except LedgerError as error:
    print(error)
"""


@pytest.mark.parametrize("index", [True, False])
def test_a_folder_that_may_only_be_read_is_read_and_starts_nothing(index: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        state = Path(folder) / "state"
        with Ledger(state) as ledger:
            run = start(ledger)
            one_call(run)
            run.finish(status="completed")
        if not index:
            (state / "index.sqlite").unlink()
        before = sorted(state.rglob("*"))
        for path in (state, *before):
            path.chmod(0o555 if path.is_dir() else 0o444)
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(state)], capture_output=True, text=True, timeout=60, check=False
        )
        after = sorted(state.rglob("*"))
        for path in (state, *before):
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "success completed"
    assert "permission denied. Nothing was run." in second
    assert after == before
