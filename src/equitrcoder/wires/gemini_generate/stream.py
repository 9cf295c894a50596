"""Reads one streamed answer of streamGenerateContent.

Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
"""

from __future__ import annotations

from equitrcoder.errors import ProviderError
from equitrcoder.wires.gemini_generate.assembly import AnswerAssembly
from equitrcoder.wires.streaming import EventStreamReader
from equitrcoder.wires.values import Delta, Turn


class GeminiStreamReader(EventStreamReader):
    r"""Reads the bytes of a stream, cut anywhere.

    The end is a finish reason for every candidate, or a blocked prompt; the wire has no mark of its own. One JSON
    document, or a list of chunks, in place of events is read as that.

    Example:
        >>> reader = GeminiStreamReader()
        >>> reader.feed(b'data: {"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}]}\n\n')
        [Delta(text='Hi', kind='text')]
        >>> reader.finished, reader.finish().text
        (True, 'Hi')
    """

    keeps_failed_turn = True

    def __init__(self) -> None:
        super().__init__()
        self._answer = AnswerAssembly()

    def _take_event(self, name: str, data: bytes, shown: list[Delta]) -> None:
        self._events += 1
        data = data.strip()
        if not data or data == b"[DONE]":  # gateways add it
            return
        for value in self._values(data):
            for chunk in value if isinstance(value, list) else (value,):  # errors come as a list
                self._answer.take(chunk, shown)

    @property
    def finished(self) -> bool:
        """Whether the answer's end has been read: a finish reason for every candidate, or a blocked prompt."""
        return self._answer.finished

    def _events_turn(self) -> Turn:
        return self._answer.turn()

    def _whole(self) -> Turn:
        try:
            return self._answer.whole()
        except ProviderError as error:
            self._raise(error)

    def _document_turn(self, body: bytes) -> Turn:
        from equitrcoder.wires.gemini_generate.answer import read_document

        return read_document(body)
