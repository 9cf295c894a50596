"""git_status, git_diff and git_commit."""

from __future__ import annotations

import os
from collections.abc import Iterable

from equitrcoder.records import JSON
from equitrcoder.tools.gitcalls import Git, git_failed
from equitrcoder.tools.text import plural, printable
from equitrcoder.tools.values import Box, ToolFailure, ToolResult

_FALLBACK_IDENTITY = {
    "GIT_AUTHOR_NAME": "equitrcoder",
    "GIT_AUTHOR_EMAIL": "equitrcoder@localhost",
    "GIT_COMMITTER_NAME": "equitrcoder",
    "GIT_COMMITTER_EMAIL": "equitrcoder@localhost",
}
_STATUS = ("status", "--porcelain=v1", "-z", "--branch", "--untracked-files=all", "--ignore-submodules=dirty")


async def git_status(box: Box) -> ToolResult:
    """See `catalog.git_status`."""
    branch, changes = await _changes(Git(box), box)
    shown = changes[: box.limits.entries]
    lines = [f"## {branch}", *(f"{state} {printable(path)}" for state, path in shown)]
    metadata: dict[str, JSON] = {"branch": branch, "changed": len(changes)}
    if len(shown) < len(changes):
        lines.append(f"[... {len(changes) - len(shown):,} more of {len(changes):,} changed files ...]")
        metadata["truncated"] = True
    return ToolResult("\n".join(lines if changes else [*lines, "nothing changed"]), metadata=metadata)


async def git_diff(box: Box, path: str, staged: bool) -> ToolResult:
    """See `catalog.git_diff`."""
    with box.workspace.at(path) as place:
        where = place.path or "."
    git = Git(box)
    born = (await git.run("rev-parse", "--verify", "--quiet", "HEAD")).exit_code == 0
    what = ["--cached"] if staged or not born else ["HEAD"]
    words = ["diff", "--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=dirty", *what]
    result = await git.run(*words, "--", where, env={"GIT_LITERAL_PATHSPECS": "1"}, limit_bytes=box.limits.output_bytes)
    if result.exit_code != 0:
        raise git_failed("diff", result)
    text = result.output.decode("utf-8", "replace")
    unknown = [] if staged else await _unknown(git, box, where)
    if unknown:
        names = "\n".join(map(printable, unknown[: box.limits.entries]))
        text += (
            f"{'' if text.endswith(chr(10)) or not text else chr(10)}New files that git does not know yet:\n{names}\n"
        )
    metadata: dict[str, JSON] = {"bytes": result.output_bytes, "new_files": len(unknown)}
    if not result.truncated:
        return ToolResult(text or "no changes", metadata=metadata)
    return ToolResult(
        text,
        metadata={**metadata, "truncated": True},
        full_bytes=result.output_bytes,
        full_sha256=result.output_sha256,
    )


async def git_commit(box: Box, message: str, paths: list[str] | None) -> ToolResult:
    """See `catalog.git_commit`."""
    if not message.strip():
        raise ToolFailure("invalid_message", "The commit message is empty.", outcome="invalid")
    git = Git(box)
    states = (await _changes(git, box))[1]
    changes = list(dict.fromkeys(path for _, path in states))
    chosen = changes if paths is None else _chosen(box, paths, changes)
    if not chosen:
        raise ToolFailure("nothing_to_commit", "Nothing to commit: no file has changed.")
    gone = {path for state, path in states if state == "D "} - {path for state, path in states if state != "D "}
    given = ("--pathspec-from-file=-", "--pathspec-file-nul")
    literal = {"GIT_LITERAL_PATHSPECS": "1", "GIT_OPTIONAL_LOCKS": "1"}
    to_add = [path for path in chosen if path not in gone]  # git add does not know what is staged as deleted
    if to_add:
        await git.checked("add", "--all", *given, stdin=_lines_of(to_add), env=literal)
    identity = await _identity(git)
    words = ["commit", "--quiet", "--no-verify", "--no-gpg-sign", "--cleanup=strip", f"--message={message}"]
    await git.checked(*words, "--only", *given, stdin=_lines_of(chosen), env={**literal, **identity})
    commit = (await git.checked("rev-parse", "HEAD")).decode("ascii", "replace").strip()
    return ToolResult(
        f"Committed {plural(len(chosen), 'file')} as {commit[:12]}: {printable(message.strip().splitlines()[0])}",
        metadata={"commit": commit, "files": len(chosen), "fallback_identity": bool(identity)},
    )


def _lines_of(paths: Iterable[str]) -> bytes:
    return "".join(f"{path}\0" for path in paths).encode("utf-8", "surrogateescape")


def _chosen(box: Box, paths: list[str], changes: list[str]) -> list[str]:
    """The changed files that the model named, itself or by a folder.

    Raises:
        ToolFailure: `protected`, `not_changed`: names those that have no change; `outside_repository`.
    """
    chosen: dict[str, None] = {}
    for path in paths:
        name = _plain(box, path)
        box.workspace.refuse_protected(name)
        found = [change for change in changes if not name or change == name or change.startswith(name + "/")]
        if not found:
            raise ToolFailure("not_changed", f"{path} has no changes to commit. See git_status.")
        chosen.update(dict.fromkeys(found))
    return list(chosen)


def _plain(box: Box, path: str) -> str:
    """A path from the root without dots; links stay, since git tracks them as such."""
    name = os.path.normpath(box.workspace.relative(path))
    if name == ".." or name.startswith("../"):
        from equitrcoder.tools.workspace import outside

        raise outside(path)
    return "" if name == "." else name


async def _changes(git: Git, box: Box) -> tuple[str, list[tuple[str, str]]]:
    """The branch line, and state and path of each changed file; the ledger's files are left out.

    A renamed file comes twice: its old path as deleted, its new one as it is.
    """
    prefix = (await git.checked("rev-parse", "--show-prefix")).decode("utf-8", "surrogateescape").rstrip("\n")
    output = await git.checked(*_STATUS, "--", ".")
    fields = iter(output.decode("utf-8", "surrogateescape").split("\0"))
    branch, found = "", []
    for field in fields:
        if field.startswith("## "):
            branch = field[3:]
        elif field:
            found.append((field[:2], field[3:].removeprefix(prefix)))
            if field[0] in "RC" or field[1] in "RC":
                old = next(fields, "")
                if "R" in field[:2] and old.startswith(prefix):
                    found.append(("D ", old.removeprefix(prefix)))
    return branch, [(state, path) for state, path in found if not box.workspace.is_hidden(path)]


async def _unknown(git: Git, box: Box, where: str) -> list[str]:
    output = await git.checked(
        "ls-files", "--others", "--exclude-standard", "-z", "--", where, env={"GIT_LITERAL_PATHSPECS": "1"}
    )
    names = output.decode("utf-8", "surrogateescape").split("\0")
    return [name for name in names if name and not box.workspace.is_hidden(name)]


async def _identity(git: Git) -> dict[str, str]:
    """Nothing when the user has a name and an address for commits, else ours."""
    for variable in ("user.name", "user.email"):
        found = await git.run("config", "--get", variable)
        if found.exit_code != 0 or not found.output.strip():
            return _FALLBACK_IDENTITY
    return {}
