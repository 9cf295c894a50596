"""Asking the person in a session whether a call may run, and remembering "always" until the session ends."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from contextlib import suppress

from equitrcoder import jsontext
from equitrcoder.agent.approvals import ApprovalAnswer, ApprovalRequest
from equitrcoder.cli.asking import because
from equitrcoder.cli.interactive.editing import EDITED, ON_THE_LINE, edit_in_editor
from equitrcoder.cli.interactive.lines import EndOfLines, Interrupted, Lines
from equitrcoder.cli.interactive.stops import Stops
from equitrcoder.cli.interactive.view import ChatView
from equitrcoder.cli.text import one_line, safe

CHOICES = "[y] once  [a] always for {pattern}  {edit}[d] diff  [n] no, and why: "
EDIT = "[e] edit  "
PREVIEW_LINES = 20

_PLAIN_WORD = re.compile(r"[A-Za-z0-9_./+-]+")
_SHELL_SIGNS = re.compile(r"[;&|<>()`$\n\r\\{}*?\[\]!#~'\"=]")
_RUNS_ANYTHING = re.compile(
    r"(?:.*/)?(?:\.|[a-z]*sh|env|sudo|doas|su|xargs|eval|exec|nohup|time|timeout|nice|setsid|command|builtin|source"
    r"|find|watch|script|python[\d.]*|node|deno|perl|ruby|php|lua|[a-z]*awk|sed|ed|[a-z]*vim?|git|make|npx|docker|podman"
    r"|rm|kubectl|curl|wget|nc)"
)
"""First words that say too little about what a command does: for these only the very same command is allowed again."""


class Asking:
    """Asks about one call at a time.

    Args:
        stops: Ctrl-C at the question stops the turn; while an editor is open it is the editor's.
    """

    def __init__(self, lines: Lines, view: ChatView, stops: Stops) -> None:
        self._lines = lines
        self._view = view
        self._stops = stops
        self.always: dict[str, str] = {}
        """Patterns that were allowed for the session, and how they read."""

    async def __call__(self, request: ApprovalRequest) -> ApprovalAnswer:
        key, reads = pattern(request)
        if key in self.always:
            return ApprovalAnswer(granted=True, reason=f"always for {reads}")
        self._view.hold()
        try:
            return await self._ask(request, key, reads)
        finally:
            self._view.release()

    async def _ask(self, request: ApprovalRequest, key: str, reads: str) -> ApprovalAnswer:
        self._view.ring()
        _show(request.preview, PREVIEW_LINES)
        _write(f"{request.tool_name} {one_line(request.shown_subject, 200)}\n{because(request)}")
        edit = EDIT if request.tool_name in EDITED else ""
        while True:
            said = (await self._line(CHOICES.format(pattern=reads, edit=edit))).strip()
            if said in ("y", "yes"):
                return ApprovalAnswer(granted=True)
            if said in ("a", "always"):
                self.always[key] = reads
                return ApprovalAnswer(granted=True, reason=f"always for {reads}")
            if said in ("e", "edit") and edit:
                answer = await self._edited(request)
                if answer is not None:
                    return answer
            elif said in ("d", "diff"):
                _show(request.preview, None)
            elif re.match(r"no?\b", said):
                why = re.sub(r"^no?\b[\s,:]*", "", said)
                return ApprovalAnswer(granted=False, reason=why or (await self._line("why? ")).strip())

    async def _edited(self, request: ApprovalRequest) -> ApprovalAnswer | None:
        """The call as the person changed it; None when that came to nothing."""
        field = EDITED[request.tool_name]
        before = str(request.arguments.get(field, ""))
        if request.tool_name in ON_THE_LINE and "\n" not in before and before.isprintable():
            after = await self._line(f"{field}: ", before, at_end="") or None
        else:
            with self._lines.lent(), self._stops.ignored():
                after = await edit_in_editor(before, request.subject, os.environ)
        if after is None:
            _write("That left nothing to run; the call is as it was.\n")
            return None
        if after == before:
            return ApprovalAnswer(granted=True)
        return ApprovalAnswer(granted=True, arguments={**request.arguments, field: after})

    async def _line(self, question: str, default: str = "", *, at_end: str = "n end of input") -> str:
        try:
            return await self._lines.answer(question, default)
        except EndOfLines:
            return at_end
        except Interrupted:
            self._stops.interrupt()
            await asyncio.get_running_loop().create_future()  # the turn is being cancelled, and this with it
            raise


def pattern(request: ApprovalRequest) -> tuple[str, str]:
    """What "always" stands for: a key that later calls of the same kind share, and words for a person.

    A file: the same tool on the same path. A command: its first word, unless it holds anything that the shell acts on
    or starts something that can run anything; then the very same command. A commit: any. What a rule
    asks about: the very same call.

    Example:
        >>> asked = dict(call_uid="", arguments={}, effect="command", preview="")
        >>> for line in ("pytest -q", "pytest -q; rm -rf /", "python -c 1"):
        ...     print(pattern(ApprovalRequest(tool_name="run_command", subject=line, **asked))[1])
        pytest …
        exactly this
        exactly this
    """
    tool, subject = request.tool_name, request.subject
    if request.rule:  # what a rule asks about is not answered for others that are like it
        return f"{tool}\0={jsontext.dumps(request.arguments).decode()}", "exactly this"
    if tool == "git_commit":
        return f"{tool}\0", "any commit"
    if request.effect != "command":
        return f"{tool}\0{subject}", one_line(f"{tool} {subject}", 50)
    first = subject.split()[0] if subject.split() else ""
    if _SHELL_SIGNS.search(subject) or _RUNS_ANYTHING.fullmatch(first) or not _PLAIN_WORD.fullmatch(first):
        return f"{tool}\0={subject}", "exactly this"
    return f"{tool}\0{first}", f"{safe(first)} …"


def _show(preview: str, limit: int | None) -> None:
    lines = safe(preview).splitlines()
    shown = lines if limit is None else lines[:limit]
    _write("\n".join(shown) + "\n")
    if len(shown) < len(lines):
        _write(f"… {len(lines) - len(shown)} more lines: d shows them\n")


def _write(words: str) -> None:
    with suppress(OSError):  # the terminal has gone; the signal that says so ends the session
        sys.stderr.write(words)
        sys.stderr.flush()
