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
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol, TypeAlias, get_args

import orjson

from equitrcoder.errors import UsageError
from equitrcoder.ledger import plain, views
from equitrcoder.ledger.cycles import without_cycles
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
_AT_ONCE = 20
"""So few, because results can be large."""
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
    with without_cycles():
        if isinstance(target, str | Path) and target != "-":
            with OutputFile(Path(target)) as file:
                return _write(records, file.write, _WRITERS[format](columns), on_progress)
        stream = StreamTarget(sys.stdout.buffer if isinstance(target, str | Path) else target)
        count = _write(records, stream.write, _WRITERS[format](columns), on_progress)
        stream.flush()
        return count


class _Writer(Protocol):
    def some(self, records: list[dict[str, JSON]]) -> bytes: ...
    def end(self) -> bytes: ...


def _write(
    records: Iterable[dict[str, JSON]], write: Callable[[bytes], Any], writer: _Writer, on_progress: Progress | None
) -> int:
    """Write records some at a time."""
    waiting: list[bytes] = []
    count = size = 0
    rest = iter(records)
    while some := list(islice(rest, _AT_ONCE)):
        waiting.append(writer.some(some))
        size += len(waiting[-1])
        count += len(some)
        if size >= _PIECE_BYTES:
            write(b"".join(waiting))
            waiting.clear()
            size = 0
        if on_progress is not None and count % _TELL_EVERY == 0:
            on_progress(count)
    write(b"".join([*waiting, writer.end()]))
    return count


class _JSON:
    def __init__(self, _columns: Sequence[str] | None) -> None:
        self._lead = b"[\n"

    def some(self, records: list[dict[str, JSON]]) -> bytes:
        lead, self._lead = self._lead, b",\n"
        return lead + b",\n".join(_encoded(records))

    def end(self) -> bytes:
        return b"\n]\n" if self._lead == b",\n" else b"[]\n"


class _JSONLines:
    def __init__(self, _columns: Sequence[str] | None) -> None: ...

    def some(self, records: list[dict[str, JSON]]) -> bytes:
        return b"\n".join([*_encoded(records), b""])

    def end(self) -> bytes:
        return b""


def _encoded(records: list[dict[str, JSON]]) -> list[bytes]:
    try:
        return list(map(orjson.dumps, records))
    except TypeError:
        return list(map(encode, records))  # the same, and what it does not take


class _CSV:
    def __init__(self, columns: Sequence[str] | None) -> None:
        self._columns = columns
        self._text = io.StringIO(newline="")
        self._rows = csv.writer(self._text)
        if columns:
            self._rows.writerow(columns)

    def some(self, records: list[dict[str, JSON]]) -> bytes:
        if not self._columns:
            self._columns = tuple(records[0])
            self._rows.writerow(self._columns)
        known = frozenset(self._columns)
        for record in records:
            if not record.keys() <= known:
                raise ValueError(f"the header lacks {', '.join(sorted(record.keys() - known))}")
            self._rows.writerow([csv_cell(record.get(name)) for name in self._columns])
        return self.end()

    def end(self) -> bytes:
        written = self._text.getvalue().encode("utf-8", "backslashreplace")
        self._text.seek(0)
        self._text.truncate()
        return written


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


_WRITERS: dict[str, Callable[[Sequence[str] | None], _Writer]] = {"json": _JSON, "jsonl": _JSONLines, "csv": _CSV}


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
    calls, columns = (
        (plain.records(reader, query), views.CALL_FIELDS) if records else (plain.log_entries(reader, query), LOG_FIELDS)
    )
    return write_export(calls, target, format, on_progress, columns=columns)


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


LOG_FIELDS = views.LOG_FIELDS
RUN_FIELDS = tuple(Run.__dataclass_fields__)
STEPS_FIELDS = (*RUN_FIELDS, "tool_calls", "execution_steps", "token_usage")
"""The keys of a run with its steps (`views.run_view`)."""

TURN_FIELDS = tuple(ModelTurn.__dataclass_fields__)
