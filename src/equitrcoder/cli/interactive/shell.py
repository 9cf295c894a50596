"""`!command`: the user's own shell, with his own rights; no call of the model's, so the ledger has nothing of it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path


async def run_in_shell(command: str, repo: Path) -> int:
    """Run a line in $SHELL, in the repository; return its exit code (128 + number when a signal ended it).

    At a terminal the command has it; from a pipe it gets no input, because that holds the session's messages.
    """
    shell = os.environ.get("SHELL") or "/bin/sh"
    stdin = None if sys.stdin is not None and sys.stdin.isatty() else asyncio.subprocess.DEVNULL
    sys.stdout.flush()
    try:
        process = await asyncio.create_subprocess_exec(shell, "-c", command, cwd=repo, stdin=stdin)
    except OSError as error:
        sys.stderr.write(f"{shell}: {error.strerror}\n")
        return 127
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    return 128 - code if code < 0 else code
