"""Test a program that uses the agent: a scripted model, no key, no network, the same every time.

    pytest examples/scripted_model_test.py

ScriptedProvider is a real HTTP server on this machine that says what a script tells it to. Everything else is real: the
agent, its tools, the files it changes, the ledger.
"""

from pathlib import Path

import pytest

from equitrcoder import ProviderError, RunResult, SyncEquitrAPI
from equitrcoder.testing import Answer, Call, Fault, ScriptedProvider


def release_notes(repository: Path) -> RunResult:
    """The program under test: asks an agent to write a file."""
    with SyncEquitrAPI(repo_path=repository, approve="all") as api:
        return api.chat("Write NOTES.md from CHANGES.txt.")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EQUITRCODER_STATE_DIR", str(tmp_path / "state"))  # this test's own ledger
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "CHANGES.txt").write_text("- dates are read faster\n")
    return folder


def use(provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", provider.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "any")


def test_the_notes_are_written(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = [
        Answer(calls=[Call("read_file", {"file_path": "CHANGES.txt"})]),
        Answer(calls=[Call("write_file", {"file_path": "NOTES.md", "content": "Dates are read faster.\n"})]),
        Answer(text="NOTES.md is written."),
    ]
    with ScriptedProvider(script) as provider:
        use(provider, monkeypatch)
        result = release_notes(repository)
    assert (repository / "NOTES.md").read_text() == "Dates are read faster.\n"
    assert [call["tool_name"] for call in result.tool_calls] == ["read_file", "write_file"]
    # What the model was told, request by request:
    assert "dates are read faster" in provider.requests[1].messages[-1]["content"]


def test_a_tool_that_fails_is_told_to_the_model(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = [Answer(calls=[Call("read_file", {"file_path": "NONE.txt"})]), Answer(text="There is no NONE.txt.")]
    with ScriptedProvider(script) as provider:
        use(provider, monkeypatch)
        result = release_notes(repository)
    assert (result.status, result.failed_calls) == ("completed", 1)


def test_a_provider_that_refuses_the_key(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedProvider([Fault(status=401, body={"error": {"message": "no such key"}})]) as provider:
        use(provider, monkeypatch)
        with pytest.raises(ProviderError) as error:
            release_notes(repository)
    assert error.value.status == 401
    assert not (repository / "NOTES.md").exists()
