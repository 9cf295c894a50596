"""Whom a run asks, by settings and environment alone: every key alias, base URL, form of OLLAMA_HOST, row of one's own.

Each case is the real command, and what arrived where.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from equitrcoder.doctor import examine
from equitrcoder.providers import PROVIDERS
from equitrcoder.testing import Answer, Call, ScriptedProvider
from tests.command import World

SECRET = "key-0123456789abcdef"
ALIASES = [(name, variable) for name, row in PROVIDERS.items() for variable in row.keys[1:]]
PRIMARY = [(name, row.keys[0]) for name, row in PROVIDERS.items() if row.keys]


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    del world.environ["OPENAI_BASE_URL"], world.environ["OPENAI_API_KEY"]
    return world


def at(server: ScriptedProvider) -> str:
    """The server without a path, as vendors' own variables are given."""
    return server.base_url.removesuffix("/v1")


def key_sent(server: ScriptedProvider) -> str:
    headers = server.requests[-1].headers
    return headers.get("x-goog-api-key") or headers.get("x-api-key") or headers["authorization"].removeprefix("Bearer ")


@pytest.mark.parametrize(("name", "variable"), ALIASES, ids=[variable for _, variable in ALIASES])
def test_a_key_under_its_other_name_at_a_base_url_of_ones_own(world: World, name: str, variable: str) -> None:
    """The last of a row's base-URL variables, so that each alias of those is used too."""
    with ScriptedProvider([Answer(text="Done.")]) as server:
        base = {PROVIDERS[name].base_url_variables[-1]: at(server)}
        done = world.run("--model", f"{name}/own/scripted", environ={variable: SECRET, **base})
        assert done.code == 0, done.err
        assert key_sent(server) == SECRET
        assert server.errors == []
    assert world.files_holding(SECRET) == []


@pytest.mark.parametrize(("name", "variable"), PRIMARY, ids=[name for name, _ in PRIMARY])
def test_the_usual_name_comes_first_and_doctor_tries_the_key(world: World, name: str, variable: str) -> None:
    row = PROVIDERS[name]
    with ScriptedProvider([]) as server:
        keys = dict.fromkeys(row.keys[1:], "other-key-0123456789") | {variable: SECRET}
        environ = {**world.environ, **keys, row.base_url_variables[0]: at(server)}
        findings = asyncio.run(examine(world.repo, environ))
        assert server.requests and key_sent(server) == SECRET
    (told,) = [finding for finding in findings if finding.check == name]
    assert told.level == "ok" or name == "replicate", told  # the scripted one has no accounts
    assert SECRET not in repr(findings)


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "http://localhost:{}/", "0.0.0.0:{}", ":{}"])
def test_ollama_is_where_its_variable_says(world: World, form: str) -> None:
    with ScriptedProvider([Answer(text="Done.")], models=["qwen3:8b"]) as server:
        host = form.format(urlsplit(server.base_url).port)
        done = world.run("--model", "ollama", environ={"OLLAMA_HOST": host})
        assert done.code == 0, done.err
        assert [request.path for request in server.requests] == ["/api/tags", "/api/chat"]
        assert server.requests[1].json["model"] == "qwen3:8b"
        assert server.requests[1].headers["host"].startswith(("127.0.0.1:", "localhost:"))  # where one can call
    assert done.event("run.finished")["totals"]["unpriced_turns"] == 0


@pytest.mark.parametrize(
    ("form", "place"), [("ollama.example", "ollama.example:11434"), ("http://ollama.example", "ollama.example")]
)
def test_ollama_on_another_host_has_its_port_through_a_proxy(world: World, form: str, place: str) -> None:
    with ScriptedProvider([Answer(text="Done.")]) as proxy:
        done = world.run("--model", "ollama/qwen3", environ={"OLLAMA_HOST": form, "HTTP_PROXY": at(proxy)})
        assert done.code == 0, done.err
        assert [request.path for request in proxy.requests] == [f"http://{place}/api/chat"]


SETTINGS = """\
providers:
  alpha: {{wire: openai-chat, base_url: "{alpha}", key_env: ALPHA_KEY, default_model: large}}
  beta:
    wire: openai-chat
    base_url: "{beta}"
    key_env: [BETA_KEY, BETA_TOKEN]
    auth: x-api-key
    headers: {{x-team: blue}}
    tools: "yes"
    dialect: {{max_tokens_field: max_completion_tokens}}
prices:
  beta/small: {{input: 1, output: 2}}
output_limit_tokens: 500
"""


@pytest.mark.parametrize("way", ["--stream", "--no-stream"])
def test_a_second_compatible_provider_is_added_by_settings_alone(world: World, way: str) -> None:
    (world.repo / "a.txt").write_text("hello\n")
    config = world.home / ".config" / "equitrcoder" / "config.yaml"
    config.parent.mkdir(parents=True)
    look, done_ = Answer(calls=[Call("read_file", {"file_path": "a.txt"})] * 2), Answer(text="Done.")
    with ScriptedProvider([done_]) as alpha, ScriptedProvider([look, done_]) as beta:
        config.write_text(SETTINGS.format(alpha=alpha.base_url, beta=beta.base_url))
        world.environ |= {"ALPHA_KEY": f"alpha-{SECRET}", "BETA_TOKEN": f"beta-{SECRET}"}
        first = world.run("--model", "alpha", way)
        second = world.run("--model", "beta/small", way, "--budget", "1")
        listed = {
            row["name"]: row for row in map(json.loads, world.equitrcoder("providers", "--json").out.splitlines())
        }
        checked = world.equitrcoder("doctor", "--json")
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert alpha.requests[0].headers["authorization"] == f"Bearer alpha-{SECRET}"
    assert alpha.requests[0].json["model"] == "large"
    (asked, *_), headers = beta.requests, beta.requests[0].headers
    assert (headers["x-api-key"], headers["x-team"]) == (f"beta-{SECRET}", "blue")
    assert asked.json["max_completion_tokens"] == 500
    assert asked.json.get("stream", False) is (way == "--stream")
    assert ["hello" in result for result in beta.requests[1].tool_results] == [True, True]
    calls = world.calls()
    assert [(call["provider"], call["outcome"]) for call in calls] == [("beta", "success")] * 2
    assert second.event("run.finished")["totals"]["cost_nanousd"] > 0
    assert (listed["alpha"]["state"], listed["beta"]["key_variable"]) == ("ready", "BETA_TOKEN")
    assert set(listed["beta"]["checks"].values()) == {"specification", "none"}
    assert {"alpha", "beta"} <= {json.loads(line)["check"] for line in checked.out.splitlines()}
    assert world.files_holding(SECRET) == []
