"""What a wire makes of each message of a conversation, made once.

A conversation only grows, and the form of a message depends on it and on what stands before it. So a turn builds what
is new, and its cost beyond that is one pass of the JSON encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class Forms:
    """The forms of one conversation for the wire and row that asked last; forms are shared, so nobody edits one.

    Example:
        >>> forms = Forms()
        >>> forms.of(("wire", "row"), [1, 2], lambda: str), forms.of(("wire", "row"), [1, 2, 3], lambda: str)
        (['1', '2'], ['1', '2', '3'])
    """

    __slots__ = ("_builder", "_made", "_messages", "_owner")

    def __init__(self) -> None:
        self._owner: tuple[object, ...] = ()
        self._messages: list[object] = []
        self._made: list[Any] = []
        self._builder: Callable[[Any], Any] | None = None

    def of(
        self, owner: tuple[object, ...], messages: Sequence[Any], new_builder: Callable[[], Callable[[Any], T]]
    ) -> list[T]:
        """The form of each message, in order.

        Args:
            owner: Whatever the forms depend on beside the messages; for another one all are made anew.
            messages: The conversation's; those of the last time stand first, or all forms are made anew.
            new_builder: Makes what gives a message its form; called with the messages in order, so it may remember.
        """
        known = len(self._messages)
        if self._builder is None or owner != self._owner or messages[:known] != self._messages:
            self._owner, self._builder, known = owner, new_builder(), 0
            self._messages, self._made = [], []
        build = self._builder
        for message in messages[known:]:
            self._made.append(build(message))
            self._messages.append(message)
        return list(self._made)
