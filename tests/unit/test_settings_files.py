"""Settings files: what is wrong is told with file and line, and nothing that YAML hides gets in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equitrcoder.errors import ConfigError
from equitrcoder.settings import Settings, load
from equitrcoder.settings.files import MAX_BYTES, parse, read_file

SECRET = "sk-live-0123456789"  # not a real key


def repo_settings(tmp_path: Path, text: str | bytes) -> Settings:
    path = tmp_path / "equitrcoder.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(user_file=None, repo_file=path, environ={}, flags={}, trusted=True)


def complaint(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        repo_settings(tmp_path, text)
    assert caught.value.code == "E110"
    return str(caught.value).removeprefix("E110 equitrcoder.yaml:")


def test_the_designs_example(tmp_path: Path) -> None:
    text = "\n".join(["budget: 1", *["#"] * 3, "orchestrator:", "  log_tool_calls: true", "  superviser_model: a/b"])
    with pytest.raises(ConfigError) as caught:
        repo_settings(tmp_path, text)
    assert str(caught.value) == ('E110 equitrcoder.yaml:7: unknown key "superviser_model". Closest: supervisor_model')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("budget: two", '1: budget must be a number of dollars, 0 or more, not "two".'),
        ("a: 1", '1: unknown key "a". Closest: '),
        ("\nmax_turns: 1.5", "2: max_turns must be a whole number, 1 or more, not 1.5."),
        ("max_turns: true", "1: max_turns must be a whole number, 1 or more, not true."),
        ("max_turns: []", "1: max_turns must be a whole number, 1 or more, not a list."),
        ("budget: .inf", "1: budget must be a number of dollars, 0 or more, not inf."),
        ("stream: 'yes'", '1: stream must be true or false, not "yes".'),
        (
            "sandbox: off",
            "1: sandbox must be one of auto, required, off, not false. Fix: put it in quotes",
        ),
        ("ai_model: 4", "1: ai_model must be one line of text, not 4. Fix: put it in quotes"),
        ("ai_model: 2026-11-20\nai_provider: {}", "2: ai_provider must be one line of text, not a section."),
        ("env_passthrough: [A,\n B,\n 'C-D']", '3: env_passthrough.2 must be the name of a variable, not "C-D".'),
        (
            "readable_paths:\n - /a\n - b",
            '3: readable_paths.1 must be an absolute path, or one that starts with ~/, not "b".',
        ),
        ("orchestrator: yes", "1: orchestrator must be a section with its own keys, not true."),
        ("worker_model: a/b", '1: "worker_model" stands under orchestrator: in a file.'),
        ("orchestrator:\n  budget: 1", '2: "budget" does not stand under orchestrator:.'),
        ("providers:\n  mine:\n    wires: x", '3: unknown field "wires". Closest: wire'),
        (
            "providers:\n  mine: {wire: x,\n   base_url: ftp://x}",
            "3: providers.mine.base_url must be an http or https address",
        ),
        ("providers:\n  Mine/x: {}", "2: providers.Mine/x must be a name of small letters"),
        ("prices:\n  gpt: {input: 1, output: 1}", '2: prices.gpt must be written "provider/model", not "gpt".'),
        ("prices:\n  a/b: {input: 1}", "2: prices.a/b must be a price with output"),
        ("prices:\n  a/b:\n    input: -1\n    output: 1", "3: prices.a/b.input must be a number of dollars"),
        ("budget: 1\nbudget: 2", '2: "budget" stands here again, first on line 1.'),
        ("x: &a [1]\ny: *a", "2: an alias (*) is not taken in settings."),
        ("check: !!python/object/apply:os.system [id]", "1: a tag (!) is not taken in settings."),
        ("? [a]\n: b", "1: a key that is no plain text is not taken in settings."),
        ("budget: 1\n---\nbudget: 2", "2: a second document (---) is not taken in settings."),
        ("- a\n- b", "1: settings are written `key: value`, one per line."),
        ("[" * 5000, "1: nesting deeper than 12 is not taken in settings."),
        ("budget: [1", "2: no YAML"),
        ("budget: 'a", "1: no YAML"),
        ("\x1b[2J: 1", " no YAML"),
        (b"budget: \xff\xfe", " no YAML"),
        ('"a\\e[2Jb": 1', '1: unknown key "a\ufffd[2Jb". Closest: '),
        (f"{'k' * 500}: 1", f'1: unknown key "{"k" * 60}…". Closest: '),
    ],
)
def test_complaints(tmp_path: Path, text: str | bytes, expected: str) -> None:
    assert complaint(tmp_path, text).startswith(expected)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null", "{}", "budget:\n"])
def test_empty_files_set_nothing(tmp_path: Path, text: str) -> None:
    assert repo_settings(tmp_path, text) == Settings()


def test_no_file_sets_nothing(tmp_path: Path) -> None:
    missing = tmp_path / "file" / "equitrcoder.yaml"
    (tmp_path / "file").write_text("a file where a folder should be")
    assert load(user_file=missing, repo_file=tmp_path / "no", environ={}, flags={}, trusted=False) == Settings()


def test_large_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"equitrcoder\.yaml is larger than 256 KB"):
        repo_settings(tmp_path, "#" * (MAX_BYTES + 1))
    assert repo_settings(tmp_path, "#" * MAX_BYTES) == Settings()


def test_base_60_numbers_cost_no_time(tmp_path: Path) -> None:
    assert "must be a number" in complaint(tmp_path, "budget: 1" + ":59" * (MAX_BYTES // 3 - 10))


def test_a_fifo_is_refused_and_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "equitrcoder.yaml")
    with pytest.raises(ConfigError, match="no regular file"):
        read_file(tmp_path / "equitrcoder.yaml", "equitrcoder.yaml")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "equitrcoder.yaml").mkdir()
    with pytest.raises(ConfigError, match="no regular file"):
        read_file(tmp_path / "equitrcoder.yaml", "equitrcoder.yaml")


def test_an_unreadable_file_is_told_and_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.symlink_to(path)  # unlike missing permissions this stops root too
    with pytest.raises(ConfigError, match=r"config\.yaml cannot be read: Too many levels of symbolic links"):
        load(user_file=path, repo_file=None, environ={}, flags={}, trusted=False)


@given(st.binary(max_size=300) | st.text(alphabet="a:-[]{}&*!?|>'\"#%@ \n\t0.", max_size=200).map(str.encode))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    try:
        values, lines = parse(raw, "x.yaml")
    except ConfigError as error:
        assert error.message.startswith("x.yaml")
    else:
        assert all((key,) in lines for key in values)


def test_yaml_is_not_loaded_without_a_file() -> None:
    import subprocess
    import sys

    script = (
        "import sys\n"
        "from equitrcoder.settings import load\n"
        "load(user_file=None, repo_file=None, environ={}, flags={}, trusted=False)\n"
        "print([name for name in ('yaml', 'difflib', 'dataclasses', 'hashlib') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# ---- secrets

WITH_SECRET = {
    "key": f"ai_api_key: {SECRET}\n",
    "header": f"providers:\n  mine:\n    headers:\n      Authorization: Bearer {SECRET}\n",
}


@pytest.mark.parametrize("which", WITH_SECRET)
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_user_file_with_a_secret_must_be_private(tmp_path: Path, which: str, mode: int) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("budget: 1\n" + WITH_SECRET[which])
    path.chmod(mode)

    def use() -> Settings:
        return load(user_file=path, repo_file=None, environ={}, flags={}, trusted=False)

    with pytest.raises(ConfigError) as caught:
        use()
    line = 2 if which == "key" else 5
    assert caught.value.message.startswith(f"{path}:{line}: ")
    assert f"(mode {mode:04o})" in caught.value.message
    assert caught.value.hint == f"chmod 600 {path}"
    assert SECRET not in str(caught.value)
    path.chmod(0o600)
    assert use().secrets


def test_a_user_file_without_a_secret_may_be_read_by_all(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("providers: {mine: {wire: openai-chat, base_url: 'http://x', headers: {X-Team: blue}}}\n")
    path.chmod(0o644)
    assert load(user_file=path, repo_file=None, environ={}, flags={}, trusted=False).secrets == ()


@pytest.mark.parametrize("which", WITH_SECRET)
@pytest.mark.parametrize("trusted", [False, True])
def test_no_secret_stands_in_a_repository(tmp_path: Path, which: str, trusted: bool) -> None:
    path = tmp_path / "equitrcoder.yaml"
    path.write_text(WITH_SECRET[which])
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="must not stand in a repository's file") as caught:
        load(user_file=None, repo_file=path, environ={}, flags={}, trusted=trusted)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "text", [f"ai_api_key: [{SECRET}]", f"providers: {{m: {{headers: {{x-api-key: [{SECRET}]}}}}}}"]
)
def test_a_secret_of_the_wrong_kind_is_not_repeated(tmp_path: Path, text: str) -> None:
    assert SECRET not in complaint(tmp_path, text)


def test_a_dotenv_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("EQUITRCODER_BUDGET=9\nOPENAI_API_KEY=x\n")
    monkeypatch.chdir(tmp_path)
    assert repo_settings(tmp_path, "stream: false\n") == Settings(stream=False)
    assert "OPENAI_API_KEY" not in os.environ or os.environ["OPENAI_API_KEY"] != "x"


def test_rows_of_ones_own(tmp_path: Path) -> None:
    settings: Any = repo_settings(
        tmp_path,
        """
providers:
  mine:
    wire: openai-chat
    base_url: https://llm.example.com/v1
    key_env: MY_KEY
    headers: {X-Team: blue}
    capture: middleware
    dialect: {max_tokens_field: max_tokens, parallel_calls: false}
  groq: {default_model: openai/gpt-oss-20b}
prices:
  mine/*: {input: 0.5, output: 2}
""",
    )
    assert settings.providers["mine"] == {
        "wire": "openai-chat",
        "base_url": "https://llm.example.com/v1",
        "key_env": ("MY_KEY",),
        "headers": {"X-Team": "blue"},
        "capture": "middleware",
        "dialect": {"max_tokens_field": "max_tokens", "parallel_calls": False},
    }
    assert settings.providers["groq"] == {"default_model": "openai/gpt-oss-20b"}
    assert settings.prices == {"mine/*": {"input": 0.5, "output": 2.0}}
