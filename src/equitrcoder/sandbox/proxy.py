"""The way out of the sandbox to allowed hosts: an HTTP proxy of ours, in our own process.

The sandbox has a network of its own with nothing in it but a listening socket, which was made inside and handed out;
what connects to it inside is answered here. A request for a host that is not on the list gets 403 with the reason. A
host's name is looked up here, its addresses are held against the list, and the very address that was looked at is
connected to. What was asked for is noted.

Not seen: what goes on inside a connection that is encrypted. Whoever runs an allowed host sees what is sent there.

Source: https://www.rfc-editor.org/rfc/rfc9110#name-connect
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from types import TracebackType
from urllib.parse import urlsplit

from equitrcoder.sandbox.hosts import Hosts, split_port

_HEAD_BYTES = 65_536
_HEAD_S = 30.0
_CONNECT_S = 30.0
_MOST_CONNECTIONS = 200
_MOST_NOTES = 100
_PIECE_BYTES = 65_536
_HOP_HEADERS = (b"proxy-", b"connection:", b"host:", b"keep-alive:", b"te:", b"upgrade:")


class Refused(Exception):
    """Why a request is not carried out; `status` is the line of the answer."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Proxy:
    """Answers what connects to a listening socket while one command runs.

    Attributes:
        requests: Host and port of each request, and why it was refused ("" when it was not); the first hundred
            different ones, in order.
    """

    def __init__(self, listener: socket.socket, hosts: Hosts) -> None:
        self.requests: dict[tuple[str, str], None] = {}
        self._listener = listener
        self._hosts = hosts
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, sock=self._listener.dup(), limit=_HEAD_BYTES)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream: asyncio.StreamWriter | None = None
        try:
            self._bound()
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _HEAD_S)
            host, port, first, answer = read_head(head)
            try:
                from_there, upstream = await self._connect(host, port)
            except Refused as refused:
                self._note(host, port, str(refused))
                raise
            self._note(host, port, "")
            upstream.write(first)
            writer.write(answer)
            await asyncio.gather(relay(reader, upstream), relay(from_there, writer))
        except Refused as refused:
            body = f"equitrcoder: {refused}\n".encode()
            answer = f"HTTP/1.1 {refused.status}\r\nContent-Type: text/plain; charset=utf-8\r\n".encode()
            writer.write(answer + b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            with contextlib.suppress(OSError):
                await writer.drain()
        except (OSError, EOFError, asyncio.LimitOverrunError, TimeoutError):
            pass  # one of the two has gone
        finally:
            for side in (writer, upstream):
                if side is not None:
                    side.close()

    def _bound(self) -> None:
        if len(self._tasks) > _MOST_CONNECTIONS:
            raise Refused("503 Service Unavailable", "too many connections at once")

    def _note(self, host: str, port: int, refusal: str) -> None:
        if len(self.requests) < _MOST_NOTES:
            self.requests[(f"{host[:253]}:{port}", refusal)] = None

    async def _connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if not self._hosts.allows(host, port):
            raise Refused(
                "403 Forbidden", f"{host}:{port} is not among the hosts that commands may reach (network_hosts)"
            )
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise Refused("502 Bad Gateway", f"{host} has no address: {error.strerror or error}") from None
        addresses = [str(place[0]) for *_, place in found]
        addresses = [address for address in addresses if self._hosts.allows_address(host, port, address)]
        if not addresses:
            raise Refused(
                "403 Forbidden",
                f"{host} is {found[0][4][0]}, which is no address of the open internet and is not itself named",
            )
        trouble = ""
        for address in addresses:
            try:
                return await asyncio.wait_for(asyncio.open_connection(address, port), _CONNECT_S)
            except OSError as error:  # a TimeoutError is one
                trouble = error.strerror or str(error) or "no answer"
        raise Refused("502 Bad Gateway", f"{host}:{port} cannot be reached: {trouble}")


def read_head(head: bytes) -> tuple[str, int, bytes, bytes]:
    """Host and port that a request is for, what to send there first, and what to answer at once.

    Raises:
        Refused: It is no request that a proxy carries out.

    Example:
        >>> read_head(b"CONNECT pypi.org:443 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        ('pypi.org', 443, b'', b'HTTP/1.1 200 Connection established\\r\\n\\r\\n')
        >>> read_head(b"GET http://pypi.org/simple?a HTTP/1.1\\r\\nHost: evil\\r\\nAccept: */*\\r\\n\\r\\n")[2]
        b'GET /simple?a HTTP/1.1\\r\\nHost: pypi.org\\r\\nConnection: close\\r\\nAccept: */*\\r\\n\\r\\n'
    """
    line, *headers = head[:-4].split(b"\r\n")
    try:
        method, target, version = line.decode("ascii").split(" ")
        if method == "CONNECT":
            host, port = split_port(target)
            if host and port:
                return host, port, b"", b"HTTP/1.1 200 Connection established\r\n\r\n"
        url = urlsplit(target)
        host, port = url.hostname or "", url.port or 80
    except ValueError:
        raise Refused("400 Bad Request", "this is no request for a proxy") from None
    if not host or url.scheme != "http" or not version.startswith("HTTP/1."):
        raise Refused("400 Bad Request", "this is no request for a proxy")
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    kept = [header for header in headers if not header.lower().startswith(_HOP_HEADERS)]
    named = f"[{host}]" if ":" in host else host
    place = named if port == 80 else f"{named}:{port}"
    lines = [f"{method} {path} {version}".encode(), f"Host: {place}".encode(), b"Connection: close", *kept]
    return host, port, b"\r\n".join(lines) + b"\r\n\r\n", b""


async def relay(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Hand on what comes until it ends, no faster than it is taken."""
    while piece := await source.read(_PIECE_BYTES):
        target.write(piece)
        await target.drain()
    with contextlib.suppress(OSError):
        target.write_eof()
