"""Whether a run can be resumed from its journal, and what of it is no longer there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equitrcoder.ledger import files
from equitrcoder.ledger.reading import Damage, Placed, read_events


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumable:
    """What a journal has for going on where its run stopped."""

    running: bool = False
    """Its process lives: nothing may go on with it."""
    task: str | None = None
    """What was asked for; None: that entry is damaged."""
    wire: str | None = None
    """The format of its messages; None: they cannot go back to a provider."""
    missing: tuple[str, ...] = ()
    """What cannot be given back to a model, a sentence each, in the order of the journal: messages that were altered by
    redaction or left out by the setting `content`, arguments and results that are not kept, damaged entries."""
    altered_steps: tuple[int, ...] = ()
    """Answers whose stored message is not as the provider sent it. It may refuse them: they go back in plain form."""
    steps_without_calls: tuple[int, ...] = ()
    """Answers of which arguments are not kept: not even in plain form can they go back."""
    calls_without_result: tuple[str, ...] = ()
    """Ids (`call_uid`) of finished calls whose results are not kept: the model can only be told that they ended."""

    damaged: bool = False
    """Whether some of its entries are lost."""

    @property
    def possible(self) -> bool:
        """Whether a run can go on from it at all: with its task and with what its calls gave."""
        return not self.running and self.task is not None and not self.steps_without_calls

    @property
    def whole(self) -> bool:
        """Whether nothing is missing."""
        return self.possible and not self.missing


def look(state_dir: Path, journal: str) -> Resumable:
    """Say what a journal has for resuming its run.

    Args:
        journal: Its path, relative to the state directory.

    Raises:
        OSError: It cannot be read.
    """
    path = state_dir / journal
    if path.stat().st_size and files.is_locked(path):
        return Resumable(running=True, missing=("the run still lives",))
    return look_at(read_events(path, name=journal))


def look_at(items: Iterable[Placed | Damage]) -> Resumable:
    """The same of what stands in a journal, whoever holds it."""
    found = _Found()
    for item in items:
        if isinstance(item, Damage):
            found.damaged = True
            found.missing.append(f"{item.what} (byte {item.offset})")
        else:
            found.take(item.event)
    return found.told()


_WITHOUT_RESULT = frozenset({"cancelled", "interrupted", "unknown"})
"""Outcomes of calls that nobody saw end: there never was a result."""


class _Found:
    def __init__(self) -> None:
        self.missing: list[str] = []
        self.damaged = False
        self._task: str | None = None
        self._wire: str | None = None
        self._altered: list[int] = []
        self._without_calls: list[int] = []
        self._without_result: list[str] = []
        self._open: dict[str, int] = {}  # the calls that we run, by uid: their ordinals

    def take(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind == "run_started":
            self._task, self._wire = event.get("task"), event.get("wire")
        elif kind == "turn":
            self._turn(event)
        elif kind == "call_requested":
            self._call_requested(event)
        elif kind == "call_finished":
            self._call_finished(event)

    def _turn(self, event: dict[str, Any]) -> None:
        if event.get("replay") != "altered" and isinstance(event.get("native"), dict):
            return
        self._altered.append(event["step"])
        why = "redaction changed it"
        if event.get("kept") == "outline" or event.get("native") is None:
            why = "the setting content keeps no more of it"
        self.missing.append(f"the provider's message of step {event['step']} is not as it came: {why}")

    def _call_requested(self, event: dict[str, Any]) -> None:
        if event.get("executed_by") == "provider":  # with its result it stands in the provider's message
            return
        self._open[event["call_uid"]] = event["ordinal"]
        if "arguments" in event or "arguments_raw" in event:
            return
        if event["step"] not in self._without_calls:
            self._without_calls.append(event["step"])
        told = f"the arguments of call {event['ordinal']} (step {event['step']}) are not kept"
        self.missing.append(told)

    def _call_finished(self, event: dict[str, Any]) -> None:
        ordinal = self._open.pop(event["call_uid"], None)
        if ordinal is None or "result" in event:  # one that its tool cut is what the model was given
            return
        if event.get("result_bytes") is None and event["outcome"] in _WITHOUT_RESULT:
            return
        self._without_result.append(event["call_uid"])
        self.missing.append(f"the result of call {ordinal} ({event['outcome']}) is not kept")

    def told(self) -> Resumable:
        return Resumable(
            task=self._task,
            wire=self._wire,
            missing=tuple(self.missing),
            damaged=self.damaged,
            altered_steps=tuple(self._altered),
            steps_without_calls=tuple(self._without_calls),
            calls_without_result=tuple(self._without_result),
        )
