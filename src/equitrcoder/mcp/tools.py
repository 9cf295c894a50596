"""The tools of a session's MCP servers, beside its own: what is offered, and the way of a call.

What is offered is settled once, before the first request: it is part of a prefix that never changes. A server whose
tools are known from before is started by its first call; what it says then is held against what was offered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from importlib import import_module, util
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from equitrcoder import jsontext
from equitrcoder.mcp.known import ChangedTool, Known, RawTool, same
from equitrcoder.mcp.offering import MOST_TOOLS_TOGETHER, Offer, offers
from equitrcoder.mcp.servers import Server, ServerTrouble
from equitrcoder.mcp.words import bounded, one_line, seen
from equitrcoder.records import JSON
from equitrcoder.tools.values import ToolFailure, ToolResult, ValidCall
from equitrcoder.wires.values import ToolSpec

if TYPE_CHECKING:
    from equitrcoder.mcp.connection import Connection
    from equitrcoder.mcp.walls import Ground

MOST_STARTS = 3
"""Of one server in a session: one that keeps dying is left alone."""
MISSING_SDK = "MCP servers need the package mcp: pip install 'equitrcoder[mcp]'"
RESULT_BYTES = 32_768
_SUBJECT_CHARACTERS = 200
_PREVIEW_CHARACTERS = 20_000

AcceptTools: TypeAlias = Callable[[Server, Sequence[ChangedTool]], Awaitable[bool]]
"""Asks a person whether tools that have changed are to be accepted."""


class McpTools:
    """Offers the tools of servers, and calls them.

    Args:
        servers: In the order in which their tools are offered.
        ground: Where they run.
        state_dir: Where what is known of them is kept.
        taken: Names of other tools.
        on_notice: Told one line at a time what a person should know.
        accept: Asks a person about changed tools; None: there is nobody to ask, and they are left out.
        result_bytes: How much of a result's text is kept.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        ground: Ground,
        state_dir: Path,
        *,
        taken: Collection[str] = (),
        on_notice: Callable[[str], None] | None = None,
        accept: AcceptTools | None = None,
        result_bytes: int = RESULT_BYTES,
    ) -> None:
        self._ground = ground
        self._state_dir = state_dir
        self._taken = taken
        self._notify: Callable[[str], None] = on_notice or (lambda _line: None)
        self._accept = accept
        self._result_bytes = result_bytes
        self._running = {server.name: _Running(server, ground, state_dir) for server in servers}
        self._offers: dict[str, Offer] = {}
        self.specs: tuple[ToolSpec, ...] = ()
        """What the model is told; empty until `open` is done."""

    async def open(self) -> None:
        """Find out what is offered. A server that does not come up costs its tools, and is named; nothing is raised."""
        found = await asyncio.gather(*(self._look(running) for running in self._running.values()))
        for running, up in zip(self._running.values(), found, strict=True):
            if up:
                await self._ask_about_changes(running)
                self._offer(running)
        self.specs = tuple(offer.spec for offer in self._offers.values())

    async def _look(self, running: _Running) -> bool:
        try:
            await running.look()
        except ServerTrouble as trouble:
            name = running.server.name
            self._notify(f"MCP server {name} is not there, so its tools are missing: {trouble.message}")
            return False
        return True

    async def _ask_about_changes(self, running: _Running) -> None:
        name, changed = running.server.name, running.known.changed()
        if not changed:
            return
        if self._accept is not None and await self._accept(running.server, changed):
            running.known.accept()
            return
        names = ", ".join(one_line(tool.name, 60) for tool in changed[:3])
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        self._notify(
            f"MCP server {name}: left out, because they are not what you accepted: {names}{more}. "
            f"Look: equitrcoder mcp tools {name}; take them: equitrcoder mcp accept {name}"
        )

    def _offer(self, running: _Running) -> None:
        server = running.server
        found, said = offers(server, running.known.accepted(), {*self._taken, *self._offers})
        room = MOST_TOOLS_TOGETHER - len(self._offers)
        if len(found) > room:
            said.append(f"MCP server {server.name}: {len(found) - room} tools are left out: hosts take 128 in all")
        for line in said:
            self._notify(line)
        running.offered = {raw["name"]: raw for raw in running.known.accepted()}
        self._offers |= {offer.spec.name: offer for offer in found[:room]}

    def has(self, name: str) -> bool:
        """Whether this is one of these tools."""
        return name in self._offers

    def validate(self, name: str, arguments: Mapping[str, JSON] | str | None) -> ValidCall:
        """As `Toolbox.validate`, for a name that `has` knows."""
        from equitrcoder.mcp.validation import check

        offer = self._offers[name]
        given = check(name, offer.schema, arguments)
        return ValidCall(
            name=name,
            arguments=given,
            effect="read" if offer.reads_only and offer.server.trusted else "command",
            subject=bounded(_shown(given), _SUBJECT_CHARACTERS) if given else "",
            sandbox=self._ground.level(offer.server),
        )

    async def run(self, call: ValidCall) -> ToolResult:
        """As `Toolbox.run`.

        Raises:
            ToolFailure: The call failed, and why.
        """
        from equitrcoder.mcp.results import result_of

        offer = self._offers[call.name]
        server = offer.server
        metadata: dict[str, JSON] = {"mcp_server": server.name, "mcp_tool": one_line(offer.tool)}
        try:
            answer = await self._running[server.name].call(offer.tool, call.arguments)
        except TimeoutError:
            words = f"The MCP server {server.name} did not answer within {server.timeout_s:g} s; it was told to stop."
            raise ToolFailure("timeout", words, outcome="timeout", metadata=metadata) from None
        except ServerTrouble as trouble:
            words = f"The MCP server {server.name} failed: {trouble.message}."
            raise ToolFailure(trouble.error_type, words, metadata=metadata) from trouble
        except ToolFailure as failure:
            failure.metadata |= metadata
            raise
        return result_of(answer, server=server.name, tool=offer.tool, limit_bytes=self._result_bytes)

    def preview(self, call: ValidCall) -> str:
        """The call in full, for whoever approves it."""
        offer = self._offers[call.name]
        shown = bounded(_shown(call.arguments), _PREVIEW_CHARACTERS)
        return f"{one_line(offer.tool, 100)} of the MCP server {offer.server.name}\n{shown}"

    async def aclose(self) -> None:
        """End the servers; nothing of them is left when this returns."""
        await asyncio.gather(*(running.aclose() for running in self._running.values()))


