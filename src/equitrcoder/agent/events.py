"""The events of a run, for terminals, `--json` and callbacks.

Documented in docs/events.md; fields are only ever added.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from equitrcoder.ledger.redaction import Redactor

EVENTS_VERSION = 1

EventSink: TypeAlias = Callable[[dict[str, Any]], None]
"""Takes one event: a dict with `v`, `seq`, `type`, `run`, `agent`, `provider` and the fields of its type."""


class RunEvents:
    """Numbers the events of one run and hands them to a sink, known secrets taken out.

    Args:
        sink: Where they go; None: nowhere.
    """

    def __init__(self, sink: EventSink | None, *, run: str, agent: str, provider: str, redactor: Redactor) -> None:
        self._sink = sink
        self._redactor = redactor
        self._common = {"run": run, "agent": agent, "provider": provider}
        self._seq = 0

    def emit(self, kind: str, /, **fields: Any) -> None:
        """Send one event of type `kind`."""
        if self._sink is None:
            return
        self._seq += 1
        shown, _ = self._redactor.json(fields)
        self._sink({"v": EVENTS_VERSION, "seq": self._seq, "type": kind, **self._common, **shown})
