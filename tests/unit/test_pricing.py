"""Costs: the same as genai-prices computes itself, in integers, and None where nobody knows."""

from __future__ import annotations

import importlib.util
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import genai_prices.types as oracle
import pytest
from genai_prices.data import providers
from hypothesis import given, settings
from hypothesis import strategies as st

from equitrcoder import pricing
from equitrcoder.pricing import SOURCE_IDS, Price, cost_nanousd, find_price, reservation_nanousd
from equitrcoder.wires.values import Usage

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_price_table.py"
ORACLE = {provider.id: provider for provider in providers}
NAMES = {source: name for name, source in SOURCE_IDS.items()}
BACKENDS = [source for source in ORACLE if source.startswith("huggingface_")]

DAYS = [
    datetime(2026, 11, 20, 0, 0, tzinfo=UTC),
    datetime(2026, 11, 20, 0, 59, 59, tzinfo=UTC),
    datetime(2026, 11, 20, 1, 0, tzinfo=UTC),
    datetime(2026, 11, 20, 3, 59, 59, tzinfo=UTC),
    datetime(2026, 11, 20, 16, 30, tzinfo=UTC),
    datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC),
    datetime(2026, 12, 1, tzinfo=UTC),
    datetime(2027, 1, 1, tzinfo=UTC),
    datetime.fromisoformat("2027-01-01T00:30:00+02:00"),
]

USAGES = [
    Usage(input_tokens=0, output_tokens=0),
    Usage(input_tokens=1, output_tokens=1),
    Usage(input_tokens=18_204, cached_read_tokens=12_800, output_tokens=1_022, reasoning_tokens=500),
    Usage(input_tokens=100_000, cache_write_tokens=99_000, output_tokens=7),
    Usage(input_tokens=100_001, cached_read_tokens=50_000, cache_write_tokens=50_000, output_tokens=7),
    Usage(input_tokens=200_001, cached_read_tokens=1, output_tokens=128_000),
    Usage(input_tokens=922_000, cached_read_tokens=300_000, cache_write_tokens=1_234, output_tokens=128_000),
]


def names_of(model: Any) -> list[str]:
    """Names that a request could use for a model: its id, and what its rule lists."""
    found = [model.id]

    def walk(clause: Any) -> None:
        for part in [*getattr(clause, "or_", []), *getattr(clause, "and_", [])]:
            walk(part)
        for field in ("equals", "starts_with", "contains", "ends_with"):
            if hasattr(clause, field):
                found.append(getattr(clause, field))
        if hasattr(clause, "regex"):
            found.append(model.id + "-20261120")
            found.append(model.id + "-2026-11-20")

    walk(model.match)
    return found


def ours(source: str, model: str) -> Price | None:
    if source in NAMES:
        return find_price(NAMES[source], model)
    return find_price("huggingface", f"{model}:{source.removeprefix('huggingface_')}")


def theirs(model: oracle.ModelInfo, source: str, usage: Usage, at: datetime) -> int:
    """genai-prices' own calculation, in nano-dollars."""
    counts = oracle.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
    total = model.calc_price(counts, ORACLE[source], genai_request_timestamp=at).total_price
    return int((total * 1_000_000_000).quantize(Decimal(1), ROUND_HALF_UP))


def sold_by_tokens(model: oracle.ModelInfo) -> bool:
    """Whether input and output tokens alone say what a text call costs."""
    entries = model.prices if isinstance(model.prices, list) else [oracle.ConditionalPrice(prices=model.prices)]
    for entry in entries:
        keys = {key for key, value in vars(entry.prices).items() if value is not None}
        if not {"input_mtok", "output_mtok"} <= keys:
            return False
        if keys & {"requests_kcount", "output_reasoning_mtok", "output_citation_mtok"}:
            return False
    return True


@pytest.mark.parametrize("source", [*NAMES, *BACKENDS])
def test_every_name_costs_what_genai_prices_says(source: str) -> None:
    provider = ORACLE[source]
    compared = 0
    for name in {name for model in provider.models for name in names_of(model)}:
        if source not in NAMES and ":" in name:
            continue
        model = provider.find_model(name)
        price = ours(source, name)
        assert (price is not None) == (model is not None and sold_by_tokens(model)), name
        if model is None or price is None:
            continue
        for at in DAYS:
            expected = [theirs(model, source, usage, at) for usage in USAGES]
            assert [cost_nanousd(price, usage, at=at) for usage in USAGES] == expected, (name, at)
            compared += 1
    assert compared >= 3 * len(DAYS)


