"""The Python API: `EquitrAPI` for asyncio, `SyncEquitrAPI` for everything else.

    arguments    what both take, turned into settings
    opening      how a session is opened from them
    chats        the asynchronous body of both: open, chat, close
    records      what both answer from the ledger: statistics, logs, exports, runs, calls
    portal       the event loop in a thread that SyncEquitrAPI runs the body on

How to use it: docs/api.md.
"""

from __future__ import annotations

from equitrcoder.api.asynchronous import EquitrAPI
from equitrcoder.api.synchronous import SyncEquitrAPI

__all__ = ["EquitrAPI", "SyncEquitrAPI"]
