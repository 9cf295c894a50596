"""Reads the events of one prediction.

Source: https://replicate.com/docs/topics/predictions/streaming
"""

from __future__ import annotations

from typing import Any

from equitrcoder.errors import ProviderError
from equitrcoder.wires.documents import checked_object, read_json
from equitrcoder.wires.replicate_predictions.reading import output_text, read_body, read_prediction
from equitrcoder.wires.streaming import EventStreamReader
from equitrcoder.wires.values import Delta, Turn

PREDICTION_EVENT = "prediction"
"""Name of the event that the client puts after the stream's own end: the prediction as it then stands, with its counts.
The stream itself tells neither tokens nor, reliably, whether it succeeded."""


class PredictionStreamReader(EventStreamReader):
    r"""Reads `output`, `error` and `done` events, and the prediction after them. `logs` are no part of the answer.

    Example:
        >>> reader = PredictionStreamReader()
        >>> reader.feed(b'event: output\ndata: Hi\n\nevent: done\ndata: {}\n\n'), reader.finished
        ([Delta(text='Hi', kind='text')], False)
        >>> reader.feed(b'event: prediction\ndata: {"status":"succeeded","output":["Hi","!"]}\n\n'), reader.finished
        ([Delta(text='!', kind='text')], True)
        >>> reader.finish().text
        'Hi!'
    """

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[str] = []
        self._done: str | None = None  # the data of `done`
        self._prediction: dict[str, Any] | None = None

    @property
    def finished(self) -> bool:
        """Whether the prediction after the stream has been read."""
        return self._prediction is not None

    def _take_event(self, name: str, data: bytes, shown: list[Delta]) -> None:
        self._events += 1
        if name == "output":
            self._show(data.decode("utf-8", "replace"), shown)
        elif name == "done":
            self._done = data.decode("utf-8", "replace")
        elif name == PREDICTION_EVENT and self._prediction is None:
            self._prediction = checked_object(read_json(data), data)
            said = "".join(self._pieces)
            whole = output_text(self._prediction.get("output"))
            if whole.startswith(said):  # a stream that broke off: the rest is shown now
                self._show(whole[len(said) :], shown)

    def _show(self, text: str, shown: list[Delta]) -> None:
        if text:
            self._pieces.append(text)
            shown.append(Delta(text=text))

    def _events_turn(self) -> Turn:
        if self._prediction is None:
            return Turn(text="".join(self._pieces))
        try:
            turn = read_prediction(self._prediction)
        except ProviderError as error:
            kept = error.partial
            return kept if isinstance(kept, Turn) else Turn(text="".join(self._pieces))
        return turn

    def _whole(self) -> Turn:
        return Turn(text="".join(self._pieces), stop="end") if self._prediction is None else self._checked()

    def _checked(self) -> Turn:
        return read_prediction(self._prediction or {})

    def _ended_well(self) -> bool:
        """Also without the prediction after it, for a stream kept as it came: `done` says whether it failed."""
        return self.finished or (self._done is not None and "reason" not in self._done)

    def _document_turn(self, body: bytes) -> Turn:
        return read_body(body)
