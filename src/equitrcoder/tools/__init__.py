"""What the model can do: the tools, their schemas, and the walls around the repository.

`Toolbox` offers them: `specs` to tell the model, `validate` before a call is approved, `run` to carry it out.
Names are resolved on first use.

Source: DESIGN.md section 6.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equitrcoder.tools.toolbox import Toolbox as Toolbox
    from equitrcoder.tools.values import InvalidCall as InvalidCall
    from equitrcoder.tools.values import ToolLimits as ToolLimits
    from equitrcoder.tools.values import ToolResult as ToolResult
    from equitrcoder.tools.values import ValidCall as ValidCall
    from equitrcoder.tools.workspace import Workspace as Workspace

_HOMES = {
    "InvalidCall": "values",
    "ToolLimits": "values",
    "ToolResult": "values",
    "Toolbox": "toolbox",
    "ValidCall": "values",
    "Workspace": "workspace",
}

__all__ = ["InvalidCall", "ToolLimits", "ToolResult", "Toolbox", "ValidCall", "Workspace"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
