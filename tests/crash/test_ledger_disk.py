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
print(len([line for line in told if line.startswith("Cannot write")]))
"""


def test_a_file_that_may_not_grow_is_told_once_and_loses_nothing(tmp_path: Path) -> None:
    """The kernel cuts the write at the limit: a short write, then none."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "1"
    assert not [item for item in read_events(journal_of(tmp_path)) if isinstance(item, Damage)]
    with Reader(tmp_path) as reader:
        calls = list(reader.calls())
        assert [call.step for call in calls] == list(range(1, 21))
        assert {call.outcome for call in calls} == {"success"}
        assert reader.run("last").response == "done"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """256 KB of disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this system mounts no tmpfs")
    yield folder
    open_files = [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()]
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    assert [name for name in open_files if name.startswith(str(folder))] == []


def test_a_full_disk_ends_no_run(small_disk: Path) -> None:
    told: list[str] = []
    with Ledger(small_disk, on_trouble=told.append) as ledger:
        run = start(ledger)
        filler = small_disk / "filler"
        one_call(run, step=1)
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        for step in range(2, 12):
            one_call(run, step=step, result="y" * 3000)
        filler.unlink()
        one_call(run, step=12)
        run.finish(status="completed", response="done")
    assert len([line for line in told if line.startswith("Cannot write")]) == 1
    assert not [item for item in read_events(journal_of(small_disk)) if isinstance(item, Damage)]
    with Reader(small_disk) as reader:
        assert [call.step for call in reader.calls()] == list(range(1, 13))
        assert {call.outcome for call in reader.calls()} == {"success"}


READ_ONLY = """
import os, sys
from pathlib import Path
import equitrcoder.ledger.rebuild, sqlite3
from equitrcoder.errors import LedgerError
from equitrcoder.ledger import Ledger, Reader
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
