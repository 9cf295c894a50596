"""How long a provider asks to wait."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equitrcoder.wires.waiting import asked_wait_s, duration_s

DATE, TWO_MINUTES_LATER = "Fri, 20 Nov 2026 10:00:00 GMT", "Fri, 20 Nov 2026 10:02:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "20"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "20"}, 20.0),
        ({"retry-after": TWO_MINUTES_LATER, "date": DATE}, 120.0),
        ({"retry-after": DATE, "date": TWO_MINUTES_LATER}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Fri, 99 Nov 2026 10:00:00 GMT"}, None),
        ({"retry-after": ""}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "12ms"}, 0.012),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1h2m3.5s"}, 3723.5),
        ({"x-ratelimit-remaining-requests": "7", "x-ratelimit-reset-requests": "6m0s"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "9"}, 9.0),
        (
            {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2s"}
            | {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m"},
            60.0,
        ),
        ({}, None),
    ],
)
def test_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_wait_s(headers) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("unit", [1, 1000])
def test_a_reset_given_as_a_moment(unit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_795_000_000.0)
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(1_795_000_030 * unit)}
    assert asked_wait_s(headers) == pytest.approx(30.0)


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached for m. Please try again in 7.66s. Visit …", 7.66),
        ("Please try again in 1m2.3s.", 62.3),
        ("please try again in 120ms", 0.12),
        ("Try again in 20 seconds", 20.0),
        ("retry after 2 minutes", 120.0),
        ("Please try again in a while", None),
        ("Please try again in 5 steps", None),
    ],
)
def test_the_providers_words(message: str, seconds: float | None) -> None:
    assert asked_wait_s({}, message) == (None if seconds is None else pytest.approx(seconds))


def test_googles_retry_info() -> None:
    info = {"details": [{"@type": "…QuotaFailure"}, {"@type": "…RetryInfo", "retryDelay": "34.4s"}]}
    assert asked_wait_s({}, "", info) == pytest.approx(34.4)
    assert asked_wait_s({}, "", {"details": [None, 3, {"retryDelay": 5}]}) is None


@given(st.text(alphabet="0123456789.hms d-+einf", max_size=60))
def test_any_text_is_a_wait_or_none(text: str) -> None:
    found = duration_s(text)
    assert found is None or 0 <= found < float("inf")
    asked_wait_s({"retry-after": text, "x-ratelimit-remaining": "0", "x-ratelimit-reset": text}, f"try again in {text}")
