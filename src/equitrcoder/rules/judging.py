"""Which rule holds for a call. No I/O but the resolving of paths.

Of all rules that fit, the strictest holds: deny before ask before allow; their order does not matter.

Source: docs/approvals.md.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from equitrcoder.rules.matching import certainly_meant, perhaps, surely
from equitrcoder.rules.words import MARKS
from equitrcoder.rules.written import Rule, Verdict

if TYPE_CHECKING:
    from equitrcoder.rules.shell import Line

_ANY_CASE = sys.platform == "darwin"


class Judgement(NamedTuple):
    """What the rules say of a call."""

    verdict: Verdict | Literal["unknown"] | None
    """None: no rule speaks of it, so the mode decides. `unknown`: nobody can say whether a rule forbids it."""
    why: str
    """For a person and the model."""
    rule: str = ""
    """The rule, as "rule 2 (deny: run_command git push *)"; "" when there is none."""


NOTHING = Judgement(None, "")


class Rules:
    """The rules of a session.

    Args:
        rows: Pairs of verdict and rule as written, such as ("allow", "run_command pytest *").
        root: The repository.

    Example:
        >>> rules = Rules([("allow", "run_command pytest *"), ("deny", "run_command git push")], "/repo")
        >>> rules.judge_command("pytest -q", writes_free=False).verdict
        'allow'
        >>> rules.judge_command("pytest -q; g'it' push origin", writes_free=False).why
        'rule 2 (deny: run_command git push) fits "git push origin"'
    """

    def __init__(self, rows: Iterable[tuple[str, str]], root: str) -> None:
        self._rules = [Rule(verdict, text, number) for number, (verdict, text) in enumerate(rows, 1)]
        self._root = os.path.realpath(root)

    def judge(self, tool: str, arguments: Mapping[str, Any], *, writes_free: bool) -> Judgement:
        """What the rules say of a call.

        Args:
            tool: Its name.
            arguments: As validated.
            writes_free: Whether the mode lets writes in the repository go ahead; then a redirection may as well.
        """
        if tool == "run_command":
            return self.judge_command(str(arguments["command"]), writes_free=writes_free)
        mine = [rule for rule in self._rules if rule.names(tool)]
        paths = paths_in(tool, arguments)
        for verdict in ("deny", "ask"):
            for rule in mine:
                if rule.verdict == verdict and self._restricts(rule, arguments, paths):
                    return _held(rule)
        if tool == "git_commit":
            for rule in mine:
                if rule.verdict != "allow" and rule.pattern and self._names_folders(paths):
                    return Judgement("unknown", f"whether {rule} fits cannot be known: name each file", str(rule))
        return self._allowed(mine, paths)

    def _restricts(self, rule: Rule, arguments: Mapping[str, Any], paths: Sequence[str] | None) -> bool:
        if not rule.pattern:
            return True
        texts = texts_in(arguments) if paths is None else paths
        return any(self._path_fits(rule, path, anyhow=True) for path in texts)

    def _names_folders(self, paths: Sequence[str] | None) -> bool:
        return not paths or any(os.path.isdir(os.path.join(self._root, path)) for path in paths)  # noqa: PTH112, PTH118

    def _allowed(self, mine: Sequence[Rule], paths: Sequence[str] | None) -> Judgement:
        allowing = [rule for rule in mine if rule.verdict == "allow"]
        for rule in allowing:
            if not rule.pattern:
                return _held(rule)
        if not paths:
            return NOTHING
        held = [next((rule for rule in allowing if self._path_fits(rule, path)), None) for path in paths]
        first = held[0]
        return _held(first) if first is not None and None not in held else NOTHING

    def judge_command(self, command: str, *, writes_free: bool) -> Judgement:
        """What the rules say of a command line; see `judge`."""
        mine = [rule for rule in self._rules if rule.names("run_command")]
        about_files = [
            rule
            for rule in self._rules
            if rule.verdict != "allow" and (rule.names("write_file") or rule.names("read_file"))
        ]
        strict = [rule for rule in mine if rule.verdict != "allow"]
        for verdict in ("deny", "ask"):
            for rule in strict:
                if rule.verdict == verdict and rule.words in ((), ("*",)):
                    return _held(rule)
        whole = next((rule for rule in mine if rule.verdict == "allow" and rule.words in ((), ("*",))), None)
        if not mine and not about_files:
            return NOTHING
        if whole is not None and not strict and not about_files:
            return _held(whole)
        from equitrcoder.rules.shell import take_apart

        line = take_apart(command)
        found = self._forbidden(line, strict, about_files)
        if found.verdict is not None:
            return found
        if whole is not None:
            return _held(whole)
        return self._line_allowed(line, mine, writes_free=writes_free)

    def _forbidden(self, line: Line, strict: Sequence[Rule], about_files: Sequence[Rule]) -> Judgement:
        for verdict in ("deny", "ask"):
            for rule in strict:
                for words in line.commands if rule.verdict == verdict else ():
                    if certainly_meant(rule.words, words):
                        return Judgement(rule.verdict, f'{rule} fits "{shown(words)}"', str(rule))
            for rule in about_files:
                for what, path in line.files if rule.verdict == verdict else ():
                    if rule.names(f"{what}_file") and self._file_fits(rule, path, moved=line.moved):
                        return Judgement(rule.verdict, f"{rule} fits the redirection to {shown([path])}", str(rule))
        for rule in strict:
            for words in line.commands:
                if perhaps(rule.words, words):
                    return Judgement("unknown", f'whether {rule} fits "{shown(words)}" cannot be known', str(rule))
        for rule in about_files:
            for what, path in line.files:
                if rule.names(f"{what}_file") and (line.moved or any(mark in path for mark in MARKS)):
                    told = f"whether {rule} fits the redirection to {shown([path])} cannot be known"
                    return Judgement("unknown", told, str(rule))
        if line.unknown and (strict or about_files):
            return Judgement("unknown", f"what the command does cannot be known: {line.unknown[0]}")
        return NOTHING

    def _file_fits(self, rule: Rule, path: str, *, moved: bool) -> bool:
        if not rule.pattern:
            return True
        if any(mark in path for mark in MARKS):
            return False
        return not (moved and not path.startswith("/")) and self._path_fits(rule, path, anyhow=True)

    def _line_allowed(self, line: Line, mine: Sequence[Rule], *, writes_free: bool) -> Judgement:
        allowing = [rule for rule in mine if rule.verdict == "allow"]
        if not allowing:
            return NOTHING
        if line.unknown:
            return Judgement(None, f"no rule can allow it: {line.unknown[0]}")
        if line.unsafe:
            return Judgement(None, f"no rule can allow it: {line.unsafe[0]}")
        held: Rule | None = None
        for words in line.parts:
            elsewhere = line.moved and "/" in words[0] and not words[0].startswith("/")  # ./x is another ./x now
            rule = next((rule for rule in allowing if not elsewhere and surely(rule.words, words)), None)
            if rule is None:
                return Judgement(None, f'no rule allows "{shown(words)}"')
            held = held or rule
        for what, path in line.files:
            if not self._redirection_allowed(what, path, moved=line.moved, writes_free=writes_free):
                return Judgement(None, f"no rule allows the redirection to {shown([path])}")
        if held is None:
            return Judgement("allow", "it starts no program")
        return _held(held)

    def _redirection_allowed(self, what: str, path: str, *, moved: bool, writes_free: bool) -> bool:
        if any(mark in path for mark in MARKS) or (moved and not path.startswith("/")):
            return False
        inside, resolved = self._names(path)
        if not inside:
            return False
        if what == "read":
            return True
        allowing = [rule for rule in self._rules if rule.verdict == "allow" and rule.names("write_file")]
        if any(not rule.pattern or self._path_fits(rule, path) for rule in allowing):
            return True
        return writes_free and not resolved.casefold().startswith(".git/")

    def _names(self, path: str) -> tuple[bool, str]:
        """Whether a path is inside the repository, and its name there after all links."""
        real = os.path.realpath(os.path.join(self._root, path))  # noqa: PTH118  (a Path would take dots away)
        inside = real == self._root or real.startswith(self._root + "/")
        return inside, real[len(self._root) + 1 :] if inside else real

    def _path_fits(self, rule: Rule, path: str, *, anyhow: bool = False) -> bool:
        """Whether a pattern fits a path.

        Args:
            anyhow: For what forbids: as written or after links, either is enough, and letters may be large or small
                where the file system takes them for the same. Else both must fit.
        """
        if "\0" in path:
            return anyhow
        inside, resolved = self._names(path)
        lexical = os.path.relpath(os.path.normpath(os.path.join(self._root, path)), self._root)  # noqa: PTH118
        names = [unicodedata.normalize("NFC", name) for name in (lexical, resolved)]
        fits = rule.fits_path_in_any_case if anyhow and _ANY_CASE else rule.fits_path
        if anyhow:
            return any(fits(name) or fits(name + "/") for name in names if not name.startswith("../"))
        return inside and all(rule.fits_path(name) for name in names)


_PATH_ARGUMENTS = {
    "read_file": "file_path",
    "write_file": "file_path",
    "edit_file": "file_path",
    "list_directory": "path",
    "directory_tree": "path",
    "search": "path",
    "git_diff": "path",
    "git_commit": "paths",
}


def paths_in(tool: str, arguments: Mapping[str, Any]) -> list[str] | None:
    """The paths that a call is about; None when nobody told us which of its arguments are paths.

    Example:
        >>> paths_in("search", {"pattern": "x"}), paths_in("git_commit", {"message": "m", "paths": ["a"]})
        (['.'], ['a'])
    """
    if tool not in _PATH_ARGUMENTS:
        return None
    given = arguments.get(_PATH_ARGUMENTS[tool])
    if given is None:
        return [] if tool == "git_commit" else ["."]
    return [given] if isinstance(given, str) else list(given)


def texts_in(value: Any) -> list[str]:
    """Every text in the arguments of a tool whose paths nobody told us, a foreign one say."""
    if isinstance(value, str):
        return [value] if value and len(value) < 4096 else []
    if isinstance(value, Mapping):
        return [text for one in value.values() for text in texts_in(one)]
    return [text for one in value for text in texts_in(one)] if isinstance(value, list | tuple) else []


def shown(words: Sequence[str]) -> str:
    """A command in a sentence; … for what is not known.

    Example:
        >>> shown(["git", "\\x01", "x"])
        'git … x'
    """
    text = " ".join(words)
    for mark in MARKS:
        text = text.replace(mark, "…")
    return text if len(text) <= 120 else text[:119] + "…"


def _held(rule: Rule) -> Judgement:
    return Judgement(rule.verdict, str(rule), str(rule))
