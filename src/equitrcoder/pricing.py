"""What a model call costs: the price table, looked up and computed in integers.

The table, `prices.tsv`, is made from the data of `genai-prices` by scripts/make_price_table.py, which also says how it
is built; the settings' `prices:` come before it. Nothing is read before the first look-up, and then one provider's
line. An unknown price is None, "unpriced", never 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import orjson

_TABLE = Path(__file__).with_name("prices.tsv")

PRICE_TABLE_VERSION: str
"""The data's source and day, as "genai-prices 0.2.3 of 2026-11-20"; read from the table on first use."""

SOURCE_IDS: Mapping[str, str] = {
    "anthropic": "anthropic",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "gemini": "google",
    "groq": "groq",
    "mistral": "mistral",
    "openai": "openai",
    "perplexity": "perplexity",
    "together": "together",
}
"""Our rows -> the ids of genai-prices. `huggingface` is looked up by the backend that the model's name pins."""

FREE_PROVIDERS = frozenset({"ollama", "local"})
"""Rows that charge nothing: cost 0, shown as "no charge"."""


class Usage(Protocol):
    """Tokens of one answer, as in `wires.values.Usage`; None where the provider did not say."""

    @property
    def input_tokens(self) -> int | None: ...
    @property
    def cached_read_tokens(self) -> int | None: ...
    @property
    def cache_write_tokens(self) -> int | None: ...
    @property
    def output_tokens(self) -> int | None: ...


class Rates:
    """What a token costs, in picodollars ($1 per million tokens = 1,000,000), in requests of a certain size."""

    __slots__ = ("above_input_tokens", "cache_write_picousd", "cached_picousd", "input_picousd", "output_picousd")

    def __init__(
        self, above: int, given: int, answered: int, cached: int | None = None, written: int | None = None
    ) -> None:
        self.above_input_tokens = above
        """They hold, for all tokens of a request, when it has more input tokens than this."""
        self.input_picousd = given
        self.output_picousd = answered
        self.cached_picousd = given if cached is None else cached
        """A token read from the provider's cache."""
        self.cache_write_picousd = given if written is None else written
        """A token written to the provider's cache, for its usual time (Anthropic: five minutes)."""


class Price:
    """What one model costs, by size of the request and, where the provider does so, by day and hour."""

    __slots__ = ("_schedule", "version")

    def __init__(self, schedule: tuple[tuple[str, tuple[Rates, ...]], ...], version: str) -> None:
        self._schedule = schedule
        self.version = version
        """Where it comes from: `PRICE_TABLE_VERSION`, "settings" or "no charge"."""

    @property
    def free(self) -> bool:
        """Whether nothing is charged; such a cost is shown as "no charge"."""
        return self.version == NO_CHARGE.version

    @property
    def from_table(self) -> bool:
        """Whether it is the table's, and neither of the settings nor "no charge"."""
        return not self.free and self.version != OWN_PRICE

    def rates(self, input_tokens: int, at: datetime | None = None) -> Rates:
        """The rates for a request of this size at this moment (aware; None: now)."""
        return self._reached(input_tokens, at)[-1]

    def worst_rates(self, input_tokens: int, at: datetime | None = None) -> tuple[int, int]:
        """Picodollars per input and per output token at most, for a request of up to this size."""
        reached = self._reached(input_tokens, at)
        inputs = [max(one.input_picousd, one.cached_picousd, one.cache_write_picousd) for one in reached]
        return max(inputs), max(one.output_picousd for one in reached)

    def _reached(self, input_tokens: int, at: datetime | None) -> tuple[Rates, ...]:
        """The tiers up to the one of a request of this size."""
        tiers = self._schedule[0][1]
        if len(self._schedule) > 1:
            moment = (at or datetime.now(UTC)).astimezone(UTC).isoformat()
            tiers = next(tiers for when, tiers in reversed(self._schedule) if _holds(when, moment))
        return tiers[:1] + tuple(one for one in tiers[1:] if one.above_input_tokens < input_tokens)


def _holds(when: str, moment: str) -> bool:
    """Whether an entry holds: "" always, "2027-01-01" from that day, "01:00-04:00" daily; all UTC."""
    if ":" not in when:
        return moment[:10] >= when
    start, _, end = when.partition("-")
    clock = moment[11:16]
    return start <= clock < end if start <= end else clock >= start or clock < end


OWN_PRICE = "settings"
"""Version of a price that the user gave."""
NO_CHARGE = Price((("", (Rates(0, 0, 0),)),), "no charge")


def find_price(
    provider: str, model: str, overrides: Mapping[str, Mapping[str, float]] | None = None, *, free: bool = False
) -> Price | None:
    """The price of a model, or None when nobody knows it.

    Args:
        provider: Name of the row.
        model: As sent to the provider, upper and lower case alike.
        overrides: The settings' `prices`, which come first: dollars per million tokens by "provider/model" or
            "provider/*".
        free: Whether the row says that nothing is charged (`ollama` and `local` do so anyway).

    Returns:
        A price that may be kept for a whole run: it knows its own days and hours.

    Example:
        >>> price = find_price("mine", "small", {"mine/*": {"input": 0.5, "output": 2}})
        >>> price.rates(1000).input_picousd, price.version
        (500000, 'settings')
        >>> find_price("mine", "small") is None
        True
    """
    own = _own_price(provider, model, overrides or {})
    if own is not None:
        return own
    if free or provider in FREE_PROVIDERS:
        return NO_CHARGE
    source, name = SOURCE_IDS.get(provider), model.lower()
    if provider == "huggingface":
        name, _, backend = name.rpartition(":")
        source = f"huggingface_{backend}"
    return _from_table(source, name) if source and name else None


