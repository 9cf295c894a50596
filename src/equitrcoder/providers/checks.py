"""How the reading of each provider's messages was checked, for each thing that matters; never more than was.

The recorded answers are no part of this repository; `scripts/count_recordings.py` counts them, and a test that runs
where they are holds this table to those counts.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from equitrcoder.providers.provider import Provider

Check: TypeAlias = Literal["recorded traffic", "official SDK", "specification", "none"]
"""Answers recorded from the service; its official client reads and sends the same (over loopback); what its pages say,
and no more; or: there is no such thing at this provider."""


class Checks(NamedTuple):
    """What each was checked on."""

    tools: Check
    """Tool calls in whole answers or streams."""
    parallel_calls: Check
    """Several calls in one answer."""
    streaming: Check
    """Streamed answers: with calls, where the provider has tools."""
    provider_tools: Check
    """Calls that the provider runs itself: web search, code execution, MCP."""


RECORDED: dict[tuple[str, str], str] = {
    ("gemini", "gemini-generate"): "tools parallel_calls streaming provider_tools",
    ("openai", "openai-responses"): "tools parallel_calls streaming provider_tools",
    ("openai", "openai-chat"): "tools parallel_calls streaming",
    ("anthropic", "anthropic-messages"): "tools parallel_calls streaming provider_tools",
    ("groq", "openai-chat"): "tools streaming provider_tools",
    ("deepseek", "openai-chat"): "tools parallel_calls streaming",
    ("together", "openai-chat"): "tools streaming",
    ("mistral", "mistral"): "tools parallel_calls streaming",
    ("cohere", "cohere-v2"): "tools parallel_calls streaming",
    ("huggingface", "openai-chat"): "tools parallel_calls streaming",
    ("local", "openai-chat"): "tools streaming",
}
"""By row and wire: of what there are recorded answers. A row that is missing has none with calls."""

_SCRIPTED = "tests/contract/test_scripted_provider_sdks.py"

OFFICIAL_SDK: dict[tuple[str, str], tuple[str, str, str]] = {
    ("ollama", "ollama-chat"): ("tools parallel_calls streaming", "ollama", _SCRIPTED),
    ("groq", "openai-chat"): ("parallel_calls", "groq", _SCRIPTED),
    ("replicate", "replicate-predictions"): ("streaming", "replicate", "tests/wire/test_replicate_predictions_sdk.py"),
}
"""By row and wire, where recordings are missing: what the provider's own SDK reads from the same bytes as we do, the
SDK's module, and the test that shows it."""

_OWN_TOOLS = frozenset({"gemini-generate", "openai-responses", "anthropic-messages"})
"""Wires with calls that the provider runs itself; on Chat Completions only Groq has them."""


def checks_of(row: Provider, wire: str | None = None) -> Checks:
    """What the reading of a row was checked on.

    Args:
        wire: The wire that is used; None: the row's own.

    Returns:
        For a row of the user's own the specification of its wire, and no more.

    Example:
        >>> from equitrcoder.providers.registry import PROVIDERS
        >>> checks_of(PROVIDERS["groq"])
        Checks(tools='recorded traffic', parallel_calls='official SDK', streaming='recorded traffic', \
provider_tools='recorded traffic')
    """
    wire = wire or row.wire
    name = "" if row.yours else row.name
    recorded = RECORDED.get((name, wire), "").split()
    by_sdk = OFFICIAL_SDK.get((name, wire), ("", "", ""))[0].split()
    missing = set() if row.takes_tools else {"tools", "parallel_calls"}
    if not row.takes_tools or not (wire in _OWN_TOOLS or name == "groq"):
        missing.add("provider_tools")

    def check(what: str) -> Check:
        if what in missing:
            return "none"
        return "recorded traffic" if what in recorded else "official SDK" if what in by_sdk else "specification"

    return Checks(*map(check, Checks._fields))
