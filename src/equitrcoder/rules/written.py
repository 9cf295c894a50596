"""A rule as it is written: `allow: run_command "pytest *"`. Pure.

TOOL            every call of the tool; f_* every tool whose name begins so, * every tool
TOOL PATTERN    run_command: words of a command, where a * alone stands for any words and one in a word for any
                letters; other tools: a path in the repository, as in .gitignore
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Literal, TypeAlias, get_args

Verdict: TypeAlias = Literal["deny", "ask", "allow"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""The strictest first."""

_WRITTEN = re.compile(r"""(?P<tool>[A-Za-z0-9_.-]*\*?)(?:\s+(?P<pattern>\S.*))?""", re.DOTALL)
_SAME = {"edit_file": "write_file"}
"""Tools that a rule names by another one's name: both write files."""


class Rule:
    """One rule.

    Attributes:
        verdict: allow, ask or deny.
        tool: A tool's name, or its beginning and a `*`.
        pattern: "" for every call of the tool.
        number: Its place among the rules that hold, from 1.

    Example:
        >>> rule = Rule("deny", 'run_command "git push *"', 2)
        >>> rule.tool, rule.pattern, str(rule)
        ('run_command', 'git push *', 'rule 2 (deny: run_command git push *)')
    """

    def __init__(self, verdict: str, text: str, number: int = 0) -> None:
        """Raises ValueError with what is wrong."""
        found = _WRITTEN.fullmatch(text.strip())
        if found is None or not found["tool"]:
            raise ValueError("a tool and a pattern, such as run_command pytest *")
        if verdict not in VERDICTS:
            raise ValueError("allow, ask or deny")
        self.verdict: Verdict = verdict
        self.tool = _SAME.get(found["tool"], found["tool"])
        self.pattern = _unquoted((found["pattern"] or "").strip())
        self.number = number
        if self.pattern and not self.about_commands:
            if self.pattern.startswith(("!", "#")):
                raise ValueError("a path as in .gitignore, without ! or # in front")
            if self.pattern.startswith("/") and self.pattern.count("/") > 1 and not self.pattern.startswith("/**"):
                raise ValueError("a path in the repository, such as src/** (or /src/** from its root)")

    def __str__(self) -> str:
        return f"rule {self.number} ({self.verdict}: {self.tool}{' ' if self.pattern else ''}{self.pattern})"

    @property
    def about_commands(self) -> bool:
        """Whether its pattern is one of commands."""
        return self.tool == "run_command"

    def names(self, tool: str) -> bool:
        """Whether it is about this tool."""
        if self.tool.endswith("*"):
            return tool.startswith(self.tool[:-1])
        return _SAME.get(tool, tool) == self.tool

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The pattern's words."""
        return tuple(self.pattern.split())

    @cached_property
    def _paths(self) -> tuple[object, object]:
        from pathspec import GitIgnoreSpec

        return GitIgnoreSpec.from_lines([self.pattern]), GitIgnoreSpec.from_lines([self.pattern.casefold()])

    def fits_path(self, path: str) -> bool:
        """Whether its pattern fits a path relative to the repository; letters count as they are."""
        return bool(self._paths[0].match_file(path))  # type: ignore[attr-defined]

    def fits_path_in_any_case(self, path: str) -> bool:
        """The same, large and small letters alike: some file systems take them for the same."""
        return bool(self._paths[1].match_file(path.casefold()))  # type: ignore[attr-defined]


def _unquoted(pattern: str) -> str:
    if len(pattern) > 1 and pattern[0] in "\"'" and pattern[-1] == pattern[0] and pattern[0] not in pattern[1:-1]:
        return pattern[1:-1].strip()
    return pattern
