"""Changing a call before it runs: a command on the line, the contents of a file in the user's own editor."""

from __future__ import annotations

import asyncio
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

EDITED = {"run_command": "command", "git_commit": "message", "write_file": "content", "edit_file": "new_text"}
"""The argument of each tool that can be changed."""
ON_THE_LINE = frozenset({"run_command", "git_commit"})


async def edit_in_editor(text: str, name: str, environ: Mapping[str, str]) -> str | None:
    """Let the user change a text in $VISUAL, $EDITOR or vi.

    Args:
        name: Of the file it is for: its ending tells an editor the language.

    Returns:
        The text as it was left; None when the editor failed or what it left is no UTF-8.
    """
    editor = environ.get("VISUAL") or environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="equitrcoder-") as folder:
        path = Path(folder) / f"change{_ending(name)}"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            process = await asyncio.create_subprocess_exec(*shlex.split(editor), str(path), cwd=folder)
            if await process.wait() != 0:
                return None
            return path.read_bytes().decode("utf-8")
        except (OSError, ValueError):  # no such editor, unbalanced quotes in its name, no UTF-8
            return None


def _ending(name: str) -> str:
    ending = PurePosixPath(name).suffix
    return ending if ending[1:].isalnum() and ending.isascii() and len(ending) <= 10 else ".txt"
