"""What is known of a server from before: the tools it offered, and which of them the user accepted.

One file per server in `mcp/` of the state directory, 0600, replaced atomically. It saves starting a server only to
hear what it offers, and it is what a tool is compared with: one whose words, schema or hints have changed since they
were accepted is not offered until the user has accepted it again. What a server offers when it is first used is
accepted with it: the user has just put it into the settings.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from equitrcoder import jsontext
from equitrcoder.mcp.servers import Server

FRESH_S = 24 * 3600
"""How long a list of tools counts without asking the server again; its first start renews it in any case."""
_MOST_BYTES = 32 * 1024 * 1024

RawTool = dict[str, Any]
"""A tool as a server tells it: name, description, inputSchema, annotations."""


class ChangedTool:
    """A tool that is not what was accepted.

    Attributes:
        name: As its server calls it.
        before: What was accepted; None: there was no such tool.
        now: What it is.
    """

    __slots__ = ("before", "name", "now")

    def __init__(self, name: str, before: RawTool | None, now: RawTool) -> None:
        self.name = name
        self.before = before
        self.now = now


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two tools say the same: name, description, schema, hints."""
    return all(one.get(key) == other.get(key) for key in ("name", "description", "inputSchema", "annotations"))


class Known:
    """What is known of one server. Damaged, or writable by others: nothing is."""

    def __init__(self, state_dir: Path, server: Server) -> None:
        self._path = state_dir / "mcp" / f"{server.name}-{server.identity}.json"
        found = self._read()
        self.tools: list[RawTool] = found.get("tools", [])
        """As the server told them last."""
        self._accepted: dict[str, RawTool] | None = found.get("accepted")
        self._setup: str = found.get("setup", "")
        self._listed_at: float = found.get("listed_at", 0)

    @property
    def is_first_use(self) -> bool:
        """Whether nothing of it was ever accepted."""
        return self._accepted is None

    def is_fresh(self, setup: str) -> bool:
        """Whether the list may be used without asking the server: lately told, by a server set up as this one."""
        return self._setup == setup and 0 <= time.time() - self._listed_at < FRESH_S

    def take(self, tools: Sequence[RawTool], setup: str) -> None:
        """Remember what the server told just now; accepted when it is its first use."""
        self.tools, self._setup, self._listed_at = list(tools), setup, time.time()
        if self._accepted is None:
            self._accepted = {tool["name"]: tool for tool in tools}
        self._save()

    def changed(self) -> list[ChangedTool]:
        """The tools that are not, or no longer, what was accepted."""
        accepted = self._accepted or {}
        return [
            ChangedTool(tool["name"], accepted.get(tool["name"]), tool)
            for tool in self.tools
            if tool["name"] not in accepted or not same(accepted[tool["name"]], tool)
        ]

    def accepted(self) -> list[RawTool]:
        """The tools that may be offered."""
        changed = {tool.name for tool in self.changed()}
        return [tool for tool in self.tools if tool["name"] not in changed]

    def accept(self) -> None:
        """Accept the tools as they are now."""
        self._accepted = (self._accepted or {}) | {tool["name"]: tool for tool in self.tools}
        self._save()

    def _read(self) -> dict[str, Any]:
        import stat

        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return {}
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
                return {}
            if status.st_size > _MOST_BYTES:
                return {}
            with contextlib.suppress(jsontext.InvalidJSON, OSError):
                found: dict[str, Any] = jsontext.loads(file.read())
                if _is_whole(found):
                    return found
        return {}

    def _save(self) -> None:
        """A folder that cannot be written costs the memory, not the run: then each run is the first use."""
        import tempfile

        held = {
            "v": 1,
            "setup": self._setup,
            "listed_at": self._listed_at,
            "tools": self.tools,
            "accepted": self._accepted,
        }
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, fresh = tempfile.mkstemp(prefix=f"{self._path.stem}.", suffix=".new", dir=self._path.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:  # mkstemp makes it 0600
                    file.write(jsontext.dumps(held) + b"\n")
                Path(fresh).replace(self._path)
            except BaseException:
                Path(fresh).unlink(missing_ok=True)
                raise


def _is_whole(found: Any) -> bool:
    if not isinstance(found, dict) or found.get("v") != 1 or not isinstance(found.get("accepted"), dict):
        return False
    tools = [*found.get("tools", ()), *found["accepted"].values()]
    return all(isinstance(tool, dict) and isinstance(tool.get("name"), str) for tool in tools)
