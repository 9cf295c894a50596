"""The prompt at a terminal: line editing, history, completion, a status line below. Brings prompt_toolkit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prompt_toolkit.completion import Completer
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import History
from prompt_toolkit.input import create_input
from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.key_binding import KeyBindings, KeyPress, KeyPressEvent
from prompt_toolkit.output.color_depth import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.shortcuts.prompt import PromptSession
from prompt_toolkit.styles import Style

from equitrcoder.cli.interactive.completion import asks_for_completion
from equitrcoder.cli.interactive.keys import Keys
from equitrcoder.cli.interactive.lines import PROMPT, EndOfLines, Interrupted


class PromptLines:
    """A person's lines at a terminal.

    Args:
        status: Gives the status line.
        show_last: Ctrl-O: prints the last output whole.
        on_paint: Called once, when the first prompt stands on the screen.
    """

    def __init__(
        self,
        *,
        status: Callable[[], str],
        history: History,
        completer: Completer,
        show_last: Callable[[], None],
        on_paint: Callable[[], None],
    ) -> None:
        self._input = create_input(sys.stdin)
        self._output = _Output.from_pty(sys.stdout, default_color_depth=ColorDepth.DEPTH_1_BIT)
        self._status = status
        self._show_last = show_last
        self._on_paint: Callable[[], None] | None = on_paint
        self._keys = Keys(on_show=show_last)
        self._prompt = self._session(history, completer)
        self._question: PromptSession[str] | None = None
        self._app: Any = None
        self._prompt.app.after_render += self._painted

    def _session(self, history: History | None = None, completer: Completer | None = None) -> PromptSession[str]:
        return PromptSession(
            history=history,
            completer=completer,
            complete_while_typing=Condition(lambda: asks_for_completion(self._prompt.default_buffer.document)),
            complete_in_thread=True,
            bottom_toolbar=lambda: FormattedText([("", self._status())]),
            key_bindings=_bindings(self._show_last),
            enable_suspend=True,
            style=Style([("bottom-toolbar", "noreverse")]),
            input=self._input,
            output=self._output,
        )

    def _painted(self, _app: object) -> None:
        if self._on_paint is not None:
            begin, self._on_paint = self._on_paint, None
            begin()

    async def message(self) -> str:
        self._give_back(self._keys.taken())
        return await self._ask(self._prompt, PROMPT)

    async def answer(self, question: str, default: str = "") -> str:
        if self._question is None:
            self._question = self._session()
        with self._keys.paused():
            before = get_typeahead(self._input)
            try:
                return await self._ask(self._question, question, default)
            finally:
                store_typeahead(self._input, before)

    async def _ask(self, session: PromptSession[str], words: str, default: str = "") -> str:
        self._app = session.app
        try:
            return await session.prompt_async(FormattedText([("", words)]), default=default, handle_sigint=False)
        except KeyboardInterrupt:
            raise Interrupted from None
        except EOFError:
            raise EndOfLines from None
        finally:
            self._app = None

    def _give_back(self, typed: str) -> None:
        """What was typed while a turn ran is typed into the next prompt."""
        if not typed:
            return
        from prompt_toolkit.input.vt100_parser import Vt100Parser

        pressed: list[KeyPress] = get_typeahead(self._input)
        parser = Vt100Parser(pressed.append)
        parser.feed(typed)
        parser.flush()
        store_typeahead(self._input, pressed)

    @contextmanager
    def turn(self) -> Iterator[None]:
        with self._keys.reading():
            yield

    def interrupt(self) -> None:
        self.fail(KeyboardInterrupt())

    def fail(self, error: BaseException) -> None:
        """End the waiting for a line with an exception."""
        if self._app is not None and self._app.is_running and not self._app.is_done:
            self._app.exit(exception=error)

    @contextmanager
    def lent(self) -> Iterator[None]:
        with self._keys.paused():
            yield

    def restore(self) -> None:
        self._keys.restore()


class _Output(Vt100_Output):
    """A terminal that is not asked where its cursor is.

    The answer would be read as input by whatever comes next, and some terminals give none. Without it the status line
    stands right below the prompt instead of at the foot of the screen.
    """

    def get_rows_below_cursor_position(self) -> int:
        return 1

    @property
    def responds_to_cpr(self) -> bool:
        return False


def _bindings(show_last: Callable[[], None]) -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("c-c")
    def interrupt(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()  # the line is dropped, as in a shell
        else:
            event.app.exit(exception=KeyboardInterrupt())

    @bindings.add("escape", "enter")
    def next_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @bindings.add("c-o")
    def show(event: KeyPressEvent) -> None:
        from prompt_toolkit.application import run_in_terminal

        run_in_terminal(show_last)

    return bindings
