"""The tool log: one line of JSON and one of words for every closed call, whatever the disk does."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.errors import ExportError
from equitrcoder.ledger import Ledger, Reader, Redactor, RunRecorder, log_entry
from equitrcoder.ledger.log_file import ToolLog
from equitrcoder.ledger.shared_file import SharedFile
from equitrcoder.wires.values import Turn, WireCall

SECRET = "gsk_0123456789abcdef"
SEED_KEYS = ["timestamp", "session_id", "tool_name", "tool_args", "result", "success", "duration_ms", "error"]


class Made:
    """A ledger with a tool log, and what both said."""

    def __init__(self, folder: Path, path: Path | str | None = None) -> None:
        self.state = folder / "state"
        self.told: list[str] = []
        self.log = ToolLog(path or folder / "logs" / "tools.log", on_trouble=self.told.append)
        self.ledger = Ledger(self.state, redactor=Redactor([SECRET]), on_trouble=self.told.append, tool_log=self.log)

    def start(self, **fields: Any) -> RunRecorder:
        given: dict[str, Any] = {"provider": "groq", "model_requested": "groq/m", "repo_path": "/r", "task": "t"}
        return self.ledger.start_run(capture="middleware", **(given | fields))

    @property
    def entries(self) -> list[dict[str, Any]]:
        return read(self.log.path)

    @property
    def lines(self) -> list[str]:
        return self.log.paths[1].read_text("utf-8").splitlines()

    def recorded(self) -> list[dict[str, Any]]:
        """The log entries of all calls, as the ledger gives them."""
        with Reader(self.state) as reader:
            return [json.loads(json.dumps(log_entry(call))) for call in reader.calls(full=True)]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    it = Made(tmp_path)
    yield it
    it.ledger.close()


def asked(name: str, arguments: Any, index: int = 0, **fields: Any) -> WireCall:
    return WireCall(name=name, arguments=arguments, id=f"call_{index}", index=index, **fields)


def answer(run: RunRecorder, step: int, *calls: WireCall, **fields: Any) -> Any:
    return run.record_turn(
        Turn(calls=calls, model_answered="m-2", **fields),
        step=step,
        duration_ms=1.0,
        time_to_first_byte_ms=None,
        attempts=1,
        cost_nanousd=None,
        price_version=None,
    )


def one_call(run: RunRecorder, result: str = "text", step: int = 1) -> None:
    (call,) = answer(run, step, asked("read_file", {"file_path": "a.py"}))
    run.start(call)
    run.close_call(call, outcome="success", result=result, duration_ms=8.25)


def every_ending(run: RunRecorder) -> None:
    """Calls that ended in every way, with odd arguments and results."""
    calls = answer(
        run,
        1,
        asked("read_file", {"file_path": "a.py", "n": 10**30, "key": SECRET}, 0),
        asked("run_command", {"command": "pytest -q\n\x1b[31mred"}, 1),
        asked("read_file", '{"file_path": ', 2),
        asked("web_search", {"q": "x"}, 3, kind="provider-executed", result=[{"url": "u"}]),
        asked("web_search", {"q": "y"}, 4, kind="provider-executed"),
        asked("write_file", {"file_path": "b"}, 5),
        asked("list_directory", None, 6),
        asked("run_command", {"command": "sleep 9"}, 7),
    )
    ok, failed, invalid, _, _, denied, no_arguments, timeout = calls
    run.start(ok)
    run.start(failed, sandbox="bubblewrap", approval="granted")
    run.close_call(
        failed,
        outcome="failed",
        result={"out": f"bad {SECRET}", "n": 1.5},
        error_type="exit_status",
        error_message="The command exited with 1.",
        result_metadata={"exit_code": 1},
        duration_ms=910.0,
    )
    run.close_call(
        ok,
        outcome="success",
        result="line\u2028 \ud800 é " * 2000,
        duration_ms=8.25,
        truncated_to=7,
        result_bytes=70_000,
        result_sha256="ab" * 32,
    )
    run.close_call(invalid, outcome="invalid", error_type="invalid_arguments", error_message="no JSON")
    run.approval(denied, decision="denied", by="user", reason="no", waited_ms=3.0)
    run.close_call(denied, outcome="denied", error_type="denied", error_message="no")
    run.start(no_arguments)
    run.close_call(no_arguments, outcome="success", result=None, duration_ms=0.2)
    run.start(timeout)
    run.close_call(timeout, outcome="timeout", error_type="timeout", duration_ms=120_000.0)
    second = answer(run, 2, asked("edit_file", {"file_path": "c"}, 0), asked("edit_file", {"file_path": "d"}, 1))
    run.start(second[0])  # neither is closed when the run ends


def test_every_closed_call_is_there_once_and_is_what_the_ledger_says(made: Made) -> None:
    run = made.start(parent_run_id="P", agent_role="worker", agent_name="w1", attempt=2)
    every_ending(run)
    run.finish(status="cancelled")
    made.ledger.close()
    recorded = made.recorded()
    assert {entry["outcome"] for entry in recorded} == {
        "success", "failed", "invalid", "denied", "cancelled", "timeout", "unknown"
    }  # fmt: skip
    by_id = lambda entry: entry["call_uid"]  # noqa: E731
    assert sorted(made.entries, key=by_id) == sorted(recorded, key=by_id)
    assert len(made.entries) == len(made.lines) == 10
    assert all(list(entry)[:8] == SEED_KEYS for entry in made.entries)
    assert made.told == []


def test_no_secret_reaches_either_file(made: Made) -> None:
    every_ending(made.start())
    for path in made.log.paths:
        assert SECRET not in path.read_text("utf-8")
    assert made.entries[-1]["tool_name"] == "run_command"  # and they were written


def test_a_call_is_in_the_log_when_close_call_returns(made: Made) -> None:
    run = made.start()
    (call,) = answer(run, 1, asked("read_file", {"file_path": "a.py"}))
    run.start(call)
    assert made.entries == []
    run.close_call(call, outcome="success", result="text", duration_ms=8.25)
    (entry,) = made.entries
    assert entry["result"] == {"success": True, "content": "text", "metadata": {}}
    assert (entry["success"], entry["duration_ms"], entry["error"]) == (True, 8.25, None)
    assert entry["tool_args"] == {"file_path": "a.py"}
    assert entry["model_answered"] == "m-2"
    assert entry["timestamp"] == entry["started_at"]


def test_the_readable_line_shows_control_characters_and_never_executes_them(made: Made) -> None:
    run = made.start()
    (call,) = answer(run, 1, asked("run\x1b]0;_command", {"command": "echo \x1b[2J\n\u202egnp.exe" + "x" * 9000}))
    run.start(call)
    run.close_call(call, outcome="failed", error_type="exit\x07", error_message="a\nb\x9b1m", duration_ms=910.0)
    (line,) = made.lines
    assert r"run\x1b]0;_command  echo \x1b[2J \u202egnp.exexxx" in line
    assert line.endswith(r"failed (exit\x07)    910 ms  a b\x9b1m")
    assert len(line) < 600 and line.isprintable()


def test_the_readable_line_word_by_word(made: Made) -> None:
    one_call(made.start())
    (line,) = made.lines
    moment = made.entries[0]["timestamp"]
    assert (
        line == f"{moment[:10]} {moment[11:23]}Z  " + "read_file       a.py" + " " * 38 + "success" + " " * 15 + "8 ms"
    )


def test_both_files_are_for_this_user_and_exist_at_once(tmp_path: Path) -> None:
    log = ToolLog(tmp_path / "new" / "folder" / "t.log")
    assert [path.name for path in log.paths] == ["t.log", "t.log.txt"]
    for path in log.paths:
        assert path.read_bytes() == b""
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_relative_path_is_where_the_session_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    made = Made(tmp_path, "logs/t.log")
    monkeypatch.chdir(tmp_path / "elsewhere")
    one_call(made.start())
    made.ledger.close()
    assert len(read(tmp_path / "logs" / "t.log")) == 1
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_home_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ToolLog("~/t.log").path == tmp_path / "t.log"


def test_what_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "t.log").write_bytes(b'{"old": 1}\n{"cut of')
    made = Made(tmp_path, tmp_path / "t.log")
    one_call(made.start())
    made.ledger.close()
    old, cut, new = (tmp_path / "t.log").read_bytes().splitlines()
    assert (old, cut) == (b'{"old": 1}', b'{"cut of')  # a killed process' torn line gets an end of its own
    assert json.loads(new)["tool_name"] == "read_file"


def _link(folder: Path, path: Path) -> None:
    (folder / "target").write_bytes(b"precious")
    path.symlink_to(folder / "target")


def _loop(folder: Path, path: Path) -> None:
    path.symlink_to(path)


def _file_in_the_way(folder: Path, path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_bytes(b"")


BAD: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "symbolic link": (_link, "it is a symbolic link, which is never followed"),
    "link to itself": (_loop, "it is a symbolic link"),
    "folder": (lambda folder, path: path.mkdir(), "is a directory"),
    "pipe": (lambda folder, path: os.mkfifo(path), "it is not a regular file"),
    "no folder": (_file_in_the_way, "(not a directory|file exists)"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("ending", ["", ".txt"])
def test_what_cannot_be_written_is_told_before_anything_runs(tmp_path: Path, case: str, ending: str) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    spoil, why = BAD[case]
    spoil(tmp_path, folder / f"t.log{ending}")
    with pytest.raises(
        ExportError,
        match=rf"^E301 Cannot write the tool log {folder}/t\.log\S*: {why}.*\. Nothing was run\. Fix: --tool",
    ):
        ToolLog(folder / "t.log")
    assert not (tmp_path / "target").exists() or (tmp_path / "target").read_bytes() == b"precious"


@pytest.mark.skipif(os.getuid() == 0, reason="nothing is read-only for root")
def test_no_permission_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ExportError, match=r"permission denied\. Nothing was run"):
        ToolLog(tmp_path / "t.log")


def test_a_name_that_is_none_is_told() -> None:
    with pytest.raises(ExportError, match="E301"):
        ToolLog("a\0b")
    with pytest.raises(ExportError, match="is a directory"):
        ToolLog("")


def test_a_removed_file_is_made_anew_and_told_once(made: Made) -> None:
    run = made.start()
    one_call(run, step=1)
    for step in (2, 3):
        made.log.path.unlink()
        one_call(run, step=step)
    assert [entry["step"] for entry in made.entries] == [3]
    assert len(made.lines) == 3
    (told,) = made.told
    assert "was removed, replaced or emptied" in told


def test_a_removed_folder_is_made_anew(made: Made) -> None:
    run = made.start()
    one_call(run)
    for path in made.log.paths:
        path.unlink()
    made.log.path.parent.rmdir()
    one_call(run, step=2)
    assert [entry["step"] for entry in made.entries] == [2]


def test_a_file_that_becomes_a_link_is_not_followed(made: Made, tmp_path: Path) -> None:
    run = made.start()
    (tmp_path / "target").write_bytes(b"")
    made.log.path.unlink()
    made.log.path.symlink_to(tmp_path / "target")
    one_call(run)
    one_call(run, step=2)
    assert (tmp_path / "target").read_bytes() == b""
    (told,) = made.told
    assert "symbolic link" in told and "The run goes on" in told
    made.log.path.unlink()
    one_call(run, step=3)  # and now there is room for what waited
    assert [entry["step"] for entry in made.entries] == [1, 2, 3]


def test_a_full_disk_is_told_once_and_the_lines_wait(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made.start()
    one_call(run)
    full = True
    write = os.write

    def may_be_full(fd: int, data: bytes) -> int:
        if full and os.fstat(fd).st_ino == made.log.path.stat().st_ino:
            if len(data) > 50:
                return write(fd, data[:50])  # half a line fits
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data)

    monkeypatch.setattr(os, "write", may_be_full)
    one_call(run, step=2)
    one_call(run, step=3)
    assert [entry["step"] for entry in made.entries] == [1]  # and nothing of a half line
    full = False
    one_call(run, step=4)
    assert [entry["step"] for entry in made.entries] == [1, 2, 3, 4]
    assert len(made.lines) == 4
    run.finish(status="completed")
    (told,) = made.told
    assert "no space left on device" in told


def test_what_never_fitted_is_counted_at_the_end(made: Made) -> None:
    run = made.start()
    for path in made.log.paths:
        path.unlink()
        path.mkdir()
    for step in (1, 2, 3):
        one_call(run, step=step)
    run.finish(status="completed")
    made.ledger.close()
    assert len(made.told) == 2
    assert "is a directory" in made.told[0]
    assert made.told[1].startswith("3 lines could not be written") and "equitrcoder export calls" in made.told[1]
    assert len(made.recorded()) == 3


def test_waiting_lines_have_a_bound(tmp_path: Path) -> None:
    told: list[str] = []
    path = tmp_path / "f"
    path.mkdir()
    file = SharedFile(path, lambda kind, line: told.append(kind))
    for _ in range(20):
        file.append(b"x" * 999_999 + b"\n")
    path.rmdir()
    file.append(b"last\n")
    file.close()
    assert path.read_bytes() == (b"x" * 999_999 + b"\n") * 8
    assert told == ["log_write"] * 20 + ["log_lost"]
    assert file.lost == 0


def test_a_process_that_keeps_the_lock_holds_nobody_up_for_long(made: Made) -> None:
    run = made.start()
    with made.log.path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        one_call(run)
        assert len(made.entries) == 1


def test_trouble_of_any_kind_never_ends_a_run(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(call: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(made.log, "write", broken)
    run = made.start()
    one_call(run)
    one_call(run, step=2)
    run.finish(status="completed")
    made.ledger.close()
    assert len(made.recorded()) == 2
    (told,) = made.told
    assert "A call is missing" in told and "a fault" in told


def _session(folder: Path, number: int, go: Any) -> None:
    made = Made(folder / f"{number}", folder / "shared.log")
    run = made.start()
    go.wait()
    for step in range(1, 41):
        one_call(run, f"{number}:" + f"{number}" * (step * 997 % 20_000), step=step)
    run.finish(status="completed")
    made.ledger.close()
    assert made.told == []


def test_sessions_of_several_processes_and_threads_share_a_file_without_mixing_lines(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    go = context.Event()
    processes = [context.Process(target=_session, args=(tmp_path, number, go)) for number in range(4)]
    for process in processes:
        process.start()
    go.set()
    thread = threading.Thread(target=_session, args=(tmp_path, 4, go))
    thread.start()
    thread.join()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    entries = read(tmp_path / "shared.log")  # every line is whole
    assert len(entries) == 5 * 40
    by_session: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        by_session.setdefault(entry["session_id"], []).append(entry)
    assert len(by_session) == 5
    for own in by_session.values():
        assert [entry["step"] for entry in own] == list(range(1, 41))
        number, _, rest = own[0]["result"]["content"].partition(":")
        assert rest == number * 997
    assert len((tmp_path / "shared.log.txt").read_text("utf-8").splitlines()) == 200
