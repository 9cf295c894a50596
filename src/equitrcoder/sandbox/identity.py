"""Who commits: the user's name and address, all that a walled command sees of their git settings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

FALLBACK = {"name": "equitrcoder", "email": "equitrcoder@localhost"}

_SECTION = re.compile(r"\s*\[\s*([^\]\s]+)[^\]]*\]")
_ENTRY = re.compile(r"\s*(name|email)\s*=\s*(.*)", re.IGNORECASE)


def git_settings(files: Iterable[Path]) -> str:
    """The text of a git settings file that holds the identity of those files; ours where they have none.

    Later files count more. The user's other settings may hold credentials and stay out.

    Example:
        >>> print(git_settings([]))
        [user]
            name = "equitrcoder"
            email = "equitrcoder@localhost"
        <BLANKLINE>
    """
    found = dict(FALLBACK)
    for file in files:
        try:
            found.update(_user_section(file.read_text("utf-8", "replace")))
        except OSError:
            continue
    lines = [f"    {key} = {_quoted(found[key])}" for key in ("name", "email")]
    return "\n".join(["[user]", *lines, ""])


def _user_section(text: str) -> dict[str, str]:
    """Name and email of `[user]`, as far as they are written in the plain way.

    Example:
        >>> _user_section('[core]\\nname = no\\n[user]\\n\\tName = "A B" # me\\n')
        {'name': 'A B'}
    """
    found: dict[str, str] = {}
    section = ""
    for line in text.splitlines():
        if header := _SECTION.match(line):
            section = header[1].lower()
        elif section == "user" and (entry := _ENTRY.match(line)):
            value = re.split(r"\s[#;]", entry[2])[0].strip().strip('"')
            if value:
                found[entry[1].lower()] = value
    return found


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
