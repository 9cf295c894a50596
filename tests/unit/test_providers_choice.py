"""Which model is chosen, at which address, with which key; and what is said when none can be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from equitrcoder.errors import ConfigError, MissingKeyError
from equitrcoder.providers import PROVIDERS, ModelChoice, choose_model, provider_rows
from equitrcoder.providers.choice import KEY_ORDER, no_provider
from equitrcoder.providers.provider import Provider, detect_provider
from equitrcoder.settings import Settings

KEYS = {row.keys[0]: f"key-of-{name}" for name, row in PROVIDERS.items()}
SEED_ORDER = [
    "gemini",
    "ollama",
    "openai",
    "anthropic",
    "groq",
    "deepseek",
    "together",
    "fireworks",
    "perplexity",
    "mistral",
    "cohere",
    "huggingface",
    "replicate",
    "anyscale",
    "local",
]


def choose(model: str | None = None, environ: Mapping[str, str] = KEYS, **settings: Any) -> ModelChoice:
    return choose_model(Settings(**settings), environ, model, probe=nobody)


def nobody(row: Provider, base_url: str) -> str | None:
    return None


def said(model: str | None = None, environ: Mapping[str, str] = KEYS, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        choose(model, environ, **settings)
    return str(caught.value)


def test_the_table_holds_the_fifteen_and_says_how_each_is_captured() -> None:
    assert list(PROVIDERS) == SEED_ORDER
    assert {name for name, row in PROVIDERS.items() if row.capture == "native"} == {"gemini", "ollama"}
    assert {name for name, row in PROVIDERS.items() if row.free} == {"ollama", "local"}


@pytest.mark.parametrize("name", SEED_ORDER)
def test_each_row_is_whole(name: str) -> None:
    row = PROVIDERS[name]
    assert row.name == name
    assert row.base_url_variables[0] == f"{name.upper()}_BASE_URL"
    assert row.source.startswith("https://")
    assert row.keys
    assert (row.base_url is None) == (name == "anyscale")
    assert not (row.base_url or "").endswith("/")
    assert {row.default_model, row.worker_model} - {None} <= set(row.models)
    assert set(row.aliases.values()) <= set(row.models)


# names


@pytest.mark.parametrize(
    ("written", "provider", "model"),
    [
        ("anthropic/claude-sonnet-5-5", "anthropic", "claude-sonnet-5-5"),
        ("groq/openai/gpt-oss-120b", "groq", "openai/gpt-oss-120b"),
        ("  OpenAI/gpt-6-luna ", "openai", "gpt-6-luna"),
        ("huggingface/zai-org/GLM-5.3:together", "huggingface", "zai-org/GLM-5.3:together"),
        ("openai/some-model-of-tomorrow", "openai", "some-model-of-tomorrow"),
        ("mistral", "mistral", "mistral-medium-latest"),
        ("mistral/", "mistral", "mistral-medium-latest"),
    ],
)
def test_a_name_is_split_at_its_first_slash(written: str, provider: str, model: str) -> None:
    choice = choose(written)
    assert (choice.provider.name, choice.model) == (provider, model)
    assert choice.model_requested == f"{provider}/{model}"
    assert choice.alias_of is None


@pytest.mark.parametrize(
    ("retired", "today"),
    [
        ("anthropic/claude-3.5-sonnet", "claude-sonnet-5-5"),
        ("anthropic/claude-3-5-sonnet-20241022", "claude-sonnet-5-5"),
        ("anthropic/claude-3-haiku", "claude-haiku-5-5"),
        ("openai/gpt-4", "gpt-6.1-sol"),
        ("openai/gpt-3.5-turbo", "gpt-6-luna"),
    ],
)
def test_the_seeds_names_stand_for_todays_but_go_out_as_written_to_an_address_of_ones_own(
    retired: str, today: str
) -> None:
    choice = choose(retired)
    assert (choice.model, choice.model_requested, choice.alias_of) == (today, retired, retired)
    provider = choice.provider.name
    own = choose(retired, {**KEYS, f"{provider.upper()}_BASE_URL": "http://127.0.0.1:4000/v1"})
    assert (own.model, own.model_requested, own.alias_of) == (retired.partition("/")[2], retired, None)


@pytest.mark.parametrize(
    ("written", "line"),
    [
        (
            "anthropic/claude-sonet-5-5",
            "E102 Unknown model anthropic/claude-sonet-5-5. Closest: anthropic/claude-sonnet-5-5, "
            "anthropic/claude-sonnet-4-5, anthropic/claude-sonnet-5. All: equitrcoder models anthropic",
        ),
        ("gpt-6-luna", 'E103 "gpt-6-luna" names no provider. Write openai/gpt-6-luna.'),
        ("claude-next", 'E103 "claude-next" names no provider. Write anthropic/claude-next.'),
        ("command-a-03-2025", 'E103 "command-a-03-2025" names no provider. Write cohere/command-a-03-2025.'),
    ],
)
def test_a_wrong_name_is_told_with_what_may_be_meant(written: str, line: str) -> None:
    assert said(written) == line


def test_an_unknown_provider_brings_the_closest_three() -> None:
    line = said("opnai/gpt-6-luna")
    found = re.fullmatch(r"E102 Unknown provider opnai\. Closest: (.*)\. All: equitrcoder providers", line)
    assert found
    names = found[1].split(", ")
    assert names[0] == "openai"
    assert len(names) == 3
    assert set(names) <= set(PROVIDERS)
    assert said("qwen3", {}).startswith('E103 "qwen3" names no provider. Write provider/model. Closest: ')


@pytest.mark.parametrize("new", ["claude-sonnet-5-6", "claude-sonnet-5-5-20270101", "claude-nova-6", "mistral-large-9"])
def test_a_new_model_is_not_taken_for_a_slip(new: str) -> None:
    assert choose(f"anthropic/{new}").model == new


@pytest.mark.parametrize(
    ("configured", "row"),
    [
        ("openai", "openai"),
        ("OPENAI", "openai"),
        ("openai-compatible", "openai"),
        ("groq_cloud", "groq"),
        ("local:8000", "local"),
        ("gemini/flash", "gemini"),
        ("openaix", None),
        ("mistralai", None),
        ("", None),
    ],
)
def test_a_provider_is_recognised_by_its_start(configured: str, row: str | None) -> None:
    assert detect_provider(configured, PROVIDERS) == row


# settings


def test_ai_provider_and_ai_model_name_the_model() -> None:
    assert choose(ai_provider="groq", ai_model="openai/gpt-oss-20b").model_requested == "groq/openai/gpt-oss-20b"
    assert choose(ai_provider="groq", ai_model="groq/openai/gpt-oss-20b").model == "openai/gpt-oss-20b"
    assert choose(ai_provider="OpenAI", ai_model="gpt-6-luna").model_requested == "openai/gpt-6-luna"
    assert choose(ai_provider="deepseek").model_requested == "deepseek/deepseek-flash"
    assert choose(ai_model="cohere/command-a-03-2025").model_requested == "cohere/command-a-03-2025"
    assert choose("gpt-6-luna", ai_provider="openai").model_requested == "openai/gpt-6-luna"
    assert choose("gemini/gemini-3.8-flash", ai_provider="openai").provider.name == "gemini"


def test_a_name_said_closer_than_ai_provider_stands_for_itself() -> None:
    same = {"ai_provider": "user file x:1", "ai_model": "user file x:2"}
    closer = {"ai_provider": "user file x:1", "ai_model": "flag --model"}
    names = {"ai_provider": "groq", "ai_model": "openai/gpt-oss-120b"}
    assert choose(**names, origins=same).provider.name == "groq"
    assert choose(**names, origins=closer).provider.name == "openai"


def test_a_name_with_another_provider_stands_for_itself_where_names_hold_no_slash() -> None:
    assert choose(ai_provider="openai", ai_model="anthropic/claude-sonnet-5-5").provider.name == "anthropic"


def test_an_unknown_ai_provider_is_told() -> None:
    assert said(ai_provider="opnai").startswith('E102 Unknown provider opnai ("ai_provider" in the settings). Closest:')


# keys


@pytest.mark.parametrize("name", [n for n, row in PROVIDERS.items() if row.auth != "bearer-optional" and row.base_url])
def test_a_missing_key_is_told_with_its_variable(name: str) -> None:
    variable = PROVIDERS[name].keys[0]
    assert said(f"{name}/some-model", {}) == (
        f"E101 No key for {name}: {variable} is not set. "
        f"Fix: export {variable}=…, or see it work without one: equitrcoder demo"
    )
    assert said(f"{name}/some-model", {variable: "  "}).startswith("E101")


def test_keys_are_found_under_their_other_names_too() -> None:
    choice = choose("gemini/gemini-3.8-flash", {"GOOGLE_API_KEY": " g-1 \n"})
    assert (choice.key, choice.key_variable) == ("g-1", "GOOGLE_API_KEY")


def test_ai_api_key_is_for_its_own_provider_only() -> None:
    mine = {"ai_provider": "groq", "ai_api_key": "from-settings"}
    choice = choose("groq/openai/gpt-oss-20b", **mine)
    assert (choice.key, choice.key_variable) == ("from-settings", "ai_api_key")
    assert choose("openai/gpt-6-luna", **mine).key == "key-of-openai"
    assert said("openai/gpt-6-luna", {}, **mine).startswith("E101 No key for openai")
    assert choose("groq/openai/gpt-oss-20b", {}, ai_model="groq/x", ai_api_key="k").key == "k"
    assert "nothing says which provider" in said("groq/openai/gpt-oss-20b", ai_api_key="k")


@pytest.mark.parametrize("key", ["two words", "käse", "a\x00b", "a\nb"])
def test_a_key_that_cannot_be_one_is_told_without_its_value(key: str) -> None:
    line = said("groq/openai/gpt-oss-20b", {"GROQ_API_KEY": key})
    assert "GROQ_API_KEY holds characters that no key has" in line
    assert key not in line


def test_no_key_is_needed_on_this_machine() -> None:
    assert choose("openai/m", {"OPENAI_BASE_URL": "http://localhost:4000/v1"}).key is None
    assert choose("local/m", {}).key is None
    assert said("openai/m", {"OPENAI_BASE_URL": "https://gateway.example/v1"}).startswith("E101")


# addresses


def test_openai_speaks_chat_completions_only_at_an_address_of_ones_own() -> None:
    assert choose("openai/gpt-6-luna").provider.wire == "openai-responses"
    same = {**KEYS, "OPENAI_BASE_URL": "https://api.openai.com/v1/"}
    assert choose("openai/gpt-6-luna", same).provider.wire == "openai-responses"
    own = choose("openai/gpt-6-luna", {**KEYS, "OPENAI_BASE_URL": "https://gateway.example/v1/"})
    assert (own.provider.wire, own.base_url) == ("openai-chat", "https://gateway.example/v1")
    setting = choose(ai_provider="openai", ai_model="m", ai_base_url="http://127.0.0.1:1/v1")
    assert (setting.provider.wire, setting.base_url) == ("openai-chat", "http://127.0.0.1:1/v1")


def test_ai_base_url_is_for_its_own_provider_only() -> None:
    mine = {"ai_provider": "groq", "ai_base_url": "http://127.0.0.1:1/v1"}
    assert choose("groq/m", **mine).base_url == "http://127.0.0.1:1/v1"
    assert choose("deepseek/deepseek-flash", **mine).base_url == "https://api.deepseek.com"


@pytest.mark.parametrize(
    ("model", "variable", "value", "base_url"),
    [
        ("groq/m", "GROQ_BASE_URL", "https://groq.example", "https://groq.example/openai/v1"),
        ("groq/m", "GROQ_BASE_URL", "https://groq.example/v1/", "https://groq.example/v1"),
        ("groq/m", "GROQ_BASE_URL", "https://api.groq.com", "https://api.groq.com/openai/v1"),
        ("together/m", "TOGETHER_BASE_URL", "https://t.example", "https://t.example/v1"),
        ("openai/m", "OPENAI_BASE_URL", "https://o.example", "https://o.example"),
        ("local/m", "LOCAL_BASE_URL", "http://127.0.0.1:8080", "http://127.0.0.1:8080/v1"),
        ("anyscale/m", "ANYSCALE_SERVICE_URL", "https://a.example", "https://a.example/v1"),
        ("ollama/m", "OLLAMA_HOST", "0.0.0.0:1234", "http://127.0.0.1:1234"),
        ("ollama/m", "OLLAMA_HOST", "gpu-box", "http://gpu-box:11434"),
        ("cohere/m", "CO_API_URL", "https://c.example", "https://c.example"),
    ],
)
def test_an_address_may_come_from_the_environment(model: str, variable: str, value: str, base_url: str) -> None:
    assert choose(model, {**KEYS, variable: value}).base_url == base_url


def test_the_providers_own_variable_comes_first() -> None:
    environ = {"OLLAMA_HOST": "a", "OLLAMA_BASE_URL": "http://b:1"}
    assert choose("ollama/m", environ).base_url == "http://b:1"


@pytest.mark.parametrize(
    "address",
    ["localhost:8000", "ftp://x/v1", "http://", "http://x:99999/v1", "http://a b/v1", "http://x/v1?k=1", "http://[/v1"],
)
def test_an_address_that_is_none_is_told(address: str) -> None:
    assert said("local/m", {"LOCAL_BASE_URL": address}).startswith("E110 LOCAL_BASE_URL ")


@pytest.mark.parametrize("address", ["http://me:hunter2@x/v1", "http://hunter2@x/v1", "http://:hunter2@x/v1"])
def test_credentials_in_an_address_are_refused_and_not_shown(address: str) -> None:
    line = said("local/m", {"LOCAL_BASE_URL": address})
    assert "user name or password" in line
    assert "hunter2" not in line


def test_anyscale_needs_an_address() -> None:
    assert said("anyscale/m") == ("E112 anyscale has no public address. Fix: export ANYSCALE_BASE_URL=https://…/v1")


def test_headers_from_the_environment_go_to_the_providers_own_address_only() -> None:
    environ = {**KEYS, "OPENAI_ORG_ID": "org-1"}
    assert choose("openai/gpt-6-luna", environ).headers == {"openai-organization": "org-1"}
    assert choose("openai/m", {**environ, "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}).headers == {}


# nothing named


def test_the_first_provider_whose_key_is_set_is_taken() -> None:
    for at, name in enumerate(KEY_ORDER):
        environ = {PROVIDERS[later].keys[0]: "key" for later in KEY_ORDER[at:]}
        choice = choose(None, environ)
        assert (choice.provider.name, choice.model) == (name, PROVIDERS[name].default_model)


def test_an_address_on_this_machine_counts_as_set_up() -> None:
    choice = choose(None, {"OPENAI_BASE_URL": "http://127.0.0.1:4000/v1"})
    assert (choice.model_requested, choice.base_url) == ("openai/gpt-6.1-sol", "http://127.0.0.1:4000/v1")


def test_a_row_of_ones_own_with_a_model_comes_before_keys() -> None:
    row = {"wire": "openai-chat", "base_url": "http://127.0.0.1:9/v1", "default_model": "qwen"}
    assert choose(None, KEYS, providers={"mine": row}).model_requested == "mine/qwen"


def test_a_local_ollama_that_answers_comes_last() -> None:
    asked = []

    def probe(row: Provider, base_url: str) -> str | None:
        asked.append((row.name, base_url))
        return "qwen3:8b"

    choice = choose_model(Settings(), {}, probe=probe)
    assert choice.model_requested == "ollama/qwen3:8b"
    assert choose_model(Settings(), {"OLLAMA_HOST": "127.0.0.1:5"}, probe=probe).base_url == "http://127.0.0.1:5"
    assert asked == [("ollama", "http://127.0.0.1:11434"), ("ollama", "http://127.0.0.1:5")]
    choose_model(Settings(), {"GROQ_API_KEY": "k"}, probe=probe)
    assert len(asked) == 2


def test_nothing_set_up_is_told_with_all_that_would_do() -> None:
    with pytest.raises(MissingKeyError) as caught:
        choose(None, {})
    assert caught.value.code == "E101"
    assert caught.value.message == no_provider()
    assert "equitrcoder demo" in no_provider()
    # only what works today is recommended
    assert "OPENAI_API_KEY" in no_provider() and "REPLICATE_API_TOKEN" not in no_provider()


def test_a_server_on_this_machine_is_asked_for_its_model() -> None:
    choice = choose_model(Settings(), {}, "local", probe=lambda row, base_url: f"{row.name} at {base_url}")
    assert choice.model == "local at http://localhost:8000/v1"
    assert said("local", {}) == "E103 local has no default model. Fix: name one: local/<model>"


# rows of the user's own


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"base_url": "http://x/v1"}, "providers.mine needs a wire."),
        ({"wire": "openai-chat"}, "providers.mine needs a base_url."),
        ({"wire": "openai-caht", "base_url": "http://x/v1"}, 'unknown wire "openai-caht". Closest: openai-chat'),
        ({"wire": "openai-chat", "base_url": "x/v1"}, "providers.mine.base_url is no http or https address."),
        ({"wire": "openai-chat", "base_url": "http://x", "defaultmodel": "m"}, 'unknown field "defaultmodel"'),
        (
            {"wire": "openai-chat", "base_url": "http://x", "dialect": {"paralell_calls": True}},
            'unknown departure "paralell_calls". Closest: parallel_calls',
        ),
        (
            {"wire": "openai-chat", "base_url": "http://x", "dialect": {"parallel_calls": "yes"}},
            "providers.mine.dialect.parallel_calls must be like True",
        ),
    ],
)
def test_a_row_that_cannot_be_used_is_told(row: dict[str, Any], complaint: str) -> None:
    line = said("mine/m", providers={"mine": row})
    assert line.startswith("E110 ")
    assert complaint in line


def test_a_row_of_ones_own_may_change_one_of_the_fifteen() -> None:
    choice = choose(
        "groq/x", providers={"groq": {"headers": {"x-team": "blue"}, "key_env": "TEAM_KEY"}}, environ={"TEAM_KEY": "t"}
    )
    assert (choice.key, choice.key_variable, choice.headers) == ("t", "TEAM_KEY", {"x-team": "blue"})
    assert choice.base_url == "https://api.groq.com/openai/v1"
    assert PROVIDERS["groq"].keys == ("GROQ_API_KEY",)


def test_names_go_out_as_written_on_a_row_of_ones_own() -> None:
    row = {"wire": "openai-chat", "base_url": "http://127.0.0.1:9/v1"}
    choice = choose("mine/gpt-4", {}, providers={"mine": row})
    assert (choice.model, choice.alias_of, choice.provider.capture) == ("gpt-4", None, "middleware")
    moved = choose("openai/gpt-4", KEYS, providers={"openai": {"base_url": "http://127.0.0.1:9/v1"}})
    assert (moved.model, moved.provider.wire) == ("gpt-4", "openai-chat")


# the table for people


def test_the_table_says_what_could_be_used_now_and_shows_no_key() -> None:
    environ = {"GROQ_API_KEY": "gsk-secret", "OPENAI_BASE_URL": "http://127.0.0.1:4/v1", "GEMINI_BASE_URL": "nonsense"}
    mine = {"wire": "openai-chat", "base_url": "https://m.example/v1", "key_env": "MINE_KEY"}
    rows = {row.name: row for row in provider_rows(Settings(providers={"mine": mine}), environ)}
    assert list(rows) == [*SEED_ORDER, "mine"]
    assert (rows["groq"].state, rows["groq"].key_set) == ("ready", True)
    assert (rows["openai"].state, rows["openai"].wire) == ("ready", "openai-chat")
    assert (rows["deepseek"].state, rows["deepseek"].key_variable) == ("no key", "DEEPSEEK_API_KEY")
    assert rows["anyscale"].state == "no base URL"
    assert rows["local"].state == "ready"
    assert rows["mine"].state == "no key"
    assert (rows["groq"].checks.tools, rows["fireworks"].checks.tools) == ("recorded traffic", "specification")
    assert set(rows["mine"].checks) == {"specification", "none"}
    assert "gsk-secret" not in repr(rows)
