"""What redaction costs per KB of text, and what other engines would take for the same literals.

    python -m bench.redaction [--rounds 7]

Clean text is the standard library's source, in pieces of 5 KB as they stand in a journal; text with secrets has two
keys in each piece. CPU time of the thread, best of the rounds, interleaved. More than the limits (2 us per KB
of clean text, 20 us where something is found) ends with exit code 1.
"""

from __future__ import annotations

import argparse
import re
import sys
import sysconfig
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson

from equitrcoder.ledger import Redactor
from equitrcoder.ledger.redaction_formats import formats
from equitrcoder.ledger.redaction_stream import StreamRedactor

PIECE_BYTES = 5120
PIECES = 400
KNOWN = {f"sk-ant-api03-{number}{'aB3dE6gH9k' * 9}": f"KEY_{number}" for number in range(5)}
CLEAN_LIMIT_US, FOUND_LIMIT_US = 2.0, 20.0
KEYS = (b" token=ghp_" + b"a1B2c3D4e5F6" * 3 + b" ", b" postgres://ada:s3cr3t-one@db/x ")


def clean_pieces() -> list[bytes]:
    """Source as it stands in JSON."""
    whole = b""
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        whole += orjson.dumps(path.read_text(encoding="utf-8", errors="replace"))
        if len(whole) > PIECE_BYTES * PIECES:
            break
    return [whole[start : start + PIECE_BYTES] for start in range(0, PIECE_BYTES * PIECES, PIECE_BYTES)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; 1 when one is above its limit."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    figures = measure(parser.parse_args(arguments).rounds)
    for name, figure in figures.items():
        print(f"{name:46} {figure:8.2f} us/KB")
    too_slow = figures["clean"] > CLEAN_LIMIT_US or figures["two secrets in 5 KB"] > FOUND_LIMIT_US
    return int(too_slow)


def measure(rounds: int) -> dict[str, float]:
    """Microseconds per KB."""
    clean = clean_pieces()
    found = [piece[:1000] + KEYS[0] + piece[1000:3000] + KEYS[1] + piece[3000:] for piece in clean]
    redactor = Redactor(KNOWN)
    began = time.thread_time()
    redactor.text("x")
    print(f"{'tables, once in a process':46} {(time.thread_time() - began) * 1000:8.2f} ms")
    literals = sorted({literal for format_ in formats() for literal in format_.needle.literals})
    steps: dict[str, tuple[Callable[[bytes], object], list[bytes]]] = {
        "clean": (redactor.suspects, clean),
        "two secrets in 5 KB": (lambda piece: redactor.text(piece.decode("utf-8", "replace")), found),
        "clean, as a stream of words": (lambda piece: _stream(redactor, piece), clean[:8]),
        "  for comparison: google-re2, formats only": (_re2(literals), clean),
        "  for comparison: Python re, formats only": (
            re.compile("|".join(map(re.escape, literals)).encode()).search,
            clean[:20],
        ),
    }
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(rounds):
        for name, (step, pieces) in steps.items():
            began = time.thread_time()
            for piece in pieces:
                step(piece)
            taken = time.thread_time() - began
            best[name] = min(best[name], taken / sum(map(len, pieces)) * 1024 * 1e6)
    return best


def _re2(literals: list[str]) -> Callable[[bytes], object]:
    import re2

    search: Callable[[bytes], object] = re2.compile("|".join(map(re2.escape, literals)).encode()).search
    return search


def _stream(redactor: Redactor, piece: bytes) -> None:
    stream = StreamRedactor(redactor)
    text = piece.decode("utf-8", "replace")
    for start in range(0, len(text), 6):
        stream.feed(text[start : start + 6])
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
