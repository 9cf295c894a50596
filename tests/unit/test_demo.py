"""The demo's parts: its repository, its scripted model (which has to read what tools say), and what it prints."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from equitrcoder import demo
from equitrcoder.demo.report import next_command
from equitrcoder.providers.provider import Provider
from equitrcoder.settings import Settings
from equitrcoder.testing import Answer, ReceivedRequest

Tool = Callable[..., str]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return demo.make_repository(tmp_path / "repository")


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


# --- the repository


def test_the_repository_is_the_same_everywhere(repository: Path, tmp_path: Path) -> None:
    other = demo.make_repository(tmp_path / "other")
    assert git(repository, "rev-parse", "HEAD") == git(other, "rev-parse", "HEAD")
    assert git(repository, "status", "--porcelain") == ""
    assert (
        git(repository, "log", "--format=%an %ae %aI")
        == "equitrcoder demo demo@example.invalid 2026-01-01T00:00:00+00:00\n"
    )
    assert {path.suffix for path in repository.rglob("*.*") if ".git" not in path.parts} == {".py", ".md", ""}


def test_its_tests_fail_for_one_reason(repository: Path) -> None:
    done = subprocess.run(demo.CHECK, shell=True, cwd=repository, capture_output=True, text=True)
    assert done.returncode != 0
    assert "FAIL: test_every_cent_is_paid" in done.stderr
    assert "FAILED (failures=1)" in done.stderr
    assert git(repository, "status", "--porcelain") == "", "running the tests leaves no file behind that git sees"


def test_it_takes_no_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(FileExistsError, match="is not empty"):
        demo.make_repository(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_nothing_of_the_users_git_gets_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = tmp_path / "gitconfig"
    hostile.write_text("[commit]\n\tgpgsign = true\n[gpg]\n\tprogram = false\n[core]\n\thooksPath = /nowhere\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(hostile))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    folder = demo.make_repository(tmp_path / "repository")
    monkeypatch.delenv("GIT_DIR")
    assert git(folder, "rev-list", "--count", "HEAD") == "1\n"


def test_without_git_it_is_a_plain_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    folder = demo.make_repository(tmp_path / "repository")
    assert (folder / "splitbill" / "split.py").exists()
    assert not (folder / ".git").exists()


# --- the scripted model, with tools as plain as can be


class Desk:
    """Tools on a folder, each replaceable."""

    def __init__(self, folder: Path, **replaced: Tool) -> None:
        self.folder = folder
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.tools: dict[str, Tool] = {
            "list_directory": lambda path: "\n".join(sorted(entry.name for entry in (folder / path).iterdir())),
            "read_file": self.read,
            "edit_file": self.edit,
            "run_command": self.run,
            "git_diff": lambda: git(folder, "diff"),
            **replaced,
        }

    def read(self, file_path: str) -> str:
        path = self.folder / file_path
        return path.read_text() if path.exists() else f"not_found: there is no file {file_path}."

    def edit(self, file_path: str, old_text: str, new_text: str) -> str:
        text = (self.folder / file_path).read_text()
        assert text.count(old_text) == 1
        (self.folder / file_path).write_text(text.replace(old_text, new_text))
        return "edited"

    def run(self, command: str) -> str:
        done = subprocess.run(command, shell=True, cwd=self.folder, capture_output=True, text=True)
        return f"exit code {done.returncode}\n{done.stdout}{done.stderr}"

    def converse(self) -> Answer:
        """Let the model work until it makes no call; its last answer."""
        script, messages = demo.script(), [{"role": "user", "content": demo.TASK}]
        for turn in range(20):
            answer = script(received(messages))
            assert isinstance(answer, Answer)
            if not answer.calls:
                return answer
            ids = [f"{turn}-{place}" for place in range(len(answer.calls))]
            called = zip(ids, answer.calls, strict=True)
            messages.append({"role": "assistant", "tool_calls": [as_sent(name, call) for name, call in called]})  # type: ignore[dict-item]
            for name, call in zip(ids, answer.calls, strict=True):
                assert isinstance(call.arguments, dict)
                self.asked.append((call.name, call.arguments))
                result = self.tools[call.name](**call.arguments)
                messages.append({"role": "tool", "tool_call_id": name, "content": result})
        raise AssertionError("it goes on for ever")


def as_sent(name: str, call: Any) -> dict[str, Any]:
    return {"id": name, "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}


def received(messages: Any) -> ReceivedRequest:
    return ReceivedRequest(
        number=1, method="POST", path="", headers={}, body=b"", json={"messages": messages}, received_at=0.0
    )


def suite_passes(folder: Path) -> bool:
    return subprocess.run(demo.CHECK, shell=True, cwd=folder, capture_output=True).returncode == 0


def test_the_model_fixes_the_bug_and_says_what_failed(repository: Path) -> None:
    desk = Desk(repository)
    last = desk.converse()
    assert suite_passes(repository)
    assert git(repository, "diff", "--name-only") == "splitbill/split.py\n"
    assert last.text == (
        "Fixed splitbill/split.py: odd cents are shared out and no longer lost. All tests pass. "
        "README.md names docs/rounding.md, which is not there."
    )
    assert [name for name, _ in desk.asked] == [
        *("list_directory", "read_file", "run_command"),
        *("read_file", "read_file"),
        *("read_file", "edit_file"),
        *("run_command", "git_diff"),
    ]


def test_the_model_copes_with_numbered_lines(repository: Path) -> None:
    def read(file_path: str) -> str:
        lines = Desk(repository).read(file_path).splitlines()
        return "\n".join(f"{number:>4}\t{line}" for number, line in enumerate(lines, 1)) + "\n"

    assert (Desk(repository, read_file=read).converse().text or "").startswith("Fixed splitbill/split.py")
    assert suite_passes(repository)


def test_the_model_says_so_when_nothing_is_broken(repository: Path) -> None:
    Desk(repository).converse()
    again = Desk(repository)
    assert again.converse().text == "All tests pass already; I changed nothing."
    assert len(again.asked) == 3


def test_the_model_does_not_claim_what_it_did_not_reach(repository: Path) -> None:
    denied = "denied: the user said no."
    assert Desk(repository, run_command=lambda command: denied).converse().text == (
        f"FAILED: the tests could not be run: {denied}"
    )
    assert Desk(repository, edit_file=lambda **_: denied).converse().text == (
        f"FAILED: test_every_cent_is_paid still fails. My change of splitbill/split.py: {denied}"
    )
    assert not suite_passes(repository)


def test_the_model_gives_up_on_a_bug_it_does_not_know(repository: Path) -> None:
    source = repository / "splitbill" / "split.py"
    source.write_text(source.read_text().replace("return [share] * people", "return [0] * people"))
    desk = Desk(repository)
    assert (desk.converse().text or "").startswith("FAILED: splitbill/split.py holds no bug of the kind")
    assert "edit_file" not in [name for name, _ in desk.asked]


def test_the_model_does_not_miss_a_page_that_is_there(repository: Path) -> None:
    (repository / "docs").mkdir()
    (repository / "docs" / "rounding.md").write_text("Odd cents go to the first.")
    assert "is not there" not in (Desk(repository).converse().text or "")


# --- what is printed


def no_server(_row: Provider, _url: str) -> str | None:
    return None


def test_the_next_command_is_for_the_key_that_is_set() -> None:
    found = next_command(Settings(), {"GROQ_API_KEY": "gsk_1"}, probe=no_server)
    assert found.splitlines() == [
        "With a model, in a repository of yours (GROQ_API_KEY is set):",
        '  equitrcoder run --model groq/openai/gpt-oss-120b "make the failing test pass"',
    ]
    assert "gsk_1" not in found


def test_the_next_command_follows_the_users_own_settings() -> None:
    settings = Settings(ai_model="local/qwen", ai_base_url="http://127.0.0.1:9/v1")
    assert "run --model local/qwen " in next_command(settings, {"GROQ_API_KEY": "gsk_1"}, probe=no_server)
    assert "ANTHROPIC_API_KEY is not set" in next_command(Settings(ai_provider="anthropic"), {}, probe=no_server)


def test_the_next_command_is_for_a_local_server_that_answers() -> None:
    def ask(row: Provider, url: str) -> str:
        return f"qwen-at-{url.removeprefix('http://')}"

    assert next_command(Settings(), {"OLLAMA_HOST": "box:1"}, probe=ask).splitlines() == [
        "With a model, in a repository of yours (ollama answers at http://box:1):",
        '  equitrcoder run --model ollama/qwen-at-box:1 "make the failing test pass"',
    ]


def test_without_anything_the_next_step_is_a_provider() -> None:
    found = next_command(Settings(), {}, probe=no_server)
    assert found.startswith("No provider is set up yet.") and "_API_KEY=…" in found
    assert "equitrcoder demo" not in found
    assert found.splitlines()[-1] == 'Then, in a repository of yours: equitrcoder run "make the failing test pass"'
