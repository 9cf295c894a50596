"""`SyncEquitrAPI`: the same for programs without an event loop, and inside one that has no `await` at hand."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from equitrcoder.api.arguments import Face
from equitrcoder.api.asynchronous import EquitrAPI
from equitrcoder.api.portal import Portal

if TYPE_CHECKING:
    from types import TracebackType

    from equitrcoder.agent.result import RunResult

Method = TypeVar("Method", bound=Callable[..., Any])


def _documented_as(original: Callable[..., Any]) -> Callable[[Method], Method]:
    def put(method: Method) -> Method:
        method.__doc__ = original.__doc__
        return method

    return put


class SyncEquitrAPI(Face):
    """`EquitrAPI` without `await`: the same arguments, methods and results.

    It runs in a thread with an event loop of its own, so it works inside a running event loop too (which it holds up
    while it waits). Ctrl-C during a `chat` stops that run, which keeps what was done.

    Attributes:
        session_id: ULID; all chats of this object share it.

    Example:
        >>> def main():
        ...     with SyncEquitrAPI(repo_path="./my_project") as api:
        ...         print(api.chat("List the files in this folder."))
        ...         print(api.get_tool_call_logs(limit=10))

    Source: tool logging guide, "Programmatic API".
    """

    _portal: Portal | None = None
    _guard = threading.Lock()

    @_documented_as(EquitrAPI.chat)
    def chat(self, message: str) -> RunResult:
        return self._in_loop().run(self._chats.chat, message)

    @_documented_as(EquitrAPI.resume)
    def resume(self, run: str, message: str | None = None, *, anyway: bool = False) -> RunResult:
        return self._in_loop().run(lambda: self._chats.resume(run, message, anyway=anyway, began=self._take_session))

    @_documented_as(EquitrAPI.close)
    def close(self) -> None:
        portal = self._portal
        if portal is None or portal.ended:
            self._chats.closed = True
            return
        try:
            portal.run(self._chats.close)
        finally:
            portal.end()

    def __enter__(self) -> SyncEquitrAPI:
        try:
            self._in_loop().run(self._chats.open)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _in_loop(self) -> Portal:
        """The portal; made at first use, and ended with this object or with the interpreter."""
        with self._guard:
            if self._portal is None:
                self._portal = Portal()
                weakref.finalize(self, self._portal.abandon, self._chats.close)
            return self._portal
