"""Count what recorded traffic shows of each provider: what `equitrcoder providers` may say that it was checked on.

    EQUITRCODER_CORPUS=FOLDER python scripts/count_recordings.py

Only exchanges that were recorded from a service count, not those that an SDK parsed first or that may be hand-written,
and only on wires that the provider's row can speak. A line per provider and wire: exchanges, and of these answers with
calls of the client's, with two or more, streamed with calls, and with calls that the provider ran itself.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from equitrcoder.providers.checks import Checks
from equitrcoder.providers.registry import PROVIDERS

COUNTED = ("exchanges", *Checks._fields)


def count(expected: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], Counter[str]]:
    """Counts by provider and wire, from the corpus's expectations."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for told in expected.values():
        if told["authenticity"] == "recorded" and told["provider"] in PROVIDERS:
            row = PROVIDERS[told["provider"]]
            if told["wire"] in (row.wire, row.wire_with_base_url):
                counts.setdefault((row.name, told["wire"]), Counter()).update(_shown_by(told))
    return counts


def _shown_by(told: Mapping[str, Any]) -> Iterator[str]:
    own = sum(call["kind"] == "client" for call in told["calls"])
    yield "exchanges"
    if own:
        yield "tools"
    if own > 1:
        yield "parallel_calls"
    if own and told["streaming"]:
        yield "streaming"
    if own < len(told["calls"]):
        yield "provider_tools"


def main() -> int:
    """Print the counts; 2 without a folder."""
    folder = os.environ.get("EQUITRCODER_CORPUS")
    if not folder:
        sys.stderr.write("EQUITRCODER_CORPUS names no folder\n")
        return 2
    counts = count(json.loads((Path(folder) / "expected.json").read_bytes()))
    lines = [f"{'provider':<12} {'wire':<22}" + "".join(f"{name:>16}" for name in COUNTED)]
    for name, row in PROVIDERS.items():
        for wire in dict.fromkeys(filter(None, (row.wire, row.wire_with_base_url))):
            found = counts.get((name, wire), Counter())
            lines.append(f"{name:<12} {wire:<22}" + "".join(f"{found[what]:>16}" for what in COUNTED))
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
