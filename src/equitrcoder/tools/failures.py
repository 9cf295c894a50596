"""One mapping from what can go wrong to outcome, error type and what the model is told."""

from __future__ import annotations

import errno

from equitrcoder.errors import SandboxError
from equitrcoder.tools.text import printable, shown
from equitrcoder.tools.values import Box, ToolFailure, ToolResult

_NAMES_COMPARED = 2000

_BY_NUMBER = {
    errno.ENOENT: ("not_found", "does not exist"),
    errno.EACCES: ("permission_denied", "may not be used: permission denied"),
    errno.EPERM: ("permission_denied", "may not be changed: operation not permitted"),
    errno.EISDIR: ("not_a_file", "is a folder, not a file"),
    errno.ENOTDIR: ("not_a_folder", "leads through something that is no folder"),
    errno.EEXIST: ("exists", "exists already"),
    errno.ENOSPC: ("disk_full", "could not be written: the disk is full"),
    errno.EDQUOT: ("disk_full", "could not be written: the quota is used up"),
    errno.EROFS: ("permission_denied", "could not be written: the file system is read-only"),
    errno.ENAMETOOLONG: ("invalid_path", "has a name that is too long"),
    errno.EMFILE: ("busy", "could not be opened: too many files are open"),
    errno.EILSEQ: ("invalid_path", "has a name that this file system does not take"),
    errno.ELOOP: ("too_many_links", "leads through too many links"),
    errno.ENOTEMPTY: ("not_empty", "is a folder that is not empty"),
    errno.ETXTBSY: ("busy", "is a program that is running"),
    errno.EFBIG: ("too_large", "is too large for this file system"),
}


def failure_result(error: Exception, subject: str) -> ToolResult:
    """The result of a call whose tool raised.

    Args:
        error: What was raised. What has no row here is a fault of ours or of a tool: `crashed`.
        subject: The path or command the call was about.
    """
    if isinstance(error, ToolFailure):
        return failed(error.error_type, error.message, error)
    if isinstance(error, SandboxError):
        return failed("sandbox_failed", str(error))
    if isinstance(error, TimeoutError):
        return ToolResult(
            "It took too long.", outcome="timeout", error_type="timeout", error_message="It took too long."
        )
    if isinstance(error, OSError):
        return _system_failure(error, subject)
    kind = type(error).__name__
    return failed(
        "crashed", f"The tool crashed ({kind}: {error}). Nothing is known of what it had done; check before you go on."
    )


def near(box: Box, path: str, levels: int = 8) -> str:
    """The names most like one that is not there, as a sentence to append; "" when nothing is like it."""
    import difflib
    import os

    folder, _, name = path.rstrip("/").rpartition("/")
    try:
        with box.workspace.at(folder) as place:
            descriptor = box.workspace.open_folder(place)
            try:
                names = os.listdir(descriptor)[:_NAMES_COMPARED]  # noqa: PTH208  (a descriptor)
            finally:
                os.close(descriptor)
    except FileNotFoundError:
        more = near(box, folder, levels - 1) if levels else ""
        return f" Nor does its folder {shown(folder)}.{more}" if folder else ""
    except (OSError, ToolFailure):
        return ""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    prefix = f"{folder}/" if folder else ""
    return f" Near it: {', '.join(printable(prefix + found) for found in close)}" if close else ""


def failed(error_type: str, message: str, detail: ToolFailure | None = None) -> ToolResult:
    """A failed result whose text is the message."""
    return ToolResult(
        message,
        outcome=detail.outcome if detail else "failed",
        error_type=error_type,
        error_message=message.partition("\n")[0][:500],
        metadata=detail.metadata if detail else None,
    )


def _system_failure(error: OSError, subject: str) -> ToolResult:
    known = _BY_NUMBER.get(error.errno or 0)
    name = shown(subject or str(error.filename or "it"))
    if known is None:
        return failed("os_error", f"{name}: {error.strerror or error}.")
    return failed(known[0], f"{name} {known[1]}.")
