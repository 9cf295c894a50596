"""`equitrcoder-simple`: the session in plain lines, at a terminal and over a pipe."""

from __future__ import annotations

from typing import Any

import click

from equitrcoder.cli.session_options import hold_session, session_options


@click.command(
    "equitrcoder-simple",
    epilog="""\b
Examples
  equitrcoder-simple --model groq/openai/gpt-oss-120b
  printf 'list the modules\\nwhich one is untested?\\n' | equitrcoder-simple --approve deny > answers.txt
  equitrcoder-simple --log-tool-calls --tool-log-file tools.log < messages.txt

\b
One line is one message; /help lists the commands. Answers go to standard output, calls and everything else to standard
error. Without a terminal nothing prompts.

\b
Exit codes without a terminal: 0 every message was done, else that of the first that was not: 1 failed, 2 usage,
3 settings or key, 4 provider, 5 budget, 6 limit, 7 approval needed, 130 interrupted. At a terminal: 0, or 130.""",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@session_options
@click.version_option(package_name="equitrcoder", message="equitrcoder %(version)s")
def command(**flags: Any) -> int:
    """Talk with the agent in plain lines: one message per line of standard input, one conversation."""
    return hold_session(simple=True, **flags)
