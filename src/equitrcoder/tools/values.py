"""What passes between the tools and the agent. Plain classes: they stand on the way of every start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from equitrcoder.records import JSON, Outcome, SandboxLevel

if TYPE_CHECKING:
    from equitrcoder.sandbox import Sandbox
    from equitrcoder.tools.workspace import Workspace
    from equitrcoder.wires.values import ToolSpec

Effect: TypeAlias = Literal["read", "write", "command"]


class ToolResult:
    """What a tool gave back.

    Attributes:
        text: What the model is told; for a failure what went wrong and what to do.
        outcome: `success`, or how it ended otherwise.
        error_type: One word, None on success: not_found, exit_status, timeout …; all in docs/tools.md.
        error_message: One line for people, None on success.
        metadata: What there is beside the text: exit_code, lines, matches …
        full_bytes: Size of the whole result, only when `text` was cut.
        full_sha256: Hash of the whole result, hex, only when `text` was cut.
    """

    __slots__ = ("error_message", "error_type", "full_bytes", "full_sha256", "metadata", "outcome", "text")

    def __init__(
        self,
        text: str,
        *,
        outcome: Outcome = "success",
        error_type: str | None = None,
        error_message: str | None = None,
        metadata: Mapping[str, JSON] | None = None,
        full_bytes: int | None = None,
        full_sha256: str | None = None,
    ) -> None:
        self.text = text
        self.outcome: Outcome = outcome
        self.error_type = error_type
        self.error_message = error_message
        self.metadata: dict[str, JSON] = dict(metadata or {})
        self.full_bytes = full_bytes
        self.full_sha256 = full_sha256

    def __repr__(self) -> str:
        return f"ToolResult({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


class ToolFailure(Exception):
    """A tool could not do what it was asked to: an ordinary end of a call.

    Args:
        error_type: One word, as in `ToolResult`.
        message: What went wrong and what to do, for the model.
        outcome: `failed` unless told otherwise.
        metadata: As in `ToolResult`.
    """

    def __init__(
        self,
        error_type: str,
        message: str,
        *,
        outcome: Outcome = "failed",
        metadata: Mapping[str, JSON] | None = None,
    ) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.outcome: Outcome = outcome
        self.metadata = dict(metadata or {})


class InvalidCall(Exception):
    """A call that cannot be carried out as the model wrote it.

    Attributes:
        error_type: `unknown_tool` or `invalid_arguments`.
        message: What the model is told.
    """

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message


class ValidCall:
    """A call that may be approved and run.

    Attributes:
        name: The tool.
        arguments: Keyword arguments of the right types; what the model left out is not in it.
        effect: What it may do: `read`, `write` or `command`.
        subject: The path or command line it is about, for display and approval; "" when there is none.
        sandbox: The level it runs at; `not_applicable` for what is no command.
    """

    __slots__ = ("arguments", "effect", "name", "sandbox", "subject")

    def __init__(
        self, *, name: str, arguments: dict[str, Any], effect: Effect, subject: str, sandbox: SandboxLevel
    ) -> None:
        self.name = name
        self.arguments = arguments
        self.effect: Effect = effect
        self.subject = subject
        self.sandbox: SandboxLevel = sandbox

    def __repr__(self) -> str:
        return f"ValidCall({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


class MoreTools(Protocol):
    """Tools that a toolbox offers beside its own: those of MCP servers (`equitrcoder.mcp.McpTools`)."""

    specs: tuple[ToolSpec, ...]

    def has(self, name: str) -> bool: ...

    def validate(self, name: str, arguments: Mapping[str, JSON] | str | None) -> ValidCall: ...

    async def run(self, call: ValidCall) -> ToolResult: ...

    def preview(self, call: ValidCall) -> str: ...


class ToolLimits:
    """How much a result may hold; past it head and tail are kept, or the first ones of a list.

    Attributes:
        lines, text_bytes: Of a file that is read.
        matches: Of a search.
        entries: Of a folder or a tree.
        output_bytes: Of a command, and of what git prints.
        file_bytes: Largest file that is edited, or searched.
        scan_bytes: Largest file that is read in part.
        command_timeout_s: When the model gives none.
        command_timeout_max_s: The most it may give.
    """

    __slots__ = (
        "command_timeout_max_s",
        "command_timeout_s",
        "entries",
        "file_bytes",
        "lines",
        "matches",
        "output_bytes",
        "scan_bytes",
        "text_bytes",
    )

    def __init__(
        self,
        *,
        lines: int = 2000,
        text_bytes: int = 65536,
        matches: int = 200,
        entries: int = 1000,
        output_bytes: int = 32768,
        file_bytes: int = 10_000_000,
        scan_bytes: int = 1_000_000_000,
        command_timeout_s: float = 120,
        command_timeout_max_s: float = 3600,
    ) -> None:
        self.lines = lines
        self.text_bytes = text_bytes
        self.matches = matches
        self.entries = entries
        self.output_bytes = output_bytes
        self.file_bytes = file_bytes
        self.scan_bytes = scan_bytes
        self.command_timeout_s = command_timeout_s
        self.command_timeout_max_s = command_timeout_max_s


class Box:
    """What a tool works with: its first parameter."""

    __slots__ = ("limits", "sandbox", "workspace")

    def __init__(self, workspace: Workspace, sandbox: Sandbox, limits: ToolLimits) -> None:
        self.workspace = workspace
        self.sandbox = sandbox
        self.limits = limits
