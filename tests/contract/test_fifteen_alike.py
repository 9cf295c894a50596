"""The same session with the real agent on every provider leaves the same records: how a provider writes does not show.

Each row is asked over its own base URL, at its own path, with its own key header. What may differ is in `MAY_DIFFER`;
calls that the provider runs itself exist on some wires only, and what differs in them is in `AT_THE_PROVIDER`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.agent.session import Session, SessionOptions
from equitrcoder.ledger import Reader
from equitrcoder.ledger.audit import audit
from equitrcoder.ledger.views import call_to_dict, run_to_dict, turn_to_dict
from equitrcoder.providers import PROVIDERS
from equitrcoder.settings import Settings
from equitrcoder.testing import Answer, Call, ProviderCall, ReceivedRequest, ScriptedProvider
from tests.command import World

NATIVE = {"gemini", "ollama"}
"""Source: the second seed, "Native GenKit Support (No Middleware)"."""
KEY = "sk-test-0123456789abcdefSECRET"
PATH = "/v1/chat/completions"
BEARER = {"authorization": f"Bearer {KEY}"}
MODEL = "scripted"


@dataclass(frozen=True, kw_only=True)
class Row:
    """How a provider is reached."""

    name: str
    base: str = "/v1"
    """What its base URL holds behind the origin."""
    key: str | None = None
    """Its variable; None: it needs no key."""
    path: str = PATH
    stream_path: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: BEARER)
    settings: Mapping[str, Any] = field(default_factory=dict)
    provider_tool: str | None = None
    """Which entry of `AT_THE_PROVIDER` its wire has."""


ROWS = {
    row.name: row
    for row in (
        Row(
            name="gemini",
            base="/v1beta",
            key="GEMINI_API_KEY",
            path=f"/v1beta/models/{MODEL}:generateContent",
            stream_path=f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse",
            headers={"x-goog-api-key": KEY},
            provider_tool="gemini",
        ),
        Row(name="ollama", base="", path="/api/chat", headers={}),
        Row(name="openai", key="OPENAI_API_KEY"),
        Row(
            name="anthropic",
            base="",
            key="ANTHROPIC_API_KEY",
            path="/v1/messages",
            headers={"x-api-key": KEY, "anthropic-version": "2023-06-01"},
            provider_tool="anthropic",
        ),
        Row(name="groq", key="GROQ_API_KEY", provider_tool="groq"),
        Row(name="deepseek", key="DEEPSEEK_API_KEY"),
        Row(name="together", key="TOGETHER_API_KEY"),
        Row(name="fireworks", key="FIREWORKS_API_KEY"),
        Row(name="perplexity", key="PERPLEXITY_API_KEY", path="/v1/agent", provider_tool="perplexity"),
        Row(name="mistral", key="MISTRAL_API_KEY"),
        Row(name="cohere", base="", key="CO_API_KEY", path="/v2/chat"),
        Row(name="huggingface", key="HF_TOKEN"),
        Row(name="replicate", key="REPLICATE_API_TOKEN", path=f"/v1/models/own/{MODEL}/predictions"),
        Row(name="anyscale", key="ANYSCALE_API_KEY"),
        Row(name="local", headers={}),
    )
}
RESPONSES = Row(
    name="openai",
    key="OPENAI_API_KEY",
    path="/v1/responses",
    settings={"providers": {"openai": {"wire": "openai-responses"}}},
    provider_tool="openai",
)
"""At a base URL of the user's own `openai` speaks Chat Completions, unless the settings name the other wire."""
CASES = {**{name: row for name, row in ROWS.items() if name != "replicate"}, "openai-responses": RESPONSES}

CODE = "print(6 * 7)"
AT_THE_PROVIDER: dict[str, dict[str, Any]] = {
    "gemini": {
        "tool_name": "code_execution",
        "arguments": {"language": "PYTHON", "code": CODE},
        "result": {"outcome": "OUTCOME_OK", "output": "42"},
    },
    "anthropic": {
        "tool_name": "code_execution",
        "arguments": {"code": CODE},
        "result": {
            "type": "code_execution_result",
            "stdout": "42",
            "stderr": "",
            "return_code": 0,
            "content": [],
        },
    },
    "openai": {
        "tool_name": "code_interpreter",
        "arguments": {"code": CODE},
        "result": [{"type": "logs", "logs": "42"}],
    },
    "perplexity": {
        "tool_name": "sandbox",
        "arguments": {"code": CODE, "language": "python"},
        "result": [{"stdout": "42", "stderr": ""}],
    },
    "groq": {"tool_name": "python", "arguments": {"code": CODE}, "result": "42"},
}
"""The same code run by the provider, in the words of each wire that has such a call."""

