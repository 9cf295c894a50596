"""Which model at which provider, at what address, with which key: settings, environment and a name in, a choice out.

Rules: DESIGN.md section 4, "Names"; docs/providers.md says them for users.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from equitrcoder.errors import ConfigError, MissingKeyError
from equitrcoder.providers.addresses import is_loopback, own_base_url
from equitrcoder.providers.provider import Provider, detect_provider
from equitrcoder.providers.registry import PROVIDERS
from equitrcoder.providers.user_rows import all_rows

if TYPE_CHECKING:
    from equitrcoder.settings import Settings

KEY_ORDER = (
    "openai",
    "anthropic",
    "gemini",
    "mistral",
    "deepseek",
    "groq",
    "together",
    "fireworks",
    "cohere",
    "perplexity",
    "huggingface",
)
"""Order in which keys are looked for when no model is named. HF_TOKEN last: it is often there for downloads only."""

_FIRST_TOLD = ("anthropic", "openai", "gemini", "groq", "deepseek", "together", "fireworks", "huggingface")

Probe = Callable[[Provider, str], str | None]
"""Asks a server on this machine for a model: row and base URL in; None when it does not answer or has none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelChoice:
    """A model, and all that it takes to ask it. Its repr shows no key."""

    provider: Provider
    """The row; its wire is the one to use (it may depend on the base URL)."""
    model: str
    """As sent."""
    model_requested: str
    """`provider/model` as the user wrote it."""
    alias_of: str | None = None
    """The retired name that the user wrote, when `model` stands in for it; to be said once per run."""
    base_url: str
    key: str | None = field(default=None, repr=False)
    key_variable: str | None = None
    """Where the key was found; None when there is none."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The row's headers and those whose value stands in the environment."""


def no_provider() -> str:
    """What to tell somebody who has set up nothing: what to do, in lines."""
    keys = [PROVIDERS[name].keys[0] for name in _FIRST_TOLD]
    return (
        "No provider is set up yet. Any one of these will do:\n"
        f"  {f'export {keys[0]}=…':<47} (or {', '.join(keys[1:3])}, …: equitrcoder providers)\n"
        f"  {'ollama serve':<47} (found by itself)\n"
        "See it work first: equitrcoder demo"
    )


def choose_model(
    settings: Settings, environ: Mapping[str, str], model: str | None = None, *, probe: Probe | None = None
) -> ModelChoice:
    """Choose the model to ask.

    Args:
        settings: `ai_provider`, `ai_model`, `ai_api_key`, `ai_base_url` and `providers` are looked at.
        environ: The environment, for keys and base URLs.
        model: `provider/model`, split at the first slash; or a provider alone, for its default model; or a model alone
            when `ai_provider` is set. None: `ai_provider` and `ai_model`; without them the first provider whose key is
            set (the user's own rows with a default model, then `KEY_ORDER`); then a local Ollama that answers.
        probe: Instead of asking local servers, for tests.

    Raises:
        MissingKeyError: E101: the provider needs a key, or nothing at all is set up.
        UnknownModelError: E102: no such provider, or a slip in a model's name; E103: the name has no provider.
        ConfigError: E110: an address, a key or a row of the user's own cannot be used.

    Example:
        >>> from equitrcoder.settings import Settings
        >>> choose_model(Settings(), {"GROQ_API_KEY": "gsk_1"}, "groq/openai/gpt-oss-20b").model
        'openai/gpt-oss-20b'
    """
    rows = all_rows(settings.providers)
    main = main_row(settings, rows)
    _check_owner(settings, main)
    named = _named(settings, rows, main, model) or _found(rows, environ, probe)
    row, name = named
    setting = settings.ai_base_url if main is not None and row.name == main.name else None
    own = own_base_url(row, environ, setting)
    base_url = own or row.base_url
    if base_url is None:
        raise ConfigError(
            f"{row.name} has no public address.", hint=f"export {row.base_url_variables[0]}=https://…/v1", code="E112"
        )
    if not name:
        name = _default_model(row, base_url, probe)
    sent = _sent_name(row, name, own=own is not None)
    key, variable = _key(settings, row, main, environ, needed=not is_loopback(base_url))
    headers = {} if own else {name: environ[var] for name, var in row.header_variables.items() if environ.get(var)}
    return ModelChoice(
        provider=replace(row, wire=row.wire_with_base_url) if own and row.wire_with_base_url else row,
        model=sent,
        model_requested=f"{row.name}/{name}",
        alias_of=f"{row.name}/{name}" if sent != name else None,
        base_url=base_url,
        key=key,
        key_variable=variable,
        headers={**row.headers, **headers},
    )


def main_row(settings: Settings, rows: Mapping[str, Provider]) -> Provider | None:
    """The row that `ai_provider` means, else the one that `ai_model` starts with; whose key and address these are."""
    if settings.ai_provider:
        name = detect_provider(settings.ai_provider, rows)
        if name is None:
            from equitrcoder.providers.unknown import unknown_provider

            raise unknown_provider(settings.ai_provider, rows, where="ai_provider")
        return rows[name]
    return rows.get((settings.ai_model or "").partition("/")[0].strip().lower())


