"""Going on with a run that ended: which one, with what, and what of it is no longer there.

The conversation comes from the journals of the session (`rebuilding`), never from the index. Calls that ended are never
carried out again. One goes on at a time (`ledger.chains`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equitrcoder.errors import LedgerError, UsageError
from equitrcoder.ledger.chains import Claim, Known, claim
from equitrcoder.ledger.reading import Damage, Placed, read_events
from equitrcoder.ledger.resumable import Resumable, look_at

from .rebuilding import Rebuilding

if TYPE_CHECKING:
    from equitrcoder.policy import Mode
    from equitrcoder.records import JSON
    from equitrcoder.wires.values import Conversation, ResultForModel

GO_ON = "Go on with the task."
CUT = "Your last answer was cut at the output limit. Go on from there, in shorter answers."
CHECK_FAILED = "You said that the task is done, but the check failed. Go on.\n\n{check}"
SHOWN_LOSSES = 5

_CARRIED = {
    "budget": "budget",
    "reasoning_effort": "reasoning_effort",
    "output_limit_tokens": "output_limit_tokens",
    "stream": "stream",
    "check": "check",
}
"""What a run's journal says of its settings, and the settings that this is for the run that goes on."""
_STRICTEST_FIRST: tuple[Mode, ...] = ("deny", "ask", "edits", "all")


class Before:
    """What a session goes on with. Hold it (`with`) until its first run has begun: so long nobody else can.

    Attributes:
        run_id: The newest run of the session: the one that is gone on with.
        words: What the model is told now; None: nothing, it is asked again where it was.
        task: What the new run is called.
        told: The results with which open calls were answered; empty where none were open.
        notices: What a person should know, a line each.
    """

    def __init__(self, found: Claim, rebuilt: Rebuilding, told: tuple[ResultForModel, ...], words: str | None) -> None:
        self._claim = found
        self._rebuilt = rebuilt
        self.told = told
        self.notices: list[str] = []
        self.run_id = found.newest.run_id
        self.session_id = found.newest.session_id
        self.attempt = found.newest.attempt
        self.task = words or str(rebuilt.started.get("task") or "")
        self.words = words or self._nudge()

    def _nudge(self) -> str | None:
        rebuilt = self._rebuilt
        if not rebuilt.conversation.messages:
            return self.task
        if not rebuilt.answered:
            return None
        if rebuilt.check is not None:
            return CHECK_FAILED.format(check=rebuilt.check)
        return CUT if rebuilt.last_stop == "length" else GO_ON

    @property
    def conversation(self) -> Conversation:
        """All that was said, fit to go on with; the system prompt as it was."""
        return self._rebuilt.conversation

    @property
    def guard(self) -> Any:
        """The failing calls that the model has been repeating (`LoopGuard`)."""
        return self._rebuilt.guard

    @property
    def repo(self) -> Path:
        """Where the run worked."""
        return Path(str(self._rebuilt.started.get("repo_path")))

    def folder(self, elsewhere: Path | None = None) -> Path:
        """Where to go on: in the run's repository, or in the one given.

        Raises:
            UsageError: It is not there.
        """
        folder = elsewhere or self.repo
        if not folder.is_dir():
            what = "is not a folder" if elsewhere else f"is gone, where run {self.run_id[-4:]} worked"
            raise UsageError(f"{folder} {what}.", hint="name the repository with --repo DIR", code="E124")
        return folder

    @property
    def model(self) -> str:
        """`provider/model`, as it was asked for."""
        return str(self._rebuilt.started.get("model_requested"))

    @property
    def settings(self) -> Mapping[str, JSON]:
        """What the journal says of the run's settings."""
        settings = self._rebuilt.started.get("settings")
        return settings if isinstance(settings, dict) else {}

    @property
    def flags(self) -> dict[str, Any]:
        """Settings that go on as they were, unless they are given anew."""
        kept = {_CARRIED[name]: value for name, value in self.settings.items() if name in _CARRIED}
        if self._rebuilt.started.get("redactions"):
            kept.pop("check", None)  # a command in which a secret was taken out is another one
        return {name: value for name, value in kept.items() if value is not None}

    @property
    def spent(self) -> tuple[int, int]:
        """Nano-dollars and tokens that the session has cost so far, as far as it is known."""
        return self._rebuilt.spent_nanousd, self._rebuilt.spent_tokens

    def approvals(self, mode: Mode) -> Mode:
        """The stricter of what held then and `mode`: nobody gets more freedom by a kill."""
        then = self.settings.get("approve")
        return next((each for each in _STRICTEST_FIRST if each in (then, mode)), mode)

    @property
    def strict_rules(self) -> list[tuple[str, str]]:
        """The rules of then that forbid something or ask; those that allow must be given anew."""
        rules = self.settings.get("rules")
        pairs = (
            [(str(rule[0]), str(rule[1])) for rule in rules if isinstance(rule, list) and len(rule) == 2]
            if (isinstance(rules, list))
            else []
        )
        return [pair for pair in pairs if pair[0] in ("deny", "ask")]

    def keep_system(self, now: str, redacted: str) -> None:
        """Decide on the system prompt: it stays as it was, for it is part of a prefix that never changes.

        Args:
            now: As a new session would have it; where only redaction makes a difference, this is what was sent.
            redacted: The same as the journal would have it.
        """
        if self.conversation.system == redacted:
            self.conversation.system = now
        elif self._rebuilt.started.get("redactions"):
            self.notices.append("the system prompt stands redacted in the journal and goes back so")
            self._rebuilt.begin_anew()

    def new_system(self, prompt: str) -> None:
        """Begin a new prefix: without the thinking that is bound to the old one."""
        self.conversation.system = prompt
        self._rebuilt.begin_anew()

    def compare_tools(self, mark: str) -> None:
        """Begin a new prefix where the tools are not those of then."""
        if self.settings.get("tools_mark", mark) != mark:
            self.notices.append("the tools are not those that the run had: the model is told the new ones")
            self._rebuilt.begin_anew()

    def release(self) -> None:
        """The new run is registered: others may look."""
        self._claim.release()

    def __enter__(self) -> Before:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def go_back(state_dir: Path, which: str, words: str | None = None, *, anyway: bool = False) -> Before:
    """Take a run to go on with: it, or the newest one that has gone on with it.

    Args:
        which: A whole id, a tail of it that no other has, or "last".
        words: What the user adds; None: nothing.
        anyway: Go on although the journal does not have everything that the model was told.

    Raises:
        LedgerError: There is no such run, or its journal is gone.
        UsageError: It still lives; it is done and there are no words; it was no run of this agent; or something is no
            longer there.
    """
    found = claim(state_dir, which)
    try:
        return _rebuilt(state_dir, found, words, anyway=anyway)
    except BaseException:
        found.release()
        raise


