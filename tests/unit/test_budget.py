"""Dollars are reserved before each call, so that they cannot be passed."""

from __future__ import annotations

import random

import pytest

from equitrcoder.agent.budget import NANO, SMALLEST_OUTPUT_TOKENS, Budget
from equitrcoder.agent.conversation import size_bytes
from equitrcoder.errors import BudgetExceeded, UnpricedModelError
from equitrcoder.pricing import cost_nanousd, find_price
from equitrcoder.wires.values import Conversation, ToolSpec, Usage, UserMessage

PRICE = find_price("openai", "m", {"openai/m": {"input": 10.0, "output": 100.0}})
"""10,000 nano-dollars a token in, 100,000 a token out."""


def test_the_output_limit_shrinks_to_what_is_left() -> None:
    budget = Budget(dollars=0.1)
    roomy = Budget(dollars=10).reserve(PRICE, input_tokens=1000, output_limit_tokens=4000)
    assert roomy.output_limit_tokens == 4000
    tight = budget.reserve(PRICE, input_tokens=1000, output_limit_tokens=4000)
    assert tight.output_limit_tokens is not None
    assert SMALLEST_OUTPUT_TOKENS <= tight.output_limit_tokens < 1000
    assert budget.reserved_nanousd <= 0.1 * NANO


def test_too_little_left_stops_before_the_call() -> None:
    budget = Budget(dollars=0.02)
    with pytest.raises(BudgetExceeded, match=r"spent \$0\.0000 of \$0\.02, the next call may cost"):
        budget.reserve(PRICE, input_tokens=1000, output_limit_tokens=None)
    assert budget.reserved_nanousd == 0


def test_a_reservation_holds_until_it_is_released() -> None:
    budget = Budget(dollars=1)
    first = budget.reserve(PRICE, input_tokens=1000, output_limit_tokens=9000)
    with pytest.raises(BudgetExceeded):
        budget.reserve(PRICE, input_tokens=9000, output_limit_tokens=9000)
    first.spend(5_000_000, Usage(input_tokens=100, output_tokens=40))
    first.release()
    first.release()
    assert (budget.reserved_nanousd, budget.spent_nanousd, budget.spent_tokens) == (0, 5_000_000, 140)
    budget.reserve(PRICE, input_tokens=9000, output_limit_tokens=9000)


@pytest.mark.parametrize("seed", range(20))
def test_many_callers_at_once_cannot_pass_the_limit(seed: int) -> None:
    chance = random.Random(seed)
    assert PRICE is not None
    budget = Budget(dollars=chance.uniform(0.05, 3))
    assert budget.limit_nanousd is not None
    held = []
    for _ in range(400):
        if held and chance.random() < 0.5:
            reservation, tokens = held.pop(chance.randrange(len(held)))
            usage = Usage(input_tokens=tokens, output_tokens=chance.randint(0, reservation.output_limit_tokens))
            reservation.spend(cost_nanousd(PRICE, usage), usage)
            reservation.release()
        else:
            tokens = chance.randint(0, 5000)
            try:
                limit = chance.choice([None, 500, 9000])
                held.append((budget.reserve(PRICE, input_tokens=tokens, output_limit_tokens=limit), tokens))
            except BudgetExceeded:
                pass
        assert budget.spent_nanousd + budget.reserved_nanousd <= budget.limit_nanousd
    assert budget.spent_nanousd > 0


def test_tokens_are_counted_also_without_a_price() -> None:
    budget = Budget(tokens=1000)
    budget.reserve(None, input_tokens=900, output_limit_tokens=None).spend(
        None, Usage(input_tokens=900, output_tokens=50)
    )
    with pytest.raises(BudgetExceeded, match="950 of 1,000 tokens"):
        budget.reserve(None, input_tokens=100, output_limit_tokens=None)


def test_the_size_of_a_conversation_is_in_bytes() -> None:
    conversation = Conversation(system="日本", messages=[UserMessage(text="abc")])
    spec = ToolSpec(name="t", description="x" * 10, parameters={})
    assert size_bytes(conversation, [spec]) >= 6 + 10 + 2 + 3
    assert size_bytes(conversation, [spec]) - size_bytes(Conversation(system=""), [spec]) >= 6 + 3


def test_an_unknown_price_refuses_a_dollar_limit() -> None:
    with pytest.raises(UnpricedModelError):
        Budget(dollars=1).check_priced(None, "openai/m")
    Budget(dollars=1, allow_unpriced=True).check_priced(None, "openai/m")
    Budget(dollars=None).check_priced(None, "openai/m")


def test_the_warning_comes_once_at_four_fifths() -> None:
    budget = Budget(dollars=1)
    budget.spent_nanousd = NANO * 79 // 100
    assert not budget.take_warning()
    budget.spent_nanousd = NANO * 81 // 100
    assert budget.take_warning()
    assert not budget.take_warning()
