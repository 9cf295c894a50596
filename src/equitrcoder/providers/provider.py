"""What a provider is to us: one row of data, and how its name is recognised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from equitrcoder.records import Capture

if TYPE_CHECKING:
    from equitrcoder.wires.values import ToolSpec

Auth: TypeAlias = Literal["bearer", "bearer-optional", "x-api-key", "x-goog-api-key", "none"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Provider:
    """One provider.

    Example:
        >>> Provider(name="mine", wire="openai-chat", base_url="http://127.0.0.1:9000/v1").capture
        'middleware'
    """

    name: str
    wire: str
    base_url: str | None
    """Without a slash at its end; the wire's path follows. None: the user has to say it."""
    keys: tuple[str, ...] = ()
    """Environment variables that may hold the key, the usual one first."""
    base_url_variables: tuple[str, ...] = ()
    """Environment variables that may hold another base URL, the first that is set counts."""
    bare_path: str = ""
    """Added to a base URL of the user's own that has no path: vendors' own clients want the host only."""
    capture: Capture = "middleware"
    quirks: Mapping[str, Any] = field(default_factory=dict)
    """Departures of this row: fields of the wire's dialect that are not at their defaults."""
    auth: Auth = "bearer"
    headers: Mapping[str, str] = field(default_factory=dict)
    header_variables: Mapping[str, str] = field(default_factory=dict)
    """Headers whose value stands in a variable: header to variable. Not sent to a base URL of the user's own."""
    default_model: str | None = None
    worker_model: str | None = None
    models: tuple[str, ...] = ()
    """Models that are known to take tools: for "closest" in errors, never a limit on what may be asked for."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Retired names and what stands in for them today."""
    wire_with_base_url: str | None = None
    """The wire when the user sets a base URL of his own; None: the same."""
    tools: Literal["yes", "no", "model"] = "yes"
    """Whether its models take tools; `model`: it depends on the model."""
    source: str = ""
    """The page that says so."""
    free: bool = False
    """Nothing is charged: cost is 0, not unknown."""
    yours: bool = False
    """A row of the user's own, not one of the 15."""
    own_base_url: bool = False
    """The base URL stands in the user's settings: names go out as written, and a key is needed only if one is named."""

    def __repr__(self) -> str:
        return f"<Provider {self.name}: {self.wire} at {self.base_url}>"

    @property
    def takes_tools(self) -> bool:
        """Whether tools can be offered at all; some of its models may still take none."""
        return self.tools != "no"

    def offered(self, tools: Sequence[ToolSpec]) -> Sequence[ToolSpec]:
        """Of the agent's tools those that a request carries: all, or none where the provider takes none."""
        return tools if self.takes_tools else ()

    @property
    def dialect(self) -> Any:
        """The departures in the form that the wire takes; None where a wire has none."""
        if self.wire == "mistral" and self.quirks:
            from equitrcoder.wires.mistral import DIALECT

            return replace(DIALECT, **self.quirks)
        if self.wire == "openai-responses":
            from equitrcoder.wires.openai_responses import ResponsesDialect

            return ResponsesDialect(**_known(ResponsesDialect, self.quirks))
        if self.wire == "anthropic-messages":
            from equitrcoder.wires.anthropic_messages import MessagesDialect

            return MessagesDialect(**_known(MessagesDialect, self.quirks))
        if self.wire == "gemini-generate":
            from equitrcoder.wires.gemini_generate import GeminiDialect

            return GeminiDialect(**self.quirks)
        if self.wire == "ollama-chat":
            from equitrcoder.wires.ollama_chat import OllamaDialect

            return OllamaDialect(**self.quirks)
        if self.wire != "openai-chat":
            return None
        from equitrcoder.wires.openai_chat import ChatDialect  # the wire is read only by whoever asks a model

        return ChatDialect(**_known(ChatDialect, self.quirks))


def _known(dialect: type[Any], quirks: Mapping[str, Any]) -> dict[str, Any]:
    """Of a row's departures those of one wire: a row may speak several, each with departures of its own."""
    names = {each.name for each in fields(dialect)}
    return {name: value for name, value in quirks.items() if name in names}


def detect_provider(name: str, names: Iterable[str]) -> str | None:
    """Say which provider a configured `ai_provider` means; None when it is none of them.

    The provider's name stands at the start, and there it ends or is followed by `-`, `_`, `:` or `/`; case is ignored.
    An exact name comes before a longer one's start.

    Example:
        >>> detect_provider("OpenAI-compatible", ["openai", "mistral"]), detect_provider("mistralai", ["mistral"])
        ('openai', None)

    Source: "Provider-Aware Tool Call Tracking Architecture"; DESIGN.md section 4.
    """
    wanted = name.strip().lower()
    known = {known_name.lower(): known_name for known_name in names}
    if wanted in known:
        return known[wanted]
    starts = [start for start in known if wanted.startswith(start) and wanted[len(start)] in "-_:/"]
    return known[max(starts, key=len)] if starts else None
