"""Commands that start other commands: `sudo`, `env`, `xargs`, `bash -c` and the like.

For what forbids or asks, every tail of their words counts as a command; for what allows, only the ones whose options
are known here are looked through, and the rest must be allowed by their own name as well as what they start.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from equitrcoder.rules.words import MARKS, SPLIT

if TYPE_CHECKING:
    from equitrcoder.rules.shell import Taker, Words

SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "fish", "rbash", "yash"})
CARRIERS = frozenset(
    "sudo doas su pkexec runuser env time nice nohup timeout command builtin exec xargs find fd parallel watch "  # noqa: SIM905
    "script ssh flock chroot unshare nsenter strace ltrace gdb taskset ionice chrt setarch setsid stdbuf "
    "systemd-run busybox toybox caffeinate unbuffer rlwrap coproc firejail bwrap proot fakeroot faketime perf valgrind "
    "entr direnv nix-shell docker podman kubectl poetry uv pipenv npx hatch pdm conda".split()
)
"""Start the command that stands in their words."""
_TRANSPARENT: dict[str, tuple[str, str]] = {
    # name: (options without a value, options with one), as single letters or long words
    "time": ("p v", "f o"),
    "nice": ("", "n"),
    "nohup": ("", ""),
    "timeout": ("v foreground preserve-status verbose", "k s kill-after signal"),
    "command": ("p", ""),
    "builtin": ("", ""),
    "exec": ("c l", "a"),
    "setsid": ("c f w", ""),
    "stdbuf": ("", "i o e"),
    "xargs": ("0 r t x", "n P L d s I"),
    "env": ("", ""),
}
QUIET = frozenset({":", "true", "false", "echo", "pwd", "exit", "return", "break", "continue"})
"""Builtins that do nothing by themselves; where they write to is a redirection."""
_RESERVED = frozenset(
    "! if then else elif fi do done case esac while until for in select function { } [[ ]] coproc".split()  # noqa: SIM905
)
_ASSIGNMENT = re.compile(r"(\w+)(?:\[[^\]]*\])?\+?=")
_MOVES = frozenset({"cd", "pushd", "popd"})
_SET_NAMES = frozenset({"read", "getopts", "mapfile", "readarray", "let", "printf", "wait", "test", "["})
_STARTS_SHELL = re.compile(r"[-+][A-Za-z]*c[A-Za-z]*")


_SYSTEM = ("/usr/bin/", "/bin/", "/usr/local/bin/", "/usr/sbin/", "/sbin/", "/opt/homebrew/bin/")


def base(name: str) -> str:
    """The last part of a path, for what forbids: ./x/git may be git."""
    return name.rpartition("/")[2]


def plain(name: str) -> str:
    """A program's name, for what allows: /usr/bin/git is git, ./git is not."""
    folder, _, last = name.rpartition("/")
    return last if folder + "/" in _SYSTEM else name


def unwrap(taker: Taker, words: Words) -> None:
    """Note what a command starts; put into `parts` what must be allowed."""
    name = base(words[0])
    if words[0] in _RESERVED:  # the grammar takes `! if …` for a command called "!"
        taker.unknown("where a command in it begins is not sure")
    if found := _ASSIGNMENT.match(words[0]):  # `time X=1 git push`
        taker.assign(found[1])
        taker.unsafe("it sets a variable where the grammar has a command")
        taker.run(words[1:])
        return
    if words[0] in QUIET:
        return
    if words[0] == "cd" and _stays_inside(words):
        taker.line.moved = True
        return
    inner = _through(words) if plain(words[0]) in _TRANSPARENT else None
    if inner is None:
        taker.line.parts.append(words)
    elif inner:
        before = len(taker.line.parts)
        taker.run(inner)
        if len(taker.line.parts) == before and name == "xargs":
            taker.line.parts.append(words)
    if name in CARRIERS and not inner:
        _tails(taker, words)
    if name in SHELLS:
        _shell(taker, words)
    else:
        _builtin(taker, name, words)


def _stays_inside(words: Words) -> bool:
    """Whether a cd goes into a folder below: `cd src`."""
    if len(words) != 2 or any(mark in words[1] for mark in MARKS):
        return False
    return not words[1].startswith(("/", "-")) and ".." not in words[1].split("/")


