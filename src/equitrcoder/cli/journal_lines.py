"""The events of a run's journal as lines for people, one after the other. Pure but for its sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from equitrcoder.cli import call_text, text
from equitrcoder.cli.tables import cut, one_line, places

INDENT = " " * 10
"""As wide as the time in front of a line."""
CALL_PLACES = 56
WORDS_PLACES = 100
SHOW_RUNNING_AFTER_S = 1.0


class JournalLines:
    """Turns journal events into lines, in order.

    Args:
        run_id: For the first line.
    """

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._calls: dict[str, tuple[str, bool]] = {}  # call_uid -> (what it is about, did the provider run it)
        self._running: dict[str, datetime] = {}
        self._started_at: str | None = None
        self._last_text = ""
        self.status = "running"
        """How the run ended, once it has."""
        self._totals: dict[str, int] = dict.fromkeys(("calls", "failed_calls", "turns", "cost_nanousd"), 0)
        self._totals |= {
            "unpriced_turns": 0,
            "unpriced_requests": 0,
            "input_tokens": 0,
            "cached_tokens": 0,
            "output_tokens": 0,
        }

    def take(self, event: Mapping[str, Any]) -> Iterator[str]:
        """The lines of one event; none for events that say nothing new. Foreign text is made harmless."""
        handler = _HANDLERS.get(str(event.get("type")))
        if handler is None:
            return
        for number, line in enumerate(handler(self, event)):
            yield (_clock(event) if number == 0 else INDENT) + line

    def running(self, now: datetime) -> Iterator[str]:
        """A line for each call that runs, and each answer that is waited for, since a second; once."""
        for uid, since in list(self._running.items()):
            if (now - since).total_seconds() >= SHOW_RUNNING_AFTER_S:
                del self._running[uid]
                what = f"  {cut(self._calls[uid][0], CALL_PLACES)}" if uid in self._calls else uid
                yield f"{_clock({'at': now.isoformat()})}{what} …"

    def _run_started(self, event: Mapping[str, Any]) -> Iterator[str]:
        self._started_at = event.get("at")
        where = one_line(str(event.get("repo_path") or ""))
        yield f"run {self._run_id} · {one_line(str(event.get('model_requested')))} · {where}"

    def _message(self, event: Mapping[str, Any]) -> Iterator[str]:
        yield f"{one_line(str(event.get('role')))}: {cut(one_line(str(event.get('text') or '')), WORDS_PLACES)}"

    def _request_sent(self, event: Mapping[str, Any]) -> Iterator[str]:
        moment = _moment(event)
        if moment is not None:
            self._running[f"turn {event.get('step')}"] = moment
        yield from ()

    def _request_failed(self, event: Mapping[str, Any]) -> Iterator[str]:
        self._running.pop(f"turn {event.get('step')}", None)
        self._totals["cost_nanousd"] += event.get("cost_nanousd") or 0
        self._totals["unpriced_requests"] += event.get("cost_nanousd") is None
        words = one_line(str(event.get("message") or event.get("error_type")))
        yield f"attempt {event.get('attempt')} gave no answer: {words}"

    def _turn(self, event: Mapping[str, Any]) -> Iterator[str]:
        self._running.pop(f"turn {event.get('step')}", None)
        usage: Mapping[str, Any] = event.get("usage") or {}
        tokens_in, tokens_out = usage.get("input_tokens"), usage.get("output_tokens")
        cost = event.get("cost_nanousd")
        self._add_turn(usage, cost)
        tokens = f"{_number(tokens_in)} tokens in, {_number(tokens_out)} out"
        price = "no charge" if cost == 0 else text.money(cost)
        yield f"turn {event.get('step')} · {text.duration(event.get('duration_ms'))} · {tokens} · {price}"
        self._last_text = str(event.get("text") or "").strip()
        yield from text.safe(self._last_text).splitlines()

    def _add_turn(self, usage: Mapping[str, Any], cost: int | None) -> None:
        totals = self._totals
        totals["turns"] += 1
        totals["unpriced_turns"] += cost is None
        totals["cost_nanousd"] += cost or 0
        totals["input_tokens"] += usage.get("input_tokens") or 0
        totals["cached_tokens"] += usage.get("cached_read_tokens") or 0
        totals["output_tokens"] += usage.get("output_tokens") or 0

    def _call_requested(self, event: Mapping[str, Any]) -> Iterator[str]:
        arguments = event.get("arguments")
        subject = call_text.subject_of(
            arguments if isinstance(arguments, dict) else None, str(event.get("arguments_raw") or "")
        )
        what = one_line(f"{event.get('tool_name')} {subject}")
        self._calls[str(event.get("call_uid"))] = (what, event.get("executed_by") == "provider")
        self._totals["calls"] += 1
        yield from ()

    def _call_started(self, event: Mapping[str, Any]) -> Iterator[str]:
        uid = str(event.get("call_uid"))
        moment = _moment(event)
        if uid in self._calls and moment is not None:
            self._running[uid] = moment
        yield from ()

    def _approval(self, event: Mapping[str, Any]) -> Iterator[str]:
        what = self._calls.get(str(event.get("call_uid")), ("", False))[0]
        why = one_line(str(event.get("reason") or ""))
        yield f"  {cut(what, CALL_PLACES)}  {event.get('decision')} by {event.get('by')}" + (f": {why}" if why else "")

    def _call_finished(self, event: Mapping[str, Any]) -> Iterator[str]:
        uid = str(event.get("call_uid"))
        self._running.pop(uid, None)
        what, by_provider = self._calls.pop(uid, ("?", False))
        self._totals["failed_calls"] += event.get("outcome") != "success"
        shown = cut(what, CALL_PLACES)
        line = f"  {shown}{' ' * (CALL_PLACES - places(shown))} {text.duration(event.get('duration_ms')):>9}"
        notes = [_ending(event)] if event.get("outcome") != "success" else []
        notes += ["run by the provider"] if by_provider else []
        yield line + ("  " + ", ".join(notes) if notes else "")

    def _run_finished(self, event: Mapping[str, Any]) -> Iterator[str]:
        error = event.get("error")
        self.status = str(event.get("status"))
        yield f"{event.get('status')}" + (f": {one_line(str(error))}" if error else "")
        response = str(event.get("response") or "").strip()
        if response and response != self._last_text:
            yield from text.safe(response).splitlines()
        yield text.summary(self._summed(event))

    def _summed(self, event: Mapping[str, Any]) -> dict[str, Any]:
        began, ended = _moment({"at": self._started_at}), _moment({"at": event.get("ended_at") or event.get("at")})
        took = None if began is None or ended is None else max((ended - began).total_seconds() * 1000, 0.0)
        return {**self._totals, "tokens": self._totals, "duration_ms": took}


_HANDLERS: dict[str, Callable[[JournalLines, Mapping[str, Any]], Iterator[str]]] = {
    "run_started": JournalLines._run_started,
    "message": JournalLines._message,
    "request_sent": JournalLines._request_sent,
    "request_failed": JournalLines._request_failed,
    "turn": JournalLines._turn,
    "call_requested": JournalLines._call_requested,
    "call_started": JournalLines._call_started,
    "approval": JournalLines._approval,
    "call_finished": JournalLines._call_finished,
    "run_finished": JournalLines._run_finished,
}


def _ending(event: Mapping[str, Any]) -> str:
    metadata = event.get("result_metadata")
    known = metadata if isinstance(metadata, dict) else None
    said = call_text.outcome_of(str(event.get("outcome")), event.get("error_type"), known)
    why = event.get("error_message")
    return said if not why or "exit_code" in (known or {}) else f"{said}: {cut(one_line(str(why)), WORDS_PLACES)}"


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "?"


def _moment(event: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(event["at"])
    except (KeyError, TypeError, ValueError):
        return None


def _clock(event: Mapping[str, Any]) -> str:
    moment = _moment(event)
    return f"{'' if moment is None else moment.astimezone().strftime('%H:%M:%S'):<10}"
