"""The ledger: every run, answer and tool call, in journals that are only appended to, and an index made from them.

    Ledger, RunRecorder, RecordedCall    write: one state directory, one run, one call
    Reader, CallQuery, Damage            read, from any process; catches up and closes what a killed run left open
    AgentRuns                            the runs as a repository: create, get, list, update_completion
    rebuild_index                        make the index anew from the journals
    Redactor, secret_values              what is taken out before the first byte is written
    call_to_dict, log_entry, run_to_dict the shapes that commands, exports and the API give out

Names are resolved on first use (PEP 562): writing loads no database, reading loads no recorder. See docs/ledger.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equitrcoder.ledger.agent_runs import AgentRuns as AgentRuns
    from equitrcoder.ledger.ledger import Ledger as Ledger
    from equitrcoder.ledger.queries import CallQuery as CallQuery
    from equitrcoder.ledger.reader import Reader as Reader
    from equitrcoder.ledger.reading import Damage as Damage
    from equitrcoder.ledger.rebuild import RebuildReport as RebuildReport
    from equitrcoder.ledger.rebuild import rebuild_index as rebuild_index
    from equitrcoder.ledger.recorder import RecordedCall as RecordedCall
    from equitrcoder.ledger.recorder import RunRecorder as RunRecorder
    from equitrcoder.ledger.redaction import Redactor as Redactor
    from equitrcoder.ledger.redaction import secret_values as secret_values
    from equitrcoder.ledger.stats import Stats as Stats
    from equitrcoder.ledger.views import call_to_dict as call_to_dict
    from equitrcoder.ledger.views import log_entry as log_entry
    from equitrcoder.ledger.views import run_to_dict as run_to_dict

_HOMES = {
    "AgentRuns": "agent_runs",
    "CallQuery": "queries",
    "Damage": "reading",
    "Ledger": "ledger",
    "Reader": "reader",
    "RebuildReport": "rebuild",
    "RecordedCall": "recorder",
    "Redactor": "redaction",
    "RunRecorder": "recorder",
    "Stats": "stats",
    "call_to_dict": "views",
    "log_entry": "views",
    "rebuild_index": "rebuild",
    "run_to_dict": "views",
    "secret_values": "redaction",
}

__all__ = [
    "AgentRuns",
    "CallQuery",
    "Damage",
    "Ledger",
    "Reader",
    "RebuildReport",
    "RecordedCall",
    "Redactor",
    "RunRecorder",
    "Stats",
    "call_to_dict",
    "log_entry",
    "rebuild_index",
    "run_to_dict",
    "secret_values",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"equitrcoder.ledger.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
