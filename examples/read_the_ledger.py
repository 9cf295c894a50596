#!/usr/bin/env python3
"""What did all agents on this machine do, what did it cost, what failed? Needs no key and asks no model.

    python examples/read_the_ledger.py

It may run while agents work. The command line has the same: equitrcoder runs, calls, stats, show.
"""

import os
from collections import Counter
from datetime import UTC, datetime, timedelta

from equitrcoder.ledger import CallQuery, Reader
from equitrcoder.settings import state_dir


def main() -> None:
    week_ago = datetime.now(UTC) - timedelta(days=7)
    with Reader(state_dir(os.environ)) as reader:
        print("The last runs")
        for run in reader.runs(limit=5):
            print(f"  {run.run_id[-4:]}  {run.status:<11}  {run.model_requested}  {run.calls} calls  {run.task[:60]}")

        print("\nModels of the last 7 days")
        for row in reader.breakdown("model", CallQuery(since=week_ago)).groups:
            cost = f"${(row.cost_nanousd or 0) / 1e9:.4f}, {row.unpriced_turns} turns unpriced"
            print(f"  {row.name}: {row.calls} calls, {row.failed} failed, {row.turns} turns, {cost}")

        failed = list(reader.calls(CallQuery(failed=True, since=week_ago)))
        print(f"\nWhy {len(failed)} calls were no success")
        for (tool, why), count in Counter((call.tool_name, call.error_type) for call in failed).most_common(10):
            print(f"  {count} x {tool}: {why}")

        print("\nThe slowest commands")
        commands = [call for call in reader.calls(CallQuery(tool="run_command", since=week_ago)) if call.duration_ms]
        for call in sorted(commands, key=lambda call: -(call.duration_ms or 0))[:5]:
            print(f"  {call.duration_ms:,.0f} ms  {(call.arguments or {}).get('command')}")


if __name__ == "__main__":
    main()
