"""Is the index what the journals say? Quick questions, without reading every journal again."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from equitrcoder.ledger import cells, files, schema, tombstones
from equitrcoder.ledger.catch_up import catch_up, open_index
from equitrcoder.ledger.index import NAME, Index

K = TypeVar("K")
_TAIL_BYTES = 4_000_000


class Difference(NamedTuple):
    """Something in the index that is not as it should be."""

    where: str
    what: str


def check_index(state_dir: Path) -> list[Difference]:
    """Look at the file, its position in every journal, and its statistics. The index catches up first.

    Raises:
        OSError, sqlite3.Error: It cannot be opened.
    """
    index = open_index(state_dir)
    try:
        troubles = catch_up(index)
        missing = {trouble.path for trouble in troubles}
        found = [Difference(trouble.path, trouble.what) for trouble in troubles]
        found += _of_file(index.connection)
        found += (difference for difference in _of_journals(index) if difference.where not in missing)
        return [*found, *check_statistics(index.connection, state_dir)]
    finally:
        index.close()


def _of_file(connection: sqlite3.Connection) -> Iterator[Difference]:
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield Difference(NAME, str(line))
    wanted = _objects(_fresh())
    for name in sorted(wanted ^ _objects(connection)):
        yield Difference(NAME, f"{'lacks' if name in wanted else 'has beside its own'} {' '.join(name)}")


def _fresh() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.executescript(schema.TABLES)
    return connection


def _objects(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    rows = connection.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
    return {(kind, name) for kind, name in rows}


def _of_journals(index: Index) -> Iterator[Difference]:
    """Each journal must end where the index has read to, with the entry that it knows as the last."""
    for path, offset, last_hash in index.connection.execute("SELECT path, offset, last_hash FROM journals"):
        try:
            what = _position(index.state_dir / path, offset, last_hash)
        except OSError as error:
            what = "the journal is missing" if isinstance(error, FileNotFoundError) else str(error.strerror)
        if what:
            yield Difference(path, what)


def _position(path: Path, offset: int, last_hash: str) -> str | None:
    fd = files.open_to_read(path)
    try:
        size = os.fstat(fd).st_size
        if size < offset:
            return f"the index has read {offset} bytes of {size}"
        start = max(0, offset - _TAIL_BYTES)
        lines = os.pread(fd, offset - start, start).split(b"\n")
        if offset and len(lines) > 1 and hashlib.sha256(lines[-2]).hexdigest() != last_hash:
            return "the entry up to which the index has read was changed"
        rest = os.pread(fd, _TAIL_BYTES, offset)
        return "it has entries that the index lacks" if b"\n" in rest and not _lives(path) else None
    finally:
        os.close(fd)


def _lives(path: Path) -> bool:
    try:
        return files.is_locked(path)
    except OSError:
        return False


def check_statistics(connection: sqlite3.Connection, state_dir: Path) -> list[Difference]:
    """Count everything again from the rows, and what was pruned from its tombstones, and compare.

    `equitrcoder audit` uses it too: rows that equal the journals and statistics that equal the rows equal the journals.
    """
    found: list[Difference] = []
    for run_id, number in connection.execute("SELECT run_id, number FROM agent_runs").fetchall():
        if _stored(cells.of_run(connection, number)) != _stored(cells.counted_again(connection, run_id)):
            found.append(Difference(run_id, "its statistics are not what its calls and answers add up to"))
    for stone in tombstones.tombstones(state_dir):
        known = connection.execute("SELECT calls FROM tombstones WHERE run_id = ?", (stone.run_id,)).fetchone()
        if known is None:
            found.append(Difference(stone.run_id, f"it was {stone.why}, and the index does not know"))
    if _stored(cells.sums_again(connection)) != _stored(cells.all_sums(connection)):
        found.append(Difference(NAME, "the sums of the statistics are not those of the runs"))
    return found


def _stored(found: dict[K, cells.Cell]) -> dict[K, tuple[object, ...]]:
    return {key: cell.stored() for key, cell in found.items() if any(cell.sums)}
