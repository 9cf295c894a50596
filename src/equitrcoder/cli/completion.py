"""`equitrcoder completion`: the script by which a shell completes our commands, options, runs and models."""

from __future__ import annotations

import click

from equitrcoder.cli.output import print_lines

VARIABLE = "_EQUITRCODER_COMPLETE"

INSTALL = {
    "bash": (
        "mkdir -p ~/.local/share/bash-completion/completions",
        "equitrcoder completion bash > ~/.local/share/bash-completion/completions/equitrcoder",
        "Without the package bash-completion, in ~/.bashrc:  source <(equitrcoder completion bash)",
    ),
    "zsh": (
        "mkdir -p ~/.zfunc",
        "equitrcoder completion zsh > ~/.zfunc/_equitrcoder",
        "and once, in ~/.zshrc:  fpath+=~/.zfunc; autoload -Uz compinit; compinit",
    ),
    "fish": ("equitrcoder completion fish > ~/.config/fish/completions/equitrcoder.fish",),
}


@click.command(
    "completion",
    epilog="\b\nExamples\n" + "\n".join(f"  {line}" for lines in INSTALL.values() for line in lines),
)
@click.argument("shell", type=click.Choice(tuple(INSTALL)))
def command(shell: str) -> None:
    """Print the completion script of a shell; how to install it stands in its first lines."""
    print_lines(script(shell).splitlines())


def script(shell: str) -> str:
    """The script for `bash`, `zsh` or `fish`, with how to install it as a comment."""
    from click.shell_completion import get_completion_class

    from equitrcoder.cli.app import app

    maker = get_completion_class(shell)
    assert maker is not None
    lines = maker(app, {}, "equitrcoder", VARIABLE).source().strip().splitlines()
    comment = ["# Completion of equitrcoder. To install:", *(f"#   {line}" for line in INSTALL[shell])]
    place = 1 if lines[0].startswith("#compdef") else 0  # zsh wants that line to be the first
    return "\n".join([*lines[:place], *comment, *lines[place:]]) + "\n"
