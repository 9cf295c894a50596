"""Every example runs as its first lines say, against a scripted model, and does what they promise."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from equitrcoder.testing import Answer, Call, ReceivedRequest, ScriptedProvider

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(file.name for file in EXAMPLES.glob("*.py"))


@dataclass
class Place:
    """A folder to start examples in, with a repository below it."""

    folder: Path
    requests: Sequence[ReceivedRequest] = ()

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    def start(self, example: str, *arguments: str, script: Sequence[Answer] = (), code: int = 0) -> str:
        """Run an example; return what it printed."""
        command = [sys.executable, str(EXAMPLES / example), *arguments]
        with ScriptedProvider(script) as provider:
            done = self.run(command, provider.base_url)
            self.requests = provider.requests
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout

    def run(self, command: Sequence[str], base_url: str) -> subprocess.CompletedProcess[str]:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "LANG": "C.UTF-8",
            "PYTHONWARNINGS": "error",
            "OPENAI_BASE_URL": base_url,
            "OPENAI_API_KEY": "sk-of-a-test-0123456789",
        }
        return subprocess.run(command, cwd=self.folder, env=environ, capture_output=True, text=True, timeout=60)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.repository.mkdir()
    (tmp_path / "home").mkdir()
    (place.repository / "README.md").write_text("# Clock\nTells the time.\n")
    return place


def reads(path: str) -> Call:
    return Call("read_file", {"file_path": path})


def writes(path: str, content: str = "x = 1\n") -> Call:
    return Call("write_file", {"file_path": path, "content": content})


def test_tool_logging_example(place: Place) -> None:
    script = [
        Answer(calls=[Call("list_directory", {"path": "."}), reads("README.md"), reads("none.md")]),
        Answer(text="It tells the time."),
    ]
    said = place.start("tool_logging_example.py", "repository", script=script)
    assert said.startswith("It tells the time.\n\nTotal tool calls: 3, successful: 67%\nTime in tools: ")
    assert "  read_file: 2 calls, 1 successful\n  list_directory: 1 calls, 1 successful\n" in said
    assert re.search(r"read_file \{'file_path': 'none.md'\}  failed: .*none.md", said)
    exported = json.loads((place.folder / "detailed_logs.json").read_text())
    logged = [json.loads(line) for line in (place.folder / "my_tool_calls.log").read_text().splitlines()]
    assert [entry["tool_name"] for entry in exported] == ["list_directory", "read_file", "read_file"]
    assert sorted(entry["call_uid"] for entry in logged) == sorted(entry["call_uid"] for entry in exported)
    assert (place.folder / "my_tool_calls.log.txt").read_text().count("\n") == 3


def test_complete_example(place: Place) -> None:
    script = [Answer(calls=[writes("app.py"), writes("tests/test_app.py")]), Answer(text="All seven are there.")]
    said = place.start("complete_example.py", script=script)
    assert "🚀 Project created!\nAll seven are there.\n" in said
    assert "  Total calls: 2\n  Success rate: 100.0%\n" in said
    assert "🔧 Top Tools:\n  write_file: 2 calls\n" in said
    assert (place.folder / "my_project" / "tests" / "test_app.py").read_text() == "x = 1\n"
    assert len(json.loads((place.folder / "detailed_analysis.json").read_text())) == 2
    assert "FastAPI framework" in place.requests[0].messages[-1]["content"]


CHECK = "grep 24 clock.py || (echo a day is too short; exit 1)"


def test_fix_failing_test(place: Place) -> None:
    (place.repository / "clock.py").write_text("hours = 12\n")
    script = [Answer(calls=[writes("clock.py", "hours = 24\n")]), Answer(text="A day has 24 hours.")]
    said = place.start("fix_failing_test.py", "repository", CHECK, script=script)
    assert said == "A day has 24 hours.\ncompleted after 2 turns and 1 calls, 0 failed\n"


def test_fix_failing_test_believes_the_check_and_not_the_model(place: Place) -> None:
    (place.repository / "clock.py").write_text("hours = 12\n")
    said = place.start("fix_failing_test.py", "repository", CHECK, script=[Answer(text="Fixed!")] * 5, code=1)
    assert "failed after" in said and "still says:\n" in said and "a day is too short" in said


def test_approve_calls(place: Place) -> None:
    script = [
        Answer(calls=[writes("tests/test_clock.py"), Call("run_command", {"command": "pytest; rm -r tests"})]),
        Answer(calls=[writes("clock.py")]),
        Answer(text="Done the other way."),
    ]
    said = place.start("approve_calls.py", "repository", "fix it", script=script)
    assert "Done the other way.\n\n2 calls were denied:\n" in said
    assert "? write_file: clock.py\n" in said and "+x = 1\n" in said
    assert not (place.repository / "tests").exists() and (place.repository / "clock.py").exists()
    told = [message["content"] for message in place.requests[1].messages if message["role"] == "tool"]
    assert "The tests are right." in told[0] and "Only these: pytest, " in told[1]


def test_follow_events(place: Place) -> None:
    script = [Answer(text="I look. ", calls=[reads("README.md")]), Answer(text="It tells the time.")]
    said = place.start("follow_events.py", "repository", "what is it?", script=script)
    assert re.fullmatch(
        r"I look\. \n> read_file README\.md\n< success, \d+\.\d ms\nIt tells the time\.\n"
        r"completed: 2 turns, 1 calls\n",
        said,
    )


def test_own_middleware(place: Place) -> None:
    script = [Answer(calls=[reads("README.md")]), Answer(text="It tells the time.")]
    said = place.start("own_middleware.py", "repository", "what is it?", script=script)
    first, second, last = said.splitlines()
    assert re.fullmatch(r"1 messages, \d+ tokens in, \d+ out, 1 calls, \d+\.\d\d s", first)
    assert re.fullmatch(r"3 messages, \d+ tokens in, \d+ out, 0 calls, \d+\.\d\d s", second)
    assert last == "It tells the time."


def test_scripted_model_test(place: Place) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES / "scripted_model_test.py")]
    done = place.run(command, "http://127.0.0.1:9")
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout


def test_read_the_ledger(place: Place) -> None:
    assert "The last runs\n\nModels of the last 7 days\n\nWhy 0 calls" in place.start("read_the_ledger.py")
    command = "exit 3"
    script = [Answer(calls=[reads("none.md"), Call("run_command", {"command": command})]), Answer(text="Nothing.")]
    place.start("approve_calls.py", "repository", "look", script=script)
    said = place.start("read_the_ledger.py")
    assert re.search(r"\n  \w{4}  completed    openai/\S+  2 calls  look\n", said)
    assert re.search(r"\n  openai/\S+: 2 calls, 2 failed, 2 turns, \$0\.\d{4}, 0 turns unpriced\n", said)
    assert "\n  1 x read_file: not_found\n" in said and "\n  1 x run_command: denied\n" in said


def test_each_example_says_how_it_is_started_and_stands_in_the_list() -> None:
    listed = re.findall(r"^\| \[(\w+\.py)\]\(\1\) \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == FILES
    for name in FILES:
        source = (EXAMPLES / name).read_text()
        assert re.search(rf"^    (python|pytest) examples/{name}", source, re.MULTILINE), name
        assert f"def test_{Path(name).stem}(" in Path(__file__).read_text(), name


@pytest.mark.parametrize("name", ["fix_failing_test.py", "approve_calls.py", "follow_events.py", "own_middleware.py"])
def test_without_its_arguments_an_example_says_what_it_needs(name: str, place: Place) -> None:
    done = place.run([sys.executable, str(EXAMPLES / name)], "http://127.0.0.1:9")
    assert done.returncode == 1
    assert f"python examples/{name} FOLDER" in done.stderr and "Traceback" not in done.stderr


def test_without_a_key_the_fix_is_said(place: Place) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(place.folder / "home"), "OLLAMA_HOST": "http://127.0.0.1:9"}
    command = [sys.executable, str(EXAMPLES / "fix_failing_test.py"), "repository", "true"]
    done = subprocess.run(command, cwd=place.folder, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout.startswith("E10") and "_API_KEY=…" in done.stdout and done.stderr == ""
