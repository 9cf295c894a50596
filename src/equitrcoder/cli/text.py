"""How figures and foreign text are written for people. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def safe(text: str) -> str:
    r"""Make text harmless for a terminal: control characters, escapes and direction marks are shown, not executed.

    Newlines and tabs stay.

    Example:
        >>> print(safe("a\x1b[31mb"))
        a\x1b[31mb
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def one_line(text: str, width: int) -> str:
    """`text` on one line, safe, at most `width` characters, the end marked with … when cut.

    Example:
        >>> one_line("first\\nsecond", 20)
        'first second'
    """
    line = safe(" ".join(text.split()))
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"


def duration(milliseconds: float | None) -> str:
    """A duration as a person reads it; never "0 s" for something that took time.

    Example:
        >>> duration(8.2), duration(0.31), duration(12_400), duration(None)
        ('8 ms', '0.3 ms', '12.4 s', '-')
    """
    if milliseconds is None:
        return "-"
    if milliseconds < 1:
        return f"{max(milliseconds, 0.1):.1f} ms"
    if milliseconds < 9_950:
        return f"{milliseconds:,.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


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


def cost(nanousd: int, unpriced_turns: int, turns: int) -> str:
    """What a run cost, with the turns nobody has a price for.

    Example:
        >>> cost(6_100_000, 0, 5), cost(0, 3, 3), cost(6_100_000, 1, 5), cost(0, 0, 5)
        ('$0.0061', 'unpriced', '$0.0061 and 1 turn unpriced', 'no charge')
    """
    if unpriced_turns and unpriced_turns >= turns:
        return "unpriced"
    if turns and not nanousd and not unpriced_turns:
        return "no charge"  # every turn was priced, at nothing: ollama, local
    return money(nanousd) + (f" and {count(unpriced_turns, 'turn')} unpriced" if unpriced_turns else "")


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
        cost(totals["cost_nanousd"], totals["unpriced_turns"], totals["turns"]),
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


def short_id(run_id: str) -> str:
    """The tail of a run's id by which the commands find it again.

    Example:
        >>> short_id("01JD0000000000000000007F3K")
        '7F3K'
    """
    return run_id[-4:]
