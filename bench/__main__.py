"""`make bench`: every measurement, one after the other."""

from __future__ import annotations

import subprocess
import sys

MODULES = (
    "bench.turns",
    "bench.sandbox",
    "bench.wires",
    "bench.requests",
    "bench.recording",
    "bench.redaction",
    "bench.cold_start",
    "bench.start",
    "bench.install",
)


def main() -> None:
    for module in MODULES:
        print(f"\n== {module}", flush=True)
        subprocess.run([sys.executable, "-m", module], check=True)


if __name__ == "__main__":
    main()
