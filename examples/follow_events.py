#!/usr/bin/env python3
"""See what the agent does while it does it. Needs a key.

    python examples/follow_events.py FOLDER "say what this project is"

The same events come from `equitrcoder run --json`; docs/events.md lists them with their fields.
"""

import asyncio
import sys
from typing import Any

from equitrcoder import EquitrAPI


def show(event: dict[str, Any]) -> None:
    """Called in the event loop's thread, so it must not take long."""
    match event["type"]:
        case "text.delta":
            print(event["text"], end="", flush=True)
        case "call.started":
            print(f"\n> {event['tool_name']} {event['subject']}")
        case "call.finished":
            duration = "?" if event["duration_ms"] is None else f"{event['duration_ms']:.1f} ms"
            print(f"< {event['outcome']}, {duration}")
        case "run.finished":
            totals = event["totals"]
            print(f"\n{event['status']}: {totals['turns']} turns, {totals['calls']} calls")


async def main(folder: str, task: str) -> None:
    async with EquitrAPI(repo_path=folder, on_event=show) as api:
        await api.chat(task)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2]))
