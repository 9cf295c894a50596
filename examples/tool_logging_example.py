#!/usr/bin/env python3
"""Which tools did the agent call, how long did they take, what failed? Needs a key (equitrcoder providers names them).

    python examples/tool_logging_example.py [FOLDER]

Leaves in the current folder: my_tool_calls.log (JSON Lines, written while the agent works), my_tool_calls.log.txt (the
same in words), detailed_logs.json.
"""

import asyncio
import sys

from equitrcoder import EquitrAPI


async def main(folder: str) -> None:
    async with EquitrAPI(repo_path=folder, log_tool_calls=True, tool_log_file="my_tool_calls.log") as api:
        response = await api.chat("List the files here and say in one sentence what this project is.")
        print(response)

        stats = api.get_tool_call_stats()
        print(f"\nTotal tool calls: {stats['total_calls']}, successful: {stats['success_rate']:.0%}")
        print(f"Time in tools: {stats['total_duration_ms']:.1f} ms, on average {stats['average_duration_ms']:.1f} ms")
        for tool_name, usage in stats["tool_usage"].items():  # the most used first
            print(f"  {tool_name}: {usage['count']} calls, {usage['success_count']} successful")

        print("\nThe last calls:")
        for entry in api.get_tool_call_logs(limit=10):
            ending = "ok" if entry["success"] else f"failed: {entry['error']}"
            print(f"  {entry['timestamp']}  {entry['tool_name']} {entry['tool_args']}  {ending}")

        api.export_tool_logs("detailed_logs.json", format="json")
        print("\nEvery call with its arguments and result: detailed_logs.json")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "."))