def _rebuilt(state_dir: Path, found: Claim, words: str | None, *, anyway: bool) -> Before:
    rebuilding = Rebuilding()
    losses: list[str] = []
    for run in found.runs:
        items = _items(state_dir, run)
        seen = look_at(items)
        if run is found.newest:
            _check_ours(run, seen)
        losses += _losses(run, seen)
        rebuilding.take(item.event for item in items if isinstance(item, Placed))
    told = rebuilding.finish()
    if losses and not anyway:
        raise UsageError(
            f"Run {found.newest.short_id} cannot go on as it was: {'; '.join(losses[:SHOWN_LOSSES])}"
            + (f"; and {len(losses) - SHOWN_LOSSES} more" if len(losses) > SHOWN_LOSSES else "")
            + ".",
            hint="--anyway tells the model what is not kept and goes on",
            code="E123",
        )
    if rebuilding.answered and words is None and rebuilding.status in ("completed", "interrupted", "cancelled"):
        raise _done(found.newest, rebuilding.status)
    before = Before(found, rebuilding, told, words)
    before.notices += _notices(found, rebuilding, losses)
    return before


def _items(state_dir: Path, run: Known) -> list[Placed | Damage]:
    try:
        return list(read_events(state_dir / run.journal, name=run.journal))
    except OSError as error:
        why = "was deleted" if run.deleted else f"cannot be read ({(error.strerror or str(error)).lower()})"
        return [Damage(run.journal, 0, 0, f"its journal {why}")]


def _check_ours(run: Known, seen: Resumable) -> None:
    if seen.task is None:
        raise LedgerError(
            f"Run {run.short_id} cannot be resumed: the beginning of its journal is gone.",
            hint="start a new run; equitrcoder show has what the index knows",
            code="E602",
        )
    if seen.wire is None:
        raise UsageError(
            f"Run {run.short_id} was not made by this agent: its journal has no messages that could go back.",
            hint=f"equitrcoder show {run.short_id}",
            code="E125",
        )


def _losses(run: Known, seen: Resumable) -> list[str]:
    """What stands in the way; a message that only redaction changed does not: it goes back redacted."""
    if not (seen.damaged or seen.steps_without_calls or seen.calls_without_result):
        return []
    return [f"run {run.short_id}: {what}" for what in seen.missing if "redaction changed" not in what]


def _done(run: Known, status: str) -> UsageError:
    end = "is done" if status == "completed" else f"had given its last answer when it was {status}"
    return UsageError(
        f"Run {run.short_id} {end}: there is nothing to go on with.",
        hint=f'say what is next: equitrcoder resume {run.short_id} "and now …"',
        code="E121",
    )


def _notices(found: Claim, rebuilding: Rebuilding, losses: list[str]) -> list[str]:
    told = []
    if found.asked.run_id != found.newest.run_id:
        told.append(f"run {found.asked.short_id} was gone on with already: going on from {found.newest.short_id}")
    if losses:
        told.append(f"the model is told that this is not kept: {'; '.join(losses[:SHOWN_LOSSES])}")
    if rebuilding.redacted:
        places = list(dict.fromkeys(rebuilding.redacted))
        more = f" and {len(places) - SHOWN_LOSSES} more" if len(places) > SHOWN_LOSSES else ""
        told.append(f"stands redacted in the journal and goes back so: {', '.join(places[:SHOWN_LOSSES])}{more}")
    return told
