"""equitrcoder: a coding agent in which every tool call is accounted for.

Names are resolved on first use (PEP 562), so importing the package is free of side effects and cold.
"""

from __future__ import annotations

import sys

if sys.argv[:1] == ["-m"] and "equitrcoder" in sys.orig_argv and not sys.flags.safe_path:
    # `python -m equitrcoder` puts the current folder first on the path, and that is a repository somebody else may have
    # written: its yaml.py or typing.py is not ours. What Python imports before this line only `python -P -m` keeps out.
    del sys.path[0]

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equitrcoder.agent.approvals import ApprovalAnswer as ApprovalAnswer
    from equitrcoder.agent.approvals import ApprovalRequest as ApprovalRequest
    from equitrcoder.agent.middleware import ModelFunction as ModelFunction
    from equitrcoder.agent.middleware import ModelMiddleware as ModelMiddleware
    from equitrcoder.agent.result import RunResult as RunResult
    from equitrcoder.api import EquitrAPI as EquitrAPI
    from equitrcoder.api import SyncEquitrAPI as SyncEquitrAPI
    from equitrcoder.errors import EquitrError as EquitrError
    from equitrcoder.errors import ProviderError as ProviderError
    from equitrcoder.errors import RunStopped as RunStopped
    from equitrcoder.ledger.agent_runs import AgentRuns as AgentRuns
    from equitrcoder.ledger.stats import Stats as Stats
    from equitrcoder.providers.client import ModelRequest as ModelRequest
    from equitrcoder.providers.client import ModelResponse as ModelResponse
    from equitrcoder.records import ModelTurn as ModelTurn
    from equitrcoder.records import Run as Run
    from equitrcoder.records import ToolCall as ToolCall

_HOMES = {
    "AgentRuns": "equitrcoder.ledger.agent_runs",
    "ApprovalAnswer": "equitrcoder.agent.approvals",
    "ApprovalRequest": "equitrcoder.agent.approvals",
    "EquitrAPI": "equitrcoder.api",
    "EquitrError": "equitrcoder.errors",
    "ModelFunction": "equitrcoder.agent.middleware",
    "ModelMiddleware": "equitrcoder.agent.middleware",
    "ModelRequest": "equitrcoder.providers.client",
    "ModelResponse": "equitrcoder.providers.client",
    "ModelTurn": "equitrcoder.records",
    "ProviderError": "equitrcoder.errors",
    "Run": "equitrcoder.records",
    "RunResult": "equitrcoder.agent.result",
    "RunStopped": "equitrcoder.errors",
    "Stats": "equitrcoder.ledger.stats",
    "SyncEquitrAPI": "equitrcoder.api",
    "ToolCall": "equitrcoder.records",
}

__all__ = [
    "AgentRuns",
    "ApprovalAnswer",
    "ApprovalRequest",
    "EquitrAPI",
    "EquitrError",
    "ModelFunction",
    "ModelMiddleware",
    "ModelRequest",
    "ModelResponse",
    "ModelTurn",
    "ProviderError",
    "Run",
    "RunResult",
    "RunStopped",
    "Stats",
    "SyncEquitrAPI",
    "ToolCall",
    "__version__",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
