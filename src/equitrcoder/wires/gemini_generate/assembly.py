"""Puts the chunks of an answer together: the one of a complete answer, or those of a stream.

Parts stay as they came, one by one: a signature belongs to its part, also where the part's text is empty. Only a call
whose arguments come in pieces becomes one part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from equitrcoder.errors import BadResponseError, ProviderError
from equitrcoder.wires.arguments import MAX_CALLS, read_arguments, string, without_nulls
from equitrcoder.wires.gemini_generate.calls import CALL_FIELDS, TEXT_FIELDS, call_body
from equitrcoder.wires.gemini_generate.fields import pick
from equitrcoder.wires.gemini_generate.partial_arguments import PartialArguments
from equitrcoder.wires.gemini_generate.reading import (
    Candidate,
    block_of,
    finish_of,
    read_turn,
    refuse_failed_finish,
)
from equitrcoder.wires.values import Delta, Turn

_MAX_CANDIDATES = 128
_FINISHES = frozenset({"finishReason", "finish_reason", "finishMessage", "finish_message"})
_OTHER_SPELLING = frozenset({"usage_metadata", "model_version", "response_id", "prompt_feedback"})


_PIECES = frozenset({"partialArgs", "partial_args", "willContinue", "will_continue"})


def plain_candidate(candidate: Any) -> Candidate | None:
    """A candidate that has ended and can be taken as it stands; None when it has to be put together, or is odd."""
    content = candidate.get("content") if isinstance(candidate, dict) else None
    finish = candidate.get("finishReason") if content else None
    if not isinstance(content, dict) or not isinstance(finish, str):
        return None
    parts, role = content.get("parts"), content.get("role")
    if not isinstance(parts, list) or not isinstance(role, str) or not role:
        return None
    for part in parts:
        if not isinstance(part, dict):
            return None
        if not TEXT_FIELDS.issuperset(part):
            call = part.get("functionCall")
            if not CALL_FIELDS.issuperset(part) or not isinstance(call, dict) or not _PIECES.isdisjoint(call):
                return None
    return Candidate({"role": role, "parts": parts}, finish_of(candidate), string(candidate.get("finishMessage")))


class StreamedCall:
    """A call whose arguments come in pieces."""

    __slots__ = ("_arguments", "_body", "_part")

    def __init__(self) -> None:
        self._part: dict[str, Any] = {}
        self._body: dict[str, Any] = {}
        self._arguments = PartialArguments()

    def take(self, part: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
        """Take the next part of the call; say whether more follow.

        Raises:
            BadResponseError: A piece cannot be read.
        """
        own = ("functionCall", "function_call")
        self._part.update((key, value) for key, value in part.items() if key not in own and key not in self._part)
        self._body.update((key, body[key]) for key in ("id", "name") if body.get(key) and key not in self._body)
        given = read_arguments(body.get("args"))
        if isinstance(given, dict):
            self._arguments = PartialArguments({**self._arguments.value(), **given})
        pieces = pick(body, "partialArgs")
        for piece in pieces if isinstance(pieces, list) else []:
            self._arguments.take(piece)
        return bool(pick(body, "willContinue"))

    def part(self) -> dict[str, Any]:
        """The part as it would have come at once."""
        return {"functionCall": {**self._body, "args": self._arguments.value()}, **self._part}


class CandidateAssembly:
    """One candidate while it arrives."""

    __slots__ = ("_open", "_parts", "_role", "_streamed", "finish", "message")

    def __init__(self) -> None:
        self.finish: str | None = None
        self.message = ""
        self._role = "model"
        self._parts: list[dict[str, Any] | StreamedCall] = []
        self._open: StreamedCall | None = None
        self._streamed = 0

    def take(self, candidate: dict[str, Any], shown: list[Delta]) -> None:
        """Take what a chunk says of this candidate, and add the text in it to what is shown.

        Raises:
            BadResponseError: A part of it cannot be read.
        """
        content = candidate.get("content")
        if isinstance(content, dict):
            self._role = string(content.get("role")) or self._role
            parts = content.get("parts")
            for part in parts if isinstance(parts, list) else [] if parts is None else [parts]:
                if part is not None:
                    self._take_part(part, shown)
        elif content is not None:
            raise BadResponseError("The content of a candidate is no object.")
        if not _FINISHES.isdisjoint(candidate):
            self.finish = finish_of(candidate) or self.finish
            self.message = string(pick(candidate, "finishMessage")) or self.message

    def _take_part(self, part: Any, shown: list[Delta]) -> None:
        if not isinstance(part, dict):
            raise BadResponseError("A part of the answer is no object.")
        if not TEXT_FIELDS.issuperset(part):
            body = call_body(part)
            if body is not None and self._take_streamed(part, body):
                return
        self._parts.append(part)
        text = part.get("text")
        if text and isinstance(text, str):
            shown.append(Delta(text, "reasoning" if part.get("thought") is True else "text"))

    def _take_streamed(self, part: dict[str, Any], body: Mapping[str, Any]) -> bool:
        """Take a part of a call that comes in pieces; say whether it was one."""
        if self._open is None or body.get("name"):
            self._open = None
            if not pick(body, "willContinue") and pick(body, "partialArgs") is None:
                return False
            self._streamed += 1
            if self._streamed > MAX_CALLS:
                raise BadResponseError(f"The answer holds more than {MAX_CALLS} tool calls.")
            self._open = StreamedCall()
            self._parts.append(self._open)
        if not self._open.take(part, body):
            self._open = None
        return True

    def candidate(self) -> Candidate:
        """The candidate so far."""
        parts = [part.part() if isinstance(part, StreamedCall) else part for part in self._parts]
        return Candidate({"role": self._role, "parts": parts}, self.finish, self.message)


class AnswerAssembly:
    """An answer while it arrives, chunk by chunk."""

    __slots__ = ("_candidates", "_feedback", "_id", "_model", "_usage")

    def __init__(self) -> None:
        self._candidates: dict[int, CandidateAssembly] = {}
        self._feedback: Any = None
        self._usage: dict[str, Any] = {}
        self._model: Any = None
        self._id: Any = None

    def take(self, chunk: Any, shown: list[Delta]) -> None:
        """Take one chunk, and add the text in it to what is shown.

        Raises:
            ProviderError: It is an error, or cannot be read.
        """
        if not isinstance(chunk, dict):
            raise BadResponseError("A chunk of the answer is no object.")
        self._take_facts(chunk.get if _OTHER_SPELLING.isdisjoint(chunk) else partial(pick, chunk))
        if chunk.get("error") and not self.finished:  # after its end an answer is whole, whatever follows
            from equitrcoder.wires.gemini_generate.errors import error_inside_answer

            raise error_inside_answer(chunk["error"])
        candidates = chunk.get("candidates")
        for candidate in candidates if isinstance(candidates, list) else ():
            if candidate is not None:
                self._take_candidate(candidate, shown)

    def _take_facts(self, told: Callable[[str], Any]) -> None:
        self._model = told("modelVersion") or self._model
        self._id = told("responseId") or self._id
        self._feedback = told("promptFeedback") or self._feedback
        usage = told("usageMetadata")
        if isinstance(usage, dict):  # each chunk repeats the sums so far
            self._usage.update(usage if None not in usage.values() else without_nulls(usage))

    def _take_candidate(self, candidate: Any, shown: list[Delta]) -> None:
        if not isinstance(candidate, dict):
            raise BadResponseError("A candidate of the answer is no object.")
        key = candidate.get("index")
        key = key if isinstance(key, int) else 0
        assembly = self._candidates.get(key)
        if assembly is None:
            if len(self._candidates) >= _MAX_CANDIDATES:
                raise BadResponseError(f"The answer holds more than {_MAX_CANDIDATES} candidates.")
            assembly = self._candidates[key] = CandidateAssembly()
        is_first = len(self._candidates) == 1 or key == min(self._candidates)
        assembly.take(candidate, shown if is_first else [])

    @property
    def finished(self) -> bool:
        """Whether every candidate has ended, or the prompt was blocked."""
        if not self._candidates:
            return bool(block_of(self._feedback))
        return all(candidate.finish for candidate in self._candidates.values())

    @property
    def empty(self) -> bool:
        """Whether nothing of an answer has come: no candidate, and no word about a blocked prompt."""
        return not self._candidates and not block_of(self._feedback)

    def turn(self) -> Turn:
        """What has come so far. Never raises."""
        try:
            return self._read()
        except ProviderError:
            return Turn()

    def whole(self) -> Turn:
        """The whole answer.

        Raises:
            ProviderError: It holds calls that cannot be read, or its finish says that it failed.
        """
        turn = self._read()
        first = self._candidates.get(min(self._candidates, default=0))
        refuse_failed_finish(turn, first.message if first else "")
        return turn

    def _read(self) -> Turn:
        return read_turn(
            [self._candidates[key].candidate() for key in sorted(self._candidates)],
            feedback=self._feedback,
            usage=self._usage,
            model=self._model,
            response_id=self._id,
        )
