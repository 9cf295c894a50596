"""Every snippet and command line of the tool logging guide runs as it stands there, against a scripted provider.

The guide is kept as tests/data/tool-logging-and-multi-model-guide.md. What asks for a supervisor with workers runs up
to the error that says that they come next; those tests have `comes_next` in their names.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from equitrcoder.api import EquitrAPI, SyncEquitrAPI
from equitrcoder.errors import MultiAgentNotReadyError
from equitrcoder.ledger.export import LOG_FIELDS
from equitrcoder.providers.choice import choose_model
from equitrcoder.settings import Settings, load
from equitrcoder.testing import Answer, Call, ReceivedRequest, ScriptedProvider
from tests.command import Done, World

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "tests" / "data" / "tool-logging-and-multi-model-guide.md").read_text(encoding="utf-8")
SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


class Block(NamedTuple):
    """A fenced block: the headings it stands under, its language, its text."""

    place: str
    language: str
    text: str


def cut(page: str) -> list[Block]:
    found: list[Block] = []
    headings: dict[int, str] = {}
    for match in re.finditer(r"^(#+) ([^\n]+)$|^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        level, heading, language, text = match.groups()
        if heading:
            headings = {depth: name for depth, name in headings.items() if depth < len(level)} | {len(level): heading}
        else:
            found.append(Block(" / ".join(headings.values()), language, text))
    return found


BLOCKS = cut(GUIDE)
GUIDES_NAME = "Tool Logging and Multi-Model Support Guide / "


def block(place: str, language: str) -> str:
    (found,) = [one.text for one in BLOCKS if one.place == GUIDES_NAME + place and one.language == language]
    return found


LOGGING = "Tool Call Logging / Enabling Tool Logging / "
SEPARATE = "Multi-Agent Separate Models / Configuration / "

ENABLING = block(LOGGING + "Programmatic API", "python")
ENABLING_LINES = block(LOGGING + "CLI Interface", "bash")
STATISTICS = block("Tool Call Logging / Tool Call Statistics", "python")
ENTRY = block("Tool Call Logging / Log File Format", "json")
TEAM = block(SEPARATE + "Programmatic API", "python")
TEAM_LINES = block(SEPARATE + "CLI Interface", "bash")
TEAM_FILE = block(SEPARATE + "Configuration Files", "yaml")
EXAMPLE_CONFIGURATIONS = block("Multi-Agent Separate Models / Example Configurations", "python")
COMPLETE = block("Complete Example", "python")
REFERENCE_FILE = block("Configuration Reference / Configuration File", "yaml")


def test_no_block_of_the_guide_is_left_out() -> None:
    assert {one.text for one in BLOCKS} == {
        ENABLING,
        ENABLING_LINES,
        STATISTICS,
        ENTRY,
        TEAM,
        TEAM_LINES,
        TEAM_FILE,
        EXAMPLE_CONFIGURATIONS,
        COMPLETE,
        REFERENCE_FILE,
    }


# The world they run in: a key, a scripted provider, and no model named anywhere.


def script(request: ReceivedRequest) -> Answer:
    """Two calls for whatever is asked, one of which fails, then words."""
    if not request.tool_results:
        calls = [
            Call("write_file", {"file_path": "script.py", "content": "print('hello')\n"}),
            Call("read_file", {"file_path": "missing.py"}),
        ]
        return Answer(calls=calls)
    return Answer(text="Done.")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ScriptedProvider(script) as provider:
        yield World(tmp_path, provider.base_url)
        assert provider.errors == []


@pytest.fixture
def here(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The same for this process."""
    monkeypatch.chdir(world.repo)
    for name, value in world.environ.items():
        monkeypatch.setenv(name, value)
    return world


