"""Write src/equitrcoder/contexts.tsv from the installed `genai-prices`: how many tokens each model can hold.

    .venv/bin/python scripts/make_context_table.py

A first line of JSON about the table, then one line per provider of genai-prices: its id, a tab, and a JSON object from
the tokens to the names as sent, lower case. Models whose size the data do not say are left out; so are names that only
a rule would match.
"""

from __future__ import annotations

import json
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

from genai_prices import types
from genai_prices.data import providers
from make_price_table import WANTED, names, rule

TABLE = Path(__file__).parent.parent / "src" / "equitrcoder" / "contexts.tsv"


def provider_line(provider: types.Provider) -> str:
    by_size: defaultdict[int, set[str]] = defaultdict(set)
    for name in {name for model in provider.models for name in (model.id.lower(), *names(rule(model.match)))}:
        model = provider.find_model(name)
        if model is not None and model.context_window:
            by_size[model.context_window].add(name)
    table = {str(size): sorted(by_size[size]) for size in sorted(by_size)}
    return f"{provider.id}\t{json.dumps(table, separators=(',', ':'))}\n" if table else ""


def table_text() -> str:
    head = {"v": 1, "source": f"genai-prices {version('genai-prices')}"}
    kept = [one for one in providers if one.id in WANTED or one.id.startswith("huggingface_")]
    return json.dumps(head) + "\n" + "".join(map(provider_line, kept))


if __name__ == "__main__":
    TABLE.write_text(table_text())
    print(f"{TABLE.name}: {TABLE.stat().st_size:,} bytes")  # noqa: T201
