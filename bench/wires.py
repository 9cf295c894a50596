"""`python -m bench.wires`: what reading an answer costs, whole and streamed, beside the least that it can cost.

Whole answers of three sizes are read by each wire and by the standard library's `json.loads`: the aim is at most
twice its time. So are all recorded answers, one after the other, where EQUITRCODER_CORPUS names their folder. Streams
of deltas of 100 to 300 bytes are read in pieces of 16 KB, as a socket gives them: the aim is 50 MB a second on one
core. Beside them stands the floor: cutting the same bytes into lines and `orjson.loads` of each event. Rounds are
interleaved, and each figure is the median of them.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from bench.answers import STREAMS, WHOLE
from equitrcoder.errors import ProviderError
from equitrcoder.wires import wire

FOLDER = os.environ.get("EQUITRCODER_CORPUS", "")
ROUNDS = 15
PIECE_BYTES = 16 * 1024
ROUND_S = 0.02
"""How long one round of one measurement takes at least: a clock's own jitter is then nothing."""


def once_s(work: Callable[[], object], times: int) -> float:
    """Processor time of one run of the work, from this many."""
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) / times


def interleaved_s(works: list[Callable[[], object]]) -> list[float]:
    """The median processor time of each, in rounds in which each has its turn."""
    counts = [max(1, int(ROUND_S / max(once_s(work, 1), 1e-7))) for work in works]
    gc.collect()
    rounds = [[once_s(work, count) for work, count in zip(works, counts, strict=True)] for _ in range(ROUNDS)]
    return [median(column) for column in zip(*rounds, strict=True)]


def read_stream(name: str, body: bytes) -> Any:
    """The whole answer, given as a socket gives it."""
    reader = wire(name).stream_reader()
    for start in range(0, len(body), PIECE_BYTES):
        reader.feed(body[start : start + PIECE_BYTES])
    return reader.finish()


def read_all(read: Callable[[bytes], object], bodies: list[bytes]) -> None:
    for body in bodies:
        read(body)


def recorded(name: str) -> list[bytes]:
    """The bodies of all recorded answers of a wire that are whole, and that both can read."""
    bodies = []
    for which, told in json.loads((Path(FOLDER) / "expected.json").read_bytes()).items():
        if told["wire"] != name:
            continue
        exchange = json.loads((Path(FOLDER) / f"{which}.json").read_bytes())
        if not exchange["streaming"] and exchange["response"]["status"] < 400:
            body = str(exchange["response"]["body"]).encode("utf-8", "surrogatepass")
            with contextlib.suppress(ProviderError, ValueError):
                read_all(wire(name).read_response, [body])
                read_all(json.loads, [body])
                bodies.append(body)
    return bodies


def floor(body: bytes) -> list[Any]:
    """Every event's JSON and nothing else: no reader of streams can cost less."""
    lines = body.split(b"\n")
    return [orjson.loads(line.removeprefix(b"data: ")) for line in lines if line.startswith((b"data: {", b"{"))]


def main() -> None:
    print("reading whole answers: times of json.loads on the same bytes (at most 2.00)")
    print(f"{'wire':20}{'bytes':>9}{'read':>12}{'json.loads':>12}{'ratio':>8}{'orjson':>12}")
    for name, bodies in WHOLE.items():
        read = wire(name).read_response
        for body in bodies:
            ours, theirs, least = interleaved_s(
                [lambda: read(body), lambda: json.loads(body), lambda: orjson.loads(body)]  # noqa: B023
            )
            times = "".join(f"{each * 1e6:>9.1f} µs" for each in (ours, theirs))
            print(f"{name:20}{len(body):>9}{times}{ours / theirs:>8.2f}{least * 1e6:>9.1f} µs")
    for name in WHOLE if FOLDER else ():
        bodies = recorded(name)
        ours, theirs = interleaved_s(
            [lambda: read_all(wire(name).read_response, bodies), lambda: read_all(json.loads, bodies)]  # noqa: B023
        )
        size = median(map(len, bodies))
        print(f"{name:20}{len(bodies):>6} recorded answers, median {size:>6.0f} bytes{ours / theirs:>10.2f}")
    print("\nreading streams (at least 50 MB/s)")
    print(f"{'stream':32}{'bytes':>9}{'events':>8}{'a piece':>9}{'MB/s':>8}{'µs/event':>10}{'floor MB/s':>12}")
    for label, (name, body, events) in STREAMS.items():
        ours, least = interleaved_s([lambda: read_stream(name, body), lambda: floor(body)])  # noqa: B023
        speed, limit = len(body) / ours / 1e6, len(body) / least / 1e6
        each = f"{len(body) / events:>9.0f}{speed:>8.1f}{ours / events * 1e6:>10.2f}{limit:>12.1f}"
        print(f"{label:32}{len(body):>9}{events:>8}{each}")


if __name__ == "__main__":
    main()
