"""Messages to and from a server's program: lines of JSON over its pipes, as the SDK's session takes them.

The SDK's own client starts a program with no walls, reads lines of any length and ends a process group; so the program
is started by `walls`, and only what the SDK calls a transport is here: a pair of its streams.

Source: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import anyio
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from equitrcoder.mcp.hearing import MOST_MESSAGE_BYTES, Hearing
from equitrcoder.mcp.walls import Program

_LEAVING_S = 0.5
"""How long a program may take to end by itself once its input is closed."""
_LAST_WORDS_BYTES = 4096
_MOST_UNSENT = 64
"""Messages that wait for a program that does not read; the word that a call is cancelled must not hold up its end."""


@contextlib.asynccontextmanager
async def talk(program: Program, hearing: Hearing) -> AsyncIterator[tuple[Any, Any]]:
    """The SDK's two streams for a program; ends the program."""
    to_session, read = anyio.create_memory_object_stream[Any](0)
    write, from_session = anyio.create_memory_object_stream[Any](_MOST_UNSENT)
    tasks: list[asyncio.Task[None]] = []
    try:
        async with _pipes(program) as (out, errors, into):
            tasks += [
                asyncio.create_task(_keep_last_words(errors, hearing)),
                asyncio.create_task(_read(out, to_session, hearing, program)),
                asyncio.create_task(_write(into, from_session)),
            ]
            yield read, write
            await asyncio.wait([tasks[2]], timeout=_LEAVING_S)  # what was said last
            into.close()
            await asyncio.wait([tasks[1]], timeout=_LEAVING_S)
    finally:
        program.end()
        for task in tasks:
            task.cancel()
        for stream in (to_session, read, write, from_session):
            stream.close()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def _pipes(
    program: Program,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamReader, asyncio.StreamWriter]]:
    """Its output, its error output and its input; closed in the end, whether they are read or not."""
    loop = asyncio.get_running_loop()
    out, errors = asyncio.StreamReader(limit=MOST_MESSAGE_BYTES), asyncio.StreamReader(limit=_LAST_WORDS_BYTES)
    readers: list[asyncio.ReadTransport] = []
    writer: asyncio.WriteTransport | None = None
    try:
        for reader, pipe in ((out, program.child.stdout), (errors, program.child.stderr)):
            transport, _ = await loop.connect_read_pipe(lambda to=reader: asyncio.StreamReaderProtocol(to), pipe)  # type: ignore[misc]
            readers.append(transport)
        protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader())
        writer, _ = await loop.connect_write_pipe(lambda: protocol, program.child.stdin)
        yield out, errors, asyncio.StreamWriter(writer, protocol, None, loop)
    finally:
        if writer is not None and (not writer.is_closing() or writer.get_write_buffer_size()):
            writer.abort()
        for transport in readers:
            transport.close()
        await asyncio.sleep(0)  # they close in the loop's next round


async def _read(reader: asyncio.StreamReader, to_session: Any, hearing: Hearing, program: Program) -> None:
    """Hand on its messages until it ends, or says what cannot be taken."""
    try:
        while True:
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                hearing.ended(await _exit(program))
                return
            except asyncio.LimitOverrunError:
                hearing.broken(f"it sent a message of more than {MOST_MESSAGE_BYTES // 1_000_000} MB")
                return
            try:
                message = jsonrpc_message_adapter.validate_json(line, by_name=False)
            except ValueError:
                if b'"jsonrpc"' in line[:200]:
                    hearing.broken("it sent a message that cannot be read")
                hearing.nonsense(line)
            else:
                await to_session.send(SessionMessage(message))
            if hearing.trouble is not None:
                return
    except (anyio.ClosedResourceError, anyio.BrokenResourceError):
        pass  # the session is over
    finally:
        to_session.close()
        with contextlib.suppress(Exception):
            while await reader.read(65536):  # what still comes must not keep it from ending
                pass


async def _write(writer: asyncio.StreamWriter, from_session: Any) -> None:
    """Send the session's messages; one that it does not read keeps the next from being made."""
    with contextlib.suppress(OSError, anyio.ClosedResourceError, anyio.BrokenResourceError):
        async for one in from_session:
            writer.write(one.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await writer.drain()


async def _keep_last_words(errors: asyncio.StreamReader, hearing: Hearing) -> None:
    while data := await errors.read(_LAST_WORDS_BYTES):
        hearing.last_words = (hearing.last_words + data)[-_LAST_WORDS_BYTES:]


async def _exit(program: Program) -> str:
    """How it ended, as far as that is known a moment after its output did."""
    for _ in range(20):
        code = program.child.poll()
        if code is not None:
            return f"it ended with exit code {code}" if code >= 0 else f"it was ended by signal {-code}"
        await asyncio.sleep(0.01)
    return "it closed its output"