def _own_price(provider: str, model: str, overrides: Mapping[str, Mapping[str, float]]) -> Price | None:
    for name in (f"{provider}/{model}", f"{provider}/*"):
        if name in overrides:
            given = overrides[name]
            rates = Rates(
                0,
                _picousd(given["input"]),
                _picousd(given["output"]),
                _picousd(given["cached_input"]) if "cached_input" in given else None,
                _picousd(given["cache_write"]) if "cache_write" in given else None,
            )
            return Price((("", (rates,)),), OWN_PRICE)
    return None


def _picousd(dollars_per_mtok: float) -> int:
    return round(dollars_per_mtok * 1_000_000)


@cache
def _from_table(source: str, name: str) -> Price | None:
    table = _table(source)
    number = _number(table, name)
    if number is None:
        number = _number(table, _DATE_AT_END.sub(r"-\1-\2-\3", name))
    entries = table["prices"][number] if number is not None else None
    if entries is None:
        return None
    schedule = tuple((when, tuple(Rates(*row) for row in rows)) for when, rows in entries)
    return Price(schedule, _table_version())


_DATE_AT_END = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")
"""Some write the date of a model without dashes; genai-prices tries both, and so do we."""


def _number(table: Mapping[str, Any], name: str) -> int | None:
    number: int | None = table["names"].get(name)
    if number is not None:
        return number
    return next((number for number, (kind, what) in table["rules"] if _matches(kind, what, name)), None)


def _matches(kind: str, what: Any, name: str) -> bool:
    """Whether a rule of the table matches a name (lower case); kinds as in scripts/make_price_table.py."""
    match kind:
        case "=":
            return bool(name == what)
        case "^":
            return name.startswith(what)
        case "$":
            return name.endswith(what)
        case "*":
            return what in name
        case "~":
            return re.search(what, name) is not None
        case "&":
            return all(_matches(part[0], part[1], name) for part in what)
        case _:
            return any(_matches(part[0], part[1], name) for part in what)


@cache
def _table(source: str) -> Mapping[str, Any]:
    """One provider's part of the table; without names and rules when there is none."""
    raw = _TABLE.read_bytes()
    mark = b"\n" + source.encode() + b"\t"
    at = raw.find(mark)
    if at < 0:
        return {"names": {}, "rules": [], "prices": []}
    start = at + len(mark)
    part: Mapping[str, Any] = orjson.loads(raw[start : raw.index(b"\n", start)])
    return part


@cache
def _table_version() -> str:
    with _TABLE.open("rb") as file:
        head = orjson.loads(file.readline())
    return f"{head['source']} of {head['date']}"


def __getattr__(name: str) -> str:
    if name == "PRICE_TABLE_VERSION":
        return _table_version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def cost_nanousd(price: Price, usage: Usage, *, at: datetime | None = None) -> int | None:
    """What an answer cost, in nano-dollars, rounded half up once at the end.

    Cached and cache-write tokens are part of the input tokens and have their own rates. What a provider charges by the
    piece (web searches that it runs itself) is not in it.

    Args:
        price: The model's price.
        usage: The answer's tokens.
        at: When the request was sent (aware); None: now.

    Returns:
        None when the provider did not say how many tokens went in or came out.

    Example:
        >>> from equitrcoder.wires.values import Usage
        >>> price = find_price("mine", "small", {"mine/small": {"input": 3, "output": 15, "cached_input": 0.3}})
        >>> cost_nanousd(price, Usage(input_tokens=1000, cached_read_tokens=900, output_tokens=10))
        720000
    """
    if price.free:
        return 0
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    rates = price.rates(usage.input_tokens, at)
    cached = min(usage.cached_read_tokens or 0, usage.input_tokens)
    written = min(usage.cache_write_tokens or 0, usage.input_tokens - cached)
    picousd = (
        (usage.input_tokens - cached - written) * rates.input_picousd
        + cached * rates.cached_picousd
        + written * rates.cache_write_picousd
        + usage.output_tokens * rates.output_picousd
    )
    return (picousd + 500) // 1000


def reservation_nanousd(price: Price, input_tokens: int, output_tokens: int, *, at: datetime | None = None) -> int:
    """What a call may cost at most, in nano-dollars, rounded up: nothing cached, everything written to the cache.

    Args:
        price: The model's price.
        input_tokens: How large the prompt may be at most; it decides the tier.
        output_tokens: How long the answer may be at most.
        at: When it is sent (aware); None: now.

    Example:
        >>> price = find_price("mine", "small", {"mine/small": {"input": 3, "output": 15, "cache_write": 3.75}})
        >>> reservation_nanousd(price, 1000, 100)
        5250000
    """
    given, answered = price.worst_rates(input_tokens, at)
    return -(-(input_tokens * given + output_tokens * answered) // 1000)
