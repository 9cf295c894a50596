"""Calls as dictionaries for exports, by the hundred thousand a second: what is JSON in the index stays JSON.

The same as `views.call_to_dict` and `views.log_entry` of the records, at a fifth of their time. What the index does not
hold whole, and what damage left, takes their way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from equitrcoder.ledger import rows, shapes, views
from equitrcoder.records import JSON

if TYPE_CHECKING:
    from equitrcoder.ledger.queries import CallQuery
    from equitrcoder.ledger.reader import Reader

_Fields: TypeAlias = dict[str, Any]

_TIMES = ("requested_at", "started_at", "ended_at")
_MINUTE, _TENS_OF_SECONDS = slice(16), 17
_SHAPE = b"0000-00-00T00:00:00.000000+00:00"
_UTC = "+00:00"
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_IS_MINUTE = re.compile(
    r"20\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d|20\d\d-(?:0[13-9]|1[0-2])-(?:29|30)T(?:[01]\d|2[0-3]):[0-5]\d|20\d\d-(?:0[13578]|1[02])-31T(?:[01]\d|2[0-3]):[0-5]\d"
)
_LAST = ("arguments", "arguments_raw", "result", "result_metadata", "redactions")
"""Columns that are looked at one by one."""
_FORM = "CASE WHEN 2 IN (c.arguments_form, c.arguments_raw_form) THEN 9 ELSE c.result_form END"
_NOT_HERE = rows.HEAD
"""From this form on, part of the call is in the journal only."""
_MOST_RUNS = 1_000
_ORDER = len(shapes.ORDER)


class _Shape:
    """A kind of dictionary and the columns that it is made of.

    Args:
        fields: Its keys, in order.
        finish: Enters what is not simply a column: takes the dictionary, the form of the result
            and the values of `_LAST`.
    """

    def __init__(self, fields: Sequence[str], finish: Callable[..., None]) -> None:
        columns = [name for name in views.CALL_FIELDS if name in fields and name not in (*shapes.OF_RUN, *_LAST)]
        self.fields = fields
        self.columns = columns
        self.select = shapes.select_in_order([*map(shapes.column, (*columns, *_LAST)), _FORM], of_runs=False)
        self.times = [_ORDER + columns.index(name) for name in _TIMES]
        self.run = _ORDER + columns.index("run_id")
        self.finish = finish


def _finish_record(
    fields: _Fields, form: int, arguments: Any, raw: Any, result: Any, metadata: Any, redactions: Any
) -> None:
    if arguments is not None:
        fields["arguments"] = orjson.Fragment(arguments)
    fields["arguments_raw"] = raw
    fields["result"] = orjson.Fragment(result) if form == rows.WHOLE_JSON else result
    if metadata is not None:
        fields["result_metadata"] = orjson.Fragment(metadata)
    if redactions is not None:
        fields["redactions"] = orjson.Fragment(redactions)


def _finish_entry(
    fields: _Fields, form: int, arguments: Any, raw: Any, result: Any, metadata: Any, redactions: Any
) -> None:
    outcome = fields["outcome"]
    fields["timestamp"] = fields["started_at"] or fields["requested_at"]
    fields["tool_args"] = raw if arguments is None else orjson.Fragment(arguments)
    success = fields["success"] = outcome == "success"
    if success or outcome not in views.OPEN:
        fields["result"] = {
            "success": success,
            "content": orjson.Fragment(result) if form == rows.WHOLE_JSON else result,
            "metadata": {} if metadata is None else orjson.Fragment(metadata),
        }
    if not success and outcome not in views.OPEN:
        fields["error"] = fields["error_message"] or fields["error_type"] or outcome
    if redactions is not None:
        fields["redactions"] = orjson.Fragment(redactions)


_RECORD = _Shape(views.CALL_FIELDS, _finish_record)
_ENTRY = _Shape(views.LOG_FIELDS, _finish_entry)


def records(reader: Reader, query: CallQuery) -> Iterator[dict[str, JSON]]:
    """The calls of a query as `views.call_to_dict` has them, results whole, oldest first."""
    return _calls(reader, query, _RECORD, views.call_to_dict)


def log_entries(reader: Reader, query: CallQuery) -> Iterator[dict[str, JSON]]:
    """The same as entries of the tool log, as `views.log_entry` has them."""
    return _calls(reader, query, _ENTRY, views.log_entry)


def _calls(
    reader: Reader, query: CallQuery, shape: _Shape, exactly: Callable[[Any], dict[str, JSON]]
) -> Iterator[dict[str, JSON]]:
    known: dict[str, _Fields] = {}

    def of_run(run_id: str) -> _Fields:
        if len(known) >= _MOST_RUNS:
            known.clear()
        facts = reader.facts_of_run(run_id)
        fields = known[run_id] = {name: facts.get(name) for name in shape.fields}
        return fields

    for page in reader.rows(query, select=shape.select):
        regular = _are_regular([row[place] for row in page for place in shape.times if row[place] is not None])
        for row in page:
            form = row[-1]
            if form >= _NOT_HERE or not regular:
                yield exactly(reader.call_at(row[:_ORDER]))
                continue
            run_id = row[shape.run]
            fields = (known.get(run_id) or of_run(run_id)).copy()
            fields.update(zip(shape.columns, row[_ORDER : -len(_LAST) - 1], strict=True))
            shape.finish(fields, form, *row[-len(_LAST) - 1 : -1])
            yield fields


def _are_regular(times: list[Any]) -> bool:
    """Whether all of them are as the ledger writes times: then they can be given out as they are."""
    try:
        text = "".join(times)
    except TypeError:
        return False
    if text.encode().translate(_ZEROS) != _SHAPE * len(times) or text.count(_UTC) != len(times):
        return False
    if not {time[_TENS_OF_SECONDS] for time in times} <= set("012345"):
        return False
    return all(_IS_MINUTE.fullmatch(minute) for minute in {time[_MINUTE] for time in times})
