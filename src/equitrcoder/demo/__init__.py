"""The demo: a scripted model behind a real HTTP server on loopback; everything else is real.

    TASK, CHECK, script(), make_repository(folder)    what it works on, how it is checked, and with which model
    demo_session(...), run_demo(...)                   the agent at work on it
    NO_AI, next_command(...)                           what to say before, and what to type afterwards

Names are resolved on first use (PEP 562): the scripted model can be had without the agent.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equitrcoder.demo.model import TASK as TASK
    from equitrcoder.demo.model import script as script
    from equitrcoder.demo.report import NO_AI as NO_AI
    from equitrcoder.demo.report import next_command as next_command
    from equitrcoder.demo.run import demo_session as demo_session
    from equitrcoder.demo.run import run_demo as run_demo
    from equitrcoder.demo.workspace import CHECK as CHECK
    from equitrcoder.demo.workspace import make_repository as make_repository

_HOMES = {
    "CHECK": "workspace",
    "NO_AI": "report",
    "TASK": "model",
    "demo_session": "run",
    "make_repository": "workspace",
    "next_command": "report",
    "run_demo": "run",
    "script": "model",
}

__all__ = ["CHECK", "NO_AI", "TASK", "demo_session", "make_repository", "next_command", "run_demo", "script"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"equitrcoder.demo.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
