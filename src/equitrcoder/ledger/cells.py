"""Statistics as they are kept: cells that count the calls and answers of a run, and what adds them up.

Every closed call and every answer is in one cell of its run, written in the transaction that writes its row. A finished
run never changes, so its cells are folded into the sums some runs at a time; a question adds to the sums the cells of
the runs that are not folded yet. Either way every call is counted once.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from operator import add
from typing import Any, NamedTuple

from equitrcoder.ledger import days, sketch
from equitrcoder.ledger.encoding import text_bytes
from equitrcoder.ledger.schema import SUMS

CLOSED = SUMS[:8]
_PLACE = {name: place for place, name in enumerate(SUMS)}
_TIMED, _DURATION = _PLACE["timed"], _PLACE["duration_us"]
_UNPRICED_REQUESTS = _PLACE["unpriced_requests"]
_TURNS = _PLACE["turns"]
_TURN_SUMS = SUMS[_TURNS + 2 :]
_MOST = 1 << 50
_MOST_MS = 1e10
"""A hundred days: what is longer is no duration of a call, and would only drown the others in a sum."""


class Actor(NamedTuple):
    """Who asks for calls."""

    provider: str
    model_requested: str
    model_answered: str
    agent_role: str
    agent_name: str

    @property
    def id(self) -> int:
        """A number of 48 bits, from the words themselves."""
        digest = hashlib.blake2b(b"\0".join(map(text_bytes, self)), digest_size=6).digest()
        return int.from_bytes(digest, "big")


class Cell:
    """Counts that add up.

    Attributes:
        sums: In the order of `schema.SUMS`.
    """

    __slots__ = ("_buckets", "_sketches", "sums")

    def __init__(self) -> None:
        self.sums = [0] * len(SUMS)
        self._buckets: sketch.Buckets = {}
        self._sketches: list[bytes] = []

    def take_call(self, outcome: str, duration_ms: float | None) -> None:
        """Count a closed call."""
        self.sums[_PLACE[outcome]] += 1
        if duration_ms is not None:
            self.sums[_TIMED] += 1
            self.sums[_DURATION] += microseconds(duration_ms)
            number = sketch.bucket(duration_ms)
            self._buckets[number] = self._buckets.get(number, 0) + 1

    def take_turn(self, row: Mapping[str, Any]) -> None:
        """Count an answer, by its row of model_turns."""
        self.sums[_TURNS] += 1
        self.sums[_TURNS + 1] += row["cost_nanousd"] is None
        for name in _TURN_SUMS:
            self.sums[_PLACE[name]] += _bounded(row[name])

    def take_failed_cost(self, cost_nanousd: int, unpriced_requests: int) -> None:
        """Count what failed requests cost, and those of which nobody knows."""
        self.sums[-1] += _bounded(cost_nanousd)
        self.sums[_UNPRICED_REQUESTS] += unpriced_requests

    def add(self, sums: Iterable[int], data: bytes) -> None:
        """Add the numbers and the sketch of another one, as they are stored."""
        self.sums = list(map(add, self.sums, sums))
        if data:
            self._sketches.append(data)

    def sketch(self) -> bytes:
        """The known durations."""
        if self._buckets:
            self._sketches.append(sketch.to_bytes(self._buckets))
            self._buckets = {}
        if len(self._sketches) > 1:
            self._sketches = [sketch.merged(self._sketches)]
        return self._sketches[0] if self._sketches else b""

    def stored(self) -> tuple[Any, ...]:
        """Values of the columns `SUMS` and `sketch`."""
        return (*self.sums, self.sketch())

    def __getattr__(self, name: str) -> int:
        """The sum of that name."""
        try:
            return self.sums[_PLACE[name]]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def success(self) -> int:  # by name, as what follows, because a table asks each of its lines
        """How many calls succeeded."""
        return self.sums[0]

    @property
    def duration_us(self) -> int:
        """The sum of the known durations."""
        return self.sums[_DURATION]

    @property
    def calls(self) -> int:
        """How many closed calls it counts."""
        return sum(self.sums[: len(CLOSED)])


def microseconds(duration_ms: float) -> int:
    """A duration as it is added up: whole microseconds, so that sums do not depend on their order."""
    return int(min(max(duration_ms, 0.0), _MOST_MS) * 1000 + 0.5)


MICROSECONDS_SQL = f"CAST(min(max(c.duration_ms, 0.0), {_MOST_MS!r}) * 1000 + 0.5 AS INTEGER)"
"""The same of `tool_calls AS c`."""


def _bounded(value: int | None) -> int:
    return min(max(value or 0, -_MOST), _MOST)


Key = tuple[int, str, int]
"""(quarter, tool, actor)"""
Cells = dict[Key, Cell]

_COLUMNS = ", ".join(SUMS)
_PLACES = ", ".join("?" * (4 + len(SUMS) + 1))
_ADDED = ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)
_ON_CONFLICT = f"DO UPDATE SET {_ADDED}, sketch = merge_sketches(sketch, excluded.sketch)"
_ADD_TO_RUN = (
    f"INSERT INTO run_statistics (run_number, quarter, tool_name, actor, {_COLUMNS}, sketch) VALUES ({_PLACES}) "  # noqa: S608 - names of our own
    f"ON CONFLICT (run_number, quarter, tool_name, actor) {_ON_CONFLICT}"
)
_ADD_TO_SUMS = (
    f"INSERT INTO statistics (grouping, period, name, actor, {_COLUMNS}, sketch) VALUES ({_PLACES}) "  # noqa: S608 - names of our own
    f"ON CONFLICT (grouping, period, name, actor) {_ON_CONFLICT}"
)


def register_functions(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that the statements here use."""
    connection.create_function("merge_sketches", 2, sketch.merge, deterministic=True)
    connection.create_function("local_day", 1, days.day_of_text)


