"""The conversation of runs that ended, from their journals alone.

What the model was told goes back as it was: the user's words, each answer with the provider's own message, the results
of calls. What it was not told yet follows from the journal too: results of calls that ended, and of the others that
nobody knows, or that nothing was done. Pure: events in, values out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from equitrcoder.wires.stored import read_stored_calls, without_thinking
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    EchoedCall,
    ResultForModel,
    ToolResults,
    UserMessage,
    WireCall,
)

from .calls import LoopGuard

OUTCOME_UNKNOWN = (
    "Outcome unknown: this call was running when the run ended. It may have done all of its work, some of it or "
    "nothing. Look before you repeat it."
)
NOT_RUN = "Not run: the run ended before this call began. Nothing was done; ask for it again if it is still needed."
NO_APPROVAL = "Nothing was done; ask for it again if it is still needed."
RESULT_NOT_KEPT = "[The result of this call is not kept. The call ended; its outcome: {outcome}.]"
ARGUMENTS_NOT_KEPT = "[The arguments of this call are not kept.]"

_NOBODY_SAW = ("cancelled", "interrupted", "unknown")


@dataclass(slots=True)
class _Call:
    """One call that is ours to answer, as far as the journal knows it."""

    outline: Mapping[str, Any]
    requested: Mapping[str, Any] = field(default_factory=dict)
    finished: Mapping[str, Any] = field(default_factory=dict)
    started: bool = False
    echoed: EchoedCall | None = None

    @property
    def settled(self) -> bool:
        """Whether the run saw its end and told the model."""
        return bool(self.finished) and self.finished.get("outcome") not in _NOBODY_SAW

    def result(self) -> ResultForModel:
        name = self.echoed.name if self.echoed else ""
        wire_id = self.echoed.wire_id if self.echoed else ""
        is_error = self.finished.get("outcome") != "success"
        return ResultForModel(wire_id=wire_id, name=name, text=self._text(), is_error=is_error)

    def _text(self) -> str:
        if not self.settled:
            text = OUTCOME_UNKNOWN if self.started or self.finished.get("error_type") == "record_lost" else NOT_RUN
        elif isinstance(self.finished.get("result"), str):
            text = self.finished["result"]
            if self.finished.get("error_type") == "approval_needed":
                text = f"{text} {NO_APPROVAL}"
        else:
            text = RESULT_NOT_KEPT.format(outcome=self.finished["outcome"])
        kept = not self.requested or "arguments" in self.requested or "arguments_raw" in self.requested
        return text if kept else f"{ARGUMENTS_NOT_KEPT}\n{text}"


@dataclass(slots=True)
class _Answer:
    """One answer of the model and those of its calls that are ours to answer, by their ids in the journal."""

    event: Mapping[str, Any]
    started: Mapping[str, Any]
    """`run_started` of its run."""
    stored: list[WireCall]
    """Its calls as the provider's message has them; empty where that is not whole."""
    calls: dict[str, _Call]

    @property
    def settled(self) -> bool:
        """Whether the run went on with it: its calls were carried out."""
        return bool(self.calls) and all(call.settled for call in self.calls.values())

    @property
    def paused(self) -> bool:
        return not self.calls and self.event.get("stop") == "paused"

    @property
    def dropped(self) -> bool:
        return any(call.finished.get("error_type") == "not_taken" for call in self.calls.values())


