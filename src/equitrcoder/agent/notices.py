"""What a session tells a person before it begins: one line each, on what was decided for them."""

from __future__ import annotations

from collections.abc import Iterator

from equitrcoder.providers.choice import ModelChoice
from equitrcoder.records import SandboxLevel
from equitrcoder.settings import Settings


def what_was_decided(settings: Settings, sandbox: SandboxLevel, *, interactive: bool) -> Iterator[str]:
    """What the settings left out or asked for in vain."""
    yield from settings.warnings
    if not settings.log_tool_calls and settings.origins["tool_log_file"].startswith("flag"):
        yield "no tool log is written: --tool-log-file names it, --log-tool-calls turns it on"
    if settings.approve is None and sandbox == "none" and not interactive:
        yield "no sandbox here: writes are free, commands need approval (--approve all lets them run)"


def about_model(settings: Settings, choice: ModelChoice) -> Iterator[str]:
    """What a person should know of a model before it is asked."""
    if choice.alias_of:
        yield f"{choice.alias_of} is no longer offered; {choice.provider.name}/{choice.model} is used in its place"
    if settings.reasoning_effort:
        from equitrcoder.wires.effort import said_instead

        row = choice.provider
        instead = said_instead(settings.reasoning_effort, row.wire, choice.model, row.dialect)
        if instead:
            yield instead
    if not choice.provider.takes_tools:
        yield (
            f"{choice.model_requested} takes no tools: it answers from what stands in the prompt, but cannot look "
            "into the repository, change it or run commands"
        )
