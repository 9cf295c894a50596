"""One running server: started, asked what it offers, called, ended.

The SDK's session lives in one task of its own (its groups of tasks must end where they began); calls come from others.
Whatever the server does, every wait here ends: by an answer, by the time limit, or because nothing more is heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
from mcp.client.session import ClientSession
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from equitrcoder.mcp.hearing import Hearing
from equitrcoder.mcp.known import RawTool
from equitrcoder.mcp.servers import Server, ServerTrouble
from equitrcoder.mcp.walls import Ground
from equitrcoder.mcp.words import one_line
from equitrcoder.tools.values import ToolFailure

MOST_LISTED = 20_000
"""Tools that are heard of at all; of these the first ones are offered."""
_LEAVING_S = 3.0
_MOST_PAGES = 200

for _name in ("mcp", "client"):  # what the SDK logs of a server's doings is not for the terminal
    logging.getLogger(_name).addHandler(logging.NullHandler())


class Connection:
    """A server that runs, or is being started. Use each one once."""

    def __init__(self, server: Server, ground: Ground) -> None:
        self._server = server
        self._ground = ground
        self.hearing = Hearing()
        self._session: ClientSession | None = None
        self._leave = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether it can be called."""
        return self._session is not None and self.hearing.trouble is None

    async def start(self) -> list[RawTool]:
        """Start it and ask what it offers.

        Raises:
            ServerTrouble: It did not come up.
        """
        kinds = ["stdio"]
        if not self._server.is_process:
            told = self._server.row.get("type")
            kinds = ["http", "sse"] if told is None else ["sse" if told == "sse" else "http"]
        try:
            async with asyncio.timeout(self._server.start_timeout_s):
                return await self._start_one_of(kinds)
        except TimeoutError:
            said = f"it did not answer within {self._server.start_timeout_s:g} s"
            self.hearing.trouble = None
            self.hearing.broken(said)
            await self.aclose()
            raise ServerTrouble(self.hearing.why()) from None
        except BaseException:
            await self.aclose()
            raise

    async def _start_one_of(self, kinds: list[str]) -> list[RawTool]:
        """Try the ways one after the other; the first one's trouble is told when none works."""
        first: ServerTrouble | None = None
        for kind in kinds:
            try:
                return await self._start(kind)
            except ServerTrouble as trouble:
                first = first or trouble
                await self._end()
                self.hearing, self._leave = Hearing(), asyncio.Event()
        assert first is not None
        self.hearing.broken(first.message)
        raise first

    async def _start(self, kind: str) -> list[RawTool]:
        ready: asyncio.Future[list[RawTool]] = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.create_task(self._keep(kind, ready))
        return await asyncio.shield(ready)

    async def _keep(self, kind: str, ready: asyncio.Future[list[RawTool]]) -> None:
        """Hold the connection until it is to end, or has ended."""
        try:
            async with self._streams(kind) as (read, write), self._session_on(read, write) as session:
                await self._agree(session)
                tools = await self._list(session)
                self._session = session
                _settle(ready, tools)
                await self._leave.wait()
        except ServerTrouble as trouble:
            self.hearing.broken(trouble.message)
        except Exception as error:  # noqa: BLE001  (whatever a stranger's answers make the SDK raise ends this server only)
            self.hearing.broken(_in_words(error))
        finally:
            self._session = None
            self.hearing.broken("the connection is closed")
            _settle(ready, ServerTrouble(self.hearing.why()))

    @contextlib.asynccontextmanager
    async def _streams(self, kind: str) -> AsyncIterator[tuple[Any, Any]]:
        if kind == "stdio":
            from equitrcoder.mcp import stdio

            program = self._ground.start(self._server)
            async with stdio.talk(program, self.hearing) as streams:
                yield streams
            return
        from equitrcoder.mcp import addresses

        environ = self._ground.environ
        url = self._server.expanded("url", environ)
        headers: Mapping[str, str] = self._server.expanded("headers", environ) or {}
        silent_s = max(self._server.timeout_s, 300.0)
        async with addresses.talk(url, headers, kind=kind, read_s=silent_s) as streams:
            yield streams

    @contextlib.asynccontextmanager
    async def _session_on(self, read: Any, write: Any) -> AsyncIterator[ClientSession]:
        """The SDK's session behind a gate that lets through what it needs to hear."""
        heard, for_session = anyio.create_memory_object_stream[Any](0)
        roots = self._roots if self._server.is_process else None
        session = ClientSession(for_session, write, client_info=_client_info(), list_roots_callback=roots)
        async with heard, for_session, session:
            gate = asyncio.create_task(self._hear(read, heard))
            try:
                yield session
            finally:
                gate.cancel()
                await asyncio.gather(gate, return_exceptions=True)

    async def _hear(self, read: Any, heard: Any) -> None:
        with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            async for item in read:
                if isinstance(item, Exception):
                    self.hearing.nonsense(repr(item).encode("utf-8", "replace")[:4096])
                elif self.hearing.takes(item.message):
                    await heard.send(item)
                if self.hearing.trouble is not None:
                    break
                await asyncio.sleep(0)  # a flood must not keep the others from their turn
        self.hearing.broken("it closed the connection")
        heard.close()  # calls that wait are told
        self._leave.set()

    async def _roots(self, context: Any) -> types.ListRootsResult:
        root = types.Root.model_validate({"uri": Path(self._ground.repo).as_uri(), "name": "repository"})
        return types.ListRootsResult(roots=[root])

    async def _agree(self, session: ClientSession) -> None:
        """Shake hands; a server that only knows the protocol without it is asked what it is."""
        try:
            await session.initialize()
        except MCPError as error:
            if error.error.code in (types.CONNECTION_CLOSED, types.REQUEST_TIMEOUT):
                raise ServerTrouble(self.hearing.trouble or "it closed the connection") from error
            try:
                await session.discover()
            except (MCPError, ValidationError, RuntimeError):
                raise ServerTrouble(f"it refused the handshake: {one_line(error.error.message)}") from error

    async def _list(self, session: ClientSession) -> list[RawTool]:
        found: dict[str, RawTool] = {}
        heard = 0
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            params = types.PaginatedRequestParams(cursor=cursor)
            page = await session.list_tools(params=params if cursor else None)
            self.hearing.answered()
            for tool in page.tools[: MOST_LISTED - heard]:
                found.setdefault(tool.name, _raw(tool))  # a second one of the same name could never be called
            heard += len(page.tools)
            cursor = page.next_cursor
            if not cursor or heard >= MOST_LISTED:
                break
        self.hearing.list_changed = False
        return list(found.values())

    async def tools_now(self) -> list[RawTool]:
        """Ask again what it offers. Raises ServerTrouble."""
        session = self._alive_session()
        try:
            async with asyncio.timeout(self._server.start_timeout_s):
                return await self._list(session)
        except TimeoutError:
            raise ServerTrouble("it did not say what it offers now") from None
        except (MCPError, ValidationError) as error:
            raise ServerTrouble(self._why(error)) from error

    async def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call a tool; when the caller is cancelled or the time is up, the server is told.

        Returns:
            The result as the server sent it.

        Raises:
            TimeoutError: The time is up.
            ServerTrouble: It has died, or broken off.
            ToolFailure: It refused the call, or answered what is no result.
        """
        session = self._alive_session()
        request = types.CallToolRequest(params=types.CallToolRequestParams(name=tool, arguments=arguments))
        try:
            async with asyncio.timeout(self._server.timeout_s):
                answer = await session.send_request(request, types.CallToolResult)
        except MCPError as error:
            if error.error.code == types.CONNECTION_CLOSED:
                raise ServerTrouble(self._why(error)) from error
            raise ToolFailure(
                "protocol_error", f"The server refused the call ({error.error.code}): {one_line(error.error.message)}"
            ) from error
        except ValidationError as error:
            raise ToolFailure(
                "bad_answer", f"The server answered what is no result of a call: {_first(error)}"
            ) from error
        self.hearing.answered()
        return answer.model_dump(mode="json", by_alias=True, exclude_none=True)

    def _alive_session(self) -> ClientSession:
        if self._session is None or self.hearing.trouble is not None:
            raise ServerTrouble(self.hearing.why())
        return self._session

    def _why(self, error: Exception) -> str:
        return self.hearing.why() if self.hearing.trouble is not None else _in_words(error)

    async def aclose(self) -> None:
        """End it; its processes are gone when this returns."""
        await self._end()

    async def _end(self) -> None:
        self._leave.set()
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVING_S):
                await asyncio.shield(asyncio.gather(keeper, return_exceptions=True))
        if not keeper.done():
            keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)


def _settle(ready: asyncio.Future[list[RawTool]], value: list[RawTool] | ServerTrouble) -> None:
    if ready.done():
        return
    if isinstance(value, ServerTrouble):
        ready.set_exception(value)
        ready.exception()  # seen: nobody may be waiting any more
    else:
        ready.set_result(value)


def _client_info() -> types.Implementation:
    from equitrcoder import __version__

    return types.Implementation(name="equitrcoder", version=__version__)


def _raw(tool: types.Tool) -> RawTool:
    """What is kept of a tool."""
    raw: RawTool = {"name": tool.name, "description": tool.description or "", "inputSchema": tool.input_schema}
    if tool.annotations is not None:
        raw["annotations"] = tool.annotations.model_dump(mode="json", by_alias=True, exclude_none=True)
    return raw


def _in_words(error: BaseException) -> str:
    """An error of the SDK's, of HTTP's, or of a group of them, on one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ValidationError):
        return f"it answered what the protocol does not know: {_first(error)}"
    return one_line(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)[:1]
    return one_line(f"{'.'.join(map(str, found[0]['loc']))}: {found[0]['msg']}") if found else "unreadable"
