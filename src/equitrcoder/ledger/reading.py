"""Reading a journal: what is there, in order, and what is damaged. One bad byte costs one entry, never the others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from equitrcoder import jsontext
from equitrcoder.ledger import files

_PIECE_BYTES = 1_000_000
TWICE = "stands twice"


class Damage(NamedTuple):
    """A place in the ledger that is not as it was written."""

    path: str
    """The file, relative to the state directory."""
    offset: int
    bytes: int
    what: str
    """A sentence without its subject: "entry 7 cannot be read"."""

    def __str__(self) -> str:
        return f"{self.path}: {self.what} (byte {self.offset})"


class Placed(NamedTuple):
    """One event and its place in the journal."""

    offset: int
    length: int
    """Without the newline."""
    event: dict[str, Any]


class Place(NamedTuple):
    """How far a journal has been read."""

    offset: int = 0
    seq: int = 0
    last_hash: str = ""
    """SHA-256 of the last line; empty before the first."""


class Piece(NamedTuple):
    """Some whole lines of a journal."""

    events: Sequence[tuple[int, int, dict[str, Any]]]
    """`Placed`, or plain tuples like it."""
    damage: list[Damage]
    place: Place
    """Where the next piece starts."""
    torn_bytes: int
    """Bytes after the last newline: an entry being written, or cut off by a kill."""


def read_piece(path: Path, place: Place, *, name: str = "", verify: bool = True, end: int | None = None) -> Piece:
    """Read the next whole lines of a journal, some 1 MB at most but always one if there is one.

    Args:
        path: The journal.
        place: Where an earlier piece ended.
        name: What damage calls the file; empty: its path.
        verify: False: trust that each line follows from the one before, as in a journal that this process writes.
        end: Read no further than this offset.

    Raises:
        OSError: It cannot be opened.
    """
    fd = files.open_to_read(path)
    try:
        data = _whole_lines(fd, place.offset)
        if end is not None:
            data = data[: max(0, end - place.offset)]
    finally:
        os.close(fd)
    end = data.rfind(b"\n") + 1
    checker = _Checker(name or str(path), place, verify=verify)
    offset = 0
    while offset < end:
        stop = data.index(b"\n", offset)
        checker.take(data[offset:stop])
        offset = stop + 1
    checker.finish()
    return Piece(checker.events, checker.damage, checker.place, len(data) - end)


def _whole_lines(fd: int, offset: int) -> bytes:
    data = os.pread(fd, _PIECE_BYTES, offset)
    if len(data) < _PIECE_BYTES or b"\n" in data:
        return data
    pieces = [data]  # one line longer than a piece
    while pieces[-1] and b"\n" not in pieces[-1]:
        pieces.append(os.pread(fd, _PIECE_BYTES, offset + sum(map(len, pieces))))
    return b"".join(pieces)


def read_events(path: Path, *, name: str = "") -> Iterator[Placed | Damage]:
    """Everything in a journal, damage at its place; a torn last line comes last.

    Raises:
        OSError: It cannot be opened.
    """
    place = Place()
    while True:
        piece = read_piece(path, place, name=name)
        items: list[Placed | Damage] = [*map(Placed._make, piece.events), *piece.damage]
        yield from sorted(items, key=_offset)
        if piece.place.offset == place.offset:
            break
        place = piece.place
    if piece.torn_bytes:
        yield Damage(name or str(path), place.offset, piece.torn_bytes, "the last entry is cut off")


def _offset(item: Placed | Damage) -> int:
    return item.offset


def read_at(path: Path, offset: int, length: int) -> dict[str, Any] | None:
    """The event at a place that an index remembered; None when the journal is gone or holds something else there."""
    try:
        fd = files.open_to_read(path)
    except OSError:
        return None
    try:
        value = _value(os.pread(fd, length, offset))
    except (OSError, jsontext.InvalidJSON):
        return None
    finally:
        os.close(fd)
    return value if isinstance(value, dict) else None


class _Checker:
    """Follows the chain through the lines."""

    def __init__(self, name: str, place: Place, *, verify: bool) -> None:
        self._name = name
        self._verify = verify
        self._offset, self._seq, self._last_hash = place
        self._line = b""
        self._sure = True  # whether the hash of the line before is known to be what was written
        self.events: list[tuple[int, int, dict[str, Any]]] = []
        self.damage: list[Damage] = []

    @property
    def place(self) -> Place:
        return Place(self._offset, self._seq, self._last_hash)

    def take(self, line: bytes) -> None:
        event = parse_event(line)
        if event is None:
            self._tell(line, f"entry {self._seq + 1} cannot be read")
            self._sure = False
        elif event["seq"] <= self._seq:
            self._tell(line, f"entry {event['seq']} {TWICE}")
        else:
            seq = event["seq"]
            if seq != self._seq + 1 or (self._verify and event.get("prev") != self._last_hash):
                self._check(event, line)
            self._seq = seq
            self._sure = True
            self.events.append((self._offset, len(line), event))
        self._line = line
        if self._verify:
            self._last_hash = sha256(line).hexdigest()
        self._offset += len(line) + 1

    def finish(self) -> None:
        """After the last line: the next piece follows from it."""
        if self._line and not self._verify:
            self._last_hash = sha256(self._line).hexdigest()

    def _check(self, event: dict[str, Any], line: bytes) -> None:
        missing = event["seq"] - self._seq - 1
        if missing and self._sure:
            self._tell(line, f"{missing} entries are missing before entry {event['seq']}")
        elif self._verify and self._sure and event.get("prev") != self._last_hash:
            self._tell(line, f"entry {event['seq']} does not follow from the one before it, which was changed")

    def _tell(self, line: bytes, what: str) -> None:
        self.damage.append(Damage(self._name, self._offset, len(line), what))


def _value(line: bytes) -> Any:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return jsontext.loads(line)  # deeply nested, or with lone surrogates
    if type(value) is dict and "exact" in value:  # the recorder says where numbers are too long for orjson
        return jsontext.loads(line)
    return value


def parse_event(line: bytes) -> dict[str, Any] | None:
    """The event of a line (without its newline); None when it is none."""
    try:
        value = _value(line)
    except jsontext.InvalidJSON:
        return None
    if type(value) is not dict:
        return None
    seq, kind, at = value.get("seq"), value.get("type"), value.get("at")
    good = type(seq) is int and 0 < seq < 1 << 53 and type(kind) is str and type(at) is str
    return value if good else None
