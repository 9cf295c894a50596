"""Exports: records as JSON, JSON Lines or CSV, streamed, so that a million of them need no memory.

See docs/export.md.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias, get_args

from equitrcoder.errors import UsageError
from equitrcoder.ledger import shapes, views
from equitrcoder.ledger.encoding import encode
from equitrcoder.ledger.output_file import OutputFile, StreamTarget
from equitrcoder.ledger.queries import CallQuery
from equitrcoder.records import JSON, ModelTurn, Run

if TYPE_CHECKING:
    from equitrcoder.ledger.reader import Reader

Format: TypeAlias = Literal["json", "jsonl", "csv"]
FORMATS: tuple[str, ...] = get_args(Format)
Progress: TypeAlias = Callable[[int], None]
"""Told how many records have been written so far."""

_TELL_EVERY = 100
_PIECE_BYTES = 256_000
_PAGE = 200
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
"""How a text begins that a spreadsheet takes for a formula (OWASP, "CSV Injection"), or that was marked as one."""


def write_export(
    records: Iterable[dict[str, JSON]],
    target: Path | str | BinaryIO,
    format: Format,  # noqa: A002 - the name that the tool logging guide gives it
    on_progress: Progress | None = None,
    *,
    columns: Sequence[str] | None = None,
) -> int:
    r"""Write records as they come; memory does not grow with their number.

    Args:
        records: All with the same keys.
        target: A file, which is replaced at once when everything is written and untouched when something goes wrong;
            "-": standard output; or anything with `write(bytes)`.
        format: `json`: one list, a record per line, `[]` when there are none. `jsonl`: one record per line.
            `csv`: RFC 4180, with a header; objects and lists are JSON, None is empty, texts are as they are, but for a
            `'` in front of one that a spreadsheet would take for a formula.
        on_progress: Told the number so far, every hundred records.
        columns: The keys for the header of a CSV file without records; else those of the first one.

    Returns:
        How many records were written.

    Raises:
        ExportError: The target cannot be written.
        UsageError: There is no such format.
        ValueError: In CSV: a record has keys that the header lacks.

    Example:
        >>> import io
        >>> out = io.BytesIO()
        >>> write_export([{"tool": "read_file", "args": {"path": "=a"}, "error": None}], out, "csv")
        1
        >>> out.getvalue()
        b'tool,args,error\r\nread_file,"{""path"":""=a""}",\r\n'
    """
    if format not in FORMATS:
        raise UsageError(f'"{format}" is no format of an export.', hint=f"one of {', '.join(FORMATS)}")
    counted = _Counted(records, on_progress)
    lines = _WRITERS[format](counted, columns)
    if isinstance(target, str | Path) and target != "-":
        with OutputFile(Path(target)) as file:
            _write(lines, file.write)
    else:
        stream = StreamTarget(sys.stdout.buffer if isinstance(target, str | Path) else target)
        _write(lines, stream.write)
        stream.flush()
    return counted.count


class _Counted:
    """Passes records on and counts them."""

    def __init__(self, records: Iterable[dict[str, JSON]], on_progress: Progress | None) -> None:
        self._records = records
        self._on_progress = on_progress
        self.count = 0

    def __iter__(self) -> Iterator[dict[str, JSON]]:
        for record in self._records:
            yield record
            self.count += 1
            if self._on_progress is not None and self.count % _TELL_EVERY == 0:
                self._on_progress(self.count)


def _write(lines: Iterator[bytes], write: Callable[[bytes], Any]) -> None:
    """Write lines, some at a time."""
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= _PIECE_BYTES:
            write(b"".join(waiting))
            waiting.clear()
            size = 0
    write(b"".join(waiting))


def _json(records: Iterable[dict[str, JSON]], _columns: Sequence[str] | None) -> Iterator[bytes]:
    lead = b"[\n"
    for record in records:
        yield lead + encode(record)
        lead = b",\n"
    yield b"[]\n" if lead == b"[\n" else b"\n]\n"


def _json_lines(records: Iterable[dict[str, JSON]], _columns: Sequence[str] | None) -> Iterator[bytes]:
    for record in records:
        yield encode(record) + b"\n"


def _csv(records: Iterable[dict[str, JSON]], columns: Sequence[str] | None) -> Iterator[bytes]:
    line = io.StringIO(newline="")
    writer = csv.writer(line)

    def row(cells: Iterable[str]) -> bytes:
        writer.writerow(cells)
        written = line.getvalue().encode("utf-8", "backslashreplace")
        line.seek(0)
        line.truncate()
        return written

    known: frozenset[str] = frozenset()
    if columns:
        yield row(columns)
    for record in records:
        if not columns:
            columns = tuple(record)
            yield row(columns)
        known = known or frozenset(columns)
        if not record.keys() <= known:
            raise ValueError(f"the header lacks {', '.join(sorted(record.keys() - known))}")
        yield row(csv_cell(record.get(name)) for name in columns)


def csv_cell(value: JSON) -> str:
    """A value as it stands in a cell of a CSV export.

    Example:
        >>> csv_cell(None), csv_cell(True), csv_cell(8.25), csv_cell(["a", 1]), csv_cell("as it is")
        ('', 'true', '8.25', '["a",1]', 'as it is')
        >>> csv_cell("=1+1"), csv_cell("'=1+1"), csv_cell("'quoted'"), csv_cell(-1)
        ("'=1+1", "''=1+1", "'quoted'", '-1')
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return "'" + value if _FORMULA.match(value) else value
    return encode(value).decode()


