"""Variables: EQUITRCODER_ and the key in capitals, read by type, and told when they are none of ours."""

from __future__ import annotations

from typing import Any

import pytest

from equitrcoder.errors import ConfigError
from equitrcoder.settings import FIELDS, load
from equitrcoder.settings.kinds import KEYS, SECTION_KEYS
from equitrcoder.settings.layers import PREFIX, variable_key


def from_environment(**environ: str) -> Any:
    variables = {PREFIX + name: value for name, value in environ.items()}
    return load(user_file=None, repo_file=None, environ={"HOME": "/h", **variables}, flags={}, trusted=False)


GOOD = {
    "ai_provider": ("groq", "groq"),
    "ai_model": ("groq/openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"),
    "ai_api_key": ("sk-1", "sk-1"),
    "ai_base_url": ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
    "budget": ("2.50", 2.5),
    "use_multi_agent": ("true", True),
    "supervisor_model": ("a/b", "a/b"),
    "worker_model": ("a/b", "a/b"),
    "log_tool_calls": ("1", True),
    "tool_log_file": ("logs/t.log", "logs/t.log"),
    "approve": ("edits", "edits"),
    "sandbox": ("off", "off"),
    "network": ("ON", True),
    "network_hosts": (
        "PyPI.org, *.example.org:8080,package-indexes",
        ("pypi.org", "*.example.org:8080", "package-indexes"),
    ),
    "env_passthrough": ("A, B_2,", ("A", "B_2")),
    "readable_paths": ("/srv/a b:~/c", ("/srv/a b", "/h/c")),
    "max_turns": ("7", 7),
    "max_time_s": ("0.5", 0.5),
    "max_tokens": ("1000", 1000),
    "allow_unpriced": ("no", False),
    "stream": ("0", False),
    "reasoning_effort": ("high", "high"),
    "output_limit_tokens": ("10", 10),
    "fallback_model": ("a/b", "a/b"),
    "fallback_models": ("a/b, c/d", ("a/b", "c/d")),
    "idle_timeout_s": ("10", 10.0),
    "request_timeout_s": ("10", 10.0),
    "max_attempts": ("1", 1),
    "command_timeout_s": ("1.5", 1.5),
    "command_limits": ("processes=50, memory_mb=100", {"processes": 50, "memory_mb": 100}),
    "durability": ("full", "full"),
    "content": ("hash", {"arguments": "hash", "results": "hash"}),
    "spill_results": ("yes", True),
    "spill_limit_bytes": ("1000", 1000),
    "spill_total_bytes": ("5000", 5000),
    "check": ("make test && make lint", "make test && make lint"),
}


def test_every_key_but_the_tables_can_be_set() -> None:
    assert GOOD.keys() == set(FIELDS) - {"providers", "prices", "mcp_servers", "rules"}
    settings = from_environment(**{key.upper(): text for key, (text, _) in GOOD.items()})
    assert {key: getattr(settings, key) for key in GOOD} == {key: value for key, (_, value) in GOOD.items()}
    assert settings.warnings == ()
    assert settings.origins["budget"] == "environment EQUITRCODER_BUDGET"


@pytest.mark.parametrize("key", SECTION_KEYS)
def test_orchestrator_keys_have_two_names(key: str) -> None:
    text, value = GOOD[key]
    for name in (key.upper(), f"ORCHESTRATOR_{key.upper()}"):
        settings = from_environment(**{name: text})
        assert getattr(settings, key) == value
        assert settings.origins[key] == f"environment EQUITRCODER_{name}"


def test_two_names_that_disagree_are_an_error() -> None:
    same = from_environment(ORCHESTRATOR_WORKER_MODEL="a/b", WORKER_MODEL="a/b")
    assert same.worker_model == "a/b"
    with pytest.raises(
        ConfigError, match="EQUITRCODER_ORCHESTRATOR_WORKER_MODEL and EQUITRCODER_WORKER_MODEL disagree"
    ):
        from_environment(ORCHESTRATOR_WORKER_MODEL="a/b", WORKER_MODEL="a/c")


def test_only_orchestrator_keys_take_the_long_name() -> None:
    settings = from_environment(ORCHESTRATOR_BUDGET="3")
    assert settings.budget is None
    assert len(settings.warnings) == 1


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("BUDGET", "two", 'EQUITRCODER_BUDGET must be a number of dollars, 0 or more, not "two".'),
        ("BUDGET", "-1", 'EQUITRCODER_BUDGET must be a number of dollars, 0 or more, not "-1".'),
        ("BUDGET", "nan", 'EQUITRCODER_BUDGET must be a number of dollars, 0 or more, not "nan".'),
        ("BUDGET", "inf", 'EQUITRCODER_BUDGET must be a number of dollars, 0 or more, not "inf".'),
        ("MAX_TURNS", "1.5", 'EQUITRCODER_MAX_TURNS must be a whole number, 1 or more, not "1.5".'),
        ("MAX_TURNS", "0", 'EQUITRCODER_MAX_TURNS must be a whole number, 1 or more, not "0".'),
        ("MAX_TIME_S", "0", 'EQUITRCODER_MAX_TIME_S must be a number of seconds, 0.001 or more, not "0".'),
        ("STREAM", "maybe", 'EQUITRCODER_STREAM must be true or false, not "maybe".'),
        ("APPROVE", "never", 'EQUITRCODER_APPROVE must be one of ask, edits, all, deny, not "never".'),
        ("ENV_PASSTHROUGH", "A-B", 'EQUITRCODER_ENV_PASSTHROUGH must be names of variables, not "A-B".'),
        ("NETWORK_HOSTS", "http://x", 'EQUITRCODER_NETWORK_HOSTS must be names of hosts, not "http://x".'),
        ("READABLE_PATHS", "rel/x", 'EQUITRCODER_READABLE_PATHS must be absolute paths, not "rel/x".'),
        ("AI_BASE_URL", "host", 'EQUITRCODER_AI_BASE_URL must be an http or https address, not "host".'),
        ("AI_BASE_URL", "file:///x", 'EQUITRCODER_AI_BASE_URL must be an http or https address, not "file:///x".'),
        ("AI_MODEL", "a\x1b[2J", 'EQUITRCODER_AI_MODEL must be one line of text, not "a\ufffd[2J".'),
        ("AI_API_KEY", "sk-1\n", "EQUITRCODER_AI_API_KEY must be one line of text."),
    ],
)
def test_a_wrong_value_names_the_variable_and_what_it_takes(name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_environment(**{name: text})
    assert (caught.value.message, caught.value.code, caught.value.exit_code) == (message, "E110", 3)


def test_unknown_variables_are_warned_about_with_the_nearest() -> None:
    settings = from_environment(SUPERVISER_MODEL="a/b", STATE_DIR="/x", CORPUS="/y")
    assert settings.warnings == (
        "EQUITRCODER_SUPERVISER_MODEL is no setting and was not read. Closest: EQUITRCODER_SUPERVISOR_MODEL",
    )


def test_tables_come_from_files_only() -> None:
    assert from_environment(PRICES="{}").warnings == (
        "EQUITRCODER_PRICES was not read: prices can be set in a settings file only.",
    )


def test_small_letters_are_another_variable() -> None:
    assert variable_key("EQUITRCODER_budget") is None
    assert {variable_key(PREFIX + key.upper()) for key in KEYS} == set(KEYS)
