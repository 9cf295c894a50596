"""The events of a run, for terminals, `--json` and callbacks.

Documented in docs/events.md; fields are only ever added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from equitrcoder.ledger.redaction import Redactor
    from equitrcoder.ledger.redaction_stream import StreamRedactor

EVENTS_VERSION = 1

EventSink: TypeAlias = Callable[[dict[str, Any]], None]
"""Takes one event: a dict with `v`, `seq`, `type`, `run`, `agent`, `provider` and the fields of its type."""


class RunEvents:
    """Numbers the events of one run and hands them to a sink, secrets taken out.

    A model's words come in pieces, and a secret may be cut anywhere: what may be the beginning of one waits for the
    next piece, or for whatever else happens.

    Args:
        sink: Where they go; None: nowhere.
    """

    def __init__(self, sink: EventSink | None, *, run: str, agent: str, provider: str, redactor: Redactor) -> None:
        self._sink = sink
        self._redactor = redactor
        self._common = {"run": run, "agent": agent, "provider": provider}
        self._seq = 0
        self._said: StreamRedactor | None = None
        self._kind = ""
        """What the words are that `_said` holds back: text or reasoning."""

    def say(self, text: str, *, kind: str) -> None:
        """Send words of the model, as `text.delta`; what they end with may follow later."""
        if self._sink is None:
            return
        if kind != self._kind:
            self._end_words()
            self._kind = kind
        if self._said is None:
            from equitrcoder.ledger.redaction_stream import StreamRedactor

            self._said = StreamRedactor(self._redactor)
        self._send_words(self._said.feed(text))

    def emit(self, kind: str, /, **fields: Any) -> None:
        """Send one event of type `kind`."""
        if self._sink is None:
            return
        self._end_words()
        shown, _ = self._redactor.json(fields)
        self._send(kind, shown)

    def redacted(self, text: str) -> str:
        """A text as it may be shown."""
        return self._redactor.text(text)[0]

    def _end_words(self) -> None:
        if self._said is not None:
            self._send_words(self._said.flush())

    def _send_words(self, words: str) -> None:
        if words:
            self._send("text.delta", {"text": words, "kind": self._kind})

    def _send(self, kind: str, fields: Mapping[str, Any]) -> None:
        if self._sink is not None:
            self._seq += 1
            self._sink({"v": EVENTS_VERSION, "seq": self._seq, "type": kind, **self._common, **fields})