_WRITERS: dict[str, Callable[[Iterable[dict[str, JSON]], Sequence[str] | None], Iterator[bytes]]] = {
    "json": _json,
    "jsonl": _json_lines,
    "csv": _csv,
}


def export_calls(
    reader: Reader,
    query: CallQuery,
    target: Path | str | BinaryIO,
    format: Format = "json",  # noqa: A002 - as in write_export
    on_progress: Progress | None = None,
    *,
    records: bool = False,
) -> int:
    """Export the calls of a query, oldest first, results whole, open calls too.

    Args:
        target, format, on_progress: See `write_export`.
        records: Whole records, with the field names of `equitrcoder calls --json`. Else log entries: the eight keys of
            the tool logging guide first.

    Returns:
        How many calls were written.

    Raises:
        ExportError: The target cannot be written.
        UsageError: There is no such format.
        LedgerError: The ledger cannot be read, or the query names a run that is not there.
    """
    calls = (_whole_call(reader, row) for batch in reader.rows(query) for row in batch)
    if records:
        return write_export(calls, target, format, on_progress, columns=views.CALL_FIELDS)
    return write_export(map(views.plain_log_entry, calls), target, format, on_progress, columns=LOG_FIELDS)


def _whole_call(reader: Reader, row: tuple[Any, ...]) -> dict[str, JSON]:
    return shapes.plain_call(row) or views.call_to_dict(shapes.call(row, reader.state_dir, full=True))


def export_turns(
    reader: Reader,
    target: Path | str | BinaryIO,
    format: Format = "json",  # noqa: A002 - as in write_export
    on_progress: Progress | None = None,
    *,
    run: str | None = None,
    provider: str | None = None,
    since: datetime | None = None,
) -> int:
    """Export model answers with their tokens, times and costs: run by run, the oldest first.

    Args:
        run: Only of this one: its id, a tail of it, or "last".
        provider: Only of this provider.
        since: Only answers at or after this moment (aware).

    Returns and raises: like `export_calls`.
    """
    turns = (
        views.turn_to_dict(turn)
        for found in _each_run(reader, run=run, provider=provider)
        if since is None or found.completed_at is None or found.completed_at >= since
        for turn in reader.turns(found.run_id)
        if since is None or turn.at >= since
    )
    return write_export(turns, target, format, on_progress, columns=TURN_FIELDS)


def export_runs(
    reader: Reader,
    target: Path | str | BinaryIO,
    format: Format = "json",  # noqa: A002 - as in write_export
    on_progress: Progress | None = None,
    *,
    steps: bool = False,
    run: str | None = None,
    **chosen: Any,
) -> int:
    """Export runs, the oldest first, with the field names of `equitrcoder runs --json`.

    Args:
        steps: Each with `tool_calls`, `execution_steps` and `token_usage` as well (design/record.md, "Run").
        run: Only this one: its id, a tail of it, or "last".
        chosen: What else chooses, as in `Reader.runs`: status, provider, since, repo.

    Returns and raises: like `export_calls`.
    """
    runs = _each_run(reader, run=run, **chosen)
    if steps:
        records = (reader.run_view(found.run_id) for found in runs)
        return write_export(records, target, format, on_progress, columns=STEPS_FIELDS)
    return write_export(map(views.run_to_dict, runs), target, format, on_progress, columns=RUN_FIELDS)


def _each_run(reader: Reader, *, run: str | None, **chosen: Any) -> Iterator[Run]:
    """Runs a page at a time, the oldest first."""
    if run is not None:
        only = reader.run(run)
        yield from (found for found in reader.runs(session=only.session_id, **chosen) if found.run_id == only.run_id)
        return
    last = ""
    while page := reader.runs(limit=_PAGE, after=last, **chosen):
        yield from page
        last = page[-1].run_id


_SEED_KEYS = ("timestamp", "session_id", "tool_name", "tool_args", "result", "success", "duration_ms", "error")
_TOLD_BY_SEED_KEYS = frozenset({*_SEED_KEYS, "arguments", "arguments_raw", "result_metadata"})
LOG_FIELDS = (*_SEED_KEYS, *(name for name in views.CALL_FIELDS if name not in _TOLD_BY_SEED_KEYS))
"""The keys of a log entry (`views.log_entry`), in order."""

RUN_FIELDS = tuple(Run.__dataclass_fields__)
STEPS_FIELDS = (*RUN_FIELDS, "tool_calls", "execution_steps", "token_usage")
"""The keys of a run with its steps (`views.run_view`)."""

TURN_FIELDS = tuple(ModelTurn.__dataclass_fields__)