READ = Call("read_file", {"file_path": "a.txt"})
COMMON = [
    Answer(text="One.", calls=[READ]),
    Answer(calls=[Call("run_command", {"command": f"echo {n}"}) for n in range(4)]),
    Answer(
        calls=[
            Call("run_command", {"command": "echo broken; exit 3"}),
            Call("read_file", '{"file_path": '),
            Call("read_file", {"path": "a.txt"}),
            Call("read_fil", {"file_path": "a.txt"}),
            Call("git_status"),  # no arguments; and this is no repository of git
        ]
    ),
]
OUTCOMES = ["success"] * 5 + ["failed"] + ["invalid"] * 3 + ["failed", "success"]
DONE = Answer(text="Done.")

MAY_DIFFER: dict[str, frozenset[str]] = {
    "calls": frozenset(
        {"provider", "model_requested", "model_answered", "provider_call_id", "capture", "arguments_raw"}
        | {"call_uid", "run_id", "session_id", "requested_at", "started_at", "ended_at", "duration_ms"}
    ),
    "turns": frozenset(
        {"provider", "model_requested", "model_answered", "run_id", "finish"}
        | {"at", "duration_ms", "time_to_first_byte_ms"}
        | {"input_tokens", "cached_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"}
        | {"cost_nanousd", "price_version"}
    ),
    "runs": frozenset(
        {"provider", "model_requested", "model_answered", "run_id", "session_id", "journal", "repo_path"}
        | {"started_at", "completed_at"}
        | {"input_tokens", "cached_read_tokens", "output_tokens", "reasoning_tokens"}
        | {"cost_nanousd", "unpriced_turns"}
    ),
}
"""Fields that may differ from provider to provider, or do from run to run. In everything else the records are equal."""
OF_ITS_CALL = frozenset({"tool_name", "arguments", "result", "result_bytes", "result_sha256"})
"""What more may differ in a call that the provider ran; it must be what `AT_THE_PROVIDER` says."""


def script(row: Row) -> list[Answer]:
    ran = [ProviderCall("code_execution", {"code": CODE}, result="42")] if row.provider_tool else []
    answers = [*COMMON, Answer(text="Last.", calls=[READ, *ran]), DONE]
    return [replace(answer, usage_in_stream="always") for answer in answers]  # two rows need not ask for it


@dataclass(frozen=True, kw_only=True)
class Left:
    """What a session left in its ledger."""

    calls: list[dict[str, Any]]
    turns: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    requests: list[ReceivedRequest]
    response: str
    notices: list[str]

    def ours(self) -> list[dict[str, Any]]:
        """The calls that the agent ran."""
        return [call for call in self.calls if call["executed_by"] == "client"]

    def at_the_provider(self) -> list[dict[str, Any]]:
        """The calls that the provider ran."""
        return [call for call in self.calls if call["executed_by"] == "provider"]

    def alike(self) -> dict[str, list[dict[str, Any]]]:
        """The records without what may differ and without the provider's own calls, which not every wire has."""
        ran = self.at_the_provider()
        turns = [turn | {"calls": turn["calls"] - [c["step"] for c in ran].count(turn["step"])} for turn in self.turns]
        runs = [run | {"calls": run["calls"] - len(ran)} for run in self.runs]
        return {
            kind: [without(MAY_DIFFER[kind], record) for record in records]
            for kind, records in (("calls", self.ours()), ("turns", turns), ("runs", runs))
        }


def without(names: frozenset[str], record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in names}


async def session(folder: Path, row: Row, answers: list[Answer], *, stream: bool, model: str = MODEL) -> Left:
    """Run the script on a row; everything is real but the model."""
    repo = folder / "repo"
    repo.mkdir(parents=True)
    (repo / "a.txt").write_text("alpha\n")
    notices: list[str] = []
    with ScriptedProvider(answers) as provider:
        origin = provider.base_url.removesuffix("/v1")
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "EQUITRCODER_STATE_DIR": str(folder / "state"),
            f"{row.name.upper()}_BASE_URL": origin + row.base,
        }
        if row.key:
            environ[row.key] = KEY
        settings = Settings(approve="all", sandbox="off", stream=stream, **row.settings)
        options = SessionOptions(on_notice=notices.append)
        async with Session(repo, settings, environ, model=f"{row.name}/{model}", options=options) as agent:
            result = await agent.run("do it")
        assert provider.errors == []
    assert audit(folder / "state").differences == []
    with Reader(folder / "state") as reader:
        (run,) = reader.runs()
        return Left(
            calls=[call_to_dict(call) for call in reader.calls()],
            turns=[turn_to_dict(turn) for turn in reader.turns(run.run_id)],
            runs=[run_to_dict(run)],
            requests=provider.requests,
            response=str(result),
            notices=notices,
        )


