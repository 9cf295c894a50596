"""The pure part of edit_file: find the text, replace it, or say why not and where the nearest place is."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

from equitrcoder.tools.text import plural, readable
from equitrcoder.tools.values import ToolFailure

Span: TypeAlias = tuple[int, int]

_PLACES_SHOWN = 20
_LINES_SHOWN = 30
_LINE_CHARACTERS = 300  # of a line that is shown or compared
_LINES_COMPARED = 300
_LINES_MATCHED = 150
_LINES_OF_OLD = 200


def replace_text(path: str, text: str, old: str, new: str, *, replace_all: bool) -> tuple[str, int]:
    """Replace `old` by `new` in `text`.

    `old` must be there exactly, and once unless `replace_all`; line feeds in it stand for CR LF too. What is put in
    gets the line ends of the place where it goes.

    Returns:
        The new text, and how many places were replaced.

    Raises:
        ToolFailure: `no_change`, `text_not_found` (shows the nearest place), `not_unique` (says which lines).

    Example:
        >>> replace_text("a", "x\\r\\ny\\r\\n", "x\\ny", "z\\ny", replace_all=False)
        ('z\\r\\ny\\r\\n', 1)
    """
    if not old:
        raise ToolFailure(
            "no_change", "old_text is empty: give the text to replace, or use write_file for a whole file."
        )
    if old == new:
        raise ToolFailure("no_change", "old_text and new_text are the same: nothing was changed.")
    exact = old in text
    spans = _exact_spans(text, old) if exact else _spans_with_any_line_ends(text, old)
    if not spans:
        raise ToolFailure("text_not_found", _not_found(path, text, old))
    if len(spans) > 1 and not replace_all:
        raise ToolFailure("not_unique", _not_unique(path, text, spans), metadata={"matches": len(spans)})
    if not (exact and "\r" in new):  # else the model means them as they are
        plain = new.replace("\r\n", "\n")
        put = [plain.replace("\n", "\r\n") if _ends_in_crlf(text, *span) else plain for span in spans]
    else:
        put = [new] * len(spans)
    changed_text = _joined(text, spans, put)
    if changed_text == text:
        raise ToolFailure("no_change", "old_text and new_text differ only in line ends, which are kept.")
    return changed_text, len(spans)


def _joined(text: str, spans: Sequence[Span], put: Sequence[str]) -> str:
    pieces: list[str] = []
    place = 0
    for (start, stop), new in zip(spans, put, strict=True):
        pieces += (text[place:start], new)
        place = stop
    return "".join([*pieces, text[place:]])


def _exact_spans(text: str, old: str) -> list[Span]:
    spans: list[Span] = []
    place = text.find(old)
    while place >= 0:
        spans.append((place, place + len(old)))
        place = text.find(old, place + len(old))
    return spans


def _spans_with_any_line_ends(text: str, old: str) -> list[Span]:
    """Where `old` is when CR LF and LF count as the same."""
    if "\r\n" not in text and "\r\n" not in old:
        return []
    ends: list[int] = []  # of each CR LF: where its LF stands once all CR before it are gone
    place = text.find("\r\n")
    while place >= 0:
        ends.append(place - len(ends))
        place = text.find("\r\n", place + 2)
    spans = _exact_spans(text.replace("\r\n", "\n"), old.replace("\r\n", "\n"))
    return [(start + bisect_left(ends, start), stop + bisect_left(ends, stop)) for start, stop in spans]


def _ends_in_crlf(text: str, start: int, stop: int) -> bool:
    """Whether lines end in CR LF here: in the stretch itself, else at the end of its last line, else before it."""
    stretch = text[start:stop]
    lines = stretch.count("\n")
    if lines:
        return stretch.count("\r\n") * 2 > lines
    end = text.find("\n", stop)
    if end < 0:
        end = text.rfind("\n", 0, start)
    return end > 0 and text[end - 1] == "\r"


def _not_unique(path: str, text: str, spans: Sequence[Span]) -> str:
    lines: list[int] = []
    place, line = 0, 1
    for start, _ in spans[:_PLACES_SHOWN]:
        line += text.count("\n", place, start)
        lines.append(line)
        place = start
    shown_lines = ", ".join(map(str, lines)) + (", …" if len(spans) > len(lines) else "")
    return (
        f"old_text is {len(spans):,} times in {path}, at lines {shown_lines}. Nothing was changed. "
        "Give more of the lines around it, or set replace_all."
    )


def _not_found(path: str, text: str, old: str) -> str:
    said = f"old_text is not in {path}. Nothing was changed."
    nearest = nearest_place(text, old)
    if nearest is None:
        return f"{said} Read the file and give its text exactly."
    line, found, spacing_only = nearest
    why = "It differs in spaces, tabs or line ends" if spacing_only else "The nearest place"
    return f"{said} {why} (line {line}):\n{found}"


def nearest_place(text: str, old: str) -> tuple[int, str, bool] | None:
    """The lines most like `old`: their first line's number, their text (bounded), and whether only spacing differs.

    None when nothing is like it. The time it takes grows with the size of the file, not faster.
    """
    lines = text.split("\n")
    wanted = old.strip("\r\n").split("\n")[:_LINES_OF_OLD]
    bare = [" ".join(line.split()) for line in lines]
    target = [" ".join(line.split()) for line in wanted]
    start = _best_start(bare, target)
    if start is None:
        return None
    stop = start + len(wanted)
    shown_lines = [_bounded(line.rstrip("\r")) for line in lines[start : min(stop, start + _LINES_SHOWN)]]
    if stop - start > _LINES_SHOWN:
        shown_lines.append(f"[... {stop - start - _LINES_SHOWN} more lines ...]")
    return start + 1, "\n".join(shown_lines), bare[start:stop] == target


def _bounded(line: str) -> str:
    return readable(line if len(line) <= _LINE_CHARACTERS else line[:_LINE_CHARACTERS] + "…")


def _best_start(bare: list[str], target: list[str]) -> int | None:
    """Where to lay `target` on `bare` so that most lines agree; else the line most like its longest one."""
    where: dict[str, list[int]] = {}
    for index, line in enumerate(bare):
        if line:
            where.setdefault(line, []).append(index)
    votes: dict[int, int] = {}
    for offset, line in enumerate(target):
        for index in where.get(line, ())[:100]:
            if index >= offset:
                votes[index - offset] = votes.get(index - offset, 0) + len(line)
    if votes:
        return max(votes, key=lambda start: votes[start])
    import difflib

    anchor = max(range(len(target)), key=lambda index: len(target[index]))
    wanted = target[anchor][:_LINE_CHARACTERS]
    lines = {line[:_LINE_CHARACTERS]: found[0] for line, found in reversed(where.items())}
    close = difflib.get_close_matches(wanted, _likely(wanted, list(lines)), n=1, cutoff=0.6)
    return max(0, lines[close[0]] - anchor) if close else None


def _likely(wanted: str, lines: list[str]) -> list[str]:
    """The few lines that are worth a closer look: those that share most words and pieces of words."""
    if len(lines) <= _LINES_COMPARED:
        return lines
    step = max(1, len(wanted) // 16)
    pieces = {wanted[place : place + 4] for place in range(0, len(wanted), step)}
    scored = [(sum(piece in line for piece in pieces), index) for index, line in enumerate(lines)]
    return [lines[index] for _, index in heapq.nlargest(_LINES_COMPARED, scored)]


def line_changes(old: str, new: str) -> tuple[int, int]:
    """How many lines were added and removed; of large changes lines that only moved are not counted.

    Example:
        >>> line_changes("a\\nb\\n", "a\\nc\\nd\\n")
        (2, 1)
    """
    before, after = _lines(old), _lines(new)
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    end = 0
    while end < min(len(before), len(after)) - start and before[-1 - end] == after[-1 - end]:
        end += 1
    before, after = before[start : len(before) - end], after[start : len(after) - end]
    if max(len(before), len(after)) > _LINES_MATCHED:  # matching takes up to the third power of it
        return (Counter(after) - Counter(before)).total(), (Counter(before) - Counter(after)).total()
    import difflib

    same = sum(
        block.size for block in difflib.SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    )
    return len(after) - same, len(before) - same


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return lines


def changed(path: str, added: int, removed: int) -> str:
    """What an edit did, in words.

    Example:
        >>> changed("a.py", 3, 1)
        'a.py: 3 lines added, 1 removed'
    """
    return f"{path}: {plural(added, 'line')} added, {removed:,} removed"
