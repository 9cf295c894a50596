"""A result that is too large fills neither memory nor disk; what is kept of it whole, is kept without secrets."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.ledger import Ledger, Reader, Redactor
from equitrcoder.ledger.audit import audit
from equitrcoder.ledger.pruning import ended_before, remove
from equitrcoder.ledger.redaction_blocks import BlockRedactor
from equitrcoder.ledger.sizes import measure
from equitrcoder.ledger.spilled import LargeResult, Spills
from equitrcoder.records import ToolCall
from equitrcoder.sandbox.output import KeptOutput, cut_outputs_to
from equitrcoder.sandbox.plain import PlainSandbox
from equitrcoder.testing import Answer, Call, ScriptedProvider
from equitrcoder.tools import Toolbox, ToolResult, Workspace
from equitrcoder.wires.values import Turn, WireCall
from tests.command import KEY as CLI_KEY
from tests.command import World

KEY = "gsk_f8Zq0PnTx7Lr2VbKm5Wd9Yc3"
LINE = f"the key is {KEY}; " + "0123456789abcdef" * 5 + "\n"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    return folder


async def run(repo: Path, name: str, arguments: dict[str, Any], **ledger: Any) -> tuple[ToolResult, ToolCall]:
    """Carry out one call as the agent does, and read its record again."""
    from equitrcoder.agent.calls import _tell_whole

    state = repo.parent / "state"
    with Ledger(state, redactor=Redactor({KEY: "GROQ_API_KEY"}), **ledger) as opened:
        recorder = opened.start_run(
            provider="groq", model_requested="groq/x", repo_path=str(repo), task="large", capture="middleware"
        )
        turn = Turn(calls=(WireCall(name=name, arguments=arguments, id="1", index=0),), native={})
        (call,) = recorder.record_turn(
            turn,
            step=1,
            duration_ms=1.0,
            time_to_first_byte_ms=None,
            attempts=1,
            cost_nanousd=None,
            price_version=None,
        )
        workspace = Workspace.open(repo, hidden=[state])
        toolbox = Toolbox(workspace, PlainSandbox(repo, environ=dict(os.environ)))
        recorder.start(call)
        with recorder.large_result(call) as large, cut_outputs_to(large.open):
            result = await toolbox.run(toolbox.validate(name, arguments))
            _tell_whole(result, large)
        workspace.close()
        recorder.close_call(
            call,
            outcome=result.outcome,
            result=result.text,
            result_metadata=result.metadata,
            result_bytes=result.full_bytes,
            result_sha256=result.full_sha256,
            truncated_to=len(result.text.encode()) if result.full_bytes is not None else None,
        )
        recorder.finish(status="completed")
    reader = Reader(state)
    try:
        (record,) = reader.calls()
    finally:
        reader.close()
    return result, record


def files_in(state: Path) -> list[Path]:
    return [path for path in (state / "blobs").rglob("*") if path.is_file()]


def command(lines: int) -> dict[str, Any]:
    program = f"import sys; sys.stdout.write({LINE!r} * {lines})"
    return {"command": f'{sys.executable} -c "{program}"'.replace("\\", "\\\\")}


def redacted(lines: int) -> bytes:
    return (LINE.replace(KEY, "[redacted:GROQ_API_KEY]") * lines).encode()


async def test_size_and_hash_are_of_what_stands_in_the_record(repo: Path) -> None:
    result, record = await run(repo, "run_command", command(20_000))
    expected = redacted(20_000)
    assert result.metadata["output_bytes"] == len(LINE) * 20_000
    assert KEY in result.text  # the model is told what there is
    assert (record.result_bytes, record.result_sha256) == (len(expected), hashlib.sha256(expected).hexdigest())
    assert record.result_metadata is not None
    assert "spilled" not in record.result_metadata
    assert not files_in(repo.parent / "state")


async def test_a_file_that_is_read_is_measured_the_same_and_not_copied(repo: Path) -> None:
    (repo / "large.txt").write_text(LINE * 20_000)
    _, record = await run(repo, "read_file", {"file_path": "large.txt"}, spill=(1 << 30, 1 << 30))
    expected = redacted(20_000)
    assert (record.result_bytes, record.result_sha256) == (len(expected), hashlib.sha256(expected).hexdigest())
    assert not files_in(repo.parent / "state")


async def test_spilled_whole(repo: Path) -> None:
    _, record = await run(repo, "run_command", command(20_000), spill=(1 << 30, 1 << 30))
    expected = redacted(20_000)
    digest = hashlib.sha256(expected).hexdigest()
    assert record.result_metadata is not None
    assert record.result_metadata["spilled"] == {"sha256": digest, "bytes": len(expected), "complete": True}
    (file,) = files_in(repo.parent / "state")
    assert (file.name, file.parent.name, file.read_bytes() == expected) == (digest, record.run_id, True)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    report = audit(repo.parent / "state")
    assert report.differences == []
    assert ("spilled results", 1, len(expected)) in measure(repo.parent / "state")


async def test_spilled_to_the_limit(repo: Path) -> None:
    _, record = await run(repo, "run_command", command(20_000), spill=(700_000, 1 << 30))
    expected = redacted(20_000)
    kept = expected[:700_000]
    digest = hashlib.sha256(kept).hexdigest()
    assert record.result_metadata is not None
    assert record.result_metadata["spilled"] == {"sha256": digest, "bytes": 700_000, "complete": False}
    assert (record.result_bytes, record.result_sha256) == (len(expected), hashlib.sha256(expected).hexdigest())
    (file,) = files_in(repo.parent / "state")
    assert file.read_bytes() == kept


async def test_what_is_short_is_not_spilled(repo: Path) -> None:
    _, record = await run(repo, "run_command", command(5), spill=(1 << 30, 1 << 30))
    assert record.result_metadata is not None
    assert "spilled" not in record.result_metadata
    assert not files_in(repo.parent / "state")


async def test_no_room_for_all_of_them_is_told_once(repo: Path) -> None:
    told: list[str] = []
    spill: dict[str, Any] = {"spill": (1 << 30, 1_000_000), "on_trouble": told.append}
    await run(repo, "run_command", command(20_000), **spill)
    (file,) = files_in(repo.parent / "state")
    assert file.stat().st_size == 1_000_000
    state = repo.parent / "state"
    with Ledger(state, **spill) as ledger:
        spills = ledger._spills
        assert spills is not None
        assert [spills.open("01JD8Z0V4N5Q6R7S8T9V0W1X2Y") for _ in range(3)] == [None] * 3
    (line,) = told
    assert "spill_total_bytes (1,000,000)" in line
    assert "Fix: " in line


async def test_a_disk_that_cannot_be_written_does_not_end_the_run(repo: Path) -> None:
    state = repo.parent / "state"
    state.mkdir()
    (state / "blobs").write_text("in the way")
    told: list[str] = []
    _, record = await run(repo, "run_command", command(20_000), spill=(1 << 30, 1 << 30), on_trouble=told.append)
    expected = redacted(20_000)
    assert (record.outcome, record.result_bytes) == ("success", len(expected))
    assert len(told) == 1
    assert "the run goes on" in told[0]


async def test_a_full_disk_leaves_no_piece(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from equitrcoder.ledger import spilled

    written = 0

    def append(fd: int, data: bytes) -> None:
        nonlocal written
        written += len(data)
        if written > 600_000:
            raise OSError(28, "No space left on device")
        os.write(fd, data)

    monkeypatch.setattr(spilled.files, "append_whole", lambda fd, data: append(fd, data))
    told: list[str] = []
    _, record = await run(repo, "run_command", command(20_000), spill=(1 << 30, 1 << 30), on_trouble=told.append)
    expected = redacted(20_000)
    assert (record.result_bytes, record.result_sha256) == (len(expected), hashlib.sha256(expected).hexdigest())
    assert record.result_metadata is not None
    assert "spilled" not in record.result_metadata
    assert not files_in(repo.parent / "state")
    assert any("no space left" in line for line in told)


@pytest.mark.parametrize("harm", ["removed", "changed", "cut"])
async def test_the_audit_looks_at_the_files(repo: Path, harm: str) -> None:
    _, record = await run(repo, "run_command", command(20_000), spill=(1 << 30, 1 << 30))
    (file,) = files_in(repo.parent / "state")
    if harm == "removed":
        file.unlink()
    elif harm == "cut":
        os.truncate(file, 100)
    else:
        data = bytearray(file.read_bytes())
        data[1000] ^= 1
        file.write_bytes(data)
    (difference,) = audit(repo.parent / "state").differences
    assert (difference.kind, difference.run_id, difference.call_uid) == (
        "spilled_result_differs",
        record.run_id,
        record.call_uid,
    )


async def test_files_go_with_their_run(repo: Path) -> None:
    state = repo.parent / "state"
    await run(repo, "run_command", command(20_000), spill=(1 << 30, 1 << 30))
    (file,) = files_in(state)
    size = file.stat().st_size
    (doomed,) = ended_before(state, datetime.now(UTC) + timedelta(days=1))
    assert doomed.bytes > size
    remove(state, [doomed], "pruned")
    assert not files_in(state)
    assert not file.parent.exists()


async def test_a_cancelled_call_leaves_no_file(repo: Path) -> None:
    state = repo.parent / "state"
    spills = Spills(state, limit_bytes=1 << 30, total_bytes=1 << 30, tell=lambda kind, line: None)
    large = LargeResult(Redactor(), spills, "01JD8Z0V4N5Q6R7S8T9V0W1X2Y")
    with pytest.raises(asyncio.CancelledError), large, cut_outputs_to(large.open):
        KeptOutput(100).feed(b"x" * 1_000_000)
        assert len(files_in(state)) == 1
        raise asyncio.CancelledError
    assert not files_in(state)


@pytest.mark.parametrize("piece", [1, 10, 99, 100, 101, 5000])
def test_the_whole_has_what_came_before_it_was_too_long(piece: int) -> None:
    data = LINE.encode() * 30
    large = LargeResult(Redactor({KEY: "GROQ_API_KEY"}), None, "01JD8Z0V4N5Q6R7S8T9V0W1X2Y")
    with cut_outputs_to(large.open):
        kept = KeptOutput(100)
        for place in range(0, len(data), piece):
            kept.feed(data[place : place + piece])
    expected = hashlib.sha256(redacted(30)).hexdigest()
    assert (kept.total_bytes, kept.sha256) == (len(data), expected)
    assert large.settle(kept.total_bytes) == (len(redacted(30)), expected, None)


def pieces_of(data: bytes, random_: random.Random) -> Iterator[bytes]:
    place = 0
    while place < len(data):
        size = random_.choice([1, 7, 1000, 65_536, 300_000])
        yield data[place : place + size]
        place += size


@pytest.mark.parametrize("seed", range(8))
def test_blocks_are_redacted_as_the_whole_is(seed: int) -> None:
    random_ = random.Random(seed)
    redactor = Redactor({KEY: "GROQ_API_KEY"})
    secrets = [KEY, "postgres://ada:s3cr3t-one@db/x", 'password = "tr0ub4dor&3-horse"', "Bearer abcDEF123456ghijKLM"]
    pem = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0B\n" * 60 + "-----END PRIVATE KEY-----"
    words = [
        random_.choice(["def f(x): return x", "ünïcode wörds", "0123456789", *secrets, pem]) for _ in range(12_000)
    ]
    text = "\n".join(words)
    blocks = BlockRedactor(redactor)
    found = b"".join([*map(blocks.feed, pieces_of(text.encode(), random_)), blocks.flush()])
    assert found.decode() == redactor.text(text)[0]


_CHILD = """
import asyncio, os, resource, sys
from pathlib import Path
from equitrcoder.ledger.redaction import Redactor
from equitrcoder.ledger.spilled import LargeResult, Spills
from equitrcoder.sandbox.output import cut_outputs_to
from equitrcoder.sandbox.plain import PlainSandbox

