"""Reads one streamed answer of Ollama's chat: one JSON object per line.

Source: https://docs.ollama.com/api/streaming
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Literal

import orjson

from equitrcoder import jsontext
from equitrcoder.errors import BadResponseError, ProviderError
from equitrcoder.wires.arguments import MAX_CALLS, without_nulls
from equitrcoder.wires.ollama_chat.reading import checked, plain, read_document, read_turn
from equitrcoder.wires.streaming import NoJSONError, StreamReader
from equitrcoder.wires.values import Delta, Turn

_PLAIN = frozenset({"role", "content"})
_OWN = ("role", "content", "thinking", "tool_calls")

MAX_LINE_BYTES = 64 * 1024 * 1024
"""Room for one line, or for an answer that came as one document."""


class OllamaStreamReader(StreamReader):
    r"""Reads the bytes of a stream, cut anywhere. The end is the line with `done: true`.

    Example:
        >>> reader = OllamaStreamReader()
        >>> reader.feed(b'{"message":{"role":"assistant","content":"Hi"},"done":false}\n{"done":true,')
        [Delta(text='Hi', kind='text')]
        >>> reader.feed(b'"done_reason":"stop","eval_count":1}\n'), reader.finished, reader.finish().text
        ([], True, 'Hi')
    """

    def __init__(self) -> None:
        super().__init__()
        self._line: list[bytes] = []  # pieces of the line that is not ended yet
        self._line_bytes = 0
        self._document = False  # the first line was no JSON by itself: perhaps one document over several lines
        self._done = False
        self._said = False
        self._content: list[str] = []
        self._thinking: list[str] = []
        self._calls: list[Any] = []
        self._extra: dict[str, Any] = {}
        self._facts: dict[str, Any] = {}

    def feed(self, data: bytes) -> list[Delta]:
        """Take the next bytes; return the text that they completed.

        Raises:
            ProviderError: The stream carries an error, or is none of this wire; `partial` has what was read before.
        """
        return self._feed(data, whole_document=True)

    def feed_lines(self, data: bytes) -> None:
        """Take bytes that are known to be no single document."""
        self._feed(data, whole_document=False)

    def _feed(self, data: bytes, *, whole_document: bool) -> list[Delta]:
        if len(self._head) < 500:
            self._head += data[: 500 - len(self._head)]
        shown: list[Delta] = []
        *ended, rest = [data] if self._document else data.split(b"\n")
        fast = len(data) <= jsontext.MAX_FAST_BYTES and jsontext.is_ordinary(data)
        loads = ordinary = orjson.loads if fast else jsontext.loads
        for place, line in enumerate(ended):
            if self._document:  # since the line before
                self._hold(b"\n".join([line, *ended[place + 1 :], b""]))
                break
            if self._line:
                line = b"".join([*self._line, line])
                self._line, self._line_bytes = [], 0
                loads = jsontext.loads  # a number may be cut where the pieces meet
            self._take_line(line, shown, loads, may_be_document=whole_document)
            loads = ordinary
        self._hold(rest)
        return shown

    def _hold(self, piece: bytes) -> None:
        if piece:
            self._line.append(piece)
            self._line_bytes += len(piece)
            if self._line_bytes > MAX_LINE_BYTES:
                self._raise(BadResponseError(f"One line of the stream is larger than {MAX_LINE_BYTES} bytes."))

    def _take_line(
        self,
        line: bytes,
        shown: list[Delta],
        loads: Callable[[bytes], Any] = jsontext.loads,
        *,
        may_be_document: bool = False,
    ) -> None:
        text = line.strip().removeprefix(b"\xef\xbb\xbf")
        if not text or self._done:
            return
        try:
            value = loads(text)
        except ValueError:
            try:
                value = jsontext.loads(text)
            except jsontext.InvalidJSON as error:
                if may_be_document and not self._said and not self._facts and text[:1] in (b"{", b"["):
                    self._document = True
                    self._hold(line + b"\n")
                    return
                self._raise(NoJSONError(f"A line of the stream is no JSON: {error}.", excerpt=self._start()))
        try:
            self._take(checked(value, text), shown)
        except ProviderError as error:
            self._raise(error)

    def _take(self, fields: dict[str, Any], shown: list[Delta]) -> None:
        message = fields.pop("message", None)
        self._facts.update(fields if None not in fields.values() else without_nulls(fields))
        if message is not None:
            if not isinstance(message, dict):
                raise BadResponseError("A message of the stream is no object.")
            self._said = True
            self._take_text(message.get("content"), self._content, "text", shown)
            if not message.keys() <= _PLAIN:
                self._take_text(message.get("thinking"), self._thinking, "reasoning", shown)
                self._take_rest(message)
        self._done = fields.get("done") is True

    def _take_text(self, value: Any, pieces: list[str], kind: Literal["text", "reasoning"], shown: list[Delta]) -> None:
        piece = value if isinstance(value, str) else plain(value)
        if piece:
            pieces.append(piece)
            shown.append(Delta(piece, kind))

    def _take_rest(self, message: dict[str, Any]) -> None:
        calls = message.get("tool_calls")
        self._calls += calls if isinstance(calls, list) else [] if calls is None else [calls]
        if len(self._calls) > MAX_CALLS:
            del self._calls[MAX_CALLS:]
            raise BadResponseError(f"The answer holds more than {MAX_CALLS} tool calls.")
        self._extra.update((key, value) for key, value in message.items() if key not in _OWN and value is not None)

    @property
    def finished(self) -> bool:
        """Whether the line with `done: true` has been read."""
        return self._done

    def _turn(self) -> Turn:
        if self._document:
            return read_document(b"".join(self._line))
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._content)}
        if self._thinking:
            message["thinking"] = "".join(self._thinking)
        message |= self._extra
        if self._calls:
            message["tool_calls"] = list(self._calls)
        return read_turn(message, self._facts)

    def finish(self) -> Turn:
        """The whole answer, once the bytes have ended.

        Raises:
            StreamBrokenError: The stream ended without its finish; `partial` has what was read.
            ProviderError: It was no answer of this wire, or its last line was an error.
        """
        if self._document:
            return self._turn()
        line, self._line = b"".join(self._line), []
        with contextlib.suppress(NoJSONError):  # the last line was cut: what came before it decides
            self._take_line(line, [])
        if not self._done:
            self._raise(self._broken())
        if not self._said:
            self._raise(BadResponseError("The stream ended properly and held no message.", excerpt=self._start()))
        try:
            return self._turn()
        except ProviderError as error:
            self._raise(error)

    def _broken(self) -> ProviderError:
        start = self._head.lstrip()[:1]
        if start and start != b"{":
            return BadResponseError("The answer is none of Ollama's.", hint="check the base URL", excerpt=self._start())
        return super()._broken()
