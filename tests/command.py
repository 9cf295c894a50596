"""Runs the real command in a process of its own, as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

KEY = "sk-test-0123456789abcdefSECRET"


@dataclass(frozen=True)
class Done:
    """What the command left."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def event(self, kind: str) -> dict[str, Any]:
        (event,) = [event for event in self.events if event["type"] == kind]
        return event


class World:
    """A repository, a home and a state directory, and the command in them.

    After each test the ledger of every world must balance (tests/conftest.py), unless `balances` was set to False.

    Args:
        base_url: Where the provider `openai` is.
    """

    made: ClassVar[list[World]] = []
    """Those of the running test."""

    def __init__(self, folder: Path, base_url: str = "http://127.0.0.1:9/v1") -> None:
        self.repo = folder / "repo"
        self.home = folder / "home"
        self.state = folder / "state"
        self.balances = True
        self.made.append(self)
        for path in (self.repo, self.home):
            path.mkdir(parents=True, exist_ok=True)
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "EQUITRCODER_STATE_DIR": str(self.state),
            "OPENAI_BASE_URL": base_url,
            "OPENAI_API_KEY": KEY,
            "PYTHONWARNINGS": "error",
            # Whatever would leave this machine runs into a closed door; loopback goes past proxies.
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "HTTP_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "equitrcoder", *arguments]

    def equitrcoder(
        self, *arguments: str, environ: Mapping[str, str] | None = None, stdin: str | None = None, timeout_s: float = 60
    ) -> Done:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.repo,
            env=self.environ | dict(environ or {}),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def run(self, *arguments: str, task: str = "do it", **keywords: Any) -> Done:
        """`equitrcoder run --json` on the repository, everything allowed, no sandbox."""
        common = ["--model", "openai/scripted", "--approve", "all", "--sandbox", "off", "--json"]
        return self.equitrcoder("run", *common, *arguments, task, **keywords)

    def start(self, *arguments: str, task: str = "do it", **keywords: Any) -> subprocess.Popen[bytes]:
        common = ["--model", "openai/scripted", "--approve", "all", "--sandbox", "off", "--json"]
        keywords = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL} | keywords
        return subprocess.Popen(
            self.command("run", *common, *arguments, task), cwd=self.repo, env=self.environ, **keywords
        )

    def calls(self, *arguments: str) -> list[dict[str, Any]]:
        """Every record, as `equitrcoder calls --json` prints it."""
        done = self.equitrcoder("calls", "--json", *arguments)
        assert done.code == 0, done.err
        return [json.loads(line) for line in done.out.splitlines()]

    def runs(self) -> list[dict[str, Any]]:
        done = self.equitrcoder("runs", "--json", "--limit", "10000")
        assert done.code == 0, done.err
        return [json.loads(line) for line in done.out.splitlines()]

    def files_holding(self, secret: str, folders: Sequence[Path] = ()) -> list[Path]:
        """Files under the given folders (all of this world's by default) that hold `secret`."""
        found = []
        for folder in folders or (self.repo, self.home, self.state):
            for path in folder.rglob("*"):
                if path.is_file() and secret.encode() in path.read_bytes():
                    found.append(path)
        return found
