"""Reads one streamed answer of Chat Completions.

Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from typing import Any, Literal, NoReturn

from equitrcoder import jsontext
from equitrcoder.errors import BadResponseError, ProviderError, StreamBrokenError
from equitrcoder.wires.nesting import too_deep
from equitrcoder.wires.openai_chat.assembly import ChoiceAssembly
from equitrcoder.wires.openai_chat.reading import read_turn
from equitrcoder.wires.sse import SSEDecoder, SSEEvent
from equitrcoder.wires.values import Delta, Turn

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
"""Room for an answer that came as one document although a stream was asked for."""

_BLANK = b"\r\n\t \xef\xbb\xbf"


class _NoJSONError(BadResponseError):
    """An event's data is no JSON."""


class ChatStreamReader:
    r"""Reads the bytes of a stream, cut anywhere.

    The end is `[DONE]`, or a finish reason for every choice. A host that answers with one JSON document instead of
    events is read as that.

    Example:
        >>> reader = ChatStreamReader()
        >>> reader.feed(b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n')
        [Delta(text='Hi', kind='text')]
        >>> reader.finished, reader.finish().text
        (True, 'Hi')
    """

    def __init__(self) -> None:
        self._form: Literal["unknown", "events", "document"] = "unknown"
        self._decoder = SSEDecoder()
        self._document: list[bytes] = []
        self._document_bytes = 0
        self._head = b""  # the first bytes, for the message when this is no event stream
        self._events = 0
        self._done = False
        self._choices: dict[int, ChoiceAssembly] = {}
        self._usage: dict[str, Any] = {}
        self._other_usage: dict[str, Any] = {}
        self._model: Any = None
        self._id: Any = None

    def feed(self, data: bytes) -> list[Delta]:
        """Take the next bytes; return the text that they completed.

        Raises:
            ProviderError: The stream carries an error, or is none of this wire; `partial` has what was read before.
        """
        if self._form == "unknown":
            data = self._recognise(data)
        if not self._events and len(self._head) < 500:
            self._head += data[: 500 - len(self._head)]
        if self._form != "events":
            self._take_document(data)
            return []
        shown: list[Delta] = []
        try:
            for event in self._decoder.feed(data):
                self._take_event(event, shown)
        except ProviderError as error:
            self._raise(error)
        return shown

    def _recognise(self, data: bytes) -> bytes:
        """Tell events from a document by the first byte that is neither blank nor part of a byte order mark."""
        start = data.lstrip(_BLANK)[:1]
        if start:
            self._form = "document" if start in b"{[<" else "events"
        return data

    def _take_document(self, data: bytes) -> None:
        self._document_bytes += len(data)
        if self._document_bytes > MAX_DOCUMENT_BYTES:
            raise BadResponseError(f"The answer is larger than {MAX_DOCUMENT_BYTES} bytes.")
        self._document.append(data)

    def _take_event(self, event: SSEEvent, shown: list[Delta]) -> None:
        if self._done:
            return
        self._events += 1
        data = event.data.strip()
        if data == b"[DONE]":
            self._done = True
        elif data:
            for chunk in _chunks(data):
                if too_deep(chunk, data):
                    raise BadResponseError("An event of the stream is nested too deeply.")
                self._take_chunk(chunk, shown, is_error=event.name == "error")

    def _take_chunk(self, chunk: Any, shown: list[Delta], *, is_error: bool = False) -> None:
        if isinstance(chunk, list) and len(chunk) == 1:  # the Gemini compatibility layer wraps errors so
            chunk = chunk[0]
        if not isinstance(chunk, dict):
            raise BadResponseError("An event of the stream is no object.")
        self._refuse_error(chunk, is_error=is_error)
        self._take_facts(chunk)
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            if choice is None:
                continue
            if not isinstance(choice, dict):
                raise BadResponseError("A choice of the stream is no object.")
            self._take_choice(choice, shown)

    def _refuse_error(self, chunk: dict[str, Any], *, is_error: bool) -> None:
        groq = chunk.get("x_groq")
        error = chunk.get("error") or (groq.get("error") if isinstance(groq, dict) else None)
        if (error or is_error) and not self.finished:  # after its end an answer is whole, whatever follows
            from equitrcoder.wires.failures import error_inside

            self._take_facts(chunk)
            raise error_inside(error or chunk)

    def _take_facts(self, chunk: dict[str, Any]) -> None:
        if self._id is None:
            self._id = chunk.get("id") or None
        if self._model is None:
            self._model = chunk.get("model") or None
        usage = chunk.get("usage")
        if usage:
            _lay_over(self._usage, usage)
        groq = chunk.get("x_groq")
        if isinstance(groq, dict) and groq.get("usage"):
            _lay_over(self._other_usage, groq["usage"])

    def _take_choice(self, choice: dict[str, Any], shown: list[Delta]) -> None:
        key = choice.get("index")
        key = key if isinstance(key, int) else 0
        assembly = self._choices.get(key)
        delta = choice.get("delta")
        if delta is None and assembly is None:
            delta = choice.get("message")  # a whole message in place of its pieces
        if assembly is None:
            if len(self._choices) >= 128:
                raise BadResponseError("The answer holds more than 128 choices.")
            assembly = self._choices[key] = ChoiceAssembly()
        if delta is not None and not isinstance(delta, dict):
            raise BadResponseError("A delta of the stream is no object.")
        if delta:
            texts = assembly.take(delta)
            if key == 0:
                shown += texts
        self._end_choice(choice, assembly)

    def _end_choice(self, choice: dict[str, Any], assembly: ChoiceAssembly) -> None:
        finish = choice.get("finish_reason")
        if isinstance(finish, str) and finish:
            assembly.finish = finish
        if choice.get("usage"):  # Moonshot
            _lay_over(self._other_usage, choice["usage"])
        if choice.get("error") and (not finish or finish == "error"):  # OpenRouter
            from equitrcoder.wires.failures import error_inside

            raise error_inside(choice["error"])

    @property
    def finished(self) -> bool:
        """Whether the answer's own end has been read: `[DONE]`, or a finish reason for every choice."""
        return self._done or (bool(self._choices) and all(choice.finish for choice in self._choices.values()))

    def partial(self) -> Turn:
        """What has been read so far, finished or not. Never raises."""
        if self._form == "document":
            return self._partial_document()
        choices = [self._choices[key].choice() for key in sorted(self._choices)]
        usage = self._usage or self._other_usage
        try:
            return read_turn(choices, usage=usage, model=self._model, response_id=self._id)
        except ProviderError:
            return Turn()

    def _partial_document(self) -> Turn:
        try:
            return self._whole_document()
        except ProviderError:
            return Turn()

    def _whole_document(self) -> Turn:
        from equitrcoder.wires.openai_chat.answer import read_document

        return read_document(b"".join(self._document))

    def finish(self) -> Turn:
        """The whole answer, once the bytes have ended.

        Raises:
            StreamBrokenError: The stream ended without its finish; `partial` has what was read.
            ProviderError: It was no answer of this wire, or its last event was an error.
        """
        if self._form == "document":
            return self._whole_document()
        self._take_rest()
        if not self.finished:
            self._raise(self._broken())
        if not self._choices:
            self._raise(
                BadResponseError("The stream ended properly and held no answer: no choices.", excerpt=self._start())
            )
        from equitrcoder.wires.openai_chat.answer import refuse_failed_finish

        choices = [self._choices[key].choice() for key in sorted(self._choices)]
        usage = self._usage or self._other_usage
        turn = read_turn(choices, usage=usage, model=self._model, response_id=self._id)
        refuse_failed_finish(turn)
        return turn

    def _take_rest(self) -> None:
        try:
            for event in self._decoder.flush():
                self._take_event(event, [])
        except _NoJSONError:
            pass  # the last event was cut: what came before it decides
        except ProviderError as error:
            self._raise(error)

    def _broken(self) -> ProviderError:
        if not self._events and not _may_be_events(self._head):
            return BadResponseError("The answer is no event stream.", hint="check the base URL", excerpt=self._start())
        return StreamBrokenError("The stream broke off before the answer was complete.", excerpt=self._start())

    def _start(self) -> str:
        return self._head.decode("utf-8", "replace")

    def _raise(self, error: ProviderError) -> NoReturn:
        if error.partial is None:
            error.partial = self.partial()
        raise error


def _may_be_events(head: bytes) -> bool:
    """Whether these first bytes are the start of an event stream: nothing yet, or one of its fields, whole or cut."""
    head = head.lstrip(_BLANK)
    fields = (b":", b"data", b"event", b"id", b"retry")
    return head.startswith(fields) or any(field.startswith(head) for field in fields)


def _chunks(data: bytes) -> list[Any]:
    """The JSON of one event. Hosts that forget the blank line between events put several on lines of their own."""
    try:
        return [jsontext.loads(data)]
    except jsontext.InvalidJSON as error:
        lines = data.split(b"\n")
        if len(lines) > 1:
            try:
                return [jsontext.loads(line) for line in lines if line.strip() not in (b"", b"[DONE]")]
            except jsontext.InvalidJSON:
                pass
        raise _NoJSONError(
            f"An event of the stream is no JSON: {error}.", excerpt=data[:500].decode("utf-8", "replace")
        ) from None


def _lay_over(held: dict[str, Any], usage: Any) -> None:
    if isinstance(usage, dict):
        held.update((key, value) for key, value in usage.items() if value is not None)
