"""The ten tools as the model is told about them: each signature and docstring here becomes a schema.

The bodies are elsewhere and loaded when a tool is first used, so that a start pays for the words only.

Source: DESIGN.md section 6.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from equitrcoder.tools.values import Box, Effect, ToolResult


async def read_file(box: Box, file_path: str, start_line: int | None = None, end_line: int | None = None) -> ToolResult:
    """Read a text file of the repository.

    Without start_line and end_line the content comes exactly as it is. With one of them only those lines come, each
    after its number and a tab (not part of the file). A long result is cut in the middle and says which lines are
    missing.

    Args:
        file_path: Path of the file, relative to the repository's root.
        start_line: First line to read, from 1.
        end_line: Last line to read, included.
    """
    from equitrcoder.tools import reading

    return await reading.read_file(box, file_path, start_line, end_line)


async def write_file(box: Box, file_path: str, content: str) -> ToolResult:
    """Write a text file of the repository: make it, or replace all of it.

    Folders on the way are made. To change part of a file use edit_file.

    Args:
        file_path: Path of the file, relative to the repository's root.
        content: The whole new content.
    """
    from equitrcoder.tools import writing

    return await writing.write_file(box, file_path, content)


async def edit_file(box: Box, file_path: str, old_text: str, new_text: str, replace_all: bool = False) -> ToolResult:
    """Replace text in a file of the repository.

    old_text must be in the file exactly, spaces and line breaks included, and only once unless replace_all is true.

    Args:
        file_path: Path of the file, relative to the repository's root.
        old_text: The text to replace, with enough lines around it to be there only once.
        new_text: What to put in its place; may be empty.
        replace_all: Replace every place where old_text is.
    """
    from equitrcoder.tools import writing

    return await writing.edit_file(box, file_path, old_text, new_text, replace_all)


async def list_directory(box: Box, path: str = ".") -> ToolResult:
    """List a folder of the repository: one name per line, folders with a slash at the end, links with what they name.

    Args:
        path: Path of the folder, relative to the repository's root.
    """
    from equitrcoder.tools import listing

    return await listing.list_directory(box, path)


async def directory_tree(box: Box, path: str = ".", depth: int = 3) -> ToolResult:
    """Show a folder of the repository and what is below it, indented. What git ignores is named but not entered.

    Args:
        path: Path of the folder, relative to the repository's root.
        depth: How many levels to show.
    """
    from equitrcoder.tools import listing

    return await listing.directory_tree(box, path, depth)


async def search(box: Box, pattern: str, path: str = ".", glob: str | None = None) -> ToolResult:
    """Search the text files of the repository for a regular expression (RE2 syntax; start with (?i) to ignore case).

    Gives one line per matching line: path:line: text. Files that git ignores, binary files and .git are left out.

    Args:
        pattern: The regular expression. Quote special characters with a backslash.
        path: Folder or file to search in, relative to the repository's root.
        glob: Only files whose path fits, as in .gitignore: *.py, or src/**/*.ts.
    """
    from equitrcoder.tools import searching

    return await searching.search(box, pattern, path, glob)


async def run_command(box: Box, command: str, timeout_s: int | None = None) -> ToolResult:
    """Run a bash command line in the repository's root, and wait for it.

    Standard input is empty; stdout and stderr come together. Every process that it starts ends with it: nothing can be
    left running in the background. Each call is a new shell: cd and variables do not last.

    Args:
        command: The command line.
        timeout_s: Seconds after which it is ended; left out, the usual limit holds.
    """
    from equitrcoder.tools import commands

    return await commands.run_command(box, command, timeout_s)


async def git_status(box: Box) -> ToolResult:
    """Show the branch and the changed files, as git status --short does."""
    from equitrcoder.tools import git

    return await git.git_status(box)


async def git_diff(box: Box, path: str = ".", staged: bool = False) -> ToolResult:
    """Show what changed since the last commit, as a unified diff; new files that git does not know yet are named.

    Args:
        path: Only changes in this file or folder.
        staged: Only what is staged for the next commit.
    """
    from equitrcoder.tools import git

    return await git.git_diff(box, path, staged)


async def git_commit(box: Box, message: str, paths: list[str] | None = None) -> ToolResult:
    """Commit changes in the repository. Hooks do not run and the commit is not signed.

    Args:
        message: The commit message.
        paths: The changed files to commit, new and deleted ones too. Left out: all changes.
    """
    from equitrcoder.tools import git

    return await git.git_commit(box, message, paths)


Tool: TypeAlias = Callable[..., Awaitable[ToolResult]]

TOOLS: dict[str, tuple[Tool, Effect, str]] = {
    "read_file": (read_file, "read", "file_path"),
    "write_file": (write_file, "write", "file_path"),
    "edit_file": (edit_file, "write", "file_path"),
    "list_directory": (list_directory, "read", "path"),
    "directory_tree": (directory_tree, "read", "path"),
    "search": (search, "read", "pattern"),
    "run_command": (run_command, "command", "command"),
    "git_status": (git_status, "read", ""),
    "git_diff": (git_diff, "read", "path"),
    "git_commit": (git_commit, "write", "message"),
}
"""Name: the function, what it may do, and the argument that a call is about (display, approval, order of writes)."""
