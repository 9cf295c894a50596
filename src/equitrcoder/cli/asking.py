"""Asking the person at the terminal whether a call may run."""

from __future__ import annotations

import asyncio
import sys

from equitrcoder import jsontext
from equitrcoder.agent.approvals import ApprovalAnswer, ApprovalRequest
from equitrcoder.cli.text import one_line, safe

CHOICES = "[y] once  [a] always, exactly this  [d] show it whole  [n] no, and why: "
PREVIEW_LINES = 20


class AskAtTerminal:
    """Shows what a call would do and waits for the person's answer; "always" holds until the process ends."""

    def __init__(self) -> None:
        self._always: set[tuple[str, bytes]] = set()

    async def __call__(self, request: ApprovalRequest) -> ApprovalAnswer:
        same = (request.tool_name, jsontext.dumps(request.arguments))
        if same in self._always:
            return ApprovalAnswer(granted=True, reason="always, exactly this")
        _show(request.preview, PREVIEW_LINES)
        question = f"{request.tool_name} {safe(request.shown_subject)}\n{because(request)}{CHOICES}"
        while True:
            said = (await _line(question)).strip()
            if said in ("y", "yes"):
                return ApprovalAnswer(granted=True)
            if said in ("a", "always"):
                self._always.add(same)
                return ApprovalAnswer(granted=True, reason="always, exactly this")
            if said == "d":
                _show(request.preview, None)
            elif said[:1] == "n":
                why = said.removeprefix("no").removeprefix("n").strip(" ,:")
                return ApprovalAnswer(granted=False, reason=why or (await _line("why? ")).strip())


def because(request: ApprovalRequest) -> str:
    """The line that says why it asks; "" when nothing is known."""
    return f"asked because: {one_line(request.why, 200)}\n" if request.why else ""


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
