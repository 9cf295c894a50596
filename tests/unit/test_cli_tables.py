"""Tables: alignment, cutting, foreign text; and moments on the command line."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equitrcoder.cli.tables import SAMPLE, Column, cut, places, screen_width, table
from equitrcoder.cli.times import local, parse_moment

COLUMNS = (Column("id"), Column("n", right=True), Column("task", flexible=True))
NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def test_figures_stand_right_words_left_and_no_line_ends_in_spaces() -> None:
    lines = list(table(COLUMNS, [("7F3K", "1,200", "fix it"), ("A", "3", "")], 80))
    assert lines == ["id        n  task", "7F3K  1,200  fix it", "A         3"]


def test_only_flexible_columns_are_cut() -> None:
    lines = list(table(COLUMNS, [("01JD0000000000000000007F3K", "1", "make the failing test pass")], 40))
    assert lines[1] == "01JD0000000000000000007F3K  1  make the…"
    assert len(lines[1]) == 40


def test_a_screen_too_narrow_for_the_ids_is_overrun_and_the_rest_is_kept_readable() -> None:
    (_, line) = table(COLUMNS, [("01JD0000000000000000007F3K", "1", "make the failing test pass")], 10)
    assert line == "01JD0000000000000000007F3K  1  make th…"


def test_the_widest_flexible_column_gives_way_first() -> None:
    columns = (Column("model", flexible=True), Column("task", flexible=True))
    (_, line) = table(columns, [("groq/llama-small", "a long task that goes on for a while")], 40)
    assert line == "groq/llama-small  a long task that goes…"


def test_foreign_text_is_put_on_one_line_and_made_harmless() -> None:
    (_, line) = table((Column("task"),), [("a\nb\x1b[2J\u202ec",)], 80)
    assert line == r"a b\x1b[2J\u202ec"


def test_wide_and_combining_characters_keep_the_columns_in_line() -> None:
    lines = list(table((Column("task"), Column("n")), [("日本", "1"), ("abcd", "2"), ("e\u0301abc", "3")], 80))
    assert [line[-1] for line in lines] == ["n", "1", "2", "3"]
    assert {places(line) for line in lines} == {7}


def test_no_rows_give_no_titles() -> None:
    assert list(table(COLUMNS, [], 80)) == []


def test_rows_stream_after_the_sample() -> None:
    taken = 0

    def rows() -> object:
        nonlocal taken
        for number in range(SAMPLE * 4):
            taken += 1
            yield (str(number), "1", "x")

    lines = table(COLUMNS, rows(), 80)  # type: ignore[arg-type]
    next(lines)
    assert taken == SAMPLE
    assert sum(1 for _ in lines) == SAMPLE * 4


def test_an_id_that_comes_after_the_sample_is_whole_however_long() -> None:
    rows = [("7F3K", "1", "x")] * SAMPLE + [("01JD0000000000000000007F3K", "1", "a longer task than before " * 3)]
    last = list(table(COLUMNS, rows, 80))[-1]
    assert last.startswith("01JD0000000000000000007F3K  1  a longer task") and last.endswith("…")


@given(st.text(), st.integers(min_value=1, max_value=40))
def test_cut_text_fits(text: str, width: int) -> None:
    kept = cut(text, width)
    assert places(kept) <= width
    assert kept == text or kept.endswith("…")


@pytest.mark.parametrize(("columns", "expected"), [("77", 77), ("0", 140), ("wide", 140), ("", 140)])
def test_the_width_comes_from_columns_else_without_a_terminal_it_is_140(
    monkeypatch: pytest.MonkeyPatch, columns: str, expected: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    read, write = os.pipe()
    with os.fdopen(write, "w") as nowhere:
        monkeypatch.setattr("sys.stdout", nowhere)
        assert screen_width() == expected
    os.close(read)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("30m", NOW - timedelta(minutes=30)),
        ("1.5h", NOW - timedelta(minutes=90)),
        ("2 d", NOW - timedelta(days=2)),
        ("1w", NOW - timedelta(weeks=1)),
        ("2026-01-01T10:00+02:00", datetime(2026, 1, 1, 8, tzinfo=UTC)),
        ("2026-01-01", datetime(2026, 1, 1).astimezone()),
        ("today", NOW.astimezone().replace(hour=0)),
    ],
)
def test_moments(text: str, expected: datetime) -> None:
    found = parse_moment(text, NOW)
    assert found == expected
    assert found is not None and found.tzinfo is not None


@pytest.mark.parametrize("text", ["", "h", "2y", "yesterday-ish", "-1h", "2026-13-01", "999999999999999w", "1e9h"])
def test_what_is_no_moment(text: str) -> None:
    assert parse_moment(text, NOW) is None


def test_people_read_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert local(NOW) == "2026-01-02 21:00"
        assert parse_moment("2026-01-02T21:00", NOW) == NOW
    finally:
        monkeypatch.undo()
        time.tzset()