TOKENS = st.integers(min_value=0, max_value=2_000_000)


@given(TOKENS, TOKENS, TOKENS, TOKENS, st.sampled_from(["claude-sonnet-4-5", "claude-opus-5-5", "claude-haiku-5-5"]))
@settings(max_examples=200, deadline=None)
def test_any_usage_costs_what_genai_prices_says(fresh: int, cached: int, written: int, out: int, name: str) -> None:
    usage = Usage(
        input_tokens=fresh + cached + written,
        cached_read_tokens=cached,
        cache_write_tokens=written,
        output_tokens=out,
    )
    price, model = find_price("anthropic", name), ORACLE["anthropic"].find_model(name)
    assert price is not None
    assert model is not None
    assert cost_nanousd(price, usage, at=DAYS[0]) == theirs(model, "anthropic", usage, DAYS[0])


@given(TOKENS, TOKENS, TOKENS, st.sampled_from(sorted(NAMES)), st.data())
@settings(max_examples=200, deadline=None)
def test_a_reservation_is_never_less_than_the_cost(
    fresh: int, cached: int, out: int, source: str, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from([model.id for model in ORACLE[source].models]))
    price = ours(source, name)
    if price is None:
        return
    at = data.draw(st.sampled_from(DAYS))
    reserved = reservation_nanousd(price, fresh + cached, out, at=at)
    for usage in (
        Usage(input_tokens=fresh + cached, cached_read_tokens=cached, output_tokens=out),
        Usage(input_tokens=fresh + cached, cache_write_tokens=cached, output_tokens=out),
        Usage(input_tokens=fresh, output_tokens=out),
    ):
        assert (cost_nanousd(price, usage, at=at) or 0) <= reserved


def test_the_table_is_what_the_script_makes_of_the_installed_data() -> None:
    spec = importlib.util.spec_from_file_location("make_price_table", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    day = date.fromisoformat(script.written_head()["date"])
    assert script.TABLE.read_text() == script.table_text(day), "run scripts/make_price_table.py"
    assert script.TABLE.stat().st_size < 200_000
    assert f"genai-prices {script.version('genai-prices')} of {day}" == pricing.PRICE_TABLE_VERSION


def test_a_few_known_figures() -> None:
    """Written out, so that a wrong unit cannot hide in the comparison."""
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    for provider, model, dollars in [
        ("anthropic", "claude-sonnet-4-6", 18),
        ("anthropic", "claude-opus-5-5", 24),
        ("openai", "gpt-4", 90),
        ("groq", "openai/gpt-oss-120b", Decimal("0.75")),
    ]:
        price = find_price(provider, model)
        assert price is not None
        assert cost_nanousd(price, usage) == dollars * 10**9
        assert price.version == pricing.PRICE_TABLE_VERSION


def test_deepseek_costs_twice_as_much_at_peak_hours() -> None:
    price = find_price("deepseek", "deepseek-flash")
    assert price is not None
    usage = Usage(input_tokens=1000, output_tokens=1000)
    costs = [cost_nanousd(price, usage, at=datetime(2026, 11, 20, hour, tzinfo=UTC)) for hour in (0, 1, 4, 6, 10)]
    assert costs == [750_000, 1_500_000, 750_000, 1_500_000, 750_000]
    assert reservation_nanousd(price, 1000, 1000, at=datetime(2026, 11, 20, 1, tzinfo=UTC)) == 1_500_000


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("mine", "anything"),
        ("anyscale", "anything"),
        ("replicate", "openai/gpt-5"),
        ("openai", "gpt-99"),
        ("openai", "text-embedding-3-small"),
        ("perplexity", "anthropic/claude-sonnet-5-5"),
        ("perplexity", "sonar"),  # with a fee per request
        ("huggingface", "zai-org/GLM-5.3"),
        ("huggingface", "zai-org/GLM-5.3:fastest"),
        ("huggingface", ":groq"),
        ("huggingface", "x:\n"),
        ("groq", ""),
    ],
)
def test_unknown_is_none(provider: str, model: str) -> None:
    assert find_price(provider, model) is None


