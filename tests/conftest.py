"""What all tests share: nothing but loopback is reached, and nobody's real settings or state are touched."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

collect_ignore = ["mcp_servers"]  # programs that tests start, not modules with examples

_connect = socket.socket.connect


def _loopback_only(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        host = address[0]
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise AssertionError(f"a test tried to reach {host}")
    return _connect(self, address)


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An empty home, no keys, a state directory of its own, and no way out but loopback."""
    monkeypatch.setattr(socket.socket, "connect", _loopback_only)
    home: Path = tmp_path_factory.mktemp("home")
    import os

    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_API_TOKEN", "_BASE_URL", "_TOKEN")) or (
            name.startswith(("EQUITRCODER_", "XDG_")) and name != "EQUITRCODER_CORPUS"
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("EQUITRCODER_STATE_DIR", str(home / "state"))


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A folder that no disk slows down, where that can be had: for tests that make many small databases."""
    import tempfile

    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def _ledgers_balance(_isolated: None) -> Iterator[None]:
    """Whatever a test did through the command or the API: what its ledgers say in the end balances."""
    import os

    from tests.command import World

    World.made.clear()
    own = Path(os.environ["EQUITRCODER_STATE_DIR"])
    yield
    for state in [own, *(world.state for world in World.made if world.balances)]:
        if (state / "runs.jsonl").is_file():
            from equitrcoder.ledger.audit import audit

            report = audit(state)
            assert report.balanced, report.to_dict()["differences"]