class Rebuilding:
    """Takes the events of the runs of one session, in their order, and has the conversation in the end.

    Attributes:
        started: The newest run's `run_started`.
        status: How the newest run ended.
        check: What the last check said; None when it came to none.
        last_stop: Why the last answer ended (`Turn.stop`).
        spent_nanousd, spent_tokens: What all of the runs cost, as far as it is known.
        guard: Which failing calls the model has been repeating.
        redacted: Where words, arguments or results stand redacted, in words.
    """

    def __init__(self) -> None:
        self.conversation = Conversation(system="")
        self.started: Mapping[str, Any] = {}
        self.status: str | None = None
        self.check: str | None = None
        self.last_stop = ""
        self.spent_nanousd = 0
        self.spent_tokens = 0
        self.guard = LoopGuard()
        self.redacted: list[str] = []
        self._answers: list[_Answer] = []
        self._seen_ids: set[str] = set()
        self._changed = False
        """Whether what goes back is not what the model saw: then no thinking that is bound to it goes back either."""
        self._said = True
        self._left = False
        """Whether `_answers` are of the run before."""

    def take(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take the events of one run."""
        for event in events:
            handler = _HANDLERS.get(event["type"])
            if handler is not None:
                handler(self, event)

    def finish(self) -> tuple[ResultForModel, ...]:
        """Complete the conversation; returns the results with which the calls of the last answer were completed."""
        return self._complete()

    def begin_anew(self) -> None:
        """Leave out all thinking that is bound to what stands before it: the prefix is not what it was."""
        wire = str(self.started.get("wire"))
        for place, message in enumerate(self.conversation.messages):
            if isinstance(message, AssistantMessage) and message.native is not None:
                native = without_thinking(wire, message.native)
                self.conversation.messages[place] = replace(message, native=native)

    @property
    def answered(self) -> bool:
        """Whether the model has said its last word, so that only new words can go on."""
        messages = self.conversation.messages
        return bool(messages) and isinstance(messages[-1], AssistantMessage) and self.last_stop != "paused"

    # The events.

    def _run_started(self, event: Mapping[str, Any]) -> None:
        self.started = event
        self.status = None
        self._left = True
        settings = event.get("settings") or {}
        self._said = not (settings.get("fallback_for") or settings.get("goes_on"))
        if self._said:
            self.guard = LoopGuard()
        self.check = None
        self.conversation.system = str(event.get("system") or "")

    def _message(self, event: Mapping[str, Any]) -> None:
        text = str(event.get("text") or "")
        if event.get("role") == "check":
            self.check = text
        elif event.get("role") == "user" and self._said:
            self._complete()
            self._note_redactions(event, "words of the user")
            self.conversation.messages.append(UserMessage(text=text))

    def _results_told(self, event: Mapping[str, Any]) -> None:
        self._left = False
        told = event.get("results")
        results = tuple(call.result() for call in self._complete_answers())
        if isinstance(told, list) and len(told) == len(results):
            self._note_redactions(event, "results")
            results = tuple(
                ResultForModel(wire_id=each.wire_id, name=each.name, text=str(said["text"]), is_error=said["is_error"])
                for each, said in zip(results, told, strict=True)
            )
        if results:
            self.conversation.messages.append(ToolResults(results=results))

    def _turn(self, event: Mapping[str, Any]) -> None:
        if self._left or any(answer.settled and not answer.dropped for answer in self._answers):
            self._complete()
        usage = event.get("usage") or {}
        self.spent_nanousd += event.get("cost_nanousd") or 0
        self.spent_tokens += (usage.get("input_tokens") or 0) + (usage.get("output_tokens") or 0)
        stored = self._stored(event)
        calls: dict[str, _Call] = {}
        for outline in event.get("calls") or ():
            place = outline.get("position")
            pending = stored[place].pending if isinstance(place, int) and place < len(stored) else None
            if outline.get("executed_by") != "provider" or pending == "approval":
                calls[str(outline["call_uid"])] = _Call(outline)
        self._answers.append(_Answer(event, self.started, stored, calls))

    def _stored(self, event: Mapping[str, Any]) -> list[WireCall]:
        wire, native = self.started.get("wire"), event.get("native")
        if not isinstance(native, dict) or event.get("kept") == "outline" or not isinstance(wire, str):
            return []
        try:
            stored = read_stored_calls(wire, native, event.get("further") or ())
        except (KeyError, ValueError):
            return []
        return stored if len(stored) == len(event.get("calls") or ()) else []

    def _answer_taken(self, event: Mapping[str, Any]) -> None:
        step, first = event.get("step"), event.get("first") or 0
        self._answers = [each for each in self._answers if each.event["step"] in (step, *range(first))]

    def _call_requested(self, event: Mapping[str, Any]) -> None:
        call = self._call(event)
        if call is not None:
            call.requested = event

    def _call_started(self, event: Mapping[str, Any]) -> None:
        call = self._call(event)
        if call is not None:
            call.started = True

    def _call_finished(self, event: Mapping[str, Any]) -> None:
        call = self._call(event)
        if call is not None:
            call.finished = event

    def _call(self, event: Mapping[str, Any]) -> _Call | None:
        uid = str(event.get("call_uid"))
        return next((answer.calls[uid] for answer in self._answers if uid in answer.calls), None)

    def _request_failed(self, event: Mapping[str, Any]) -> None:
        self.spent_nanousd += event.get("cost_nanousd") or 0

    def _run_finished(self, event: Mapping[str, Any]) -> None:
        self.status = str(event.get("status"))

    # The messages.

    def _complete(self) -> tuple[ResultForModel, ...]:
        results = tuple(call.result() for call in self._complete_answers())
        if results:
            self.conversation.messages.append(ToolResults(results=results))
        return results

    def _complete_answers(self) -> list[_Call]:
        """Enter the answers that wait; returns the calls of the last one, which wait for results."""
        taken = self._taken()
        self._answers, self._left = [], False
        calls: list[_Call] = []
        for answer in taken:
            calls = self._enter(answer)
        return calls

    def _taken(self) -> list[_Answer]:
        """Of several answers to one request of ours, none: a middleware had not decided, and nothing was done."""
        waiting = [each for each in self._answers if not each.dropped]
        decided = [each for each in waiting if each.paused or each.settled]
        open_ones = [each for each in waiting if each not in decided]
        return waiting if len(open_ones) <= 1 else decided

    def _enter(self, answer: _Answer) -> list[_Call]:
        event = answer.event
        native = event.get("native")
        if event.get("replay") == "altered":
            native = None  # a provider may refuse its own message when it is changed
            self._changed = True
            if event.get("kept") != "outline":
                self.redacted.append(f"the answer of step {event['step']}")
        elif isinstance(native, dict) and self._changed:
            native = without_thinking(str(answer.started.get("wire")), native)
        self.last_stop = str(event.get("stop"))
        if answer.calls:
            self.guard.next_answer()
        for call in answer.calls.values():
            self._enter_call(call, answer.stored)
        self.conversation.messages.append(
            AssistantMessage(
                text=str(event.get("text") or ""),
                calls=tuple(call.echoed for call in answer.calls.values() if call.echoed),
                native=native or None,
                origin=str(answer.started.get("provider")),
            )
        )
        return list(answer.calls.values())

    def _enter_call(self, call: _Call, stored: list[WireCall]) -> None:
        place = call.outline["position"]
        kept = stored[place] if place < len(stored) else None
        arguments = call.requested.get("arguments")
        if arguments is None and not call.requested and kept is not None:
            arguments = kept.arguments
        call.echoed = EchoedCall(
            wire_id=self._wire_id(call.outline),
            name=str(call.outline.get("tool_name") or ""),
            arguments=arguments if isinstance(arguments, dict) else None,
            index=kept.index if kept is not None else place,
        )
        self._note_redactions(call.finished, f"the result of call {call.outline.get('ordinal')}")
        if call.settled:
            arguments = call.requested.get("arguments", call.requested.get("arguments_raw"))
            self.guard.settled(call.echoed.name, arguments, call.finished["outcome"])

    def _wire_id(self, outline: Mapping[str, Any]) -> str:
        wire_id = outline.get("provider_call_id")
        if not isinstance(wire_id, str) or not wire_id or wire_id in self._seen_ids:
            wire_id = f"call_{str(outline['call_uid']).lower()}"
        self._seen_ids.add(wire_id)
        return wire_id

    def _note_redactions(self, event: Mapping[str, Any], what: str) -> None:
        if event.get("redactions"):
            self._changed = True
            self.redacted.append(what)


_HANDLERS = {
    "run_started": Rebuilding._run_started,
    "message": Rebuilding._message,
    "results_told": Rebuilding._results_told,
    "turn": Rebuilding._turn,
    "answer_taken": Rebuilding._answer_taken,
    "call_requested": Rebuilding._call_requested,
    "call_started": Rebuilding._call_started,
    "call_finished": Rebuilding._call_finished,
    "request_failed": Rebuilding._request_failed,
    "run_finished": Rebuilding._run_finished,
}
