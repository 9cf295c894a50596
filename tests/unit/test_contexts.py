"""How much the models can hold: the table is what the installed data say, and what the session shows."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from equitrcoder.contexts import context_window

SCRIPTS = Path(__file__).parents[2] / "scripts"


def test_the_table_is_what_the_script_makes_of_the_installed_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    spec = importlib.util.spec_from_file_location("make_context_table", SCRIPTS / "make_context_table.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    sys.modules.pop("make_price_table", None)
    assert script.TABLE.read_text() == script.table_text(), "run scripts/make_context_table.py"


def test_sizes() -> None:
    assert context_window("groq", "OpenAI/gpt-oss-120b") == 131_072
    assert context_window("gemini", "gemini-4-argon") == 1_048_576
    assert context_window("huggingface", "zai-org/GLM-5.3:together") == 1_048_575
    for provider, model in (("huggingface", "zai-org/GLM-5.3"), ("ollama", "qwen3"), ("groq", "nobody/knows")):
        assert context_window(provider, model) is None
