"""The way out of the sandbox to named hosts: what passes, what is refused and why, and what is noted of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.sandbox import CommandResult
from equitrcoder.sandbox.bubblewrap import BubblewrapSandbox
from equitrcoder.sandbox.probing import trouble_with_bubblewrap
from equitrcoder.tools import Toolbox, Workspace

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux")

FETCH = """
import sys, urllib.request, urllib.error
for url in sys.argv[1:]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            print(answer.status, answer.read().decode().strip())
    except urllib.error.HTTPError as error:
        print(error.code, error.read().decode().strip())
    except OSError as error:
        print("no way:", error)
"""


class Upstream:
    """An HTTP server outside, standing in for a host; keeps the heads of the requests that reach it."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n")
            await writer.drain()
        writer.close()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    made = Upstream()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await server.wait_closed()


@pytest.fixture
async def walled(tmp_path: Path) -> AsyncIterator[Callable[..., BubblewrapSandbox]]:
    repo = tmp_path / "repo"
    repo.mkdir()
    trouble = trouble_with_bubblewrap(repo, os.environ)
    if trouble:
        pytest.skip(f"skipped: no bubblewrap ({trouble})")
    (repo / "fetch.py").write_text(FETCH)
    made: list[BubblewrapSandbox] = []

    def make(*hosts: str, **more: Any) -> BubblewrapSandbox:
        made.append(BubblewrapSandbox(repo, environ=os.environ, network_hosts=hosts, **more))
        return made[-1]

    yield make
    for sandbox in made:
        await sandbox.aclose()


async def fetch(sandbox: BubblewrapSandbox, *urls: str) -> CommandResult:
    command = " ".join(["no_proxy= NO_PROXY=", sys.executable, "-S fetch.py", *urls])
    return await sandbox.run(command, timeout_s=60, output_limit_bytes=10_000)


async def test_a_named_host_is_reached_and_others_are_refused_with_the_reason(
    walled: Callable[..., BubblewrapSandbox], upstream: Upstream
) -> None:
    named, other = f"localhost:{upstream.port}", "evil.example:80"
    result = await fetch(walled(named), f"http://{named}/a?b", f"http://{other}/", f"https://{other}/", "http://[::1]/")
    lines = result.output.decode().splitlines()
    assert lines[0] == "200 hello"
    reason = f"equitrcoder: {other} is not among the hosts that commands may reach (network_hosts)"
    assert lines[1] == f"403 {reason}"
    assert "403 Forbidden" in lines[2]
    assert result.requests[0] == (named, "")
    assert [place for place, _ in result.requests] == [named, other, "::1:80"]
    assert all("not among the hosts" in why for _, why in result.requests[1:])
    (head,) = upstream.heads
    assert head.lower().count(b"\r\nhost:") == 1
    assert head.startswith(b"GET /a?b HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n" % upstream.port)


async def test_a_tunnel_goes_to_the_named_host(walled: Callable[..., BubblewrapSandbox], upstream: Upstream) -> None:
    named = f"localhost:{upstream.port}"
    tunnel = (
        "exec 3<>/dev/tcp/127.0.0.1/61080; "
        f"printf 'CONNECT {named} HTTP/1.1\\r\\n\\r\\n' >&3; read -r line <&3; echo \"$line\"; read -r line <&3; "
        "printf 'GET /through HTTP/1.1\\r\\n\\r\\n' >&3; cat <&3"
    )
    result = await walled(named).run(tunnel, timeout_s=60, output_limit_bytes=10_000)
    assert result.output.startswith(b"HTTP/1.1 200 Connection established\r\nHTTP/1.1 200 OK\r\n")
    assert upstream.heads == [b"GET /through HTTP/1.1\r\n\r\n"]


