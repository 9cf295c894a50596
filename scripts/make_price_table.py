"""Write src/equitrcoder/prices.tsv from the installed `genai-prices`.

    .venv/bin/python scripts/make_price_table.py

The package brings pydantic and 0.12 s of import; a run needs the price of one model. So the table is made here, once
per release of genai-prices, and committed. Run again with the same release it changes nothing, the date included.

The file: a first line of JSON about the table, then one line per provider of genai-prices: its id, a tab, and JSON with

    names   {name as sent, lower case: number of its price}      decided by genai-prices itself, so its order holds
    rules   [[number of its price, rule], ...]                   the first that matches; for names not listed
    prices  [[[when, [[above, in, out, read, write], ...]], ...]]

A rule is [kind, text] with kind = (equals) ^ (starts with) $ (ends with) * (contains) ~ (regex), or [kind, [rule, ...]]
with kind & (all) or | (any). `when`: "" always, "2027-01-01" from that UTC day, "01:00-04:00" daily, UTC; of the
entries that hold, the last one counts. Amounts are picodollars per token ($1 per million tokens = 1,000,000), null
where the data have none of its own; a row counts for all tokens of a request with more than `above` input tokens. A
price of null: known, but not sold by input and output tokens alone.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genai_prices import types
from genai_prices.data import providers

TABLE = Path(__file__).parent.parent / "src" / "equitrcoder" / "prices.tsv"

WANTED = (
    "anthropic",
    "cohere",
    "deepseek",
    "fireworks",
    "google",
    "groq",
    "mistral",
    "openai",
    "perplexity",
    "together",
)
"""And every `huggingface_…`."""

UNIT_KEYS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok")
ELSEWHERE = ("requests_", "output_reasoning_", "output_citation_")
"""Units that every call uses and that our records do not hold one by one: such a model has no price here."""


def picousd(price: Decimal) -> int:
    """Dollars per million tokens -> picodollars per token; float noise in the data goes."""
    exact = price * 1_000_000
    rounded = int(exact.to_integral_value())
    if abs(exact - rounded) > Decimal("0.000001"):
        sys.exit(f"{price} $ per million tokens needs a finer unit than picodollars per token")
    return rounded


def tiers(prices: types.ModelPrice) -> list[list[int | None]] | None:
    """The rows of one price, lowest first; None when input and output tokens alone do not say what is paid."""
    given = {key: value for key, value in vars(prices).items() if value is not None}
    if "input_mtok" not in given or "output_mtok" not in given or any(key.startswith(ELSEWHERE) for key in given):
        return None
    starts = sorted({0} | {tier.start for value in given.values() for tier in getattr(value, "tiers", ())})
    return [[start, *(at(given.get(key), start) for key in UNIT_KEYS)] for start in starts]


def at(value: Decimal | types.TieredPrices | None, start: int) -> int | None:
    """One unit's amount for requests above `start` input tokens."""
    if value is None or isinstance(value, Decimal):
        return None if value is None else picousd(value)
    reached = [tier.price for tier in value.tiers if tier.start <= start and start > 0]
    return picousd(reached[-1] if reached else value.base)


def when(constraint: Any) -> str:
    if constraint is None:
        return ""
    if isinstance(constraint, types.StartDateConstraint):
        return constraint.start_date.isoformat()
    ends = [constraint.start_time, constraint.end_time]
    if any(end.second or end.microsecond or end.utcoffset() for end in ends):
        sys.exit(f"{constraint}: only whole minutes in UTC are known here")
    return "-".join(end.strftime("%H:%M") for end in ends)


def schedule(model: types.ModelInfo, today: date) -> list[Any] | None:
    """The entries of a model's price that hold on `today` or later; where none holds, the first one counts."""
    entries = model.prices if isinstance(model.prices, list) else [types.ConditionalPrice(prices=model.prices)]
    begun = [n for n, entry in enumerate(entries) if holds_from(entry.constraint, today)]
    first = begun[-1] if begun else 0
    kept = [["" if n == first else when(entry.constraint), tiers(entry.prices)] for n, entry in enumerate(entries)]
    return None if any(row is None for _, row in kept[first:]) else kept[first:]


def holds_from(constraint: Any, today: date) -> bool:
    return constraint is None or (isinstance(constraint, types.StartDateConstraint) and constraint.start_date <= today)


def rule(clause: Any) -> list[Any]:
    match clause:
        case types.ClauseEquals():
            return ["=", clause.equals.lower()]
        case types.ClauseStartsWith():
            return ["^", clause.starts_with.lower()]
        case types.ClauseEndsWith():
            return ["$", clause.ends_with.lower()]
        case types.ClauseContains():
            return ["*", clause.contains.lower()]
        case types.ClauseRegex():
            return ["~", clause.regex]
        case types.ClauseAnd():
            return ["&", [rule(part) for part in clause.and_]]
        case types.ClauseOr():
            return ["|", [rule(part) for part in clause.or_]]
    sys.exit(f"a kind of rule that is not known here: {clause}")


def open_ended(clause: list[Any]) -> list[list[Any]]:
    """The alternatives of a rule that are more than a name."""
    if clause[0] == "|":
        return [part for one in clause[1] for part in open_ended(one)]
    return [] if clause[0] == "=" else [clause]


def names(clause: list[Any]) -> list[str]:
    if clause[0] == "|":
        return [name for one in clause[1] for name in names(one)]
    return [clause[1]] if clause[0] == "=" else []


def provider_line(provider: types.Provider, today: date) -> str:
    prices: list[Any] = []
    numbers: dict[str, int] = {}
    for model in provider.models:
        price = schedule(model, today)
        if price not in prices:
            prices.append(price)
        numbers[model.id] = prices.index(price)
    rules = [rule(model.match) for model in provider.models]
    found = {name: provider.find_model(name) for clause in rules for name in names(clause)}
    table = {
        "names": {name: numbers[model.id] for name, model in sorted(found.items()) if model},
        "rules": [
            [numbers[model.id], part]
            for model, clause in zip(provider.models, rules, strict=True)
            for part in open_ended(clause)
        ],
        "prices": prices,
    }
    return f"{provider.id}\t{json.dumps(table, separators=(',', ':'), ensure_ascii=True)}\n"


def table_text(today: date) -> str:
    """The whole file as of a day."""
    head = {"v": 1, "source": f"genai-prices {version('genai-prices')}", "date": today.isoformat()}
    kept = [one for one in providers if one.id in WANTED or one.id.startswith("huggingface_")]
    return json.dumps(head) + "\n" + "".join(provider_line(one, today) for one in kept)


def written_head() -> dict[str, Any]:
    return dict(json.loads(TABLE.read_text().partition("\n")[0])) if TABLE.exists() else {}


if __name__ == "__main__":
    before = written_head()
    day = datetime.now(UTC).date()
    if before.get("source") == f"genai-prices {version('genai-prices')}":
        day = date.fromisoformat(before["date"])
    TABLE.write_text(table_text(day))
    print(f"{TABLE.name}: {TABLE.stat().st_size:,} bytes, prices of {day}")  # noqa: T201
