"""Which wires stand already, and the error for those that come next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equitrcoder.errors import WireNotReadyError
from equitrcoder.wires import wire

if TYPE_CHECKING:
    from equitrcoder.providers.choice import ModelChoice
    from equitrcoder.wires.values import Wire


def wire_stands(name: str) -> bool:
    """Whether a wire can be used.

    Example:
        >>> wire_stands("openai-chat")
        True
    """
    try:
        wire(name)
    except WireNotReadyError:
        return False
    return True


def load_wire(choice: ModelChoice) -> Wire:
    """The wire of a choice.

    Raises:
        WireNotReadyError: E502, with what works today.
    """
    row = choice.provider
    try:
        return wire(row.wire)
    except WireNotReadyError as error:
        raise WireNotReadyError(
            f"{row.name} speaks the {row.wire} wire: this wire comes next.",
            hint="until then another one: equitrcoder providers",
            provider=row.name,
            model=choice.model,
        ) from error
