"""A budget of thinking through the whole agent: sent where it can be, and said where it cannot."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.agent.session import Session, SessionOptions
from equitrcoder.settings import Settings
from equitrcoder.testing import Answer, ScriptedProvider


@pytest.mark.parametrize(
    ("row", "base", "key", "value", "said"),
    [
        ("groq", "/v1", "reasoning_effort", "low", True),
        ("fireworks", "/v1", "reasoning_effort", 3000, False),
        ("cohere", "", "thinking", {"type": "enabled", "token_budget": 3000}, False),
    ],
)
async def test_a_budget_in_tokens(tmp_path: Path, row: str, base: str, key: str, value: Any, said: bool) -> None:
    notices: list[str] = []
    with ScriptedProvider([Answer(text="Done.")]) as provider:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "EQUITRCODER_STATE_DIR": str(tmp_path / "state"),
            f"{row.upper()}_BASE_URL": provider.base_url.removesuffix("/v1") + base,
            {"groq": "GROQ_API_KEY", "fireworks": "FIREWORKS_API_KEY"}.get(row, "CO_API_KEY"): "k",
        }
        settings = Settings(approve="all", sandbox="off", reasoning_effort="3000")
        options = SessionOptions(on_notice=notices.append)
        async with Session(tmp_path, settings, environ, model=f"{row}/m", options=options) as agent:
            await agent.run("go")
        sent: Any = provider.requests[0].json
    assert sent[key] == value
    assert any("takes no thinking budget in tokens; for 3000" in notice for notice in notices) == said
