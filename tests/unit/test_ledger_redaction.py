"""Redaction: known secrets reach no file, everything else comes through unchanged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equitrcoder.ledger import Ledger, Reader, Redactor, secret_values
from equitrcoder.ledger.redaction import named_secrets
from tests.ledger_runs import ask, journal_of, start

SECRET = 'gsk_a"b\\c\n1234ü'
OTHER = "hunter2hunter"


def test_secrets_of_an_environment() -> None:
    environ = {
        "GROQ_API_KEY": "gsk_1234567890",
        "HF_TOKEN": "hf_abcdefgh12",
        "AWS_SECRET_ACCESS_KEY": "/bPxRfiCYEXAMPLEKEYwJalrXUtnFEMIK7MDENG",
        "DB_PASSWORD": "correct-horse-1",
        "my_passwd": "p4ssw0rd!",
        "SSH_AUTH_SOCK": "/tmp/ssh-x/agent.12",
        "GOOGLE_APPLICATION_CREDENTIALS": "/home/ada/key.json",
        "AUTH_URL": "https://login.example.com/x",
        "TOKEN_URL": "https://user:pass1234@example.com",
        "API_KEYS": "first-key-1,second-key-2",
        "SHORT_KEY": "abc123",
        "TOKEN_LIMIT_KEY": "123456789",
        "AUTH_MODE": "disabled",
        "GIT_AUTHOR_NAME": "Ada Lovelace 1",
        "TOKENIZERS_PARALLELISM": "something-1",
        "PATH": "/usr/bin:/bin",
        "PWD": "/srv/repo1",
        "HOME": "/home/ada",
    }
    assert set(secret_values(environ, ["extra-key-1", "word", ""])) == {
        "gsk_1234567890",
        "hf_abcdefgh12",
        "/bPxRfiCYEXAMPLEKEYwJalrXUtnFEMIK7MDENG",
        "correct-horse-1",
        "p4ssw0rd!",
        "https://user:pass1234@example.com",
        "first-key-1,second-key-2",
        "first-key-1",
        "second-key-2",
        "extra-key-1",
    }


VARIABLES = [
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "GROQ_API_KEY",
    "DEEPSEEK_API_KEY",
    "TOGETHER_API_KEY",
    "FIREWORKS_API_KEY",
    "PERPLEXITY_API_KEY",
    "PPLX_API_KEY",
    "MISTRAL_API_KEY",
    "COHERE_API_KEY",
    "CO_API_KEY",
    "HF_TOKEN",
    "HUGGINGFACE_API_KEY",
    "REPLICATE_API_TOKEN",
    "ANYSCALE_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "OLLAMA_API_KEY",
    "GITHUB_PAT",
    "NPM_AUTH",
]


@pytest.mark.parametrize("name", VARIABLES)
def test_every_providers_key_variable_is_secret(name: str) -> None:
    assert named_secrets({name: "abc-0123456789"}) == {"abc-0123456789": name}


def test_planted_secrets_are_in_no_file(tmp_path: Path) -> None:
    inner = json.dumps({"key": OTHER})
    with Ledger(tmp_path, redactor=Redactor({SECRET: "GROQ_API_KEY", OTHER: "DB_PASSWORD"})) as ledger:
        run = start(
            ledger,
            task=f"use {SECRET}",
            system=f"s {OTHER}",
            repo_path=f"/r/{OTHER}",
            session_id=f"s-{OTHER}",
            settings={"ai_api_key": SECRET},
        )
        run.message(role="user", text=SECRET * 2)
        run.request_failed(step=1, attempt=1, error_type="x", message=f"bad key {SECRET}")
        calls = ask(
            run,
            (f"tool_{OTHER}", {SECRET: [SECRET, {OTHER: OTHER}], "a": inner}),
            ("raw", f'{{"key": "{OTHER}'),
            text=SECRET,
            refusal=OTHER,
            native={"content": SECRET, "tool": {"arguments": inner}},
        )
        run.approval(calls[0], decision="denied", by=OTHER, reason=SECRET, waited_ms=1)
        run.close_call(
            calls[0],
            outcome="failed",
            result=f"out {SECRET} {OTHER} {OTHER}",
            result_metadata={OTHER: OTHER},
            error_message=SECRET,
        )
        run.close_call(calls[1], outcome="success", result={"list": [SECRET]})
        run.finish(status="failed", response=OTHER, error=SECRET)
    with Reader(tmp_path) as reader:
        first, second = reader.calls(full=True)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (SECRET, OTHER):
        for form in (
            secret.encode(),
            json.dumps(secret)[1:-1].encode(),
            json.dumps(secret, ensure_ascii=False).encode(),
        ):
            assert form.strip(b'"') not in written
    assert first.arguments == {
        "[redacted:GROQ_API_KEY]": ["[redacted:GROQ_API_KEY]", {"[redacted:DB_PASSWORD]": "[redacted:DB_PASSWORD]"}],
        "a": json.dumps({"key": "[redacted:DB_PASSWORD]"}),
    }
    assert first.result == "out [redacted:GROQ_API_KEY] [redacted:DB_PASSWORD] [redacted:DB_PASSWORD]"
    assert first.result_bytes == len(str(first.result))
    assert first.redactions is not None
    assert first.redactions["known_value"] >= 9
    assert second.result == {"list": ["[redacted:GROQ_API_KEY]"]}


def test_opaque_provider_fields_stay_and_a_changed_message_is_marked(tmp_path: Path) -> None:
    natives = [
        {"content": [{"type": "thinking", "thinking": "x", "signature": f"sig{OTHER}"}]},
        {"parts": [{"thoughtSignature": OTHER, "functionCall": {"args": {"k": OTHER}}}]},
        {"output": [{"type": "reasoning", "encrypted_content": OTHER}]},
        {"content": [{"type": "redacted_thinking", "data": OTHER}, {"type": "image", "data": OTHER}]},
    ]
    with Ledger(tmp_path, redactor=Redactor([OTHER])) as ledger:
        run = start(ledger)
        for step, native in enumerate(natives, 1):
            ask(run, step=step, native=native)
        run.finish(status="completed")
    turns = [
        event for line in journal_of(tmp_path).read_text().splitlines() if (event := json.loads(line))["type"] == "turn"
    ]
    mark = "[redacted:known_value]"
    assert [turn["native"] for turn in turns] == [
        natives[0],
        {"parts": [{"thoughtSignature": OTHER, "functionCall": {"args": {"k": mark}}}]},
        natives[2],
        {"content": [{"type": "redacted_thinking", "data": OTHER}, {"type": "image", "data": mark}]},
    ]
    assert [turn.get("replay") for turn in turns] == [None, "altered", None, "altered"]
    assert [turn.get("redactions") for turn in turns] == [None, {"known_value": 1}, None, {"known_value": 1}]


def test_a_longer_secret_goes_before_one_that_it_contains() -> None:
    redactor = Redactor({"abcd1234": "SHORT", "abcd1234efgh": "LONG"})
    assert redactor.text("abcd1234efgh abcd1234") == ("[redacted:LONG] [redacted:SHORT]", {"known_value": 2})


def test_many_secrets_are_found_like_few() -> None:
    secrets = [f"secret-{number}-(x)." for number in range(40)]
    redactor = Redactor(secrets)
    for secret in secrets:
        assert redactor.json([secret]) == (["[redacted:known_value]"], {"known_value": 1})
    assert redactor.json(["secret-1-(y)."]) == (["secret-1-(y)."], {})


def test_two_secret_keys_of_one_object_lose_no_value() -> None:
    redacted, counts = Redactor(["secret-one", "secret-two"]).json({"secret-one": 1, "secret-two": 2})
    assert sorted(redacted.values()) == [1, 2]
    assert counts == {"known_value": 2}


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_what_holds_no_secret_comes_through_as_it_is(value: object) -> None:
    assert Redactor([SECRET, OTHER]).json(value) == (value, {})  # type: ignore[arg-type]


@given(JSON_VALUES, st.text(), st.text(), st.sampled_from([SECRET, OTHER, "\u00fc\u0000secret", "a/b<c>'d e"]))
def test_a_secret_is_found_wherever_it_stands(value: object, before: str, after: str, secret: str) -> None:
    redacted, counts = Redactor([secret]).json({"v": [value, before + secret + after], before + secret: 1})  # type: ignore[list-item]
    assert counts["known_value"] >= 2
    assert secret not in repr_of_texts(redacted)


def repr_of_texts(value: object) -> str:
    """All texts and keys of a value, joined by something that no secret holds."""
    if isinstance(value, dict):
        return "\x01".join([*map(str, value), *map(repr_of_texts, value.values())])
    if isinstance(value, list):
        return "\x01".join(map(repr_of_texts, value))
    return str(value)
