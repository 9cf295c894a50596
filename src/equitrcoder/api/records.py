"""What a session's faces answer from the ledger. Every question reads what stands in the journals at that moment."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from equitrcoder.errors import UsageError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from equitrcoder.ledger.audit_report import AuditReport
    from equitrcoder.ledger.reader import Reader
    from equitrcoder.ledger.stats import Stats
    from equitrcoder.records import JSON, Outcome, Run, RunStatus, ToolCall


class SessionRecords:
    """The records of one session: calls, runs, statistics, exports. Works before, while and after it is open.

    Args:
        session_id: Whose records.
        state_dir: Says where the ledger is.
    """

    def __init__(self, session_id: str, state_dir: Callable[[], Path]) -> None:
        self.session_id = session_id
        self._state_dir = state_dir

    def _take_session(self, session_id: str) -> None:
        """Answer for another session from now on."""
        self.session_id = session_id

    def get_tool_call_stats(self, *, since: datetime | None = None) -> Stats:
        """Count the tool calls of this session.

        Args:
            since: Only calls requested at or after this moment (aware). None: all.

        Returns:
            A `TypedDict` with every key present even when there are no calls (counts 0, `success_rate` 0.0).
            `success_rate` is 0..1; durations are milliseconds; `tool_usage` is most used first. Calls that are still
            running are not counted; a call that a `chat` made is in it when that `chat` has returned.

        Raises:
            LedgerError: The index cannot be read.

        Example:
            >>> from equitrcoder import SyncEquitrAPI
            >>> SyncEquitrAPI().get_tool_call_stats()["total_calls"]
            0

        Source: tool logging guide, "Tool Call Statistics".
        """
        from equitrcoder.ledger.queries import CallQuery

        with self._reader() as reader:
            return reader.stats(CallQuery(session=self.session_id, since=_aware(since)))

    def get_tool_call_logs(self, limit: int | None = None) -> list[dict[str, JSON]]:
        """The tool calls of this session as entries of the tool log, oldest first, results whole.

        Args:
            limit: The newest so many; still oldest first. None: all.

        Returns:
            Dictionaries with the keys `timestamp session_id tool_name tool_args result success duration_ms error`, then
            further ones; empty when there are no calls. `timestamp` is when the tool started, ISO 8601, UTC.

        Raises:
            LedgerError: The index cannot be read.

        Example:
            >>> from equitrcoder import SyncEquitrAPI
            >>> SyncEquitrAPI().get_tool_call_logs(limit=10)
            []

        Source: tool logging guide, "Log File Format".
        """
        from equitrcoder.ledger.views import log_entry

        return [log_entry(call) for call in self.calls(limit=limit)]

    def export_tool_logs(
        self,
        path: str | os.PathLike[str],
        format: Literal["json", "jsonl", "csv"] = "json",  # noqa: A002 - the guide's own name
    ) -> int:
        """Write the tool calls of this session to a file, oldest first; an existing file is replaced.

        Args:
            path: Relative to the current folder.
            format: `json`: one list of log entries; `jsonl`: one entry per line; `csv`: a header and a row per call,
                whose cells hold JSON where the value is no text or number.

        Returns:
            How many calls were written; 0 gives a valid, empty export.

        Raises:
            ExportError: It cannot be written: names the file and why.
            UsageError: There is no such format.

        Source: tool logging guide, "Programmatic API".
        """
        from pathlib import Path

        from equitrcoder.ledger.export import FORMATS, export_calls
        from equitrcoder.ledger.queries import CallQuery

        if format not in FORMATS:
            raise UsageError(f"There is no export format {format!r}.", hint=f"one of {', '.join(FORMATS)}")
        with self._reader() as reader:
            return export_calls(reader, CallQuery(session=self.session_id), Path(path), format)

    def runs(
        self,
        *,
        limit: int | None = None,
        status: RunStatus | None = None,
        since: datetime | None = None,
        all_sessions: bool = False,
    ) -> list[Run]:
        """The runs of this session, one per chat and attempt, the newest first.

        Args:
            limit: At most so many.
            status: Only runs that ended so (or are `running`).
            since: Only runs started at or after this moment (aware).
            all_sessions: Everything in the ledger, also what other programs and the command ran.

        Raises:
            LedgerError: The index cannot be read.

        Example:
            >>> from equitrcoder import SyncEquitrAPI
            >>> SyncEquitrAPI().runs()
            []
        """
        session = None if all_sessions else self.session_id
        with self._reader() as reader:
            return reader.runs(limit=_count(limit), status=status, since=_aware(since), session=session)

    def calls(
        self,
        *,
        limit: int | None = None,
        run: str | None = None,
        tool: str | None = None,
        outcome: Outcome | None = None,
        failed: bool = False,
        since: datetime | None = None,
        all_sessions: bool = False,
    ) -> list[ToolCall]:
        """The tool calls of this session as records, oldest first, results whole.

        Args:
            limit: The newest so many; still oldest first.
            run: Only those of one run: its id, or a tail of it that no other has.
            tool: Only those of one tool.
            outcome: Only those that ended so (or are `requested` or `running`).
            failed: Only those that are closed and not success.
            since: Only those requested at or after this moment (aware).
            all_sessions: Everything in the ledger.

        Raises:
            LedgerError: The index cannot be read, or there is no such run.

        Example:
            >>> from equitrcoder import SyncEquitrAPI
            >>> [call.tool_name for call in SyncEquitrAPI().calls(failed=True)]
            []
        """
        from equitrcoder.ledger.queries import CallQuery

        query = CallQuery(
            session=None if all_sessions else self.session_id,
            run=run,
            tool=tool,
            outcome=outcome,
            failed=failed,
            since=_aware(since),
            limit=_count(limit),
        )
        with self._reader() as reader:
            return list(reader.calls(query, full=True))

    def audit(self, run: str | None = None, *, all_sessions: bool = False) -> AuditReport:
        """Prove that what the ledger says of this session balances, or say where it does not.

        The calls are read again from the providers' answers and held against the entries of the calls, and those
        against what became of them; chain, register, hashes of results and index are checked with them.

        Args:
            run: Only this run: its id, a tail of it that no other has, or "last".
            all_sessions: The whole ledger, and whether its register and its journals name the same runs.

        Returns:
            The report: `balanced`, both sides, and each difference with run, step, call and place; `str()` of it is one
            line.

        Raises:
            LedgerError: The ledger cannot be read, or there is no such run.

        Example:
            >>> from equitrcoder import SyncEquitrAPI
            >>> print(SyncEquitrAPI().audit())
            0 runs, 0 calls: balanced
        """
        from equitrcoder.ledger.audit import audit

        if run is not None:
            with self._reader() as reader:
                return audit(self._state_dir(), runs=[reader.run(run).run_id])
        return audit(self._state_dir(), session=None if all_sessions else self.session_id)

    @contextmanager
    def _reader(self) -> Iterator[Reader]:
        from equitrcoder.ledger.reader import Reader

        with Reader(self._state_dir()) as reader:
            yield reader


def _aware(moment: datetime | None) -> datetime | None:
    if moment is not None and moment.tzinfo is None:
        raise UsageError(f"{moment} has no time zone.", hint="datetime.now(UTC) - timedelta(hours=1), say")
    return moment


def _count(limit: int | None) -> int | None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
        raise UsageError(f"limit takes a number from 0 on, or None for all, not {limit!r}.")
    return limit
