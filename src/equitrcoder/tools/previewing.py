"""What a call would do, for whoever approves it. Nothing is changed."""

from __future__ import annotations

import difflib

from equitrcoder.tools.editing import replace_text
from equitrcoder.tools.text import printable
from equitrcoder.tools.values import Box, ToolFailure, ValidCall
from equitrcoder.tools.writing import read_whole

_LINES_MAX = 10_000


def preview(box: Box, call: ValidCall) -> str:
    """A unified diff for a write, the line of a command, message and paths of a commit, else name and subject.

    Raises:
        ToolFailure, OSError: The call could not be carried out.
    """
    if call.name == "write_file":
        return _diff(box, call.subject, call.arguments["content"])
    if call.name == "edit_file":
        old = read_whole(box, call.subject)
        arguments = call.arguments
        new, _ = replace_text(
            call.subject,
            old,
            arguments["old_text"],
            arguments["new_text"],
            replace_all=arguments.get("replace_all", False),
        )
        return _diff(box, call.subject, new)
    if call.name == "run_command":
        return str(call.arguments["command"])
    if call.name == "git_commit":
        paths = call.arguments.get("paths")
        return "\n".join([call.subject, "", *(map(printable, paths) if paths is not None else ["all changes"])])
    return f"{call.name} {printable(call.subject)}".strip()


def _diff(box: Box, path: str, new: str) -> str:
    """Refuses what the write itself would refuse."""
    old, source = _present(box, path)
    if old == new:
        return "no change"
    name = printable(path)
    before, after = _lines(old), _lines(new)
    if len(before) + len(after) > _LINES_MAX:
        return f"{name}: {len(before):,} lines become {len(after):,}; too many to show as a diff"
    found = difflib.unified_diff(before, after, source, f"b/{name}", lineterm="")
    return "\n".join(line.replace("\r", "").encode("utf-8", "replace").decode() for line in found)


def _present(box: Box, path: str) -> tuple[str, str]:
    """What is there now, and its name in the diff."""
    try:
        with box.workspace.at(path) as place:
            box.workspace.refuse_protected(place.path, through_git=place.through_git)
            there = place.status is not None
    except FileNotFoundError:
        there = False
    if not there:
        return "", "/dev/null"
    try:
        return read_whole(box, path), f"a/{printable(path)}"
    except ToolFailure as error:
        if error.error_type not in ("binary_file", "too_large"):
            raise
        return "", f"a/{printable(path)}"


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return lines
