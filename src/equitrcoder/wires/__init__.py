"""Wires: one module per message format, pure functions from bytes to values and back.

`wire(name)` gives the module (see `equitrcoder.wires.values.Wire` for its functions). What each wire reads and where it
departs from its specification: docs/wires.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from equitrcoder.wires.values import Wire, WireCall

__all__ = ["TEXT_WIRES", "WIRES", "WireCall", "read_calls", "wire"]

_MODULES: dict[str, str] = {
    "openai-chat": "equitrcoder.wires.openai_chat",
    "openai-responses": "equitrcoder.wires.openai_responses",
    "anthropic-messages": "equitrcoder.wires.anthropic_messages",
    "gemini-generate": "equitrcoder.wires.gemini_generate",
    "ollama-chat": "equitrcoder.wires.ollama_chat",
    "cohere-v2": "equitrcoder.wires.cohere_v2",
    "mistral": "equitrcoder.wires.mistral",
    "replicate-predictions": "equitrcoder.wires.replicate_predictions",
}

TEXT_WIRES: tuple[str, ...] = ("replicate-predictions",)
"""Wires that carry text and no tool calls."""

WIRES: tuple[str, ...] = tuple(name for name in _MODULES if name not in TEXT_WIRES)
"""Wires that carry tool calls."""


def wire(name: str) -> Wire:
    """Give the functions of a wire.

    Args:
        name: One of `WIRES` or `TEXT_WIRES`.

    Raises:
        WireNotReadyError: No wire has this name.

    Example:
        >>> wire("openai-chat").read_response(b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}').text
        'Hi'
    """
    module = _MODULES.get(name)
    if module is None:
        from equitrcoder.errors import WireNotReadyError

        raise WireNotReadyError(f"There is no wire named {name!r}.", hint="one of " + ", ".join(_MODULES))
    return cast("Wire", import_module(module))


def read_calls(wire_name: str, body: bytes, *, streaming: bool, status: int = 200) -> list[WireCall]:
    """List the tool calls that the body of one answer holds.

    Tolerant: a stream that broke off gives the calls it held until then, arguments as far as they came. An error answer
    (status 400 and up) and a body that is no answer hold none.

    Args:
        wire_name: One of `WIRES`; of `TEXT_WIRES` none has calls.
        body: The whole body as received, content encoding undone.
        streaming: Whether it was asked for as a stream.
        status: HTTP status of the answer.

    Returns:
        The calls in the order of the answer, those that the provider ran itself included; empty when there are none.

    Raises:
        WireNotReadyError: No wire has this name.
    """
    from equitrcoder.errors import ProviderError

    module = wire(wire_name)
    if status >= 400:
        return []
    if not streaming:
        try:
            return list(module.read_response(body, status=status).calls)
        except ProviderError as error:
            return list(error.partial.calls) if error.partial else []
    reader = module.stream_reader()
    try:
        reader.feed(body)
        return list(reader.finish().calls)
    except ProviderError:
        return list(reader.partial().calls)


def __getattr__(name: str) -> Any:
    if name == "WireCall":
        from equitrcoder.wires.values import WireCall

        return WireCall
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