def _shown(arguments: Mapping[str, Any]) -> str:
    return seen(jsontext.dumps(arguments).decode("utf-8", "replace"))


class _Running:
    """One server over a session: not started, running, or dead."""

    def __init__(self, server: Server, ground: Ground, state_dir: Path) -> None:
        self.server = server
        self.known = Known(state_dir, server)
        self.offered: dict[str, RawTool] = {}
        self._ground = ground
        self._connection: Connection | None = None
        self._starts = 0
        self._one_at_a_time = asyncio.Lock()

    async def look(self) -> None:
        """Find out what it offers, from before or from itself. Raises ServerTrouble."""
        if self.known.is_first_use or not self.known.is_fresh(self.server.setup(self._ground.environ)):
            await self._started()

    async def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call a tool, which must still be what was offered. Raises as `Connection.call`."""
        connection = await self._started()
        self._hold_to_offer(tool)
        return await connection.call(tool, arguments)

    async def _started(self) -> Connection:
        async with self._one_at_a_time:
            connection = self._connection
            if connection is not None and connection.alive:
                if connection.hearing.list_changed:
                    self._take(await connection.tools_now())
                return connection
            if connection is not None:
                await connection.aclose()
            if self._starts >= MOST_STARTS:
                why = connection.hearing.why() if connection is not None else "it does not come up"
                raise ServerTrouble(f"{why} (it was started {MOST_STARTS} times and is left alone now)")
            self._starts += 1
            make = await _connection_class()
            self._connection = connection = make(self.server, self._ground)
            self._take(await connection.start())
            return connection

    def _take(self, tools: list[RawTool]) -> None:
        self.known.take(tools, self.server.setup(self._ground.environ))

    def _hold_to_offer(self, tool: str) -> None:
        now = next((raw for raw in self.known.tools if raw["name"] == tool), None)
        name = self.server.name
        if now is None:
            raise ToolFailure("tool_changed", f"The MCP server {name} offers {one_line(tool, 60)} no longer.")
        if not same(now, self.offered[tool]):
            raise ToolFailure(
                "tool_changed",
                f"Nothing was run: the MCP server {name} has changed what it says of {one_line(tool, 60)} since you "
                f"were told. The user can look and accept it: equitrcoder mcp tools {name}.",
            )

    async def aclose(self) -> None:
        if self._connection is not None:
            await self._connection.aclose()


async def _connection_class() -> type[Connection]:
    """The class that brings the SDK, which takes a second to load: in a thread. Raises ServerTrouble without it."""
    if util.find_spec("mcp") is None:
        raise ServerTrouble(MISSING_SDK)
    found: type[Connection] = (await asyncio.to_thread(import_module, "equitrcoder.mcp.connection")).Connection
    return found


async def ask_server(server: Server, ground: Ground, known: Known) -> None:
    """Start a server, take what it offers into what is known of it, and end it. Raises ServerTrouble."""
    connection = (await _connection_class())(server, ground)
    try:
        known.take(await connection.start(), server.setup(ground.environ))
    finally:
        await connection.aclose()
