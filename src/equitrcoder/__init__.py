"""equitrcoder: a coding agent in which every tool call is accounted for.

Names are resolved on first use (PEP 562), so importing the package is free of side effects and cold.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equitrcoder.errors import EquitrError as EquitrError
    from equitrcoder.records import ModelTurn as ModelTurn
    from equitrcoder.records import Run as Run
    from equitrcoder.records import ToolCall as ToolCall

_HOMES = {
    "EquitrError": "equitrcoder.errors",
    "ModelTurn": "equitrcoder.records",
    "Run": "equitrcoder.records",
    "ToolCall": "equitrcoder.records",
}

__all__ = ["EquitrError", "ModelTurn", "Run", "ToolCall", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