async def main(size, folder, spill):
    sandbox = PlainSandbox(Path(folder), environ=dict(os.environ))
    await sandbox.run("true", timeout_s=60, output_limit_bytes=100)
    redactor = Redactor(["gsk_1234567890"])
    redactor.text("warm")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tell = lambda kind, line: None
    spills = Spills(Path(folder), limit_bytes=spill, total_bytes=1 << 40, tell=tell) if spill else None
    with LargeResult(redactor, spills, "01JD8Z0V4N5Q6R7S8T9V0W1X2Y") as large, cut_outputs_to(large.open):
        line = "0123456789abcdef the quick brown fox jumps"
        found = await sandbox.run(f"yes '{line}' | head -c {size}", timeout_s=600, output_limit_bytes=400_000)
        kept = large.settle(found.output_bytes)
    assert kept[0] == found.output_bytes == size, (kept, found)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)

asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
"""


@pytest.mark.parametrize("spill", [0, 10_000_000])
def test_memory_does_not_grow_with_a_result(tmp_path: Path, spill: int) -> None:
    size = int(os.environ.get("EQUITR_LARGE_BYTES", "64000000"))
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, str(size), str(tmp_path), str(spill)], capture_output=True, text=True, check=True
    )
    grown_kb = int(child.stdout)
    assert grown_kb < 8_000  # 64 MB came through
    assert sum(file.stat().st_size for file in files_in(tmp_path)) == spill


def test_the_setting_through_the_whole_agent(tmp_path: Path) -> None:
    line = f"the key is {CLI_KEY}, " + "0123456789abcdef" * 5
    script = [Answer(calls=[Call("run_command", {"command": f"yes '{line}' | head -c 3000000"})]), Answer(text="ok")]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        done = world.run(environ={"EQUITRCODER_SPILL_RESULTS": "1", "EQUITRCODER_SPILL_LIMIT_BYTES": "1000000"})
    assert done.code == 0, done.err
    (record,) = world.calls()
    spilled = record["result_metadata"]["spilled"]
    (file,) = files_in(world.state)
    data = file.read_bytes()
    assert spilled == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": 1_000_000, "complete": False}
    assert CLI_KEY.encode() not in data
    assert data.startswith(b"the key is [redacted:OPENAI_API_KEY], 0123")
    assert record["result_metadata"]["output_bytes"] == 3_000_000
    assert record["truncated_to"] < 40_000 < record["result_bytes"]
    shown = world.equitrcoder("show", "last", "--verbose").out
    assert f"the first 1,000,000 bytes: blobs/{record['run_id']}/{file.name}" in shown
    assert "spilled results" in world.equitrcoder("db", "size").out