async def test_there_is_no_way_round_it(walled: Callable[..., BubblewrapSandbox], upstream: Upstream) -> None:
    sandbox = walled(f"localhost:{upstream.port}")
    direct = f"(exec 3<>/dev/tcp/127.0.0.1/{upstream.port}) 2>/dev/null && echo reached || echo walled"
    assert (await sandbox.run(direct, timeout_s=60, output_limit_bytes=1000)).output == b"walled\n"
    for garbage in (
        "hello",
        "CONNECT x",
        "GET / HTTP/1.1",
        "CONNECT localhost:99999999 HTTP/1.1",
        "GET ftp://x/ HTTP/1.1",
    ):
        send = f"exec 3<>/dev/tcp/127.0.0.1/61080; printf '{garbage}\\r\\n\\r\\n' >&3; head -1 <&3"
        answer = await sandbox.run(send, timeout_s=60, output_limit_bytes=1000)
        assert answer.output.startswith(b"HTTP/1.1 400 Bad Request"), garbage
    assert upstream.heads == []


async def test_a_host_with_a_private_address_is_refused(
    walled: Callable[..., BubblewrapSandbox], upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look_up(host: str, port: int, **_: object) -> list[Any]:
        return [(2, 1, 6, "", ({"metadata.example": "169.254.169.254"}.get(host, "127.0.0.1"), port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    sandbox = walled(f"rebound.example:{upstream.port}", "metadata.example")
    result = await fetch(sandbox, f"http://rebound.example:{upstream.port}/", "http://metadata.example/")
    for line, address in zip(result.output.decode().splitlines(), ("127.0.0.1", "169.254.169.254"), strict=True):
        assert line.startswith("403 ")
        assert f"is {address}, which is no address of the open internet" in line
    assert upstream.heads == []
    named = walled(f"rebound.example:{upstream.port}", f"127.0.0.1:{upstream.port}")
    assert (await fetch(named, f"http://rebound.example:{upstream.port}/")).output == b"200 hello\n"


async def test_each_of_several_at_once_has_its_own_requests(
    walled: Callable[..., BubblewrapSandbox], upstream: Upstream
) -> None:
    named = f"localhost:{upstream.port}"
    sandbox = walled(named)
    results = await asyncio.gather(*(fetch(sandbox, f"http://{named}/{n}", f"http://{n}.example/") for n in range(4)))
    for n, result in enumerate(results):
        assert result.output.startswith(b"200 hello\n403 ")
        assert [place for place, _ in result.requests] == [named, f"{n}.example:80"]


async def test_nothing_named_is_no_way_out(walled: Callable[..., BubblewrapSandbox]) -> None:
    command = "env | grep -i proxy; (exec 3<>/dev/tcp/127.0.0.1/61080) 2>/dev/null || echo none"
    result = await walled().run(command, timeout_s=60, output_limit_bytes=1000)
    assert result.output.endswith(b"none\n")
    assert b"61080" not in result.output


async def test_the_record_of_a_command_says_where_it_went(
    walled: Callable[..., BubblewrapSandbox], upstream: Upstream, tmp_path: Path
) -> None:
    named = f"localhost:{upstream.port}"
    workspace = Workspace.open(tmp_path / "repo")
    toolbox = Toolbox(workspace, walled(named))
    command = f"no_proxy= NO_PROXY= {sys.executable} -S fetch.py http://{named}/ http://evil.example/"
    result = await toolbox.run(toolbox.validate("run_command", {"command": command}))
    workspace.close()
    assert result.metadata["network"] == [
        {"host": named, "refused": None},
        {
            "host": "evil.example:80",
            "refused": "evil.example:80 is not among the hosts that commands may reach (network_hosts)",
        },
    ]


async def test_git_and_curl_find_the_way(walled: Callable[..., BubblewrapSandbox], upstream: Upstream) -> None:
    named = f"localhost:{upstream.port}"
    for program in ("git ls-remote http://evil.example/x.git", "curl -sS -o /dev/null http://evil.example/"):
        if subprocess.run(["which", program.split()[0]], capture_output=True, check=False).returncode:
            continue
        result = await walled(named).run(program, timeout_s=60, output_limit_bytes=10_000)
        assert [place for place, _ in result.requests] == ["evil.example:80"], result.output
