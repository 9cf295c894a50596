"""The lines of the second seed, printed by `-v` and `show`.

Source: the second seed, "Example Output".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from equitrcoder.records import JSON, Capture


def seed_lines(
    provider: str, capture: Capture, calls: Sequence[tuple[str, JSON]], token_usage: Mapping[str, int]
) -> str:
    """The captured calls, the tokens, and the numbered calls.

    Args:
        calls: Name and arguments of each call, in order.
        token_usage: With `input_tokens`, `output_tokens`, `total_tokens`.

    Example:
        >>> usage = {"input_tokens": 1270, "output_tokens": 157, "total_tokens": 1427}
        >>> print(seed_lines("openai", "middleware", [("f_list_directory", {"path": "."})], usage))
        🔧 Middleware captured 1 tool calls from openai
        💰 Token usage - Input: 1270, Output: 157, Total: 1427
        <BLANKLINE>
        🔧 Tool Calls (1):
          1. {"input": {"path": "."}, "step": 1, "tool_name": "f_list_directory"}
    """
    lines = [f"🔧 Middleware captured {len(calls)} tool calls from {provider}"] if capture == "middleware" else []
    lines.append(
        f"💰 Token usage - Input: {token_usage['input_tokens']}, Output: {token_usage['output_tokens']}, "
        f"Total: {token_usage['total_tokens']}"
    )
    lines += ["", f"🔧 Tool Calls ({len(calls)}):"]
    for step, (name, arguments) in enumerate(calls, 1):
        entry = {"input": arguments, "step": step, "tool_name": name}
        lines.append(f"  {step}. {json.dumps(entry, sort_keys=True, ensure_ascii=False)}")
    return "\n".join(lines)
