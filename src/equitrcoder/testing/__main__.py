"""A scripted provider in a process of its own: `python -m equitrcoder.testing SCRIPT.json`.

The first line on stdout is its base URL. It runs until SIGTERM or Ctrl-C, and says on stderr what went wrong.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from equitrcoder.testing.script import ReceivedRequest
from equitrcoder.testing.script_file import ScriptFile, ScriptFileError, read_script
from equitrcoder.testing.server import ScriptedProvider

_KEY_HEADERS = frozenset({"authorization", "x-api-key", "x-goog-api-key"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; 0 when nothing went wrong, 1 when the script did, 2 when it cannot be read."""
    options = _parser().parse_args(arguments)
    try:
        wanted = _load(options.script)
    except (OSError, ScriptFileError, ImportError, AttributeError) as error:
        print(f"cannot use the script {options.script}: {error}", file=sys.stderr)  # noqa: T201 - a command speaks
        return 2
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    log = None if options.log is None else options.log.open("a", encoding="utf-8")
    try:
        note = None if log is None else _logger(log)
        with ScriptedProvider(wanted.script, models=wanted.models, port=options.port, on_request=note) as provider:
            print(provider.base_url, flush=True)  # noqa: T201 - a command speaks
            stop.wait()
    finally:
        if log is not None:
            log.close()
    for sentence in provider.errors:
        print(sentence, file=sys.stderr)  # noqa: T201 - a command speaks
    return 1 if provider.errors else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m equitrcoder.testing", description="A scripted provider.")
    parser.add_argument("script", help="a JSON file (docs/testing.md), - for stdin, or package.module:function")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 (the default) takes a free one")
    parser.add_argument("--log", type=Path, help="append each request to this file as a JSON line, before answering it")
    return parser


def _load(where: str) -> ScriptFile:
    if where == "-":
        return read_script(sys.stdin.buffer.read())
    module, colon, name = where.partition(":")
    if colon and not where.endswith(".json"):
        return ScriptFile(script=getattr(import_module(module), name))
    return read_script(Path(where).read_bytes())


def _logger(log: IO[str]) -> Callable[[ReceivedRequest], None]:
    def note(request: ReceivedRequest) -> None:
        log.write(json.dumps(log_entry(request)) + "\n")
        log.flush()

    return note


def log_entry(request: ReceivedRequest) -> dict[str, Any]:
    """A request as a line of the log: its JSON, or its text where it was none; keys in headers are left out."""
    entry: dict[str, Any] = {
        "number": request.number,
        "at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "method": request.method,
        "path": request.path,
        "headers": {name: "(hidden)" if name in _KEY_HEADERS else text for name, text in request.headers.items()},
        "turn": request.turn,
        "json": request.json,
    }
    if request.json is None:
        entry["body"] = request.body.decode("utf-8", "replace")
    return entry


if __name__ == "__main__":
    sys.exit(main())
