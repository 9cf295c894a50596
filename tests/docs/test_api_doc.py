"""docs/api.md has every public name, argument and method, and its examples run."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import equitrcoder
from equitrcoder.agent.result import RunResult
from equitrcoder.api import EquitrAPI
from equitrcoder.testing import Answer, Call, ReceivedRequest, ScriptedProvider

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def first_cells(heading: str) -> list[str]:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`(\w+)[(`]", cell)]


def test_every_public_name_is_told_and_no_other() -> None:
    assert sorted(first_cells("Every name")) == sorted(equitrcoder.__all__)


def test_every_public_name_is_there() -> None:
    for name in equitrcoder.__all__:
        assert getattr(equitrcoder, name) is not None
    assert dir(equitrcoder) == sorted(equitrcoder.__all__)
    with pytest.raises(AttributeError):
        equitrcoder.nothing_of_the_kind  # noqa: B018 - that is the test


def test_every_argument_is_told() -> None:
    assert first_cells("What it takes") == sorted(
        inspect.signature(EquitrAPI).parameters, key=first_cells("What it takes").index
    )
    parameters = inspect.signature(EquitrAPI).parameters.values()
    assert next(one.name for one in parameters if one.kind is one.KEYWORD_ONLY) == "approve"
    documented = inspect.getdoc(EquitrAPI.__init__) or ""
    for name in inspect.signature(EquitrAPI).parameters:
        assert re.search(rf"^ +{name}: ", documented, re.MULTILINE), name


def test_every_method_is_told() -> None:
    methods = {name for name in dir(EquitrAPI) if not name.startswith("_")}
    assert methods == {*first_cells("What the ledger says"), "chat", "resume", "close"}


def test_what_a_result_is_said_to_hold_it_holds() -> None:
    result = RunResult(run_id="r", session_id="s")
    for name in first_cells("What `chat` gives back, and what it raises"):
        getattr(result, name)


def script(request: ReceivedRequest) -> Answer:
    if request.messages[-1]["role"] == "user":
        calls = [
            Call("write_file", {"file_path": "words.py", "content": "WORDS = 0\n"}),
            Call("run_command", {"command": "ls"}),
        ]
        return Answer(calls=calls)
    return Answer(text="Done.")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with ScriptedProvider(script) as provider:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        monkeypatch.setenv("OPENAI_BASE_URL", provider.base_url)
        monkeypatch.setenv("EQUITRCODER_APPROVE", "all")
        yield
        assert provider.errors == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: re.sub(r"\W+", "-", text[:60]))
async def test_the_examples_run(example: str, here: None, capsys: pytest.CaptureFixture[str]) -> None:
    done: Any = eval(compile(example, "docs/api.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), {})
    if inspect.isawaitable(done):
        await done
    assert capsys.readouterr().out


def test_importing_the_package_is_cold_and_silent(tmp_path: Path) -> None:
    looked = (
        "import sys, equitrcoder; heavy = ('sqlite3', 'httpx2', 'click'); "
        "print([name for name in sys.modules if name.startswith('equitrcoder.') or name in heavy])"
    )
    done = subprocess.run(
        [sys.executable, "-c", looked],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "EQUITRCODER_STATE_DIR": str(tmp_path / "state")},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
    assert list(tmp_path.iterdir()) == []