_reference: list[Left] = []


@pytest.fixture
async def reference(tmp_path_factory: pytest.TempPathFactory) -> Left:
    """What a row on Chat Completions leaves."""
    if not _reference:
        row = ROWS["groq"]
        _reference.append(await session(tmp_path_factory.mktemp("reference"), row, script(row), stream=True))
    return _reference[0]


def test_all_fifteen_rows_are_here_and_only_fields_that_there_are_may_differ(reference: Left) -> None:
    assert set(ROWS) == set(PROVIDERS) and len(ROWS) == 15
    for kind, names in MAY_DIFFER.items():
        assert names <= set(getattr(reference, kind)[0]), kind


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("case", CASES)
async def test_every_provider_leaves_the_same_records(tmp_path: Path, reference: Left, case: str, stream: bool) -> None:
    row = CASES[case]
    left = await session(tmp_path, row, script(row), stream=stream)
    assert left.response == "Done."
    assert [call["outcome"] for call in left.ours()] == OUTCOMES
    assert left.alike() == reference.alike()
    assert {record["provider"] for records in (left.calls, left.turns, left.runs) for record in records} == {row.name}
    assert {call["capture"] for call in left.calls} == {"native" if row.name in NATIVE else "middleware"}
    assert all(turn["output_tokens"] for turn in left.turns)
    check_the_call_of_the_provider(row, left, reference)
    check_what_was_asked(row, left, stream=stream)


def check_the_call_of_the_provider(row: Row, left: Left, reference: Left) -> None:
    if row.provider_tool is None:
        assert left.at_the_provider() == []
        return
    (ran,), (like,) = left.at_the_provider(), reference.at_the_provider()
    exempt = MAY_DIFFER["calls"] | OF_ITS_CALL
    assert without(exempt, ran) == without(exempt, like)
    assert {key: ran[key] for key in AT_THE_PROVIDER[row.provider_tool]} == AT_THE_PROVIDER[row.provider_tool]
    assert (ran["outcome"], ran["tool_kind"], ran["duration_ms"]) == ("success", "builtin", None)
    assert ran["result_bytes"] > 0 and len(ran["result_sha256"]) == 64


def check_what_was_asked(row: Row, left: Left, *, stream: bool) -> None:
    for request in left.requests:
        assert request.path == (row.stream_path if stream and row.stream_path else row.path)
        assert request.streaming is stream
        assert {name: request.headers.get(name) for name in row.headers} == row.headers
        assert row.headers or not {"authorization", "x-api-key", "x-goog-api-key"} & set(request.headers)
    told = [request.tool_results for request in left.requests]
    assert [len(results) for results in told] == [0, 1, 4, 5, 1]
    assert [result.split()[0] for result in told[2]] == ["0", "1", "2", "3"]
    assert told[3][0].startswith("Exit 3.") and "read_file" in told[3][3]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_replicate_records_the_same_answer_in_words_and_says_that_it_has_no_tools(
    tmp_path: Path, stream: bool
) -> None:
    """Its predictions carry no tools, so of the session there is only the answer."""
    like = await session(tmp_path / "like", ROWS["local"], [DONE], stream=stream)
    left = await session(tmp_path / "left", ROWS["replicate"], [DONE], stream=stream, model=f"own/{MODEL}")
    assert (left.response, left.calls) == ("Done.", [])
    assert left.alike() == like.alike()
    assert any("takes no tools" in notice for notice in left.notices) and like.notices == []
    made = [request for request in left.requests if request.method == "POST"]
    assert [(request.path, request.headers["authorization"]) for request in made] == [
        (ROWS["replicate"].path, BEARER["authorization"])
    ]
    assert set(made[0].json["input"]) == {"prompt", "system_prompt"} and "read_file" not in str(made[0].json)


@pytest.mark.parametrize("case", ["gemini", "ollama", "mistral", "cohere"])
def test_the_real_command_does_the_same_on_the_wires_that_no_other_test_starts_it_on(tmp_path: Path, case: str) -> None:
    row = ROWS[case]
    with ScriptedProvider([*COMMON, DONE]) as provider:
        world = World(tmp_path)
        (world.repo / "a.txt").write_text("alpha\n")
        environ = {f"{case.upper()}_BASE_URL": provider.base_url.removesuffix("/v1") + row.base}
        environ |= {row.key: KEY} if row.key else {}
        options = ["--model", f"{case}/{MODEL}", "--approve", "all", "--sandbox", "off"]
        done = world.equitrcoder("run", *options, "do it", environ=environ)
        assert (done.code, done.out.strip().splitlines()[-1], provider.errors) == (0, "Done.", []), done.err
        assert [call["outcome"] for call in world.calls()] == OUTCOMES[:-1]
