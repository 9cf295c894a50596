"""What an audit finds: the two sides of the ledger, and every place where something does not agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

LISTED = 1_000
"""So many differences are kept; all are counted."""

REBUILD = "equitrcoder db rebuild"
RESTORE = "take this journal from a backup; its other entries stand"
KEEP = "nothing brings it back; every other entry stands"

KINDS: dict[str, tuple[str, str]] = {
    "entry_unreadable": ("a line of a journal is no entry", RESTORE),
    "entry_changed": ("an entry is not as it was written: the one after it has another hash of it", RESTORE),
    "entries_out_of_sequence": ("an entry is missing, stands twice or in another place", RESTORE),
    "entry_cut": ("the last line of a journal is no whole entry", RESTORE),
    "entries_lost": ("the run could not write them: the disk was full, say", KEEP),
    "entry_after_the_end": ("a run that has ended has further entries", RESTORE),
    "tail_missing": ("a journal has fewer entries than the register says", RESTORE),
    "last_entry_changed": ("the last entry has not the hash that the register says", RESTORE),
    "journal_missing": ("the register names a journal that is not there", RESTORE),
    "journal_unregistered": ("a journal is not in the register", REBUILD),
    "register_unreadable": ("a line of runs.jsonl is no entry of it", "take runs.jsonl from a backup"),
    "register_differs": ("the register and the journal do not say the same of a run", "take runs.jsonl from a backup"),
    "register_end_missing": ("the register does not know that a run has ended", REBUILD),
    "message_unreadable": ("a stored answer is no message of its wire", RESTORE),
    "call_not_entered": ("an answer asks for a call that has no entry", RESTORE),
    "call_not_in_message": ("a call has an entry, and no answer asks for it", RESTORE),
    "call_differs": ("the entry of a call is not what the answer asked for", RESTORE),
    "call_entered_twice": ("a call has two entries", RESTORE),
    "call_never_closed": ("the run has ended, and nothing says what became of a call", RESTORE),
    "call_closed_twice": ("a call has more than one end", RESTORE),
    "close_without_call": ("an end of a call that was never asked for", RESTORE),
    "start_without_call": ("the start of a call that is not open", RESTORE),
    "outcome_unknown": ("a call ended in a way that there is not", RESTORE),
    "result_differs": ("a result has not the hash or size that was written with it", RESTORE),
    "spilled_result_differs": (
        "the file of a large result is gone, or not as it was written",
        "take the file from a backup; the entry has head and tail of it",
    ),
    "index_row_missing": ("the index lacks what the journal says", REBUILD),
    "index_row_extra": ("the index has what the journal does not say", REBUILD),
    "index_row_differs": ("the index says something else than the journal", REBUILD),
    "statistics_differ": ("the statistics are not those of the calls", REBUILD),
}
"""Every kind of difference: what it means, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One place where the ledger does not agree with itself."""

    kind: str
    """One of `KINDS`."""
    run_id: str | None
    step: int | None = None
    """The model answer, where it belongs to one."""
    call_uid: str | None = None
    ordinal: int | None = None
    """The call within the run."""
    path: str
    """The file, relative to the state directory."""
    line: int | None = None
    """From 1; None for the index."""
    byte: int | None = None
    """Where the line begins."""
    what: str
    """One sentence."""
    expected: str | None = None
    found: str | None = None

    @property
    def fix(self) -> str:
        """What to do."""
        return KINDS[self.kind][1]

    def to_dict(self) -> dict[str, Any]:
        """As `equitrcoder audit --json` prints it."""
        return {**asdict(self), "fix": self.fix}


@dataclass(slots=True, kw_only=True)
class AuditReport:
    """What an audit found. `balanced` is the verdict; `str()` of it the summary."""

    runs: int = 0
    running: int = 0
    """Runs that live: looked at as far as they have come."""
    calls: int = 0
    """Calls that were requested."""
    in_messages: dict[str, int] = field(default_factory=dict)
    """Calls read again from the stored answers, by who executes them (client, provider)."""
    requested: dict[str, int] = field(default_factory=dict)
    """Entries of calls, by who executes them."""
    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)
    """Ends of calls, by who executed them and by outcome."""
    open_calls: dict[str, int] = field(default_factory=dict)
    """Calls that have not ended, in runs that have not either."""
    not_kept: dict[str, int] = field(default_factory=dict)
    """What could not be compared because it is not kept: `messages` and `arguments` of so many calls, `results` of so
    many calls; `index` of so many runs, whose journals are damaged."""
    results_checked: int = 0
    differences: list[Difference] = field(default_factory=list)
    """The first 1,000."""
    differences_found: int = 0
    notes: list[str] = field(default_factory=list)
    """What is no difference and worth knowing."""

    @property
    def balanced(self) -> bool:
        """Whether everything agrees."""
        return not self.differences_found

    def __str__(self) -> str:
        verdict = "balanced" if self.balanced else _count(self.differences_found, "difference")
        running = f" ({self.running:,} still running)" if self.running else ""
        return f"{_count(self.runs, 'run')}{running}, {_count(self.calls, 'call')}: {verdict}"

    def to_dict(self) -> dict[str, Any]:
        """As `equitrcoder audit --json` prints it."""
        sides = ("in_messages", "requested", "outcomes", "open_calls", "not_kept", "results_checked", "notes")
        return {
            "balanced": self.balanced,
            "summary": str(self),
            **{name: getattr(self, name) for name in ("runs", "running", "calls", *sides, "differences_found")},
            "differences": [difference.to_dict() for difference in self.differences],
        }

    def add(self, difference: Difference) -> None:
        """Count a difference, and keep it if there are not too many."""
        self.differences_found += 1
        if len(self.differences) < LISTED:
            self.differences.append(difference)

    def count(self, into: dict[str, int], counted: Mapping[str, int]) -> None:
        """Add up."""
        for name, number in counted.items():
            into[name] = into.get(name, 0) + number

    def count_outcomes(self, counted: Counter[tuple[str, str]]) -> None:
        """Add ends of calls by (who executed them, outcome)."""
        for (who, outcome), number in sorted(counted.items()):
            self.count(self.outcomes.setdefault(who, {}), {outcome: number})


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
