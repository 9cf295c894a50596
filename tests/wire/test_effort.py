"""How much a model is to think, in words or tokens, as each row is told."""

from __future__ import annotations

from typing import Any

import pytest

from equitrcoder.providers import PROVIDERS
from equitrcoder.settings import load
from equitrcoder.wires import wire
from equitrcoder.wires.effort import WORDS, said_instead
from equitrcoder.wires.values import Conversation, RequestOptions, UserMessage

EFFORTS = (*WORDS, "0", "3000")
MODELS = {"anthropic": "claude-opus-5-5", "gemini": "gemini-4-argon"}


def sent(row: str, effort: str, model: str = "m") -> Any:
    """What a request says of thinking."""
    provider = PROVIDERS[row]
    said = Conversation(system="", messages=[UserMessage(text="Hi")])
    options = RequestOptions(model=model, reasoning_effort=effort)
    body = wire(provider.wire).request(said, [], options, provider.dialect, origin=row).body
    if row == "gemini":
        body = body.get("generationConfig", {}).get("thinkingConfig", {})
        return body.get("thinkingLevel", body.get("thinkingBudget"))
    for key in ("reasoning_effort", "think"):
        if key in body:
            return body[key]
    told = {key: body[key] for key in ("thinking", "reasoning", "output_config") if key in body}
    (one,) = told.values() or [None]
    return one.get("effort", one) if isinstance(one, dict) else one


OFF, ON = {"type": "disabled"}, {"type": "enabled"}
ALL = [*WORDS, "none", "low"]


def budgets(*tokens: int) -> list[Any]:
    return [{**ON, "budget_tokens": each} for each in tokens]


@pytest.mark.parametrize(
    ("row", "model", "expected"),
    [
        ("openai", "m", ALL),
        ("mistral", "m", ALL),
        ("local", "m", ALL),
        ("perplexity", "m", ALL),
        ("groq", "m", ["none", "low", "low", "medium", "high", "high", "high", "none", "low"]),
        ("deepseek", "m", [OFF, "low", "low", "low", "high", "high", "max", OFF, "low"]),
        (
            "together",
            "m",
            [{"enabled": False}, "low", "low", "medium", "high", "high", "high", {"enabled": False}, "low"],
        ),
        ("fireworks", "m", ["none", "low", "low", "medium", "high", "high", "high", "none", 3000]),
        ("ollama", "m", [False, "low", "low", "medium", "high", "high", "high", False, "low"]),
        ("huggingface", "m", [None] * 9),
        (
            "cohere",
            "m",
            [
                OFF,
                *({**ON, "token_budget": n} for n in (1024, 4096, 8192)),
                ON,
                ON,
                ON,
                OFF,
                {**ON, "token_budget": 3000},
            ],
        ),
        ("gemini", "gemini-4-argon", ["MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH", "XHIGH", 0, 3000]),
        ("gemini", "gemini-2.5-flash", [0, 1024, 1024, 8192, 24576, 24576, 24576, 0, 3000]),
        ("anthropic", "claude-opus-5-5", ["low", "low", "low", "medium", "high", "xhigh", "max", "low", "low"]),
        ("anthropic", "claude-haiku-4-5", [OFF, *budgets(4096, 4096, 8192, 16384, 24000, 24000), OFF, *budgets(3000)]),
    ],
)
def test_each_row_is_told_in_its_own_words(row: str, model: str, expected: list[Any]) -> None:
    assert [sent(row, effort, model) for effort in EFFORTS] == expected


def test_a_word_of_the_hosts_own_goes_out_as_it_is() -> None:
    assert sent("groq", "default") == "default"


@pytest.mark.parametrize("row", [name for name, row in PROVIDERS.items() if row.wire != "replicate-predictions"])
def test_a_budget_that_is_not_sent_is_said(row: str) -> None:
    provider, model = PROVIDERS[row], MODELS.get(row, "m")
    notice = said_instead("3000", provider.wire, model, provider.dialect)
    told = sent(row, "3000", model)
    in_tokens = "3000" in str(told)
    assert (notice is None) == in_tokens
    if notice and told:
        assert repr(told) in notice
    assert said_instead("high", provider.wire, model, provider.dialect) is None
    assert said_instead(None, provider.wire, model, provider.dialect) is None


@pytest.mark.parametrize(("given", "kept"), [(3000, "3000"), ("3000", "3000"), ("xhigh", "xhigh"), (0, "0")])
def test_the_setting_takes_words_and_tokens(given: Any, kept: str) -> None:
    flags = {"reasoning_effort": given}
    assert load(user_file=None, repo_file=None, environ={}, flags=flags, trusted=False).reasoning_effort == kept


@pytest.mark.parametrize("given", [True, -1, 2.5, "a lot", "", "12k", 10**9, ["high"]])
def test_the_setting_refuses_what_is_neither(given: Any) -> None:
    from equitrcoder.errors import ConfigError

    with pytest.raises(ConfigError, match="a word"):
        load(user_file=None, repo_file=None, environ={}, flags={"reasoning_effort": given}, trusted=False)
