"""What a run may spend: dollars are reserved before each model call, tokens, turns and time are counted.

One `Budget` may be shared by several runs (a supervisor and its workers): a reservation holds its amount until it is
settled, so concurrent callers cannot together spend more than the limit of what is priced.

Source: DESIGN.md section 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from equitrcoder.errors import BudgetExceeded, UnpricedModelError

if TYPE_CHECKING:
    from equitrcoder.pricing import Price
    from equitrcoder.wires.values import Usage

NANO = 1_000_000_000
SMALLEST_OUTPUT_TOKENS = 256
"""An answer cut shorter than this is of no use: then the budget counts as reached."""
USUAL_OUTPUT_TOKENS = 16_384
"""What is reserved for an answer when nothing else limits it."""
WARN_AT = 0.8


class Budget:
    """Dollars and tokens that model calls may use.

    Args:
        dollars: Most that may be spent; None: no limit.
        tokens: Most tokens, input and output together; None: no limit.
        allow_unpriced: Whether a model without a known price may be asked although there is a dollar limit.
    """

    def __init__(
        self, *, dollars: float | None = None, tokens: int | None = None, allow_unpriced: bool = False
    ) -> None:
        self.limit_nanousd = None if dollars is None else round(dollars * NANO)
        self.limit_tokens = tokens
        self.allow_unpriced = allow_unpriced
        self.spent_nanousd = 0
        self.reserved_nanousd = 0
        self.spent_tokens = 0
        self._warned = False

    @property
    def limited(self) -> bool:
        """Whether there is any limit, so that the size of a prompt matters."""
        return self.limit_nanousd is not None or self.limit_tokens is not None

    def check_priced(self, price: Price | None, model: str) -> None:
        """Refuse a dollar limit that could not hold.

        Raises:
            UnpricedModelError: There is a dollar limit, the model has no known price, and that was not allowed.
        """
        if self.limit_nanousd is not None and price is None and not self.allow_unpriced:
            raise UnpricedModelError(
                f"No price is known for {model}, so --budget cannot hold.",
                hint="prices: in the settings, or --allow-unpriced",
            )

    def reserve(self, price: Price | None, *, input_tokens: int, output_limit_tokens: int | None) -> Reservation:
        """Set aside what the next call may cost at most; the output limit shrinks to what is left.

        Args:
            price: The model's price; None: unpriced, nothing is reserved.
            input_tokens: How large the prompt may be at most.
            output_limit_tokens: The limit asked for by the settings; None: the model's own.

        Raises:
            BudgetExceeded: What is left does not pay for the prompt and a short answer.
        """
        self._check_tokens(input_tokens)
        if self.limit_nanousd is None or price is None:
            return Reservation(self, 0, output_limit_tokens)
        from equitrcoder.pricing import reservation_nanousd

        left = self.limit_nanousd - self.spent_nanousd - self.reserved_nanousd
        output = output_limit_tokens or USUAL_OUTPUT_TOKENS
        amount = reservation_nanousd(price, input_tokens, output)
        if amount > left:
            prompt = reservation_nanousd(price, input_tokens, 0)
            output = (left - prompt) * output // max(amount - prompt, 1)
            amount = reservation_nanousd(price, input_tokens, max(output, 0))
        if output < SMALLEST_OUTPUT_TOKENS or amount > left:
            raise self._exceeded(reservation_nanousd(price, input_tokens, SMALLEST_OUTPUT_TOKENS))
        self.reserved_nanousd += amount
        return Reservation(self, amount, output)

    def _check_tokens(self, input_tokens: int) -> None:
        if self.limit_tokens is not None and self.spent_tokens + input_tokens > self.limit_tokens:
            raise BudgetExceeded(
                f"Token budget reached before the next call: {self.spent_tokens:,} of {self.limit_tokens:,} tokens are "
                f"used, the next prompt may take {input_tokens:,}. Work is kept.",
                hint="a larger --max-tokens",
            )

    def check_again(self) -> None:
        """Refuse to send a request once more when what was set aside for it may be spent already.

        Raises:
            BudgetExceeded: What is spent and what is set aside are together more than the limit.
        """
        if self.limit_nanousd is not None and self.spent_nanousd + self.reserved_nanousd > self.limit_nanousd:
            raise self._exceeded(self.reserved_nanousd)

    def _exceeded(self, next_call_nanousd: int) -> BudgetExceeded:
        limit = self.limit_nanousd or 0
        return BudgetExceeded(
            f"Budget reached before the next call: spent ${self.spent_nanousd / NANO:.4f} of ${limit / NANO:.2f}, "
            f"the next call may cost ${next_call_nanousd / NANO:.4f}. Work is kept.",
            hint="a larger --budget",
        )

    def take_warning(self) -> bool:
        """True once, when four fifths of the dollars are spent."""
        if self._warned or not self.limit_nanousd or self.spent_nanousd < WARN_AT * self.limit_nanousd:
            return False
        self._warned = True
        return True


class Reservation:
    """An amount set aside for one model call; settle it exactly once, or release it."""

    def __init__(self, budget: Budget, amount_nanousd: int, output_limit_tokens: int | None) -> None:
        self._budget = budget
        self._amount = amount_nanousd
        self.output_limit_tokens = output_limit_tokens

    def spend(self, cost_nanousd: int | None, usage: Usage) -> None:
        """Count what an answer or a failed attempt cost; may happen several times before `release`."""
        self._budget.spent_nanousd += cost_nanousd or 0
        self._budget.spent_tokens += (usage.input_tokens or 0) + (usage.output_tokens or 0)

    def spend_all(self, *, counted_nanousd: int = 0) -> None:
        """Count the whole amount, of which some is counted already: nobody knows what was charged, at most this."""
        self._budget.spent_nanousd += max(self._amount - counted_nanousd, 0)

    def release(self) -> None:
        """Give back what was set aside; a second time changes nothing."""
        self._budget.reserved_nanousd -= self._amount
        self._amount = 0
