"""The settings of one run as one frozen object, and where each of them came from."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NoReturn, TypeAlias, dataclass_transform

Approve: TypeAlias = Literal["ask", "edits", "all", "deny"]
SandboxSetting: TypeAlias = Literal["auto", "required", "off"]
Durability: TypeAlias = Literal["process", "full"]

CREDENTIAL_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"}
)
"""Names of headers whose value is a secret; lower case."""

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass_transform(frozen_default=True, kw_only_default=True)
class _Frozen:
    """What a frozen dataclass would give. Written by hand: building one with 30 fields costs 2 ms at every start."""

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"settings are frozen; use replaced({name}=…)")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"settings are frozen; {name} cannot be deleted")


class Settings(_Frozen):
    """Every setting; the attributes of the class are the defaults.

    Made by `load`; tests make one directly and name only what they need. Docs: docs/settings.md.

    Example:
        >>> settings = Settings(budget=0.5)
        >>> settings.budget_nanousd, settings.max_turns, settings.origins["budget"]
        (500000000, 100, 'argument budget')
    """

    ai_provider: str | None = None
    """Row that `ai_model` belongs to when it names none."""
    ai_model: str | None = None
    """`provider/model`; None: the first provider whose key is set."""
    ai_api_key: str | None = None
    """Key for the chosen provider; comes before the provider's own variable."""
    ai_base_url: str | None = None
    """Address to use in place of the provider's."""
    budget: float | None = None
    """Dollars that a run may cost; None: no limit."""
    use_multi_agent: bool = False
    """In files under `orchestrator:`, like the four after it."""
    supervisor_model: str | None = None
    """None: the main model."""
    worker_model: str | None = None
    """None: the main model."""
    log_tool_calls: bool = False
    tool_log_file: str = "tool_calls.log"
    """Relative to the current folder."""
    providers: Mapping[str, Mapping[str, Any]] = _EMPTY
    """The user's own rows by name; checked for shape only."""
    prices: Mapping[str, Mapping[str, float]] = _EMPTY
    """Dollars per million tokens by "provider/model" (or "provider/*")."""
    mcp_servers: Mapping[str, Mapping[str, Any]] = _EMPTY
    """MCP servers by name; in files also `mcpServers`. Docs: docs/mcp.md."""
    approve: Approve | None = None
    """None: `policy.default_mode` decides."""
    rules: tuple[tuple[str, str], ...] = ()
    """What is allowed, asked about or denied whatever `approve` says: ("deny", "run_command git push") and the like."""
    sandbox: SandboxSetting = "auto"
    network: bool = False
    """Whether commands in the sandbox may reach the network."""
    network_hosts: tuple[str, ...] = ()
    """Hosts that commands in the sandbox may reach although `network` is off; `package-indexes` is a set of them."""
    env_passthrough: tuple[str, ...] = ()
    """Names of variables that commands may see although they look like secrets."""
    readable_paths: tuple[str, ...] = ()
    """Absolute paths that commands may read beside the system and the toolchains."""
    max_turns: int = 100
    max_time_s: float | None = None
    max_tokens: int | None = None
    """Tokens of a run, input and output together; None: no limit."""
    allow_unpriced: bool = False
    """Whether a budget may stand beside a model without a known price."""
    stream: bool = True
    reasoning_effort: str | None = None
    """none, minimal, low, medium, high, xhigh, max, or a budget in tokens; None: the provider's default."""
    output_limit_tokens: int | None = None
    """Per answer; None: the wire's default."""
    fallback_model: str | None = None
    """Taken when the main model cannot be used; comes before `fallback_models`."""
    fallback_models: tuple[str, ...] = ()
    """Taken in this order when the model before cannot be used."""
    idle_timeout_s: float = 300.0
    """How long a provider may be silent."""
    request_timeout_s: float = 1800.0
    """How long one attempt may take altogether."""
    max_attempts: int = 5
    command_timeout_s: float = 120.0
    command_limits: Mapping[str, int] = _EMPTY
    """cpu_s, memory_mb, processes, file_mb, open_files of one command; the rest as in settings/bounds.py."""
    durability: Durability = "process"
    content: Mapping[str, Any] = _EMPTY
    """What the ledger keeps of `arguments` and `results`: full (the default of both), hash or off."""
    spill_results: bool = False
    """Whether results that are too long for the model are kept whole, in files beside the ledger."""
    spill_limit_bytes: int = 100_000_000
    """Most of one of them."""
    spill_total_bytes: int = 2_000_000_000
    """Most of all of them."""
    check: str | None = None
    """Command that must exit 0 when the model says it is done."""

    origins: Mapping[str, str]
    """Key -> "default", "user file …:12", "repository file …:3", "environment EQUITRCODER_BUDGET", "flag --budget"."""
    warnings: tuple[str, ...]
    """What the user should be told once, one line each."""

    def __init__(
        self, *, origins: Mapping[str, str] | None = None, warnings: tuple[str, ...] = (), **values: Any
    ) -> None:
        unknown = values.keys() - FIELDS
        if unknown:
            raise TypeError(f"no such setting: {', '.join(sorted(unknown))}")
        told = dict.fromkeys(FIELDS, "default") | {key: f"argument {key}" for key in values} | dict(origins or {})
        self.__dict__.update(values, origins=MappingProxyType(told), warnings=warnings)

    @property
    def budget_nanousd(self) -> int | None:
        """The budget in integer nano-dollars; None: no limit."""
        return None if self.budget is None else round(self.budget * 1_000_000_000)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must reach no file and no screen: the key, credentials among the headers of own rows, and all
        headers of MCP servers."""
        keys = [self.ai_api_key] if self.ai_api_key else []
        for row in self.providers.values():
            headers: Mapping[str, str] = row.get("headers", _EMPTY)
            keys += [value for name, value in headers.items() if name.lower() in CREDENTIAL_HEADERS]
        for row in self.mcp_servers.values():
            keys += [value for value in row.get("headers", _EMPTY).values() if "${" not in value]
        return tuple(keys)

    def replaced(self, **values: Any) -> Settings:
        """A copy with some settings changed, for a worker say; they count as arguments."""
        mine = {key: value for key, value in self.__dict__.items() if key in FIELDS}
        origins = {key: origin for key, origin in self.origins.items() if key not in values}
        return Settings(origins=origins, warnings=self.warnings, **(mine | values))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Settings):
            return NotImplemented
        return all(getattr(self, key) == getattr(other, key) for key in FIELDS)

    __hash__ = None  # type: ignore[assignment]  # it holds mappings

    def __repr__(self) -> str:
        said = {key: getattr(self, key) for key in FIELDS if self.origins[key] != "default"}
        if "ai_api_key" in said:
            said["ai_api_key"] = "***"
        if "providers" in said:
            said["providers"] = list(said["providers"])  # their headers may hold credentials
        if "mcp_servers" in said:
            said["mcp_servers"] = list(said["mcp_servers"])
        return f"Settings({', '.join(f'{key}={value!r}' for key, value in said.items())})"


FIELDS: tuple[str, ...] = tuple(name for name in Settings.__annotations__ if name not in ("origins", "warnings"))
"""The keys, in the order of `config show` and docs/settings.md."""
