"""The audit of one journal: its chain, and both sides of its double entry. Reads it once, a line at a time."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from equitrcoder.ledger import files, spilled
from equitrcoder.ledger.audit_report import AuditReport, Difference
from equitrcoder.ledger.audit_values import agree
from equitrcoder.ledger.encoding import encode, text_bytes
from equitrcoder.ledger.reading import parse_event
from equitrcoder.records import CLOSED_OUTCOMES

_NOT_KEPT = object()
_TELL_EVERY_LINES = 2_000


class Line(NamedTuple):
    """One line of a file."""

    number: int
    """From 1."""
    offset: int
    data: bytes
    """Without its newline."""
    whole: bool
    """Whether the newline is there."""


def read_lines(path: Path, *, number: int = 0, offset: int = 0) -> Iterator[Line]:
    """The lines of a file from a place on (the line before it has this number). Raises OSError."""
    with os.fdopen(files.open_to_read(path), "rb") as file:
        file.seek(offset)
        for data in file:
            number += 1
            whole = data.endswith(b"\n")
            yield Line(number, offset, data[:-1] if whole else data, whole)
            offset += len(data)


class _Call:
    """An open call."""

    __slots__ = ("arguments", "entered", "entry", "executed_by", "id", "line", "name", "ordinal", "started", "step")

    def __init__(self, step: Any, line: Line, outline: dict[str, Any]) -> None:
        self.step = step
        self.line = line  # of the answer, later of its own entry
        self.ordinal = outline.get("ordinal")
        self.executed_by = outline.get("executed_by")
        self.name = outline.get("tool_name")
        self.id = outline.get("provider_call_id")
        self.arguments: Any = _NOT_KEPT  # as the stored answer has them
        self.entry = outline
        self.entered = False
        self.started = False


class RunAudit:
    """Looks through one journal.

    Args:
        path: The journal, relative to the state directory.
        report: Gets what is found.
        ended: Whether the register says that the run has ended.
        on_calls: Hears now and then how many calls there have been.

    Attributes:
        finished: Whether the run's end stands in it.
        running: Whether its process lives, and the journal goes on.
        damaged: Whether something in the file itself is not as it was written.
        entries, last_hash: How many entries it has, and the hash of the last one.
        started: The entry `run_started`.
    """

    def __init__(
        self,
        state_dir: Path,
        run_id: str,
        path: str,
        report: AuditReport,
        *,
        ended: bool = False,
        on_calls: Callable[[int], None] | None = None,
    ) -> None:
        self.run_id = run_id
        self.path = path
        self.finished = False
        self.running = False
        self.damaged = False
        self.entries = 0
        self.last_hash = ""
        self.last_line = Line(0, 0, b"", True)
        self.started: dict[str, Any] = {}
        self.end: dict[str, Any] = {}
        self._state_dir = state_dir
        self._file = state_dir / path
        self._ended = ended
        self._report = report
        self._on_calls = on_calls
        self._calls: dict[str, _Call] = {}
        self._closed: dict[str, tuple[Any, Any]] = {}  # step and ordinal
        self._requested: Counter[str] = Counter()
        self._in_messages: Counter[str] = Counter()
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._not_kept: Counter[str] = Counter()
        self._ordinal = 0
        self._sure = True  # whether the line before can be what was written
        self._unreadable = 0  # lines just before
        self._torn: Line | None = None
        self._wire: str | None = None

    def run(self) -> None:
        """Read the journal as far as it stands. Raises OSError when it cannot be opened."""
        place = Line(0, 0, b"", True)
        while True:
            lives = self._lives()
            before, place = place, self._read(place)
            if self.finished or lives or place.number == before.number:
                break  # else it may have ended in this moment: what it wrote before is read as well
        self.running = lives and not self.finished and not self._ended
        self._settle()

    def _lives(self) -> bool:
        # An empty file may be about to be locked by the process that made it: it must find it free.
        return self._file.stat().st_size > 0 and files.is_locked(self._file)

    def _read(self, last: Line) -> Line:
        offset = last.offset + len(last.data) + 1 if last.number else 0
        torn = None
        for line in read_lines(self._file, number=last.number, offset=offset):
            if not line.whole:
                torn = line
                break
            self._take(line)
            last = line
            if self._on_calls is not None and not line.number % _TELL_EVERY_LINES:
                self._on_calls(sum(self._requested.values()))
        self._torn = torn
        return last

    # The chain.

    def _take(self, line: Line) -> None:
        event = parse_event(line.data)
        expected = self.last_hash
        self.last_hash = hashlib.sha256(line.data).hexdigest()
        before, self.last_line = self.last_line, line
        if event is None:
            self._tell("entry_unreadable", f"entry {self.entries + 1} cannot be read", line, harm=True)
            self._unreadable += 1
            self._sure = False
            return
        seq = event["seq"]
        follows = self.entries + 1
        unreadable, self._unreadable = self._unreadable, 0
        if not follows <= seq <= follows + unreadable:  # what cannot be read was an entry, or never was one
            what = "entries are missing before it" if seq > self.entries else "it stands in another place already"
            numbers = {"expected": f"entry {self.entries + 1}", "found": f"entry {seq}"}
            self._tell("entries_out_of_sequence", what, line, event, harm=True, **numbers)
            if seq <= self.entries:
                self.last_hash, self.last_line = expected, before  # passed over, as every reader does
                return
        elif self._sure and event.get("prev") != expected:
            found = self._event_of(before)
            hashes = {"expected": f"sha256 {event.get('prev')}", "found": f"sha256 {expected}"}
            self._tell("entry_changed", "the entry after it has another hash of it", before, found, harm=True, **hashes)
        self.entries, self._sure = seq, True
        if self.finished:
            self._tell("entry_after_the_end", f"a {event['type']} after run_finished", line, event)
        try:
            self._understand(event, line)
        except (KeyError, TypeError, ValueError, AttributeError):
            self._tell("entry_unreadable", f"entry {seq} makes no sense", line, event, harm=True)

    @staticmethod
    def _event_of(line: Line) -> dict[str, Any]:
        return parse_event(line.data) or {}

    def _understand(self, event: dict[str, Any], line: Line) -> None:
        match event["type"]:
            case "run_started":
                self.started = event
                self._wire = event.get("wire")
            case "turn":
                self._turn(event, line)
            case "call_requested":
                self._call_requested(event, line)
            case "call_started":
                self._call_started(event, line)
            case "call_finished":
                self._call_finished(event, line)
            case "run_finished":
                self.finished = True
                self.end = event
            case _:
                pass  # what only resuming needs, and kinds of a later version

    # The two sides.

    def _turn(self, event: dict[str, Any], line: Line) -> None:
        outlines = event.get("calls") or []
        calls = [(str(outline["call_uid"]), _Call(event["step"], line, outline)) for outline in outlines]
        for position, (uid, call) in enumerate(calls):
            self._ordinal += 1
            if uid in self._calls or uid in self._closed:
                self._tell_call("call_entered_twice", "two answers have it", line, uid, call)
            numbers = call.entry.get("position"), call.ordinal
            if numbers != (position, self._ordinal):
                self._ordinal = call.ordinal if isinstance(call.ordinal, int) else self._ordinal
                told = {"expected": f"position {position}, call {self._ordinal}", "found": "position {}, call {}"}
                told["found"] = told["found"].format(*numbers)
                self._tell_call("call_differs", "its place in the answer", line, uid, call, **told)
            self._requested[_who(call)] += 1
        self._compare_with_message(event, line, calls)
        self._calls.update(calls)

    def _compare_with_message(self, event: dict[str, Any], line: Line, calls: list[tuple[str, _Call]]) -> None:
        """Read the calls in the stored answer again."""
        native = event.get("native")
        if self._wire is None or not isinstance(native, dict):
            self._not_kept["messages"] += len(calls)
            return
        from equitrcoder.wires.stored import read_stored_calls

        try:
            found = read_stored_calls(self._wire, native, event.get("further") or ())
        except KeyError:  # a wire of a later version, or one without calls
            self._not_kept["messages"] += len(calls)
            return
        except ValueError as error:
            self._tell("message_unreadable", str(error), line, event)
            return
        whole = event.get("kept") != "outline"
        for number, wire_call in enumerate(found):
            who = "provider" if wire_call.kind == "provider-executed" else "client"
            self._in_messages[who] += 1
            if number >= len(calls):
                called = f"{_short(wire_call.name)} ({_short(wire_call.id)}), call {number + 1} of the answer"
                what = f"the stored answer asks for {called}"
                self._tell("call_not_entered", what, line, event, expected=called, found="no entry")
                continue
            uid, call = calls[number]
            self._compare(uid, call, line, "name", "executed_by", "id", values=(wire_call.name, who, wire_call.id))
            if whole:
                call.arguments = wire_call.arguments
        for uid, call in calls[len(found) :]:
            told = {"expected": "no entry", "found": f"call {call.ordinal}"}
            self._tell_call("call_not_in_message", "the stored answer does not ask for it", line, uid, call, **told)

    def _compare(self, uid: str, call: _Call, line: Line, *names: str, values: tuple[Any, ...]) -> None:
        for name, value in zip(names, values, strict=True):
            entered = getattr(call, name)
            if not agree(value, entered):
                told = {"expected": _short(value), "found": _short(entered)}
                self._tell_call("call_differs", f"its {name.replace('_', ' ')}", line, uid, call, **told)

    def _call_requested(self, event: dict[str, Any], line: Line) -> None:
        uid = str(event["call_uid"])
        call = self._calls.get(uid)
        if call is None or call.entered:
            if call is None and uid not in self._closed:
                call = self._calls[uid] = _Call(event.get("step"), line, event)
                call.entered = True
                self._requested[_who(call)] += 1
                told = {"expected": "no entry", "found": f"call {call.ordinal}"}
                self._tell_call("call_not_in_message", "no answer asks for it", line, uid, call, **told)
            else:
                self._tell_call("call_entered_twice", "it has an entry already", line, uid, call)
            return
        call.entered = True
        call.line = line
        names = ("step", *(name for name in call.entry if name != "call_uid"))
        for name in names:
            expected = call.step if name == "step" else call.entry[name]
            if not agree(expected, event.get(name)):
                told = {"expected": _short(expected), "found": _short(event.get(name))}
                self._tell_call("call_differs", f"its {name}", line, uid, call, **told)
        self._compare_arguments(uid, call, event, line)
        call.arguments = _NOT_KEPT  # may be large, and is not needed again
        call.entry = {}

    def _compare_arguments(self, uid: str, call: _Call, event: dict[str, Any], line: Line) -> None:
        field = next((name for name in ("arguments", "arguments_raw") if name in event), None)
        if call.arguments is _NOT_KEPT or field is None:
            self._not_kept["arguments"] += 1
            return
        if not agree(call.arguments, event[field]):
            told = {"expected": _short(call.arguments), "found": _short(event[field])}
            self._tell_call("call_differs", "its arguments", line, uid, call, **told)

    def _call_started(self, event: dict[str, Any], line: Line) -> None:
        uid = str(event["call_uid"])
        call = self._calls.get(uid)
        if call is None or call.started:
            what = (
                "it has started already" if call else "nobody asked for it" if uid not in self._closed else "it ended"
            )
            self._tell_call("start_without_call", what, line, uid, call)
        else:
            call.started = True

    def _call_finished(self, event: dict[str, Any], line: Line) -> None:
        uid = str(event["call_uid"])
        call = self._calls.pop(uid, None)
        if call is None:
            twice = uid in self._closed
            kind = "call_closed_twice" if twice else "close_without_call"
            self._tell_call(
                kind, f"a further end: {event.get('outcome')}" if twice else "nobody asked", line, uid, None
            )
            return
        self._closed[uid] = call.step, call.ordinal
        if not call.entered and not event.get("recovered"):
            self._tell_call("call_not_entered", "its answer asks for it, and it has no entry", call.line, uid, call)
        outcome = event.get("outcome")
        if outcome not in CLOSED_OUTCOMES:
            self._tell_call("outcome_unknown", "how it ended", line, uid, call, found=_short(outcome))
        self._outcomes[_who(call), str(outcome)] += 1
        self._check_result(event, line, uid, call)
        metadata = event.get("result_metadata")
        if isinstance(metadata, dict) and "spilled" in metadata:
            trouble = spilled.trouble_with(self._state_dir, self.run_id, metadata["spilled"])
            if trouble is not None:
                self._tell_call("spilled_result_differs", trouble, line, uid, call)

    def _check_result(self, event: dict[str, Any], line: Line, uid: str, call: _Call) -> None:
        size, digest = event.get("result_bytes"), event.get("result_sha256")
        if "result" not in event or event.get("truncated_to") is not None:
            # Cut by its tool, or not kept (`content`): the hash is that of the whole.
            self._not_kept["results"] += digest is not None
            return
        found = result_bytes(event["result"])
        told = {"expected": f"{size} bytes, sha256 {digest}"}
        self._report.results_checked += 1
        if size != len(found) or digest != hashlib.sha256(found).hexdigest():
            told["found"] = f"{len(found)} bytes, sha256 {hashlib.sha256(found).hexdigest()}"
            self._tell_call("result_differs", "its result is not the one that was hashed", line, uid, call, **told)

    # The end.

    def _settle(self) -> None:
        report = self._report
        self.entries += self._unreadable
        if self._torn is not None and not self.running:
            self._tell("entry_cut", "the last entry is cut off", self._torn, harm=True)
        if self.finished:
            for uid, call in self._calls.items():
                self._tell_call("call_never_closed", "the run has ended, and it has no end", call.line, uid, call)
            self._check_end()
        else:
            report.count(report.open_calls, Counter(map(_who, self._calls.values())))
        report.calls += sum(self._requested.values())
        report.running += not (self.finished or self._ended)
        report.count(report.in_messages, self._in_messages)
        report.count(report.requested, self._requested)
        report.count(report.not_kept, self._not_kept)
        report.count_outcomes(self._outcomes)

    def _check_end(self) -> None:
        lost = self.end.get("entries_lost")
        if lost:
            what = "entries could not be written and are in no file"
            self._tell("entries_lost", f"{lost} {what}", self.last_line, found=str(lost))
        if self.end.get("damage"):
            self._tell("tail_missing", str(self.end["damage"]), self.last_line, harm=True)
        if isinstance(self.end.get("torn"), dict):
            self._report.notes.append(f"{self.path}: the kill cut off an entry, which the closing entry keeps as text")

    # Telling.

    def _tell(
        self, kind: str, what: str, line: Line, event: dict[str, Any] | None = None, *, harm: bool = False, **told: str
    ) -> None:
        self.damaged = self.damaged or harm
        step, uid, ordinal = None, None, None
        if event is not None:
            uid = event.get("call_uid") if isinstance(event.get("call_uid"), str) else None
            known = self._calls.get(uid) if uid else None
            step, ordinal = (known.step, known.ordinal) if known else self._closed.get(uid or "", (None, None))
            step = event.get("step") if step is None else step
            ordinal = event.get("ordinal") if ordinal is None else ordinal
        self._add(kind, what, line, step, uid, ordinal, told)

    def _tell_call(self, kind: str, what: str, line: Line, uid: str, call: _Call | None, **told: str) -> None:
        step, ordinal = (call.step, call.ordinal) if call else self._closed.get(uid, (None, None))
        self._add(kind, what, line, step, uid, ordinal, told)

    def _add(self, kind: str, what: str, line: Line, step: Any, uid: Any, ordinal: Any, told: dict[str, str]) -> None:
        self._report.add(
            Difference(
                kind=kind,
                run_id=self.run_id,
                step=step if isinstance(step, int) else None,
                call_uid=uid,
                ordinal=ordinal if isinstance(ordinal, int) else None,
                path=self.path,
                line=line.number,
                byte=line.offset,
                what=what,
                expected=told.get("expected"),
                found=told.get("found"),
            )
        )


def result_bytes(value: Any) -> bytes:
    """A result as it is hashed: a text as UTF-8, anything else as compact JSON, in the order of its keys."""
    if isinstance(value, str):
        return text_bytes(value)
    try:
        return orjson.dumps(value)
    except (TypeError, UnicodeEncodeError):
        return encode(value)


def _who(call: _Call) -> str:
    return "provider" if call.executed_by == "provider" else "client"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else encode(value).decode()
    return text if len(text) <= 200 else f"{text[:200]}…"
