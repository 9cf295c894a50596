"""`equitrcoder mcp`: the MCP servers of the settings, what they offer, and whether it is what was accepted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equitrcoder.cli.output import print_json_lines, print_lines
from equitrcoder.errors import UsageError

if TYPE_CHECKING:
    from equitrcoder.mcp.known import Known
    from equitrcoder.mcp.servers import Server
    from equitrcoder.mcp.walls import Ground
    from equitrcoder.settings import Settings

_REPO = click.option(
    "--repo", type=click.Path(path_type=Path), default=Path(), show_default="this folder", help="The repository."
)


@click.group("mcp")
def command() -> None:
    """Look at the MCP servers in the settings and at what they offer (docs/mcp.md).

    \b
    Example: in your settings file (equitrcoder config path)
      mcpServers:
        f:
          command: npx
          args: [-y, "@modelcontextprotocol/server-filesystem", .]
          network: true
    """


@command.command(
    "list",
    epilog="""\b
Examples
  equitrcoder mcp list
  equitrcoder mcp list --json | jq -r 'select(.changed > 0) | .name'
""",
)
@_REPO
@click.option("--json", "as_json", is_flag=True, help="One JSON object per server and line.")
def list_command(repo: Path, as_json: bool) -> None:
    """List the servers: where they run, how many tools they offer, and how many of them changed. Starts none."""
    settings, ground = _ground(repo)
    rows = [_about(server, ground) for server in _servers(settings)]
    if as_json:
        print_json_lines(rows)
    elif rows:
        _print_table(rows)
    else:
        click.echo("No MCP servers in the settings. How to name one: equitrcoder mcp --help")


@command.command(
    "check",
    epilog="""\b
Examples
  equitrcoder mcp check
  equitrcoder mcp check f
""",
)
@click.argument("name", required=False)
@_REPO
def check(name: str | None, repo: Path) -> int:
    """Start NAME, or all of them, ask what they offer, and end them.

    Exit code 1 when one did not come up. What a server offers when it is first seen is accepted.
    """
    import asyncio

    settings, ground = _ground(repo)
    chosen = [_server(settings, name)] if name else _servers(settings)
    return asyncio.run(_check(chosen, ground))


@command.command(
    "tools",
    epilog="""\b
Examples
  equitrcoder mcp tools f
""",
)
@click.argument("name")
@_REPO
def tools(name: str, repo: Path) -> None:
    """List the tools of the server NAME as it told them last, and what changed since they were accepted."""
    from equitrcoder.cli.mcp_text import changes
    from equitrcoder.mcp.offering import offers

    settings, ground = _ground(repo)
    server = _server(settings, name)
    known = _known(server, ground)
    if known.is_first_use:
        click.echo(f"{name} was never started. Ask it what it offers: equitrcoder mcp check {name}")
        return
    found, said = offers(server, known.accepted(), ())
    print_lines([f"{offer.spec.name}  {_first_line(offer.spec.description)}" for offer in found])
    print_lines(said)
    changed = known.changed()
    if changed:
        print_lines(["", *changes(server, changed), "", f"Take them: equitrcoder mcp accept {name}"])


@command.command(
    "accept",
    epilog="""\b
Examples
  equitrcoder mcp tools f
  equitrcoder mcp accept f
""",
)
@click.argument("name")
@_REPO
def accept(name: str, repo: Path) -> None:
    """Accept the tools of the server NAME as it told them last."""
    settings, ground = _ground(repo)
    known = _known(_server(settings, name), ground)
    changed = known.changed()
    known.accept()
    count = len(changed)
    click.echo(f"{count} tool{'' if count == 1 else 's'} accepted." if changed else "There was nothing to accept.")


def _ground(repo: Path) -> tuple[Settings, Ground]:
    from equitrcoder.agent.startup import settings_for
    from equitrcoder.agent.surroundings import ground_for
    from equitrcoder.sandbox import choose_sandbox

    if not repo.is_dir():
        raise UsageError(f"{repo} is not a folder.", hint="name the repository with --repo DIR")
    settings = settings_for(repo, os.environ, {})
    for warning in settings.warnings:
        click.echo(warning, err=True)
    level = choose_sandbox(settings.sandbox, repo, environ=os.environ).level
    return settings, ground_for(repo.resolve(), settings, os.environ, level=level, hidden=[_state()])


def _state() -> Path:
    from equitrcoder.settings import state_dir

    return state_dir(os.environ)


def _servers(settings: Settings) -> list[Server]:
    from equitrcoder.mcp.servers import servers_of

    return servers_of(settings.mcp_servers)


def _server(settings: Settings, name: str) -> Server:
    from equitrcoder.mcp.servers import Server

    if name not in settings.mcp_servers:
        known = ", ".join(settings.mcp_servers) or "none"
        raise UsageError(f'There is no MCP server "{name}" in the settings.', hint=f"they name: {known}")
    return Server(name, settings.mcp_servers[name])


def _known(server: Server, ground: Ground) -> Known:
    from equitrcoder.mcp.known import Known

    return Known(_state(), server)


def _about(server: Server, ground: Ground) -> dict[str, Any]:
    from equitrcoder.ledger.redaction import Redactor, named_secrets

    known = _known(server, ground)
    return {
        "name": server.name,
        "where": Redactor(named_secrets(os.environ)).text(server.where)[0],
        "sandbox": ground.level(server),
        "trusted": server.trusted,
        "tools": None if known.is_first_use else len(known.tools),
        "changed": len(known.changed()),
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from equitrcoder.cli.tables import Column, screen_width, table

    columns = [
        Column("server"),
        Column("sandbox"),
        Column("tools", right=True),
        Column("accepted"),
        Column("where", flexible=True),
    ]
    cells = [
        [
            row["name"],
            {"not_applicable": "an address", "none": "none" + (", trusted" if row["trusted"] else "")}.get(
                row["sandbox"], row["sandbox"]
            ),
            "never started" if row["tools"] is None else str(row["tools"]),
            f"{row['changed']} changed" if row["changed"] else ("" if row["tools"] is None else "yes"),
            row["where"],
        ]
        for row in rows
    ]
    print_lines(table(columns, cells, screen_width()))


async def _check(servers: list[Server], ground: Ground) -> int:
    from equitrcoder.ledger.redaction import Redactor, named_secrets
    from equitrcoder.mcp.servers import ServerTrouble
    from equitrcoder.mcp.tools import ask_server

    redactor = Redactor(named_secrets(os.environ))
    failed = 0
    for server in servers:
        known = _known(server, ground)
        try:
            await ask_server(server, ground, known)
        except ServerTrouble as trouble:
            failed += 1
            print_lines([redactor.text(f"{server.name}: did not come up: {trouble.message}")[0]])
            continue
        changed = len(known.changed())
        said = f"{server.name}: {len(known.tools)} tools, sandbox {ground.level(server)}"
        print_lines([said + (f"; {changed} not accepted: equitrcoder mcp tools {server.name}" if changed else "")])
    return 1 if failed else 0


def _first_line(description: str) -> str:
    words = description.partition("words:] ")[2] or description
    return words.partition("\n")[0][:100]
