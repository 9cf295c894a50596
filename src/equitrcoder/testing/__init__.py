"""For tests: a scripted model behind a real HTTP server, so that anything that talks to a provider can talk to it.

Example:
    >>> script = [
    ...     Answer(calls=[Call("read_file", {"file_path": "a.py"})]),
    ...     Fault(status=429, headers={"retry-after": "0"}, body={"error": {"message": "slow down"}}),
    ...     Answer(text="a.py is empty."),
    ... ]
    >>> with ScriptedProvider(script) as provider:
    ...     provider.base_url.startswith("http://127.0.0.1:")
    True
"""

from __future__ import annotations

from equitrcoder.testing.script import (
    AUTO,
    Answer,
    Call,
    Fault,
    ProviderCall,
    ReceivedRequest,
    Reply,
    Script,
    by_turn,
    repeated,
)
from equitrcoder.testing.server import ScriptedProvider
from equitrcoder.wires.values import Usage

__all__ = [
    "AUTO",
    "Answer",
    "Call",
    "Fault",
    "ProviderCall",
    "ReceivedRequest",
    "Reply",
    "Script",
    "ScriptedProvider",
    "Usage",
    "by_turn",
    "repeated",
]