def add_to_run(connection: sqlite3.Connection, number: int, found: Cells) -> None:
    """Add cells to those of a run that is not folded."""
    if found:
        values = [(number, *key, *cell.stored()) for key, cell in found.items()]
        connection.executemany(_ADD_TO_RUN, values)


def of_run(connection: sqlite3.Connection, number: int) -> Cells:
    """The cells of a run as they are stored."""
    found: Cells = {}
    for quarter, tool, actor, *sums, data in connection.execute(
        f"SELECT quarter, tool_name, actor, {_COLUMNS}, sketch FROM run_statistics WHERE run_number = ?",  # noqa: S608
        (number,),
    ):
        cell = found[quarter, tool, actor] = Cell()
        cell.add(sums, data)
    return found


def counted_again(connection: sqlite3.Connection, run_id: str) -> Cells:
    """The cells of a run as its rows say: what is stored must equal it."""
    found: Cells = {}
    started_at, spent, unpriced, *actor = connection.execute(
        "SELECT started_at, cost_nanousd, unpriced_requests, provider, model_requested, agent_role, agent_name "
        "FROM agent_runs WHERE run_id = ?",
        (run_id,),
    ).fetchone()
    names = ("at", "model_answered", *_TURN_SUMS)
    for values in connection.execute(
        f"SELECT {', '.join(names)} FROM model_turns WHERE run_id = ?",  # noqa: S608 - names of our own
        (run_id,),
    ):
        row = dict(zip(names, values, strict=True))
        key = (days.quarter_of(row["at"]), "", actor_of(actor, row["model_answered"]).id)
        found.setdefault(key, Cell()).take_turn(row)
        spent -= row["cost_nanousd"] or 0
    if spent or unpriced:
        key = (days.quarter_of(started_at), "", actor_of(actor, None).id)
        found.setdefault(key, Cell()).take_failed_cost(spent, unpriced)
    for tool, at, outcome, duration_ms, answered in connection.execute(
        "SELECT c.tool_name, c.requested_at, c.outcome, c.duration_ms, t.model_answered FROM tool_calls AS c "
        "LEFT JOIN model_turns AS t ON t.run_id = c.run_id AND t.step = c.step "
        "WHERE c.run_id = ? AND c.outcome NOT IN ('requested', 'running')",
        (run_id,),
    ):
        key = (days.quarter_of(at), tool, actor_of(actor, answered).id)
        found.setdefault(key, Cell()).take_call(outcome, duration_ms)
    return found


def actor_of(run: Sequence[str], answered: str | None) -> Actor:
    """The actor of a run (provider, model_requested, agent_role, agent_name) and of a model that answered it."""
    provider, requested, role, name = run
    return Actor(provider, requested, answered or "", role, name)


def enter_actor(connection: sqlite3.Connection, actor: Actor) -> int:
    """Note an actor; returns its id."""
    number = actor.id
    connection.execute("INSERT OR IGNORE INTO actors VALUES (?, ?, ?, ?, ?, ?)", (number, *actor))
    return number


def recount(connection: sqlite3.Connection, run_id: str, number: int) -> None:
    """Count a run anew from its rows, where they changed in a way that only damage explains."""
    words = connection.execute(
        "SELECT provider, model_requested, agent_role, agent_name FROM agent_runs WHERE run_id = ?", (run_id,)
    ).fetchone()
    answers = connection.execute("SELECT step, model_answered FROM model_turns WHERE run_id = ?", (run_id,)).fetchall()
    nobody = enter_actor(connection, actor_of(words, None))
    connection.execute("UPDATE tool_calls SET actor = ? WHERE run_id = ?", (nobody, run_id))
    for step, answered in answers:
        actor = enter_actor(connection, actor_of(words, answered))
        connection.execute("UPDATE tool_calls SET actor = ? WHERE run_id = ? AND step = ?", (actor, run_id, step))
    replace_run(connection, number, counted_again(connection, run_id))


def replace_run(connection: sqlite3.Connection, number: int, found: Cells) -> None:
    """Put cells in the place of a run's; if it is folded the sums are made anew, some runs at a time."""
    if not connection.execute("SELECT 1 FROM unfolded WHERE run_number = ?", (number,)).fetchone():
        before = of_run(connection, number)
        if {key: cell.stored() for key, cell in before.items()} == {key: cell.stored() for key, cell in found.items()}:
            return
        unfold_all(connection)
    connection.execute("DELETE FROM run_statistics WHERE run_number = ?", (number,))
    add_to_run(connection, number, found)


