"""The pure part of edit_file: find the text, replace it, or say why not and where the nearest place is."""

from __future__ import annotations

from equitrcoder.tools.text import plural
from equitrcoder.tools.values import ToolFailure

_PLACES_SHOWN = 20
_LINES_COMPARED = 20_000
_LINES_OF_OLD = 200


def replace_text(path: str, text: str, old: str, new: str, *, replace_all: bool) -> tuple[str, int]:
    """Replace `old` by `new` in `text`.

    `old` must be there exactly, and once unless `replace_all`. In a file whose lines end in CR LF, line feeds in `old`
    and `new` stand for those.

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
    crlf = _ends_in_crlf(text)
    if crlf and "\r" not in new:
        new = new.replace("\n", "\r\n")
    if crlf and old not in text:
        old = old.replace("\r\n", "\n").replace("\n", "\r\n")
    if old == new:
        raise ToolFailure("no_change", "old_text and new_text are the same: nothing was changed.")
    count = text.count(old)
    if not count:
        raise ToolFailure("text_not_found", _not_found(path, text, old))
    if count > 1 and not replace_all:
        raise ToolFailure("not_unique", _not_unique(path, text, old, count), metadata={"matches": count})
    return text.replace(old, new), count


def _ends_in_crlf(text: str) -> bool:
    """Whether most lines end in CR LF."""
    return text.count("\r\n") * 2 > text.count("\n")


def _not_unique(path: str, text: str, old: str, count: int) -> str:
    lines: list[int] = []
    place, line = 0, 1
    while len(lines) < _PLACES_SHOWN and (found := text.find(old, place)) >= 0:
        line += text.count("\n", place, found)
        lines.append(line)
        line += text.count("\n", found, found + len(old))
        place = found + len(old)
    shown = ", ".join(map(str, lines)) + (", …" if count > len(lines) else "")
    return (
        f"old_text is {count} times in {path}, at lines {shown}. Nothing was changed. "
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
    """The lines most like `old`: their first line's number, their text, and whether only spacing differs.

    None when nothing is like it, and for files or texts too long to compare.
    """
    lines = text.split("\n")
    wanted = old.strip("\r\n").split("\n")
    if len(lines) > _LINES_COMPARED or len(wanted) > _LINES_OF_OLD:
        return None
    bare = [" ".join(line.split()) for line in lines]
    target = [" ".join(line.split()) for line in wanted]
    start = _best_start(bare, target)
    if start is None:
        return None
    stop = start + len(wanted)
    return start + 1, "\n".join(line.rstrip("\r") for line in lines[start:stop]), bare[start:stop] == target


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
    close = difflib.get_close_matches(target[anchor][:500], [line[:500] for line in where], n=1, cutoff=0.6)
    if not close:
        return None
    index = next(index for index, line in enumerate(bare) if line[:500] == close[0])
    return max(0, index - anchor)


def line_changes(old: str, new: str) -> tuple[int, int]:
    """How many lines were added and removed.

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
    if min(len(before), len(after)) <= 1 or max(len(before), len(after)) > 2000:
        return len(after), len(before)
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