def _through(words: Words) -> Words | None:
    """What a transparent command starts; () for nothing; None when its options are not known here."""
    name = base(words[0])
    without, with_value = (part.split() for part in _TRANSPARENT[name])
    at = 1
    while at < len(words) and words[at].startswith("-") and words[at] != "-":
        option, _, value = words[at].lstrip("-").partition("=")
        if words[at] == "--":
            at += 1
            break
        if option in without:
            at += 1
        elif option in with_value:
            at += 1 if value else 2
        elif len(option) > 1 and option[0] in with_value and not words[at].startswith("--"):
            at += 1
        else:
            return None
    if name == "timeout":
        at += 1
    if any(mark in word for word in words[1:at] for mark in MARKS):
        return None
    if name == "env" and at < len(words) and "=" in words[at]:
        return None
    rest = words[at:]
    return (*rest, SPLIT) if name == "xargs" and rest else rest


def _tails(taker: Taker, words: Words) -> None:
    """Every tail may be a command: what forbids must find it wherever it stands."""
    for at in range(1, min(len(words), 40)):
        if words[at].startswith("-") and len(words[at]) > 1:
            if " " in words[at]:
                taker.unknown(f"{base(words[0])} is given a command in a way that is not known here")
            continue
        found = words[at:]
        taker.line.commands.append(found)
        if "=" in words[at] and base(words[0]) == "env":
            taker.assign(words[at].partition("=")[0])
        if base(found[0]) in SHELLS:
            _shell(taker, found)
        elif " " in words[at]:  # watch "git push", ssh host "git push", su -c "git push"
            taker.script(words[at])
    if base(words[0]) in ("find", "fd"):
        _find(taker, words)


def _find(taker: Taker, words: Words) -> None:
    """`find … -exec CMD {} \\;`: the command must be allowed as well."""
    for at, word in enumerate(words):
        if word in ("-exec", "-execdir", "-ok", "-okdir", "-x", "-X", "--exec", "--exec-batch"):
            ends = [end for end in range(at + 1, len(words)) if words[end] in (";", "+")] or [len(words)]
            found = tuple(SPLIT if "{}" in part else part for part in words[at + 1 : ends[0]])
            taker.run(found)


def _shell(taker: Taker, words: Words) -> None:
    """A shell: the script in its words is looked into; one from its input or from a variable is not known."""
    flags = [at for at, word in enumerate(words) if at and _STARTS_SHELL.fullmatch(word)]
    if flags:
        for word in words[flags[0] + 1 :]:
            taker.script(word)
        if any(mark in word for word in words for mark in MARKS):
            taker.unknown("it starts a shell with words that are put together while it runs")
        if words in taker.line.parts and plain(words[0]) in SHELLS and len(words) == flags[0] + 2 == 3:
            taker.line.parts.remove(words)  # bash -c SCRIPT and nothing else: the script's own commands say it all
    elif all(word.startswith(("-", "+")) for word in words[1:]) or words[1:2] == ("/dev/stdin",):
        if words[1:] not in (("--version",), ("--help",)):
            taker.unknown(f"{base(words[0])} runs what comes from its input")
    elif any(mark in words[1] for mark in MARKS):
        taker.unknown("it starts a shell with words that are put together while it runs")


def _builtin(taker: Taker, name: str, words: Words) -> None:
    """Builtins that run text, or change what the words after them mean."""
    rest = words[1:]
    if name == "eval":
        taker.script(" ".join(rest))
        if words in taker.line.parts:
            taker.line.parts.remove(words)
    elif name == "trap":
        for word in rest[:1]:
            taker.script(word)
    elif name in ("alias", "shopt", "bind", "complete", "compgen", "fc", "enable", "hash"):
        taker.unknown(f"{name} changes what words mean")
    elif name in _MOVES:
        taker.line.moved = True
    elif name in _SET_NAMES:
        _sets_names(taker, name, rest)
    elif name == "git":
        _git(taker, rest)


def _sets_names(taker: Taker, name: str, rest: Words) -> None:
    tests = name in ("test", "[", "printf", "wait")
    if name in ("let", "mapfile", "readarray") or any(word in ("-v", "-p", "-R") for word in rest if name != "read"):
        taker.unknown(f"{name} sets variables by names that it computes")
    elif (
        tests
        and any(word in ("-eq", "-ne", "-lt", "-le", "-gt", "-ge") for word in rest)
        and any("[" in word or SPLIT in word for word in rest[:-1])
    ):
        taker.unknown("it computes in a test, where a text can hold commands")
    elif not tests:
        for word in rest:
            if not word.startswith("-"):
                taker.assign(word)


def _git(taker: Taker, rest: Words) -> None:
    """git can be given commands of its own making: `git -c alias.x=push x`."""
    for word in rest:
        if not word.startswith("-"):
            break
        if word.startswith(("-c", "--config-env", "--exec-path")):
            taker.unknown("git is given settings of its own in the line")
    if rest[:1] == ("config",) and any(
        re.match(r"(?i)alias|core|include|filter|diff|merge", word) for word in rest[1:]
    ):
        taker.unknown("git config can change what later git commands do")
