"""The tools together: what the model is told of them, the check of a call, and its run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cache
from typing import Any

from equitrcoder.records import JSON, ToolKind
from equitrcoder.sandbox import Sandbox
from equitrcoder.tools.catalog import TOOLS
from equitrcoder.tools.failures import failure_result, near
from equitrcoder.tools.schema import check_arguments, spec_of
from equitrcoder.tools.values import Box, InvalidCall, MoreTools, ToolFailure, ToolLimits, ToolResult, ValidCall
from equitrcoder.tools.workspace import Workspace
from equitrcoder.wires.values import ToolSpec


@cache
def _specs() -> tuple[ToolSpec, ...]:
    return tuple(spec_of(function) for function, _, _ in TOOLS.values())


class Toolbox:
    """The tools of one workspace.

    Args:
        workspace: The repository; stays the caller's to close.
        sandbox: Where commands run; stays the caller's to close.
        limits: How much a result may hold.
    """

    def __init__(self, workspace: Workspace, sandbox: Sandbox, *, limits: ToolLimits | None = None) -> None:
        self._box = Box(workspace, sandbox, limits or ToolLimits())
        self._specs = {spec.name: spec for spec in _specs()}
        self._more: MoreTools | None = None
        self._writes: dict[str, tuple[asyncio.Lock, list[None]]] = {}

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What the model is told, always in the same order."""
        return _specs() if self._more is None else (*_specs(), *self._more.specs)

    def add(self, more: MoreTools) -> None:
        """Offer tools of MCP servers beside these; before the first request, and once."""
        self._more = more

    def kind(self, name: str) -> ToolKind:
        """`mcp` for tools of MCP servers, `function` for all others, and for a name that is none."""
        return "mcp" if self._more is not None and self._more.has(name) else "function"

    def validate(self, name: str, arguments: Mapping[str, JSON] | str | None) -> ValidCall:
        """Check a call as the model wrote it.

        Args:
            name: As the model wrote it.
            arguments: The object; the raw text when it was no JSON object; None when there was none.

        Raises:
            InvalidCall: `unknown_tool` (names the nearest) or `invalid_arguments` (says everything that is wrong).
        """
        spec = self._specs.get(name)
        if spec is None:
            if self._more is not None and self._more.has(name):
                return self._more.validate(name, arguments)
            raise InvalidCall("unknown_tool", self._unknown(name))
        checked = check_arguments(spec, arguments)
        _, effect, about = TOOLS[name]
        subject = checked.get(about, spec.parameters["properties"][about].get("default", "")) if about else ""
        return ValidCall(
            name=name,
            arguments=checked,
            effect=effect,
            subject=subject,
            sandbox=self._box.sandbox.level if effect == "command" else "not_applicable",
        )

    def _unknown(self, name: str) -> str:
        import difflib

        names = [spec.name for spec in self.specs]
        nearest = difflib.get_close_matches(name[:100], names, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
        return f"There is no tool {name[:100]!r}.{hint} The tools are: {', '.join(names)}."

    async def run(self, call: ValidCall) -> ToolResult:
        """Carry out a call.

        Calls that write one file run one after the other, in the order in which they came here; all others at once.
        Raises nothing but `asyncio.CancelledError`: what goes wrong is in the result.
        """
        try:
            if call.effect != "write":
                return await self._carry_out(call)
            async with _Turn(self._writes, self._file_of(call)):
                return await self._carry_out(call)
        except Exception as error:  # noqa: BLE001  (a tool that fails is a result; failure_result tells which)
            return self._failure(error, call)

    def _failure(self, error: Exception, call: ValidCall) -> ToolResult:
        if call.name not in TOOLS:
            return failure_result(error, "")
        path = call.arguments.get("file_path") or call.arguments.get("path")
        result = failure_result(error, path or call.subject)
        if path and isinstance(error, FileNotFoundError):
            result.text += near(self._box, path)
        return result

    async def _carry_out(self, call: ValidCall) -> ToolResult:
        if call.name not in TOOLS and self._more is not None:
            return await self._more.run(call)
        return await TOOLS[call.name][0](self._box, **call.arguments)

    def _file_of(self, call: ValidCall) -> str:
        """The file that a call writes, the same for every spelling of its path; commits are one file together."""
        if call.name == "git_commit":
            return ".git"
        try:
            with self._box.workspace.at(call.subject) as place:
                return place.path
        except (OSError, ToolFailure):
            return call.subject

    def preview(self, call: ValidCall) -> str:
        """What a call would do, for whoever approves it: a unified diff for a write, the line for a command.

        Never raises; when the call could not be carried out it says why.
        """
        from equitrcoder.tools.previewing import preview

        try:
            if call.name not in TOOLS and self._more is not None:
                return self._more.preview(call)
            return preview(self._box, call)
        except Exception as error:  # noqa: BLE001  (as in run)
            return failure_result(error, call.subject).text


class _Turn:
    """Waits for its turn among those who hold the same name; asyncio's locks are first come, first served."""

    def __init__(self, table: dict[str, tuple[asyncio.Lock, list[None]]], name: str) -> None:
        self._table = table
        self._name = name

    async def __aenter__(self) -> None:
        lock, users = self._table.setdefault(self._name, (asyncio.Lock(), []))
        users.append(None)
        try:
            await lock.acquire()
        except BaseException:
            self._leave(users)
            raise

    async def __aexit__(self, *_: Any) -> None:
        lock, users = self._table[self._name]
        lock.release()
        self._leave(users)

    def _leave(self, users: list[None]) -> None:
        users.pop()
        if not users:
            del self._table[self._name]