# Folding.

_GROUPINGS = ("model", "provider", "agent", "role")


def unfold_all(connection: sqlite3.Connection) -> None:
    """Forget the sums; the cells of the runs have it all."""
    connection.execute("DELETE FROM statistics")
    connection.execute("DELETE FROM zone")
    connection.execute("INSERT OR IGNORE INTO unfolded SELECT DISTINCT run_number FROM run_statistics")


def foldable(connection: sqlite3.Connection) -> list[int]:
    """Numbers of the finished runs that are not folded."""
    found = connection.execute(
        "SELECT run_number FROM unfolded WHERE run_number NOT IN (SELECT number FROM journals WHERE finished = 0)"
    )
    return [row[0] for row in found]


def zone_of(connection: sqlite3.Connection) -> int | None:
    """Whose days the sums are by; None while there are none."""
    found = connection.execute("SELECT number FROM zone").fetchone()
    return found[0] if found else None


def fold(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
    """Add the cells of finished runs to the sums. In a transaction."""
    if zone_of(connection) is None:
        connection.execute("INSERT INTO zone VALUES (?)", (days.zone(),))
    by_day = _by_day(connection, numbers)
    connection.executemany(
        _ADD_TO_SUMS, [(*key, *cell.stored()) for key, cell in _expanded(by_day, _actors(connection)).items()]
    )
    connection.executemany("DELETE FROM unfolded WHERE run_number = ?", [(number,) for number in numbers])


def _by_day(connection: sqlite3.Connection, numbers: Iterable[int]) -> dict[tuple[str, str, int], Cell]:
    by_day: dict[tuple[str, str, int], Cell] = {}
    known_days: dict[int, str] = {}
    for number in numbers:
        for quarter, tool, actor, *sums, data in connection.execute(
            f"SELECT quarter, tool_name, actor, {_COLUMNS}, sketch FROM run_statistics WHERE run_number = ?",  # noqa: S608
            (number,),
        ):
            day = known_days.get(quarter)
            if day is None:
                day = known_days[quarter] = days.day_of(quarter)
            cell = by_day.get((day, tool, actor))
            if cell is None:
                cell = by_day[day, tool, actor] = Cell()
            cell.add(sums, data)
    return by_day


def sums_again(connection: sqlite3.Connection) -> dict[tuple[str, str, str, int], Cell]:
    """The sums as the cells of the folded runs say: what is stored must equal it."""
    folded = connection.execute("SELECT DISTINCT run_number FROM run_statistics EXCEPT SELECT run_number FROM unfolded")
    return _expanded(_by_day(connection, [row[0] for row in folded.fetchall()]), _actors(connection))


def all_sums(connection: sqlite3.Connection) -> dict[tuple[str, str, str, int], Cell]:
    """The sums as they are stored."""
    found: dict[tuple[str, str, str, int], Cell] = {}
    for grouping, period, name, actor, *sums, data in connection.execute("SELECT * FROM statistics"):
        cell = found[grouping, period, name, actor] = Cell()
        cell.add(sums, data)
    return found


def _actors(connection: sqlite3.Connection) -> dict[int, Actor]:
    return {row[0]: Actor(*row[1:]) for row in connection.execute("SELECT * FROM actors")}


def _expanded(
    by_day: Mapping[tuple[str, str, int], Cell], actors: Mapping[int, Actor]
) -> dict[tuple[str, str, str, int], Cell]:
    """Cells by day, tool and actor as rows of all groupings and periods."""
    found: dict[tuple[str, str, str, int], Cell] = {}
    for (day, tool, number), cell in by_day.items():
        actor = actors[number]
        names = (actor.model_requested, actor.provider, actor.agent_name, actor.agent_role)
        groups = [("all", "", 0), ("each", tool, number), *((g, n, 0) for g, n in zip(_GROUPINGS, names, strict=True))]
        if cell.calls:
            groups.append(("tool", tool, 0))
        periods = ("", f"d{day}") if day == days.UNKNOWN_DAY else ("", f"m{day[:7]}", f"d{day}")
        for grouping, name, of_actor in groups:
            for period in periods:
                key = (grouping, period, name, of_actor)
                total = found.get(key)
                if total is None:
                    total = found[key] = Cell()
                total.add(cell.sums, cell.sketch())
    return found


def fold_some(connection: sqlite3.Connection, least: int) -> None:
    """Fold the finished runs when there are so many of them. In a transaction."""
    (waiting,) = connection.execute("SELECT count(*) FROM unfolded").fetchone()
    if waiting < least:
        return
    if zone_of(connection) not in (None, days.zone()):
        return  # whoever asks in the zone of the sums will do it
    numbers = foldable(connection)
    if len(numbers) >= least or (numbers and waiting >= 2 * least):
        fold(connection, numbers)