def _check_owner(settings: Settings, main: Provider | None) -> None:
    if main is not None:
        return
    for key in ("ai_api_key", "ai_base_url"):
        if getattr(settings, key):
            raise ConfigError(f"{key} is set, but nothing says which provider it is for.", hint="set ai_provider too")


def _named(
    settings: Settings, rows: Mapping[str, Provider], main: Provider | None, model: str | None
) -> tuple[Provider, str] | None:
    """The row and the model's name (empty: its default) that the user named; None when he named neither."""
    if model and model.strip():
        return _split(model.strip(), rows, main if settings.ai_provider else None)
    if not settings.ai_model:
        return None if main is None else (main, "")
    name = settings.ai_model.strip()
    if main is None or not settings.ai_provider or _names_its_own(settings, rows, main, name):
        return _split(name, rows, main)
    return main, name


def _names_its_own(settings: Settings, rows: Mapping[str, Provider], main: Provider, name: str) -> bool:
    """Whether `ai_model` starts with a provider, although `ai_provider` is set.

    Some providers' own model names hold a slash (groq: `openai/gpt-oss-120b`). Said in the same place as `ai_provider`,
    such a name is that provider's; said in a place that comes before it (a flag, say), it is `provider/model`.
    """
    row = rows.get(name.partition("/")[0].strip().lower())
    if row is None or "/" not in name:
        return False
    if row.name == main.name:
        return True
    slashes = not main.models or any("/" in known for known in main.models)
    return not slashes or _layer(settings, "ai_model") > _layer(settings, "ai_provider")


_LAYERS = ("default", "user", "repository", "environment", "flag", "argument")


def _layer(settings: Settings, key: str) -> int:
    word = settings.origins.get(key, "default").partition(" ")[0]
    return _LAYERS.index(word) if word in _LAYERS else 0


def _split(name: str, rows: Mapping[str, Provider], main: Provider | None) -> tuple[Provider, str]:
    start, slash, rest = name.partition("/")
    row = rows.get(start.strip().lower())
    if row is not None:
        return row, rest.strip()
    from equitrcoder.providers.unknown import no_provider_named, unknown_provider

    if slash:
        raise unknown_provider(start, rows)
    if main is None:
        raise no_provider_named(name, rows)
    return main, name


def _found(rows: Mapping[str, Provider], environ: Mapping[str, str], probe: Probe | None) -> tuple[Provider, str]:
    """The first row that is set up; a local Ollama comes last."""
    own = [name for name, row in rows.items() if row.yours and row.default_model]
    first = next((rows[name] for name in (*own, *KEY_ORDER) if _is_set_up(rows[name], environ)), None)
    if first is not None:
        return first, ""
    ollama = rows["ollama"]
    base_url = own_base_url(ollama, environ, None) or ollama.base_url or ""
    model = _ask(probe, ollama, base_url)
    if model is None:
        raise MissingKeyError(no_provider())
    return ollama, model


def _is_set_up(row: Provider, environ: Mapping[str, str]) -> bool:
    if any(environ.get(variable, "").strip() for variable in row.keys):
        return True
    own = own_base_url(row, environ, None)
    return own is not None and (is_loopback(own) or row.auth in ("none", "bearer-optional"))


def _default_model(row: Provider, base_url: str, probe: Probe | None) -> str:
    if row.default_model:
        return row.default_model
    model = _ask(probe, row, base_url) if is_loopback(base_url) else None
    if model is None:
        raise ConfigError(f"{row.name} has no default model.", hint=f"name one: {row.name}/<model>", code="E103")
    return model


def _ask(probe: Probe | None, row: Provider, base_url: str) -> str | None:
    if probe is not None:
        return probe(row, base_url)
    from equitrcoder.providers.probe import first_model  # brings HTTP, and nothing else may need it

    return first_model(row, base_url)


def _sent_name(row: Provider, name: str, *, own: bool) -> str:
    """The name that goes out: as written at an address of the user's own, else with retired names replaced."""
    if own or name in row.models or name == row.default_model:
        return name
    if name in row.aliases:
        return row.aliases[name]
    from equitrcoder.providers.unknown import check_for_slip

    check_for_slip(row, name)
    return name


def _key(
    settings: Settings, row: Provider, main: Provider | None, environ: Mapping[str, str], *, needed: bool
) -> tuple[str | None, str | None]:
    """The key and where it was found."""
    places = {variable: environ.get(variable) for variable in row.keys}
    if main is not None and row.name == main.name:
        places = {"ai_api_key": settings.ai_api_key, **places}
    for place, value in places.items():
        key = (value or "").strip()
        if key and not (key.isascii() and key.isprintable() and " " not in key):
            raise ConfigError(f"{place} holds characters that no key has.", hint=f"set {place} anew")
        if key:
            return key, place
    if needed and row.keys and row.auth not in ("none", "bearer-optional"):
        raise MissingKeyError(
            f"No key for {row.name}: {row.keys[0]} is not set.",
            hint=f"export {row.keys[0]}=…, or see it work without one: equitrcoder demo",
        )
    return None, None
