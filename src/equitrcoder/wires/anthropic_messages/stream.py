"""Reads one streamed answer of the Messages wire.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from typing import Any

from equitrcoder.errors import BadResponseError
from equitrcoder.wires.anthropic_messages.assembly import MessageAssembly
from equitrcoder.wires.anthropic_messages.reading import read_message
from equitrcoder.wires.streaming import EventStreamReader
from equitrcoder.wires.values import Delta, Turn


class MessagesStreamReader(EventStreamReader):
    r"""Reads the bytes of a stream, cut anywhere.

    The end is `message_stop`, or a `message_delta` with a stop reason. A host that answers with one JSON document
    instead of events is read as that.

    Example:
        >>> reader = MessagesStreamReader()
        >>> reader.feed(b'data: {"type":"content_block_start","content_block":{"type":"text","text":"Hi"}}\n\n')
        [Delta(text='Hi', kind='text')]
        >>> reader.feed(b'data: {"type":"message_stop"}\n\n'), reader.finished, reader.finish().text
        ([], True, 'Hi')
    """

    def __init__(self) -> None:
        super().__init__()
        self._begun = False
        self._stopped = False
        self._message = MessageAssembly()

    def _take_event(self, name: str, data: bytes, shown: list[Delta]) -> None:
        data = data.strip()
        if self._stopped or not data:
            return
        self._events += 1
        if data == b"[DONE]":  # no part of this wire; gateways add it
            self._stopped = self._begun
            return
        for value in self._values(data, skipped=(b"",)):
            if not isinstance(value, dict):
                raise BadResponseError("An event of the stream is no object.")
            self._take(value, name, shown)

    def _take(self, value: dict[str, Any], name: str, shown: list[Delta]) -> None:
        match value.get("type") or name:
            case "content_block_delta":
                delta = self._message.take_delta(value.get("index"), _part(value, "delta"))
                self._begun = True
                if delta is not None:
                    shown.append(delta)
                if self._shortcut.wanted:
                    self._said = self._message.said(value.get("index"), value["delta"])
            case "content_block_start":
                shown += self._message.open_block(value.get("index"), _part(value, "content_block"))
                self._begun = True
            case "message_start":
                self._message.start(_part(value, "message"))
                self._begun = True
            case "message_delta":
                self._message.end(_part(value, "delta"))
                self._message.add_usage(value.get("usage"))
            case "message_stop":
                self._stopped = True
            case "ping" | "content_block_stop":
                pass
            case kind:
                self._refuse_error(value, is_error=kind == "error" or name == "error")

    def _refuse_error(self, value: dict[str, Any], *, is_error: bool) -> None:
        if (is_error or value.get("error")) and not self.finished:  # after its end an answer is whole
            from equitrcoder.wires.failures import error_inside

            raise error_inside(value)

    @property
    def finished(self) -> bool:
        """Whether the answer's own end has been read."""
        return self._stopped or self._message.ended

    def _events_turn(self) -> Turn:
        return read_message(self._message.message(), usage=self._message.usage)

    def _whole(self) -> Turn:
        if not self._begun:
            self._raise(BadResponseError("The stream ended properly and held no answer.", excerpt=self._start()))
        return self._events_turn()

    def _document_turn(self, body: bytes) -> Turn:
        from equitrcoder.wires.anthropic_messages.answer import read_document

        return read_document(body)


def _part(value: dict[str, Any], key: str) -> dict[str, Any]:
    part = value.get(key)
    if not isinstance(part, dict):
        raise BadResponseError(f"An event of the stream has no {key}.")
    return part
