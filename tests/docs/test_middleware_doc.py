"""The examples of docs/middleware.md run, and what it says of names and errors holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_type_hints

import pytest

from equitrcoder.errors import MiddlewareError
from equitrcoder.providers import PROVIDERS
from equitrcoder.providers.client import ModelRequest, ModelResponse
from equitrcoder.testing import Answer, ScriptedProvider
from equitrcoder.wires.values import Turn

PAGE = (Path(__file__).parents[2] / "docs" / "middleware.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PRINTED = ["1 messages, 0 calls asked for\n", "an empty answer; asking again\nA clock.\n"]


@pytest.mark.parametrize(("example", "printed"), list(zip(EXAMPLES, PRINTED, strict=True)), ids=["told", "never_empty"])
def test_the_examples_run(
    example: str,
    printed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    script = [Answer(text="A clock.")] if "told" in example else [Answer(text=""), Answer(text="A clock.")]
    with ScriptedProvider(script) as provider:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        monkeypatch.setenv("OPENAI_BASE_URL", provider.base_url)
        exec(compile(example, "docs/middleware.md", "exec"), {})
        assert provider.errors == [] and len(provider.requests) == len(script)
    assert capsys.readouterr().out == printed


def test_the_fields_that_are_named_are_there() -> None:
    section = PAGE.partition("## What there is to see\n")[2]
    request, response, turn = re.split(r"`ModelResponse`|A `turn` has", section.partition("All of this")[0])
    assert re.findall(r"`(\w+)`", request)[0] == "ModelRequest"
    assert (
        {"conversation", "tools", "options"}
        == set(get_type_hints(ModelRequest))
        <= set(re.findall(r"`(\w+)`", request))
    )
    assert set(re.findall(r"`(\w+)`", response)) == set(ModelResponse.__dataclass_fields__)
    named = set(re.findall(r"`(\w+)`", turn)) - {"name", "arguments", "id", "kind"}
    assert named <= set(Turn.__dataclass_fields__)


def test_the_captures_and_the_code_are_those_of_the_program() -> None:
    native = {name for name, row in PROVIDERS.items() if row.capture == "native"}
    assert native == {"gemini", "ollama"} and len(PROVIDERS) - len(native) == 13
    assert f"`{MiddlewareError.default_code}`" in PAGE
