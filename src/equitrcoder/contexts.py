"""How many tokens a model can hold, for the "context 12%" of a session.

The table, `contexts.tsv`, is made from the data of `genai-prices` by scripts/make_context_table.py.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import orjson

from equitrcoder.pricing import SOURCE_IDS

_TABLE = Path(__file__).with_name("contexts.tsv")


@cache
def context_window(provider: str, model: str) -> int | None:
    """Tokens that a model can hold, prompt and answer together; None when nobody said.

    Args:
        provider: Name of the row.
        model: As sent, upper and lower case alike.

    Example:
        >>> context_window("groq", "openai/gpt-oss-120b"), context_window("mine", "small")
        (131072, None)
    """
    source, name = SOURCE_IDS.get(provider), model.lower()
    if provider == "huggingface":
        name, _, backend = name.rpartition(":")
        source = f"huggingface_{backend}"
    if not source:
        return None
    with _TABLE.open(encoding="utf-8") as table:
        line = next((line for line in table if line.startswith(f"{source}\t")), None)
    if line is None:
        return None
    sizes: dict[str, list[str]] = orjson.loads(line.partition("\t")[2])
    return next((int(size) for size, names in sizes.items() if name in names), None)