async def run(snippet: str, names: dict[str, Any]) -> None:
    """Run a snippet as it stands, awaiting at its top level, inside a running event loop."""
    done = eval(compile(snippet, "guide", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    if inspect.isawaitable(done):
        await done


def commands(lines: str) -> list[str]:
    """The commands of a shell block, one after the other."""
    return lines.strip().split("\n\n")


def shell(world: World, command: str, messages: str = "") -> Done:
    """Run a command line as it stands, messages piped in."""
    bin_dir = world.home / "bin"
    bin_dir.mkdir(exist_ok=True)
    for name, target in SCRIPTS.items():
        module, _, function = target.partition(":")
        (bin_dir / name).write_text(
            f"#!/bin/sh\nexec {sys.executable} -c 'from {module} import {function}; {function}()' \"$@\"\n"
        )
        (bin_dir / name).chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=world.repo,
        env=world.environ | {"PATH": f"{bin_dir}{os.pathsep}{os.environ['PATH']}"},
        input=messages,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


# Tool call logging.


async def test_enabling_logging_and_reading_statistics(here: World, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    await run(ENABLING, names)
    assert capsys.readouterr().out == "Total tool calls: 2\n"
    assert str(names["response"]) == "Done."
    assert (here.repo / "my_project" / "script.py").read_text() == "print('hello')\n"
    lines = (here.repo / "my_tool_calls.log").read_text().splitlines()
    assert [json.loads(line)["tool_name"] for line in lines] == ["write_file", "read_file"]
    assert json.loads((here.repo / "detailed_logs.json").read_text()) == [json.loads(line) for line in lines]
    assert [entry["success"] for entry in names["logs"]] == [True, False]
    assert len((here.repo / "tool_calls.log").read_text().splitlines()) == 2  # the second object's, by its default name

    await run(STATISTICS, names)  # it goes on with the names of the snippet before
    assert capsys.readouterr().out == f"{names['stats']}\n"
    assert names["stats"]["total_calls"] == 2


def test_statistics_have_the_shape_of_the_guide() -> None:
    (told,) = [
        node.value
        for node in ast.parse(STATISTICS).body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Dict)
    ]
    shape = ast.literal_eval(told)
    stats: dict[str, Any] = dict(SyncEquitrAPI().get_tool_call_stats())
    assert list(stats) == list(shape)
    for name, value in shape.items():
        assert type(stats[name]) is type(value), name


async def test_a_log_entry_has_the_keys_and_kinds_of_the_guide(here: World) -> None:
    told = json.loads(ENTRY)
    async with EquitrAPI() as api:
        await api.chat("Create a Python script")
        good, bad = api.get_tool_call_logs()
    assert list(good)[: len(told)] == list(told) == list(LOG_FIELDS)[: len(told)]
    for name, value in told.items():
        assert type(good[name]) is type(value), name
    result: Any = good["result"]
    assert {name: type(value) for name, value in result.items()} == {
        name: type(value) for name, value in told["result"].items()
    }
    assert isinstance(bad["error"], str)


@pytest.mark.parametrize("command", commands(ENABLING_LINES))
def test_the_command_lines_that_log(world: World, command: str) -> None:
    done = shell(world, command, "Create a Python script\n")
    assert (done.code, done.out.strip()) == (0, "Done."), done.err
    (name,) = re.findall(r'--tool-log-file "(.+)"', command)
    lines = (world.repo / name).read_text().splitlines()
    assert [json.loads(line)["tool_name"] for line in lines] == ["write_file", "read_file"]
    assert len((world.repo / f"{name}.txt").read_text().splitlines()) == 2


# Separate models. The anthropic key is set, so that nothing but the missing team stands in the way.

KEYS = {"ANTHROPIC_API_KEY": "sk-ant-0123456789abcdef"}


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


async def test_separate_models_from_python_comes_next(here: World, keys: None) -> None:
    with pytest.raises(MultiAgentNotReadyError, match="come next"):
        await run(TEAM, {"EquitrAPI": EquitrAPI})


@pytest.mark.parametrize("command", commands(TEAM_LINES))
def test_separate_models_on_the_command_line_comes_next(world: World, command: str) -> None:
    world.environ |= KEYS
    done = shell(world, command, "Build a complete web application\n")
    assert (done.code, done.out) == (3, "")
    assert re.search(r"^E503 .*come next.*--multi-agent.* Fix: ", done.err, re.MULTILINE)


@pytest.mark.parametrize("text", [TEAM_FILE, REFERENCE_FILE])
def test_the_settings_files_load(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    settings = load(user_file=path, repo_file=None, environ={}, flags={}, trusted=False)
    assert settings == Settings(
        use_multi_agent=True,
        supervisor_model="anthropic/claude-3.5-sonnet",
        worker_model="anthropic/claude-3-haiku",
        log_tool_calls=True,
        tool_log_file="tool_calls.log",
    )
    assert settings.warnings == ()


def test_a_run_with_the_settings_file_comes_next(world: World) -> None:
    world.environ |= KEYS
    path = world.home / ".config" / "equitrcoder" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(TEAM_FILE)
    done = world.equitrcoder("run", "Build it")
    assert done.code == 3
    assert re.search(r"^E503 .*config\.yaml:2", done.err, re.MULTILINE)


async def test_the_example_configurations_are_arguments(here: World, keys: None) -> None:
    names: dict[str, Any] = {}
    await run(EXAMPLE_CONFIGURATIONS, names)
    for name in ("config_quality", "config_cost", "config_balanced"):
        async with EquitrAPI(**names[name]) as api:  # without multi_agent they wait for their time
            assert str(await api.chat("Create a Python script")) == "Done."


def test_the_complete_example_comes_next(world: World) -> None:
    done = script_file(world, COMPLETE)
    assert done.returncode == 1
    assert "MultiAgentNotReadyError: E503" in done.stderr
    assert "Project created" not in done.stdout


def test_the_complete_example_on_one_agent(world: World) -> None:
    """The rest of it, until the team lands: all but the three lines that ask for it."""
    lines = COMPLETE.splitlines(keepends=True)
    alone = [line for line in lines if not re.match(r" +(multi_agent|supervisor_model|worker_model)=", line)]
    assert len(lines) - len(alone) == 3
    done = script_file(world, "".join(alone))
    assert done.returncode == 0, done.stderr
    printed = re.sub(r"Total time: \d+\.\ds", "Total time: 0.0s", done.stdout)
    assert printed == (
        "🚀 Project created!\n"
        "\n📊 Tool Statistics:\n  Total calls: 2\n  Success rate: 50.0%\n  Total time: 0.0s\n"
        "\n🔧 Top Tools:\n  read_file: 1 calls\n  write_file: 1 calls\n"
        "\n💾 Exported logs to detailed_analysis.json\n"
    )
    assert len(json.loads((world.repo / "detailed_analysis.json").read_text())) == 2
    assert len((world.repo / "project_tools.log").read_text().splitlines()) == 2


def script_file(world: World, text: str) -> subprocess.CompletedProcess[str]:
    (world.repo / "complete.py").write_text(text)
    return subprocess.run(
        [sys.executable, "complete.py"],
        cwd=world.repo,
        env=world.environ | KEYS | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )


# The reference and the troubleshooting.


def rows(heading: str) -> list[list[str]]:
    section = GUIDE.partition(f"### {heading}\n")[2].partition("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip(' `"') for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("command", ["equitrcoder", "equitrcoder-simple"])
def test_the_commands_have_the_options_of_the_reference(world: World, command: str) -> None:
    told = shell(world, f"{command} --help").out
    for option, *_ in rows("CLI Options"):
        assert re.search(rf"^ +{option}\b", told, re.MULTILINE), option
    assert len(rows("CLI Options")) == 4


def test_the_options_and_parameters_have_the_defaults_of_the_reference() -> None:
    settings = Settings()
    parameters = inspect.signature(EquitrAPI).parameters
    for option, _, default in rows("CLI Options"):
        key = option.removeprefix("--").replace("-", "_")
        expected = {"False": False, "Uses main model": None}.get(default, default)
        assert getattr(settings, key) == parameters[key].default == expected, option
    for name, kind, _ in rows("API Parameters"):
        assert kind in str(parameters[name].annotation), name


@pytest.mark.parametrize("named", sorted(set(re.findall(r'"((?:anthropic|openai)/[\w.-]+)"', GUIDE))))
async def test_every_model_the_guide_names_does_the_work(
    here: World, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """On its provider's own wire, at the address of the scripted one."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", here.environ["OPENAI_BASE_URL"])
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEYS["ANTHROPIC_API_KEY"])
    async with EquitrAPI(model=named) as api:
        assert str(await api.chat("Create a Python script")) == "Done."
        stats = api.get_tool_call_stats()
        assert (stats["total_calls"], stats["success_rate"]) == (2, 0.5)


@pytest.mark.parametrize("retired", sorted(set(re.findall(r'"((?:anthropic|openai)/[\w.-]+)"', GUIDE))))
def test_every_model_the_guide_names_is_understood(retired: str) -> None:
    """Today's stand in for them; at an address of the user's own they go out as written."""
    environ = {"OPENAI_API_KEY": "sk-0123456789abcdef", **KEYS}
    choice = choose_model(Settings(), environ, retired)
    assert (choice.alias_of, choice.model_requested) == (retired, retired)
    assert choice.model in choice.provider.models
    provider = retired.partition("/")[0]
    own = choose_model(Settings(), environ | {f"{provider.upper()}_BASE_URL": "http://127.0.0.1:9/v1"}, retired)
    assert (own.alias_of, f"{provider}/{own.model}") == (None, retired)


MANY = "equitrcoder-simple --multi-agent"
TROUBLES = {
    "Check file permissions for log file path": (
        'equitrcoder-simple --log-tool-calls --tool-log-file "/dev/null/tools.log"',
        r"E301 .*/dev/null/tools\.log.* Nothing was run\. Fix: --tool-log-file",
    ),
    "Check API keys for different providers": (
        f'{MANY} --supervisor-model "anthropic/claude-3.5-sonnet" --worker-model "groq/openai/gpt-oss-20b"',
        r"E101 .*ANTHROPIC_API_KEY is not set.*GROQ_API_KEY is not set.* Fix: export ANTHROPIC_API_KEY=… and export G",
    ),
    "Verify both models are available in your configuration": (
        f'{MANY} --worker-model "antropic/claude-3-haiku"',
        r"E102 Unknown provider antropic.* Closest: anthropic",
    ),
    "Ensure models support function calling": (
        f'REPLICATE_API_TOKEN=r8_0123456789abcdef {MANY} --worker-model "replicate/meta/llama"',
        r"E501 replicate/meta/llama takes no tools.* Fix: ",
    ),
    "Set appropriate budget limits": (
        "equitrcoder-simple --model openai/unheard-of --budget 1",
        r"E202 .* Fix: .*--allow-unpriced",
    ),
}
"""Words of the troubleshooting section, the command that runs into it, what is said then."""


@pytest.mark.parametrize("words", TROUBLES)
def test_what_goes_wrong_is_told_with_its_fix(world: World, words: str) -> None:
    assert f"- {words}\n" in GUIDE.partition("## Troubleshooting")[2]
    command, told = TROUBLES[words]
    done = shell(world, command, "Create a Python script\n")
    assert done.code in (1, 3, 4), done.err
    assert re.search(told, done.err), done.err
    assert not (world.repo / "script.py").exists()


def test_a_folder_for_the_log_is_made(world: World) -> None:
    done = shell(world, 'equitrcoder-simple --log-tool-calls --tool-log-file "logs/today/tools.log"', "Create it\n")
    assert done.code == 0, done.err
    assert len((world.repo / "logs" / "today" / "tools.log").read_text().splitlines()) == 2
