"""What the provider-aware tracking guide says of providers, output and storage holds.

The guide is kept as tests/data/provider-aware-tool-call-tracking.md; its code is Go of another program.
"""

from __future__ import annotations

import inspect
import json
import re
from datetime import datetime
from pathlib import Path

import pytest

from equitrcoder import AgentRuns
from equitrcoder.agent.result import RunResult
from equitrcoder.cli.seed_lines import seed_lines
from equitrcoder.providers import PROVIDERS
from equitrcoder.providers.provider import detect_provider

GUIDE = (Path(__file__).parents[1] / "data" / "provider-aware-tool-call-tracking.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    return GUIDE.partition(f"\n{heading}\n")[2].partition("\n#")[0]


def listed(heading: str) -> set[str]:
    return set(re.findall(r"^- `(\w+)`", section(heading), re.MULTILINE))


def captured(way: str) -> set[str]:
    return {row.name for row in PROVIDERS.values() if row.capture == way}


def test_the_providers_and_how_each_is_captured() -> None:
    assert captured("native") == listed("#### Native GenKit Support (No Middleware)") == {"gemini", "ollama"}
    assert captured("middleware") == listed("#### Middleware-Enhanced Support")
    (slice_of_names,) = re.findall(r"openAICompatibleProviders := \[\]string\{(.*?)\}", GUIDE, re.DOTALL)
    assert captured("middleware") == set(re.findall(r'"(\w+)"', slice_of_names))


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_a_provider_is_known_by_its_start(name: str) -> None:
    assert detect_provider(f"{name}-compatible", PROVIDERS) == name


def output(heading: str) -> list[str]:
    (block,) = re.findall(r"```\n(.*?)```", section(heading), re.DOTALL)
    return [line.rstrip() for line in str(block).splitlines()]


def test_the_lines_of_a_native_provider() -> None:
    told = output("### Gemini with Native Support  ")
    calls = [json.loads(line.partition(". ")[2]) for line in told if re.match(r"  \d\. ", line)]
    assert [call["step"] for call in calls] == [1, 2, 3, 4]
    usage = {"input_tokens": 8546, "output_tokens": 364, "total_tokens": 8910}
    shown = seed_lines("gemini", "native", [(call["tool_name"], call["input"]) for call in calls], usage)
    assert shown.splitlines() == told


def test_the_lines_of_a_provider_with_middleware() -> None:
    told = output("### OpenAI with Middleware")
    calls: list[tuple[str, object]] = [
        ("f_list_directory", {"path": "."}),
        ("f_directory_tree", {"path": "go.mod"}),
        ("f_edit_file", {"dryRun": True, "edits": []}),
    ]
    usage = {"input_tokens": 1270, "output_tokens": 157, "total_tokens": 1427}
    shown = seed_lines("openai", "middleware", calls, usage)  # type: ignore[arg-type]  # JSON
    assert shown.replace('"edits": []', '"edits": [...]').splitlines() == told  # the guide leaves the edits out


def test_the_repository_takes_what_the_guide_hands_over() -> None:
    (arguments,) = re.findall(r"AgentRuns\.UpdateCompletion\((.*?)\n\)", GUIDE, re.DOTALL)
    handed = re.findall(r"^\s+(?:&|result\.|agentRun\.)?\"?(\w+)\"?,", arguments, re.MULTILINE)
    assert handed == ["ID", "Response", "StepsTaken", "ToolCalls", "ExecutionSteps", "completed", "completedAt"]
    parameters = inspect.signature(AgentRuns.update_completion).parameters
    positional = [name for name, one in parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
    assert positional == [
        "self",
        "run_id",
        "response",
        "steps_taken",
        "tool_calls",
        "execution_steps",
        "status",
        "completed_at",
    ]


def test_a_result_has_what_the_guide_fills_in(tmp_path: Path) -> None:
    (fields,) = re.findall(r"AgentExecutionResult\{(.*?)\n\}", GUIDE, re.DOTALL)
    names = [re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower() for name in re.findall(r"^\s+(\w+):", fields, re.MULTILINE)]
    assert names == ["response", "steps_taken", "tool_calls", "execution_steps", "token_usage"]
    with AgentRuns(tmp_path) as runs:
        run = runs.create(task="t")
        runs.update_completion(run.run_id, "ok", 0, None, None)
        stored = runs.get(run.run_id)
    for name in names:
        assert hasattr(RunResult(run_id="r", session_id="s"), name)
        assert name in stored
    assert datetime.fromisoformat(str(stored["completed_at"])).tzinfo is not None