def test_upper_and_lower_case_are_alike() -> None:
    small, large = find_price("together", "zai-org/glm-5.3"), find_price("together", "zai-org/GLM-5.3")
    assert small is large is not None
    assert find_price("huggingface", "zai-org/GLM-5.3:Together") is not None


@pytest.mark.parametrize("provider", ["ollama", "local"])
def test_own_machines_charge_nothing(provider: str) -> None:
    price = find_price(provider, "qwen3")
    assert price is not None
    assert (price.free, price.version) == (True, "no charge")
    assert cost_nanousd(price, Usage(input_tokens=10**6, output_tokens=10**6)) == 0
    assert cost_nanousd(price, Usage()) == 0
    assert reservation_nanousd(price, 10**6, 10**6) == 0
    free_row = find_price("mine", "qwen3", free=True)
    assert free_row is not None
    assert free_row.free


def test_the_settings_come_first() -> None:
    overrides = {"groq/openai/gpt-oss-120b": {"input": 1.0, "output": 2.0}, "ollama/*": {"input": 0.1, "output": 0.2}}
    price = find_price("groq", "openai/gpt-oss-120b", overrides)
    assert price is not None
    assert (price.version, price.free) == ("settings", False)
    assert cost_nanousd(price, Usage(input_tokens=10, cached_read_tokens=5, output_tokens=1)) == 12_000
    ollama = find_price("ollama", "qwen3", overrides)
    assert ollama is not None
    assert cost_nanousd(ollama, Usage(input_tokens=10, output_tokens=10)) == 3_000
    other = find_price("groq", "openai/gpt-oss-20b", overrides)
    assert other is not None
    assert other.version == pricing.PRICE_TABLE_VERSION


def test_a_price_of_zero_in_the_settings_is_zero_and_not_unpriced() -> None:
    price = find_price("mine", "m", {"mine/m": {"input": 0, "output": 0}})
    assert price is not None
    assert cost_nanousd(price, Usage(input_tokens=1, output_tokens=1)) == 0


@pytest.mark.parametrize("usage", [Usage(), Usage(input_tokens=5), Usage(output_tokens=5)])
def test_no_count_no_cost(usage: Usage) -> None:
    price = find_price("openai", "gpt-6-luna")
    assert price is not None
    assert cost_nanousd(price, usage) is None


def test_rounding_is_half_up_and_once() -> None:
    price = find_price("m", "x", {"m/x": {"input": 0.0005, "output": 0.0004}})  # 0.5 and 0.4 nano-dollars a token
    assert price is not None
    costs = [cost_nanousd(price, Usage(input_tokens=i, output_tokens=o)) for i, o in [(1, 0), (0, 1), (1, 1), (3, 0)]]
    assert costs == [1, 0, 1, 2]
    assert [reservation_nanousd(price, *one) for one in [(0, 1), (1, 1)]] == [1, 1]


def test_more_cached_than_input_never_counts_below_zero() -> None:
    price = find_price("m", "x", {"m/x": {"input": 3, "output": 0, "cached_input": 0.3, "cache_write": 3.75}})
    assert price is not None
    odd = Usage(input_tokens=10, cached_read_tokens=25, cache_write_tokens=25, output_tokens=0)
    assert cost_nanousd(price, odd) == 3_000


def test_a_tier_holds_for_all_tokens_once_it_is_passed() -> None:
    price = find_price("anthropic", "claude-haiku-5-5")
    assert price is not None
    below, above = (cost_nanousd(price, Usage(input_tokens=n, output_tokens=0)) for n in (100_000, 100_001))
    assert below is not None
    assert above is not None
    assert above > below * 1.5
    assert reservation_nanousd(price, 100_000, 0) < reservation_nanousd(price, 100_001, 0)


def test_nothing_of_genai_prices_is_needed_at_run_time() -> None:
    import subprocess
    import sys

    script = (
        "import sys\n"
        "from equitrcoder.pricing import find_price\n"
        "assert find_price('openai', 'gpt-6-luna')\n"
        "print([name for name in ('genai_prices', 'pydantic', 'yaml', 'decimal') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_unknown_attributes_stay_unknown() -> None:
    with pytest.raises(AttributeError, match="no attribute 'PRICE_TABEL'"):
        _ = pricing.PRICE_TABEL
