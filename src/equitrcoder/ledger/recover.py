"""Closing a dead run: only who gets the lock of its journal may do it, so a run that lives is never touched.

Calls in flight are closed as `interrupted`, calls that never started as `cancelled`, calls that the provider runs and
whose result was not written as `unknown`; the run ends as `interrupted`.
A torn last entry is cut back and kept, as text, in the closing entry. Calls that only their answer tells of get their
entry. A run whose end stands in the journal and not in the register is entered there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from equitrcoder.ledger import files, register
from equitrcoder.ledger.encoding import encode
from equitrcoder.ledger.journal import now_text
from equitrcoder.ledger.reading import Place, read_piece

_TORN_TEXT_BYTES = 65_536
_AFTER_DEATH = {"running": "interrupted", "requested": "cancelled", "provider": "unknown"}


def close_dead_run(
    state_dir: Path, run_id: str, journal: str, *, entries: int | None = None, status: str | None = None
) -> bool:
    """Close a run whose process is gone.

    Args:
        journal: Its path, relative to the state directory.
        entries: How many entries runs.jsonl says it has, when the run had ended: then its tail was lost.
        status: How the run had ended by runs.jsonl.

    Returns:
        False when another process holds the journal: the run lives.

    Raises:
        OSError: The journal cannot be opened or written.
    """
    path = state_dir / journal
    fd = files.open_to_append(path)
    try:
        if not files.try_lock(fd):
            return False
        state = _State(path)
        if not state.finished:  # else it was killed before it could enter its end in the register
            _append_end(fd, state, entries=entries, status=status)
            state = _State(path)
        if state.finished:
            fields: dict[str, Any] = {"status": state.status, "entries": state.place.seq, "last": state.place.last_hash}
            fields["clock"] = state.last_at
            register.append(state_dir, "finished", {"run_id": run_id, **fields, "journal": journal})
        return True
    finally:
        os.close(fd)


def _append_end(fd: int, state: _State, *, entries: int | None, status: str | None) -> None:
    torn = _cut_torn_tail(fd, state)
    chain = _Chain(fd, state.place)
    lost = entries is not None
    for uid, fields in state.not_entered():
        chain.append("call_requested", {"call_uid": uid, **fields, "recovered": True})
    for uid, state_of_call in state.open_calls.items():
        if lost:
            outcome, why = "unknown", "record_lost"
        else:
            outcome, why = _AFTER_DEATH[state_of_call], "process_died"
        chain.append("call_finished", {"call_uid": uid, "outcome": outcome, "error_type": why, "recovered": True})
    if state.open_request is not None and not lost:
        words = "the process died while the provider was asked; what that cost is not known"
        failed = {**state.open_request, "error_type": "interrupted", "message": words, "recovered": True}
        chain.append("request_failed", failed)
    end: dict[str, Any] = {
        "status": (status if lost else None) or "interrupted",
        "response": None,
        "error": None if lost else "the process ended before the run did",
        "error_type": "record_lost" if lost else "process_died",
        "recovered": True,
        "ended_at": state.last_at,
    }
    if torn:
        end["torn"] = torn
    if lost:
        end["damage"] = f"it had {entries} entries, and {state.place.seq} are left"
    elif not state.place.seq and not torn:
        end["damage"] = "it is empty"
    chain.append("run_finished", end)


def _cut_torn_tail(fd: int, state: _State) -> dict[str, Any] | None:
    if not state.torn_bytes:
        return None
    data = os.pread(fd, min(state.torn_bytes, _TORN_TEXT_BYTES), state.place.offset)
    os.ftruncate(fd, state.place.offset)
    # What stood there was redacted before it was written.
    return {"offset": state.place.offset, "bytes": state.torn_bytes, "text": data.decode("utf-8", "replace")}


class _State:
    """What a journal says at its end."""

    def __init__(self, path: Path) -> None:
        self.place = Place()
        self.torn_bytes = 0
        self.finished = False
        self.status = ""
        self.last_at = ""
        self.open_calls: dict[str, str] = {}  # call_uid -> requested, running or provider
        self.open_request: dict[str, Any] | None = None  # step and attempt of one without an answer
        self._wire: str | None = None
        self._answer: dict[str, Any] = {}  # the newest
        self._entered: set[str] = set()  # calls of it that have their own entry
        while True:
            piece = read_piece(path, self.place)
            for _, _, event in piece.events:
                self._take(event)
            self.torn_bytes = piece.torn_bytes
            if piece.place.offset == self.place.offset:
                return
            self.place = piece.place

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        uid = event.get("call_uid")
        self.last_at = max(self.last_at, event["at"])
        if kind == "request_sent":
            self.open_request = {"step": event.get("step"), "attempt": event.get("attempt")}
        elif kind in ("turn", "request_failed"):
            self.open_request = None
        if kind == "run_started":
            self._wire = event.get("wire")
        elif kind == "turn":
            self._answer, self._entered = event, set()
            for outline in event.get("calls") or ():
                by_provider = outline.get("executed_by") == "provider"
                self.open_calls[str(outline["call_uid"])] = "provider" if by_provider else "requested"
        elif kind == "call_requested":
            self._entered.add(str(uid))
            self.open_calls.setdefault(str(uid), "requested")
        elif kind == "call_started":
            self.open_calls[str(uid)] = "running"
        elif kind == "call_finished":
            self.open_calls.pop(str(uid), None)
        elif kind == "run_finished":
            self.finished = True
            self.status = str(event.get("status"))

    def not_entered(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The calls of the newest answer that the kill left without an entry: id, and the entry's fields.

        Their arguments are read again from the stored message.
        """
        asked = _asked_for(self._wire, self._answer)
        for number, outline in enumerate(self._answer.get("calls") or ()):
            uid = str(outline["call_uid"])
            if uid in self._entered or uid not in self.open_calls:
                continue
            fields = {**outline, "step": self._answer.get("step")}
            if number < len(asked):
                _put_arguments(fields, asked[number])
            yield uid, fields


def _put_arguments(fields: dict[str, Any], arguments: Any) -> None:
    """As the recorder would have written them."""
    fields["arguments_raw" if isinstance(arguments, str) else "arguments"] = arguments
    try:
        orjson.dumps(arguments)
    except (TypeError, UnicodeEncodeError):
        fields["exact"] = True  # readers take the slow way for it, which keeps every digit


def _asked_for(wire: str | None, answer: dict[str, Any]) -> list[Any]:
    """The arguments of an answer's calls, in order; empty where they are not kept."""
    from equitrcoder.wires.stored import read_stored_calls

    native = answer.get("native")
    if wire is None or not isinstance(native, dict) or answer.get("kept") == "outline":
        return []
    try:
        return [call.arguments for call in read_stored_calls(wire, native, answer.get("further") or ())]
    except (KeyError, ValueError):
        return []


class _Chain:
    """Appends to a journal that was read to its end."""

    def __init__(self, fd: int, place: Place) -> None:
        self._fd = fd
        self._seq = place.seq
        self._last_hash = place.last_hash

    def append(self, kind: str, fields: dict[str, Any]) -> None:
        self._seq += 1
        head = b'{"v":1,"seq":%d,"prev":"%b","at":"%b","type":"%b",'
        line = head % (self._seq, self._last_hash.encode(), now_text(), kind.encode()) + encode(fields)[1:]
        files.append_whole(self._fd, line + b"\n")
        self._last_hash = hashlib.sha256(line).hexdigest()
