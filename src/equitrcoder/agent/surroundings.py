"""What a session works in: the ledger, the walls and the tools, made from the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equitrcoder.ledger.ledger import Ledger
from equitrcoder.ledger.redaction import Redactor, named_secrets
from equitrcoder.providers.user_rows import all_rows
from equitrcoder.sandbox import Sandbox, choose_sandbox
from equitrcoder.settings import Settings, state_dir
from equitrcoder.tools import Toolbox, ToolLimits, Workspace

if TYPE_CHECKING:
    from equitrcoder.ledger.content import Content
    from equitrcoder.ledger.log_file import ToolLog
    from equitrcoder.mcp.tools import AcceptTools, McpTools
    from equitrcoder.mcp.walls import Ground
    from equitrcoder.records import SandboxLevel


class Surroundings:
    """Opens the ledger, the sandbox and the tools of a session, and closes them.

    Args:
        on_notice: Told one line at a time what a person should know; None: nobody listens.

    Raises:
        SandboxError: A sandbox is required and none can be had.
        ExportError: The tool log cannot be written.
    """

    def __init__(
        self,
        repo: Path,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        on_notice: Callable[[str], None] | None,
    ) -> None:
        secrets = named_secrets(environ, extra=_secrets(settings, environ))
        for row in settings.mcp_servers.values():
            secrets |= named_secrets(row.get("env", {}))
        self.redactor = Redactor(secrets)
        self._settings, self._environ, self._repo = settings, environ, repo
        self._mcp: McpTools | None = None
        self.on_notice = on_notice = self._without_secrets(on_notice)
        state = state_dir(environ)
        tool_log = _tool_log(settings, on_notice)
        self._hidden = hidden = [state, *(tool_log.paths if tool_log is not None else ())]
        self.ledger = Ledger(
            state,
            redactor=self.redactor,
            durability=settings.durability,
            on_trouble=on_notice,
            tool_log=tool_log,
            content=_content(settings),
            spill=(settings.spill_limit_bytes, settings.spill_total_bytes) if settings.spill_results else None,
        )
        self.sandbox: Sandbox = choose_sandbox(
            settings.sandbox,
            repo,
            environ=environ,
            network=settings.network,
            network_hosts=settings.network_hosts,
            env_passthrough=settings.env_passthrough,
            readable=settings.readable_paths,
            hidden=hidden,
            limits=settings.command_limits,
        )
        self._workspace = Workspace.open(repo, hidden=hidden)
        self.toolbox = Toolbox(
            self._workspace, self.sandbox, limits=ToolLimits(command_timeout_s=settings.command_timeout_s)
        )

    def _without_secrets(self, on_notice: Callable[[str], None] | None) -> Callable[[str], None] | None:
        return None if on_notice is None else lambda line: on_notice(self.redactor.text(line)[0])

    async def add_mcp_tools(self, accept: AcceptTools | None) -> None:
        """Offer the tools of the MCP servers in the settings; the first time only.

        Args:
            accept: Asks a person about tools that have changed; None: there is nobody to ask.
        """
        if self._mcp is not None or not self._settings.mcp_servers:
            return
        from equitrcoder.mcp.servers import servers_of
        from equitrcoder.mcp.tools import McpTools

        settings = self._settings
        ground = ground_for(self._repo, settings, self._environ, level=self.sandbox.level, hidden=self._hidden)
        self._mcp = McpTools(
            servers_of(settings.mcp_servers),
            ground,
            state_dir(self._environ),
            taken=[spec.name for spec in self.toolbox.specs],
            on_notice=self.on_notice,
            accept=accept,
        )
        await self._mcp.open()
        self.toolbox.add(self._mcp)

    async def aclose(self) -> None:
        """Close everything; the ledger's index has everything when this returns."""
        if self._mcp is not None:
            await self._mcp.aclose()
        await self.sandbox.aclose()
        self._workspace.close()
        self.ledger.close()


def ground_for(
    repo: Path, settings: Settings, environ: Mapping[str, str], *, level: SandboxLevel, hidden: Sequence[Path]
) -> Ground:
    """Where MCP servers run: what stands around commands stands around them, but no list of hosts."""
    from equitrcoder.mcp.walls import Ground

    return Ground(
        repo,
        environ,
        level=level,
        required=settings.sandbox == "required",
        network=settings.network is True,
        env_passthrough=settings.env_passthrough,
        readable=settings.readable_paths,
        hidden=hidden,
    )


def _secrets(settings: Settings, environ: Mapping[str, str]) -> list[str]:
    """Keys of every row, whatever their variables are called: the model may be changed later."""
    names = {name for row in all_rows(settings.providers).values() for name in row.keys}
    return [*(environ[name] for name in names if environ.get(name)), *settings.secrets]


def _tool_log(settings: Settings, on_notice: Callable[[str], None] | None) -> ToolLog | None:
    if not settings.log_tool_calls:
        return None
    from equitrcoder.ledger.log_file import ToolLog

    return ToolLog(settings.tool_log_file, on_trouble=on_notice)


def _content(settings: Settings) -> Content | None:
    """What is kept of arguments and results; None: everything."""
    kept: Mapping[str, Any] = settings.content
    if not kept:
        return None
    from equitrcoder.ledger.content import Content

    content = Content(**kept)
    return None if content.whole else content
