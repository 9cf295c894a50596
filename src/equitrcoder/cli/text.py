"""How figures and foreign text are written for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equitrcoder.ledger.readable import duration as duration
from equitrcoder.ledger.readable import safe as safe


def one_line(text: str, width: int) -> str:
    """`text` on one line, safe, at most `width` characters, the end marked with … when cut.

    Example:
        >>> one_line("first\\nsecond", 20)
        'first second'
    """
    line = safe(" ".join(text.split()))
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"


def money(nanousd: int | None) -> str:
    """Dollars from nano-dollars; None is "unpriced", never $0.

    Example:
        >>> money(6_100_000), money(None), money(0), money(2_500_000_000), money(50)
        ('$0.0061', 'unpriced', '$0', '$2.50', '$0.00000005')
    """
    if nanousd is None:
        return "unpriced"
    if nanousd == 0:
        return "$0"
    dollars = nanousd / 1e9
    if dollars >= 1:
        return f"${dollars:,.2f}"
    if dollars >= 0.0001:
        return f"${dollars:.4f}"
    return f"${dollars:.9f}".rstrip("0")


def cost(nanousd: int, unpriced_turns: int, turns: int, unpriced_requests: int = 0) -> str:
    """What a run cost, with the turns and the broken requests whose cost nobody knows.

    Example:
        >>> cost(6_100_000, 0, 5), cost(0, 3, 3), cost(6_100_000, 1, 5), cost(0, 0, 5)
        ('$0.0061', 'unpriced', '$0.0061 and 1 turn unpriced', 'no charge')
        >>> cost(0, 0, 0, 1), cost(6_100_000, 0, 5, 2), cost(0, 0, 5, 1)
        ('unpriced', '$0.0061 and 2 requests unpriced', 'no charge and 1 request unpriced')
    """
    if not nanousd and unpriced_turns >= turns and unpriced_turns + unpriced_requests:
        return "unpriced"
    counts = {"turn": unpriced_turns, "request": unpriced_requests}
    unknown = ", ".join(count(number, noun) for noun, number in counts.items() if number)
    known = "no charge" if turns and not nanousd else money(nanousd)  # priced at nothing: ollama, local
    return f"{known} and {unknown} unpriced" if unknown else known


def summary(totals: Mapping[str, Any], check_passed: bool | None = None) -> str:
    """Calls, turns, tokens, cost and time of a run, on one line.

    Args:
        totals: As in the event `run.finished`; a duration of None is left out.
        check_passed: None: there was no check.
    """
    tokens = totals["tokens"]
    failed = f", {totals['failed_calls']:,} failed" if totals["failed_calls"] else ""
    cached = f" ({tokens['cached_tokens']:,} cached)" if tokens["cached_tokens"] else ""
    parts = [
        count(totals["calls"], "call") + failed,
        count(totals["turns"], "turn"),
        f"{tokens['input_tokens']:,} tokens in{cached}, {tokens['output_tokens']:,} out",
        cost(totals["cost_nanousd"], totals["unpriced_turns"], totals["turns"], totals["unpriced_requests"]),
    ]
    if totals["duration_ms"] is not None:
        parts.append(duration(totals["duration_ms"]))
    if check_passed is not None:
        parts.append("check passed" if check_passed else "check failed")
    return " · ".join(parts)


def count(number: int, noun: str) -> str:
    """A number with its noun.

    Example:
        >>> count(1, "call"), count(1200, "turn")
        ('1 call', '1,200 turns')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def size(number: int) -> str:
    """A number of bytes as a person reads it.

    Example:
        >>> size(0), size(999), size(1_500), size(12_000_000_000)
        ('0 bytes', '999 bytes', '1.5 KB', '12 GB')
    """
    amount = float(number)
    for unit in ("KB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount /= 1000
        name = unit
    if number < 1000:
        return f"{number} bytes"
    return f"{amount:.1f} {name}" if amount < 9.95 else f"{amount:,.0f} {name}"


def what_next(run_id: str, status: str) -> str:
    """The commands that look at a run that ended, and go on with it where that makes sense.

    Example:
        >>> what_next("01JD0000000000000000007F3K", "limit")
        'show: equitrcoder show 7F3K · go on: equitrcoder resume 7F3K'
    """
    shown = f"show: equitrcoder show {short_id(run_id)}"
    if status in ("completed", "running"):
        return shown
    more = " --budget MORE" if status == "budget" else ""
    return f"{shown} · go on: equitrcoder resume {short_id(run_id)}{more}"


def short_id(run_id: str) -> str:
    """The tail of a run's id by which the commands find it again.

    Example:
        >>> short_id("01JD0000000000000000007F3K")
        '7F3K'
    """
    return run_id[-4:]
