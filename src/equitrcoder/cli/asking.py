"""Asking the person at the terminal whether a call may run."""

from __future__ import annotations

import asyncio
import sys

from equitrcoder.agent.approvals import ApprovalAnswer, ApprovalRequest
from equitrcoder.cli.text import safe

CHOICES = "[y] once  [d] show it whole  [n] no, and why: "
PREVIEW_LINES = 20


async def ask_at_terminal(request: ApprovalRequest) -> ApprovalAnswer:
    """Show what a call would do and wait for the person's answer."""
    _show(request.preview, PREVIEW_LINES)
    while True:
        answer = (await _line(f"{request.tool_name} {safe(request.shown_subject)}\n{CHOICES}")).strip()
        if answer in ("y", "yes"):
            return ApprovalAnswer(granted=True)
        if answer == "d":
            _show(request.preview, None)
        elif answer[:1] == "n":
            why = answer.removeprefix("no").removeprefix("n").strip(" ,:")
            return ApprovalAnswer(granted=False, reason=why or (await _line("why? ")).strip())


def _show(preview: str, limit: int | None) -> None:
    lines = safe(preview).splitlines()
    shown = lines if limit is None else lines[:limit]
    sys.stderr.write("\n".join(shown) + "\n")
    if len(shown) < len(lines):
        sys.stderr.write(f"… {len(lines) - len(shown)} more lines: d shows them\n")


async def _line(prompt: str) -> str:
    """Read one line without blocking what else runs; end-of-file denies."""
    sys.stderr.write(prompt)
    sys.stderr.flush()
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[str] = loop.create_future()

    def read() -> None:
        line = sys.stdin.readline()
        if not ready.done():
            ready.set_result(line or "n end of input")

    loop.add_reader(sys.stdin.fileno(), read)
    try:
        return await ready
    finally:
        loop.remove_reader(sys.stdin.fileno())
