"""Reading a settings file: bounded, with the line of every key, refusing what YAML hides.

Loaded only when there is a file: yaml takes longer to import than all of our settings together.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from equitrcoder.errors import ConfigError
from equitrcoder.settings.checks import Place
from equitrcoder.settings.complaints import shown

MAX_BYTES = 256 * 1024
MAX_DEPTH = 12

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is ten times as fast; not every build has it


class Document(NamedTuple):
    """A settings file as read: plain values, and the line of each."""

    name: str
    """As messages call it."""
    values: dict[str, Any]
    lines: dict[Place, int]
    mode: int
    """The file's permission bits."""
    sha256: str
    """Of the bytes that were read, in hex."""

    def line(self, place: Place) -> int:
        """Line of a place, or of what it stands in; 1 for the whole."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def at(self, place: Place) -> str:
        """`file:line` of a place."""
        return f"{self.name}:{self.line(place)}"


def read_file(path: Path, name: str, *, follow_links: bool = True) -> Document | None:
    """Read one settings file; None when there is none.

    Args:
        path: Where it is.
        name: As messages call it.
        follow_links: False for a repository's: a link of a stranger could show what is in a file of yours.

    Raises:
        ConfigError: It cannot be read, is no regular file, too large, no YAML, or holds what is refused:
            duplicate keys, aliases, tags of its own, nesting deeper than 12, more than one document.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP and not follow_links:
            raise ConfigError(f"{name} is a link.", hint="put the settings into an ordinary file") from error
        raise ConfigError(
            f"{name} cannot be read: {error.strerror}.", hint=f"look at its permissions: ls -l {path}"
        ) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{name} is no regular file.", hint="put the settings into an ordinary file")
        raw = _bytes(descriptor)
    finally:
        os.close(descriptor)
    if len(raw) > MAX_BYTES:
        raise ConfigError(
            f"{name} is larger than {MAX_BYTES // 1024} KB.", hint="settings are a few lines; is this the right file?"
        )
    values, lines = parse(raw, name)
    return Document(name, values, lines, stat.S_IMODE(status.st_mode), hashlib.sha256(raw).hexdigest())


def _bytes(descriptor: int) -> bytes:
    """The file's bytes, at most one more than are taken."""
    parts: list[bytes] = []
    while (left := MAX_BYTES + 1 - sum(map(len, parts))) and (part := os.read(descriptor, left)):
        parts.append(part)
    return b"".join(parts)


def parse(raw: bytes, name: str) -> tuple[dict[str, Any], dict[Place, int]]:
    """Read YAML into plain values and the line (from 1) of each key and list item. Pure.

    Raises:
        ConfigError: As `read_file`.

    Example:
        >>> parse(b"budget: 2\\norchestrator:\\n  worker_model: a/b", "x.yaml")[1][("orchestrator", "worker_model")]
        3
    """
    try:
        loader = _Loader(raw)
        try:
            return _Reader(loader, name).document()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(
            f"{name}:{line}: no YAML: {shown(error.problem or 'unreadable', 120)}.", hint="check the line"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: no YAML: {shown(str(error), 120)}.", hint="save it as UTF-8 text") from None


class _Reader:
    """Builds values from YAML events itself: so lines are kept and nothing is expanded before it has been looked at."""

    def __init__(self, loader: Any, name: str) -> None:  # typed Any: the two loaders share no class
        self.loader = loader
        self.name = name
        self.lines: dict[Place, int] = {}

    def document(self) -> tuple[dict[str, Any], dict[Place, int]]:
        self.next()  # the stream's start
        if self.loader.check_event(yaml.StreamEndEvent):
            return {}, {}
        self.next()  # the document's start
        value = self.value(self.next(), ())
        self.next()  # the document's end
        if not self.loader.check_event(yaml.StreamEndEvent):
            raise self.refused(self.loader.peek_event(), "a second document (---)")
        if value is not None and not isinstance(value, dict):
            raise ConfigError(
                f"{self.name}:1: settings are written `key: value`, one per line.", hint="see docs/settings.md"
            )
        return value or {}, self.lines

    def next(self) -> Any:
        return self.loader.get_event()

    def value(self, event: Any, place: Place) -> Any:
        if isinstance(event, yaml.AliasEvent):
            raise self.refused(event, "an alias (*)")
        if len(place) > MAX_DEPTH:
            raise self.refused(event, f"nesting deeper than {MAX_DEPTH}")
        if event.tag is not None and event.tag != "!":
            raise self.refused(event, "a tag (!)")
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(place)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(place)
        return self.scalar(event)

    def mapping(self, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self.refused(event, "a key that is no plain text")
            key, line = event.value, _line_of(event)
            if key in found:
                first = self.lines[(*place, key)]
                told = f'{self.name}:{line}: "{shown(key)}" stands here again, first on line {first}.'
                raise ConfigError(told, hint="keep one of them")
            self.lines[(*place, key)] = line
            found[key] = self.value(self.next(), (*place, key))
        return found

    def sequence(self, place: Place) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := self.next(), yaml.SequenceEndEvent):
            self.lines[(*place, len(found))] = _line_of(event)
            found.append(self.value(event, (*place, len(found))))
        return found

    def scalar(self, event: Any) -> Any:
        if len(event.value) > _LONGEST_NUMBER:
            return event.value  # YAML's base-60 numbers take quadratic time
        tag = self.loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        if tag not in _PLAIN_TAGS:
            return event.value  # dates and the like are text here
        try:
            return self.loader.construct_object(yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark))
        except ValueError:
            return event.value

    def refused(self, event: Any, what: str) -> ConfigError:
        told = f"{self.name}:{_line_of(event)}: {what} is not taken in settings."
        return ConfigError(told, hint="write it out plainly")


def _line_of(event: Any) -> int:
    return int(event.start_mark.line) + 1


_LONGEST_NUMBER = 40
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float"))
