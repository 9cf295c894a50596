"""The same conversation over every wire leaves the same records: how a provider writes does not show in them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.testing import Answer, Call, ScriptedProvider
from tests.command import KEY, World

ROWS: dict[str, dict[str, str]] = {
    # row: its variables; `ORIGIN` stands for http://127.0.0.1:PORT
    "openai": {"OPENAI_BASE_URL": "ORIGIN/v1", "OPENAI_API_KEY": KEY},
    "perplexity": {"PERPLEXITY_BASE_URL": "ORIGIN", "PERPLEXITY_API_KEY": KEY},
    "anthropic": {"ANTHROPIC_BASE_URL": "ORIGIN", "ANTHROPIC_API_KEY": KEY},
    "gemini": {"GEMINI_BASE_URL": "ORIGIN", "GEMINI_API_KEY": KEY},
    "cohere": {"COHERE_BASE_URL": "ORIGIN", "CO_API_KEY": KEY},
    "ollama": {"OLLAMA_BASE_URL": "ORIGIN"},
    "mistral": {"MISTRAL_BASE_URL": "ORIGIN", "MISTRAL_API_KEY": KEY},
}

SCRIPT = [
    Answer(text="One.", calls=[Call("read_file", {"file_path": "a.txt"})]),
    Answer(calls=[Call("run_command", {"command": f"echo {n}"}) for n in range(4)]),
    Answer(
        calls=[
            Call("run_command", {"command": "echo broken; exit 3"}),
            Call("read_file", '{"file_path": '),
            Call("read_file", {"path": "a.txt"}),
            Call("read_fil", {"file_path": "a.txt"}),
            Call("git_status"),
        ]
    ),
    Answer(text="Done."),
]

OWN = {"provider", "model_requested", "model_answered", "model", "provider_call_id", "capture", "arguments_raw"}
"""What may differ from wire to wire in a record."""
OF_THE_RUN = {"run_id", "session_id", "call_uid", "started_at", "ended_at", "duration_ms", "requested_at", "repo_path"}
"""What differs from run to run."""


def records(folder: Path, row: str, stream: str) -> list[dict[str, Any]]:
    with ScriptedProvider(SCRIPT) as provider:
        world = World(folder, provider.base_url)
        (world.repo / "a.txt").write_text("alpha\n")
        origin = provider.base_url.removesuffix("/v1")
        environ = {name: value.replace("ORIGIN", origin) for name, value in ROWS[row].items()}
        arguments = ["--model", f"{row}/scripted", "--approve", "all", "--sandbox", "off", "--json", stream, "do it"]
        done = world.equitrcoder("run", *arguments, environ=environ)
        assert (done.code, provider.errors) == (0, []), done.err
        assert done.event("run.finished")["response"] == "Done."
        assert len(provider.requests) == len(SCRIPT)
        assert all(request.streaming is (stream == "--stream") for request in provider.requests)
        return world.calls()


def alike(record: dict[str, Any]) -> str:
    kept = {key: value for key, value in record.items() if key not in OWN | OF_THE_RUN}
    kept = {key: value for key, value in kept.items() if not re.search("tokens|cost|price|sha256|_ms$|_at$", key)}
    return json.dumps(kept, sort_keys=True, indent=1)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return records(tmp_path_factory.mktemp("reference"), "openai", "--stream")


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
@pytest.mark.parametrize("row", ROWS)
def test_the_records_are_those_of_chat_completions(
    tmp_path: Path, reference: list[dict[str, Any]], row: str, stream: str
) -> None:
    found = records(tmp_path, row, stream)
    assert {record["provider"] for record in found} == {row}
    assert [record["outcome"] for record in found] == ["success"] * 5 + ["failed"] + ["invalid"] * 3 + ["failed"]
    assert list(map(alike, found)) == list(map(alike, reference))
