"""Reads one streamed answer of Chat Completions.

Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from typing import Any

from equitrcoder.errors import BadResponseError
from equitrcoder.wires.openai_chat.assembly import ChoiceAssembly
from equitrcoder.wires.openai_chat.reading import read_turn
from equitrcoder.wires.shortcuts import Said
from equitrcoder.wires.streaming import EventStreamReader
from equitrcoder.wires.values import Delta, Turn


class ChatStreamReader(EventStreamReader):
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
        super().__init__()
        self._done = False
        self._choices: dict[int, ChoiceAssembly] = {}
        self._usage: dict[str, Any] = {}
        self._other_usage: dict[str, Any] = {}
        self._model: Any = None
        self._id: Any = None

    def _take_event(self, name: str, data: bytes, shown: list[Delta]) -> None:
        if self._done:
            return
        self._events += 1
        data = data.strip()
        if data == b"[DONE]":
            self._done = True
        elif data:
            for chunk in self._values(data):
                self._take_chunk(chunk, shown, is_error=name == "error")

    def _take_chunk(self, chunk: Any, shown: list[Delta], *, is_error: bool = False) -> None:
        if isinstance(chunk, list) and len(chunk) == 1:  # the Gemini compatibility layer wraps errors so
            chunk = chunk[0]
        if not isinstance(chunk, dict):
            raise BadResponseError("An event of the stream is no object.")
        self._refuse_error(chunk, is_error=is_error)
        self._take_facts(chunk)
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            return
        for choice in choices:
            if choice is None:
                continue
            if not isinstance(choice, dict):
                raise BadResponseError("A choice of the stream is no object.")
            self._take_choice(choice, shown)
        if self._shortcut.wanted and len(choices) == 1 and isinstance(choices[0], dict):
            self._said = self._said_by(choices[0])

    def _said_by(self, choice: dict[str, Any]) -> Said | None:
        """What this choice, which was taken, did, where it did no more than add a text."""
        key = choice.get("index")
        assembly = self._choices.get(key) if isinstance(key, int) else None
        delta = choice.get("delta")
        if assembly is None or not isinstance(delta, dict) or choice.get("finish_reason") or choice.get("error"):
            return None
        return assembly.said(delta, is_shown=key == 0)

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

    def _events_turn(self) -> Turn:
        choices = [self._choices[key].choice() for key in sorted(self._choices)]
        usage = self._usage or self._other_usage
        return read_turn(choices, usage=usage, model=self._model, response_id=self._id)

    def _whole(self) -> Turn:
        if not self._choices:
            self._raise(
                BadResponseError("The stream ended properly and held no answer: no choices.", excerpt=self._start())
            )
        from equitrcoder.wires.openai_chat.answer import refuse_failed_finish

        turn = self._events_turn()
        refuse_failed_finish(turn)
        return turn

    def _document_turn(self, body: bytes) -> Turn:
        from equitrcoder.wires.openai_chat.answer import read_document

        return read_document(body)


def _lay_over(held: dict[str, Any], usage: Any) -> None:
    if isinstance(usage, dict):
        held.update((key, value) for key, value in usage.items() if value is not None)
