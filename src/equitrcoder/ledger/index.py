"""The index: a SQLite file that is a function of the journals. Applying the same event again changes nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from equitrcoder import jsontext
from equitrcoder.ledger import cells, register, rows, schema, tombstones
from equitrcoder.ledger.batch import RUN_FACTS, RUN_SUMS, Batch, added_up, fact
from equitrcoder.ledger.counting import Counting
from equitrcoder.ledger.journal import Handed
from equitrcoder.ledger.reading import TWICE, Damage, Piece, Place, read_piece

NAME = "index.sqlite"
_BUSY_S = 10.0
_LEFT_TO_PARENTS: list[sqlite3.Connection] = []
"""Connections of the process that this one is a fork of: never used, never closed."""
_FOLD_RUNS = 64
"""So many finished runs are folded into the sums together; until then a question adds their cells up itself."""


class WrongSchema(sqlite3.DatabaseError):
    """The file is an index of another version."""


class RegisterCut(sqlite3.DatabaseError):
    """runs.jsonl has lost lines: what the index remembers of it no longer holds."""


class LogGone(sqlite3.DatabaseError):
    """The write-ahead log of an open index was deleted or replaced."""


class Index:
    """An open index. Use it from one thread at a time.

    Args:
        path: The file; None: in memory.
        state_dir: Where the journals are.

    Raises:
        WrongSchema: It was made by another version.
        sqlite3.DatabaseError: It is damaged, or no database.
    """

    def __init__(self, path: Path | None, state_dir: Path) -> None:
        self.path = path
        self.state_dir = state_dir
        self._process_id = os.getpid()
        self.fold_runs = _FOLD_RUNS
        name = ":memory:" if path is None else str(path)
        self.connection = sqlite3.connect(name, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
            self.inode = None if path is None else path.stat().st_ino
            self._log_inodes = self._look_at_log()
        except BaseException:
            self.connection.close()
            raise

    def _prepare(self) -> None:
        connection = self.connection
        connection.execute("PRAGMA page_size = 16384")  # a call is some 3 KB; counts for a new file only
        if self.path is not None:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        cells.register_functions(connection)
        connection.execute("PRAGMA wal_autocheckpoint = 1000")  # 16 MB: most runs copy their pages once, at the end
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            with self.transaction():
                self._create()
        elif version != schema.VERSION:
            raise WrongSchema(f"the index has version {version}, not {schema.VERSION}")
        connection.execute("SELECT count(*) FROM progress").fetchone()  # opens the WAL, and meets damage early

    def _create(self) -> None:
        if self.connection.execute("PRAGMA user_version").fetchone()[0]:
            return  # another process was faster
        for statement in schema.TABLES.split(";\n"):
            if statement.strip():
                self.connection.execute(statement)
        self.connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        self.connection.execute(f"PRAGMA user_version = {schema.VERSION}")

    def close(self) -> None:
        """Close the file."""
        if self.inherited:
            _LEFT_TO_PARENTS.append(self.connection)  # closing it here would be felt there
        else:
            self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One writing transaction; nothing of it stays when it raises."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def replaced(self) -> bool:
        """Whether the file was deleted, or replaced by a rebuild, since it was opened; or this is a fork of who did."""
        if self.inherited:
            return True
        if self.path is None:
            return False
        try:
            return self.path.stat().st_ino != self.inode
        except OSError:
            return True

    @property
    def inherited(self) -> bool:
        """Whether a parent process opened it: a connection does not survive a fork."""
        return os.getpid() != self._process_id

    def look_after_log(self) -> None:
        """See that the write-ahead log is still there: without it, whoever opens the file now does not see all.

        Raises:
            LogGone: Somebody deleted or replaced it.
        """
        if self._look_at_log() != self._log_inodes:
            raise LogGone("the write-ahead log was taken away")

    def _look_at_log(self) -> list[int]:
        if self.path is None:
            return []
        return [_inode(Path(f"{self.path}{suffix}")) for suffix in ("-wal", "-shm")]

    # The register: which runs there are, and in which order.

    def read_register(self) -> None:
        """Take in the new lines of runs.jsonl. Costs one stat when there are none."""
        offset, _ = self._register_place()
        size = _size(self.state_dir / register.NAME)
        if size == offset:
            return
        with self.transaction():
            offset, tail = self._register_place()
            if size < offset or (tail and tail != register.tail_hash(self.state_dir, offset)):
                raise RegisterCut("runs.jsonl is not the one that it was")
            reading = register.read(self.state_dir, offset)
            for entry in reading.entries:
                self._take_entry(entry)
            for place in reading.unreadable:
                self._add_damage(Damage(register.NAME, place, 0, "a line cannot be read"))
            self._set_progress("register", reading.offset, register.tail_hash(self.state_dir, reading.offset))

    def _register_place(self) -> tuple[int, str]:
        found = self.connection.execute("SELECT value, text FROM progress WHERE name = 'register'").fetchone()
        return (int(found[0]), found[1]) if found else (0, "")

    def _set_progress(self, name: str, value: int, text: str = "") -> None:
        self.connection.execute("INSERT OR REPLACE INTO progress VALUES (?, ?, ?)", (name, value, text))

    def _take_entry(self, entry: register.Entry) -> None:
        fields = entry.fields
        if fields["type"] == "started":
            self._add_run(fields, entry.offset)
            return
        if fields["type"] == "deleted":
            tombstones.take(self.connection, self.state_dir, entry, keep_file=self.path is None)
            return
        self.connection.execute(
            "UPDATE journals SET registered_entries = ?, registered_last = ?, registered_status = ? WHERE run_id = ?",
            (
                rows.whole_number(fields.get("entries")),
                rows.text(fields.get("last")),
                rows.text(fields.get("status")),
                fields["run_id"],
            ),
        )
        self._compare_with_register(fields["run_id"])
        self._step_clock(rows.text(fields.get("clock")) or "")

    def _step_clock(self, at: str) -> str:
        """The latest time of all that the register has named so far: what is registered later is ordered later."""
        found = self.connection.execute("SELECT text FROM progress WHERE name = 'clock'").fetchone()
        clock = max(at, found[0] if found else "")
        self._set_progress("clock", 0, clock)
        return clock

    def _add_run(self, fields: dict[str, Any], number: int) -> None:
        at = rows.text(fields.get("at")) or ""
        clock = self._step_clock(at)
        if self.connection.execute("SELECT 1 FROM tombstones WHERE run_id = ?", (fields["run_id"],)).fetchone():
            return
        added = self.connection.execute(
            "INSERT OR IGNORE INTO journals (run_id, path, number, clock) VALUES (?, ?, ?, ?)",
            (fields["run_id"], fields["journal"], number, clock),
        )
        if not added.rowcount:
            if fields.get("found"):  # its first line names a file that there never was: the line is damaged
                place = (fields["journal"], fields["run_id"])
                self.connection.execute("UPDATE journals SET path = ? WHERE run_id = ? AND offset = 0", place)
            return
        names = [name for name in RUN_FACTS if fields.get(name) is not None]
        facts = {"session_id": "", "agent_role": "single", "agent_name": "single", "attempt": 1}
        facts |= {"provider": "", "model_requested": "", "capture": "middleware"}
        facts |= {name: fact(name, fields[name]) for name in names}
        if fields.get("found"):
            self._add_damage(Damage(register.NAME, number, 0, f"run {fields['run_id']} was missing in it"))
        self._insert("agent_runs", {"run_id": fields["run_id"], "number": number, "started_at": at, **facts})
        self.connection.execute("INSERT INTO unfolded VALUES (?)", (number,))

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        self.connection.execute(_insert_statement(table, tuple(row)), tuple(row.values()))

    def _add_damage(self, damage: Damage) -> None:
        self.connection.execute(
            "INSERT OR IGNORE INTO damage (path, offset, bytes, what) VALUES (?, ?, ?, ?)", tuple(damage)
        )

    def _compare_with_register(self, run_id: str) -> None:
        """A finished journal must end as runs.jsonl says."""
        found = self.connection.execute(
            "SELECT path, offset, seq, last_hash, registered_entries, registered_last FROM journals "
            "WHERE run_id = ? AND finished = 1 AND registered_entries IS NOT NULL",
            (run_id,),
        ).fetchone()
        if found is None:
            return
        path, offset, seq, last_hash, entries, last = found
        if seq != entries:
            self._add_damage(Damage(path, offset, 0, f"it has {seq} entries and runs.jsonl knows {entries}"))
        elif last_hash != last:
            self._add_damage(Damage(path, offset, 0, "the last entry was changed"))

    # Journals.

    def follow(self, run_id: str, *, verify: bool = True) -> bool:
        """Take in what a run's journal has new. Returns whether the run is finished.

        Args:
            verify: Check that each entry follows from the one before it.

        Raises:
            FileNotFoundError: The journal is gone.
        """
        while True:
            state = self._journal(run_id)
            if state is None:
                return False
            path = self.state_dir / state["path"]
            if state["finished"]:
                return True
            if path.stat().st_size == state["offset"]:
                return False
            with self.transaction():
                if not self._take_piece(run_id, path, verify):
                    return False

    def take_handed(self, run_id: str, handed: list[Handed]) -> None:
        """Take in events as their recorder hands them over, in order, as far as they go on from what is known."""
        if not handed:
            return
        with self.transaction():
            state = self._journal(run_id)
            if state is None:
                return
            events = []
            end = state["offset"]
            for item in handed:  # offsets that join leave no event out
                if item[0] == end:
                    events.append(item)
                    end += item[1] + 1
            if events:
                last = events[-1]
                place = Place(end, last[2]["seq"], last[3].decode())
                self._apply_piece(run_id, state, Piece([item[:3] for item in events], [], place, 0))

    def _take_piece(self, run_id: str, path: Path, verify: bool) -> bool:
        """Apply the next piece; False when there is none. Another process may have been here since the last look."""
        state = self._journal(run_id)
        assert state is not None
        place = Place(state["offset"], state["seq"], state["last_hash"])
        size = path.stat().st_size
        if size < place.offset:  # somebody cut the file; what its run adds now follows what was there
            what = f"it was {place.offset} bytes long and was cut to {size}"
            self._add_damage(Damage(state["path"], size, place.offset - size, what))
            place = place._replace(offset=0)
        piece = read_piece(path, place, name=state["path"], verify=verify)
        if place.offset and not _follows(piece, place):  # cut and grown again: what is new may stand before this place
            piece = read_piece(path, place._replace(offset=0), name=state["path"], verify=verify)
            known_twice = [item for item in piece.damage if not item.what.endswith(TWICE)]
            piece = piece._replace(damage=known_twice)
        if piece.place.offset == place.offset:
            return False
        self._apply_piece(run_id, state, piece)
        return True

    def _journal(self, run_id: str) -> dict[str, Any] | None:
        found = self.connection.execute(_JOURNAL, (run_id,)).fetchone()
        return None if found is None else dict(zip(_JOURNAL_COLUMNS, found, strict=True))

    def _apply_piece(self, run_id: str, state: dict[str, Any], piece: Piece) -> None:
        batch = Batch(run_id, state)
        for offset, length, event in piece.events:
            try:
                batch.take(offset, length, event)
            except (KeyError, TypeError, ValueError):
                self._add_damage(Damage(state["path"], offset, length, "the entry makes no sense"))
        batch.settle()
        for damage in (*piece.damage, *batch.damage):
            self._add_damage(damage)
        self._write(batch, state)
        self.connection.execute(
            "UPDATE journals SET offset = ?, seq = ?, last_hash = ?, clock = ?, finished = ? WHERE run_id = ?",
            (piece.place.offset, piece.place.seq, piece.place.last_hash, batch.clock, batch.finished, run_id),
        )
        if batch.finished:
            self._compare_with_register(run_id)
            cells.fold_some(self.connection, self.fold_runs)

    def _write(self, batch: Batch, state: dict[str, Any]) -> None:
        connection = self.connection
        counting = Counting(connection, batch, state)
        for uid in batch.calls_without_turn:  # its turn came in an earlier piece, or was damaged
            known = connection.execute(
                "SELECT order_at, outcome, run_id FROM tool_calls WHERE call_uid = ?", (uid,)
            ).fetchone()
            batch.sums["calls"] += known is None
            if known is not None:
                batch.new_calls[uid]["order_at"] = known[0]  # as its turn said
                counting.replaced_call(known[1], known[2])
        for row in batch.new_calls.values():
            counting.new_call(row)
        connection.executemany(_ENTER_CALL, map(tuple, map(dict.values, batch.new_calls.values())))
        for uid, row in batch.changed_calls.items():
            if row.get("redactions"):
                row["redactions"] = self._redactions_with(uid, row["redactions"])
            counting.changed_call(uid, row)
            names = ", ".join(f"{name} = ?" for name in row)
            found = connection.execute(
                f"UPDATE tool_calls SET {names} WHERE call_uid = ? AND run_id = ?",  # noqa: S608 - names of our own
                (*row.values(), uid, batch.run_id),
            )
            if not found.rowcount:
                batch.sums["failed_calls"] -= rows.is_failed(row.get("outcome", "requested"))
        counting.turns()
        counting.failed_cost(batch.facts.get("started_at") or state["started_at"])
        for row in batch.turns:
            connection.execute(_insert_statement("model_turns", tuple(row)), tuple(row.values()))
        sums = ", ".join(f"{name} = {name} + ?" for name in RUN_SUMS)
        facts = "".join(f", {name} = ?" for name in batch.facts)
        connection.execute(
            f"UPDATE agent_runs SET {sums}{facts} WHERE run_id = ?",  # noqa: S608 - names of our own
            (*(batch.sums[name] for name in RUN_SUMS), *batch.facts.values(), batch.run_id),
        )
        if batch.finished and counting.lost_calls():
            self._close_lost_calls(batch.run_id)
        counting.finish()

    def _redactions_with(self, uid: str, found: str) -> str | None:
        before = self.connection.execute("SELECT redactions FROM tool_calls WHERE call_uid = ?", (uid,)).fetchone()
        return rows.json_text(added_up(before[0] if before else None, jsontext.loads(found)))

    def _close_lost_calls(self, run_id: str) -> None:
        """Calls still open in a finished run: their last entry was damaged or never fitted on the disk."""
        lost = self.connection.execute(
            "UPDATE tool_calls SET outcome = 'unknown', error_type = 'record_lost' "
            "WHERE run_id = ? AND outcome IN ('requested', 'running')",
            (run_id,),
        ).rowcount
        if lost:
            self.connection.execute(
                "UPDATE agent_runs SET failed_calls = failed_calls + ? WHERE run_id = ?", (lost, run_id)
            )

    def registered(self, run_id: str) -> tuple[str, int | None, str | None]:
        """What runs.jsonl says of a run: its journal, and when it has ended its entries and its status."""
        path, entries, status = self.connection.execute(
            "SELECT path, registered_entries, registered_status FROM journals WHERE run_id = ?", (run_id,)
        ).fetchone()
        return path, entries, status

    def unfinished(self) -> list[str]:
        """Ids of the runs whose journals have no end yet, or whose end runs.jsonl does not know, oldest first."""
        of_them = "finished = 0 OR registered_entries IS NULL"
        return [
            row[0]
            for row in self.connection.execute(f"SELECT run_id FROM journals WHERE {of_them} ORDER BY number")  # noqa: S608 - words of our own
        ]


def _insert_statement(table: str, names: Sequence[str]) -> str:
    places = ", ".join("?" * len(names))
    return f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES ({places})"  # noqa: S608 - names of our own


_JOURNAL_COLUMNS = (
    *("path", "number", "offset", "seq", "last_hash", "clock", "finished"),
    *("provider", "model_requested", "agent_role", "agent_name", "started_at"),
)
_JOURNAL = (
    "SELECT path, j.number, offset, seq, last_hash, clock, finished, "
    "provider, model_requested, agent_role, agent_name, started_at "
    "FROM journals AS j JOIN agent_runs AS r USING (run_id) WHERE run_id = ?"
)
_ENTER_CALL = _insert_statement("tool_calls", tuple(rows.CALL_COLUMNS))


def _follows(piece: Piece, place: Place) -> bool:
    """Whether what was read goes on from a place."""
    if piece.damage and piece.damage[0].offset == place.offset:
        return False
    return not piece.events or piece.events[0][2]["seq"] == place.seq + 1


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
