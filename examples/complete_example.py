#!/usr/bin/env python3
"""A whole project made by an agent, with a budget and a log of every call. Needs a key, and costs up to $10.

    python examples/complete_example.py

Makes the folder my_project in the current one.
"""

import asyncio

from equitrcoder.api import EquitrAPI


async def main() -> None:
    async with EquitrAPI(
        repo_path="./my_project",
        log_tool_calls=True,
        tool_log_file="project_tools.log",
        budget=10.0,  # $10 budget: reserved before each request, never passed
    ) as api:
        # Complex project creation
        response = await api.chat("""
        Create a complete Python web API with:
        1. FastAPI framework
        2. Database models with SQLAlchemy
        3. Authentication system
        4. CRUD operations
        5. API documentation
        6. Docker configuration
        7. Unit tests
        """)

        print("🚀 Project created!")
        print(response)
        print(f"💰 Cost: {'unpriced' if response.cost is None else f'${response.cost:.4f}'}")

        # Analyze tool usage
        stats = api.get_tool_call_stats()
        print("\n📊 Tool Statistics:")
        print(f"  Total calls: {stats['total_calls']}")
        print(f"  Success rate: {stats['success_rate']:.1%}")
        print(f"  Total time: {stats['total_duration_ms'] / 1000:.1f}s")

        # Show most used tools
        tool_usage = stats["tool_usage"]
        sorted_tools = sorted(tool_usage.items(), key=lambda x: x[1]["count"], reverse=True)

        print("\n🔧 Top Tools:")
        for tool_name, usage in sorted_tools[:5]:
            print(f"  {tool_name}: {usage['count']} calls")

        # Export detailed logs
        api.export_tool_logs("detailed_analysis.json")
        print("\n💾 Exported logs to detailed_analysis.json")


if __name__ == "__main__":
    asyncio.run(main())
