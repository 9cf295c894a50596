"""A recorded run as a page of text: head, steps in order, sums, and the second seed's lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from equitrcoder.cli import call_text, text
from equitrcoder.cli.runs import duration_ms
from equitrcoder.cli.seed_lines import seed_lines
from equitrcoder.cli.tables import cut, one_line, places, screen_width
from equitrcoder.cli.times import local_to_the_second

if TYPE_CHECKING:
    from equitrcoder.ledger.reader import Reader
    from equitrcoder.records import JSON, ModelTurn, Run, ToolCall

CALL_INDENT = 8
DETAIL_INDENT = 14
OUTCOME_PLACES = 30
WIDEST_CALL = 64


def run_page(reader: Reader, which: str, *, verbose: bool = False) -> Iterator[str]:
    """Lay out a run, a line at a time, foreign text made harmless.

    Args:
        which: A whole id, a unique tail, or "last".
        verbose: Also arguments and whole results.

    Raises:
        LedgerError: There is no such run, or more than one.
    """
    from equitrcoder.ledger import CallQuery

    run = reader.run(which)
    calls = list(reader.calls(CallQuery(run=run.run_id), full=verbose))
    turns = reader.turns(run.run_id)
    journal = _Journal(reader, run)
    followers = [each.run_id for each in reader.runs(session=run.session_id) if each.previous_run_id == run.run_id]
    yield from _head(run, journal, followers)
    yield ""
    yield from _steps(turns, calls, journal, verbose=verbose)
    yield from _end(run, turns, journal)
    if run.status not in ("completed", "running") and not followers and run.parent_run_id is None:
        yield f"go on: equitrcoder resume {text.short_id(run.run_id)}"
    yield ""
    yield from text.safe(_seed_lines(run, calls, journal)).splitlines()


class _Journal:
    """What only the journal has: failed requests by step, what the check said, how calls were read.

    Empty when the journal is gone; the rest of the page stands in the index.
    """

    def __init__(self, reader: Reader, run: Run) -> None:
        self.failed_requests: dict[int, list[dict[str, Any]]] = {}
        self.check: str | None = None
        self.capture = "middleware"
        self.tools = True
        self.problem: str | None = None
        try:
            for event in reader.events(run.run_id):
                self._take(event)
        except OSError as error:
            self.problem = f"{run.journal}: {(error.strerror or str(error)).lower()}"

    def _take(self, event: dict[str, Any]) -> None:
        if event["type"] == "run_started":
            self.capture = event.get("capture", self.capture)
            self.tools = (event.get("settings") or {}).get("tools") is not False
        elif event["type"] == "request_failed":
            self.failed_requests.setdefault(event.get("step") or 0, []).append(event)
        elif event["type"] == "message" and event.get("role") == "check":
            self.check = str(event.get("text"))


def _head(run: Run, journal: _Journal, followers: Sequence[str]) -> Iterator[str]:
    took = duration_ms(run)
    when = local_to_the_second(run.started_at) + (f", {text.duration(took)}" if took is not None else "")
    model = run.model_requested
    if run.model_answered and not model.endswith(run.model_answered):
        model += f" (answered: {run.model_answered})"
    facts = {
        "run": run.run_id,
        "status": run.status,
        "task": run.task,
        "model": model,
        "provider": run.provider,
        "tools": ""
        if journal.tools
        else "none: this provider takes none; the model looked at nothing and changed nothing",
        "repo": run.repo_path,
        "when": when,
        "session": run.session_id,
        "worker of": run.parent_run_id,
        "after": run.previous_run_id,
        "then": "\n".join(followers),
        "no journal": journal.problem,
    }
    for name, value in facts.items():
        if value:
            first, *rest = text.safe(value).splitlines() or [""]
            yield f"{name:<10}{first}"
            yield from (" " * 10 + line for line in rest)


def _steps(turns: Sequence[ModelTurn], calls: Sequence[ToolCall], journal: _Journal, *, verbose: bool) -> Iterator[str]:
    answers = {turn.step: turn for turn in turns}
    width = _call_width(calls)
    for step in sorted({*answers, *journal.failed_requests, *(call.step for call in calls)}):
        for failed in journal.failed_requests.get(step, ()):
            yield f"{step:>4}  {_failed_request(failed)}"
        turn = answers.get(step)
        if turn is not None:
            yield from _said(step, turn)
        for call in calls:
            if call.step == step:
                yield from _call(call, width, verbose=verbose)


def _said(step: int, turn: ModelTurn) -> Iterator[str]:
    lines = text.safe(turn.text.strip()).splitlines() or [f"({text.count(turn.calls, 'call')})"]
    for number, line in enumerate(lines):
        yield f"{step:>4}  {line}" if number == 0 else f"      {line}".rstrip()


def _failed_request(event: dict[str, Any]) -> str:
    words = one_line(str(event.get("message") or event.get("error_type")))
    return f"attempt {event.get('attempt')} gave no answer: {words}"


def _call_width(calls: Sequence[ToolCall]) -> int:
    longest = max((places(_what(call)) for call in calls), default=0)
    return min(longest, max(screen_width() - CALL_INDENT - OUTCOME_PLACES, 24), WIDEST_CALL)


def _what(call: ToolCall) -> str:
    return one_line(f"{call.tool_name} {call_text.subject(call)}")


def _call(call: ToolCall, width: int, *, verbose: bool) -> Iterator[str]:
    what = cut(_what(call), width)
    line = f"{' ' * CALL_INDENT}{what}{' ' * (width - places(what))} {text.duration(call.duration_ms):>9}"
    yield line + _ending(call)
    if verbose:
        yield from _detail("asked", call.arguments if call.arguments is not None else call.arguments_raw)
        yield from _detail("gave", call.result)
        yield from _detail("whole", _whole(call))


def _whole(call: ToolCall) -> str | None:
    """Where the whole of a large result stands (setting `spill_results`)."""
    spilled = (call.result_metadata or {}).get("spilled")
    if not isinstance(spilled, dict):
        return None
    size = spilled.get("bytes")
    what = f"{size:,} bytes" if isinstance(size, int) else "?"
    part = "" if spilled.get("complete") else "the first "
    return f"{part}{what}: blobs/{call.run_id}/{spilled.get('sha256')} in the state directory"


def _ending(call: ToolCall) -> str:
    parts = [] if call.success else [call_text.outcome(call)]
    if call.executed_by == "provider":
        parts.append("run by the provider")
    if call.approval == "granted":
        parts.append("approved")
    if not call.success and call.error_message and "exit_code" not in (call.result_metadata or {}):
        parts.append(cut(one_line(call.error_message), 100))
    return ("  " + ": ".join(parts)) if parts else ""


def _detail(name: str, value: JSON) -> Iterator[str]:
    if value is None:
        return
    words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    for number, line in enumerate(text.safe(words).splitlines() or [""]):
        yield f"{name if number == 0 else '':>{DETAIL_INDENT}}  {line}".rstrip()


def _end(run: Run, turns: Sequence[ModelTurn], journal: _Journal) -> Iterator[str]:
    if run.response and (not turns or turns[-1].text.strip() != run.response.strip()):
        yield ""
        yield from text.safe(run.response.strip()).splitlines()
    if journal.check is not None:
        yield ""
        yield from ("check  " + text.safe(journal.check.rstrip())).splitlines()
    if run.error:
        yield ""
        yield from f"error  {text.safe(run.error)}".splitlines()
    yield ""
    yield text.summary(
        {
            "calls": run.calls,
            "failed_calls": run.failed_calls,
            "turns": run.steps_taken,
            "tokens": {
                "input_tokens": run.input_tokens,
                "cached_tokens": run.cached_read_tokens,
                "output_tokens": run.output_tokens,
            },
            "cost_nanousd": run.cost_nanousd,
            "unpriced_turns": run.unpriced_turns,
            "unpriced_requests": run.unpriced_requests,
            "duration_ms": duration_ms(run),
        }
    )


def _seed_lines(run: Run, calls: Sequence[ToolCall], journal: _Journal) -> str:
    usage = {
        "input_tokens": run.input_tokens,
        "output_tokens": run.output_tokens,
        "total_tokens": run.input_tokens + run.output_tokens,
    }
    asked = [(call.tool_name, call.arguments if call.arguments is not None else call.arguments_raw) for call in calls]
    return seed_lines(run.provider, "native" if journal.capture == "native" else "middleware", asked, usage)
