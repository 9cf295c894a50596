"""Moments as quarters of an hour, and days as this machine's time zone has them.

Statistics are kept by quarters of an hour of UTC: every zone's days begin at one. What adds them up to days remembers
by `zone()` whose days they are.
"""

from __future__ import annotations

import time
import zlib
from datetime import datetime, timedelta

QUARTER_S = 900
UNKNOWN = -(1 << 40)
"""The quarter of a moment that damage made unreadable."""
UNKNOWN_DAY = "unknown"


def quarter_of(at: str) -> int:
    """The quarter of an hour of a stored time.

    Example:
        >>> quarter_of("1970-01-01T00:31:00.000000+00:00"), quarter_of("soon") == UNKNOWN
        (2, True)
    """
    try:
        moment = datetime.fromisoformat(at if at[-6:-5] in "+-" else f"{at}+00:00")
        return int(moment.timestamp() // QUARTER_S)
    except (TypeError, ValueError, OverflowError):
        return UNKNOWN


def day_of(quarter: int) -> str:
    """The local day of a quarter of an hour, as 2026-01-31; "unknown" for the unknown."""
    if quarter == UNKNOWN:
        return UNKNOWN_DAY
    try:
        moment = time.localtime(quarter * QUARTER_S)
    except (OverflowError, OSError, ValueError):
        return UNKNOWN_DAY
    return f"{moment.tm_year:04}-{moment.tm_mon:02}-{moment.tm_mday:02}"


def day_of_text(at: str) -> str:
    """The local day of a stored time; also a function of the index's SQL."""
    return day_of(quarter_of(at))


def whole_quarter(moment: datetime) -> int | None:
    """The quarter of an hour that begins at a moment; None when none does."""
    quarter, rest = divmod(moment.timestamp(), QUARTER_S)
    return None if rest else int(quarter)


def whole_day(moment: datetime) -> str | None:
    """The local day that begins at a moment; None when none does."""
    quarter = whole_quarter(moment)
    if quarter is None or day_of(quarter) == day_of(quarter - 1):
        return None
    return day_of(quarter)


def following_month(day: str) -> str:
    """The first day of the month after a day's.

    Example:
        >>> following_month("2026-12-31")
        '2027-01-01'
    """
    first = datetime.fromisoformat(day).replace(day=1)
    return f"{first + timedelta(days=32):%Y-%m}-01"


def zone() -> int:
    """A number for the local time zone: the same as long as its days begin at the same moments.

    Looked at once a month from 2020 to 2035.
    """
    step, start, end = 30 * 86_400, 1_577_836_800, 2_051_222_400
    offsets = [time.localtime(moment).tm_gmtoff for moment in range(start, end, step)]
    return zlib.crc32(repr(offsets).encode())
