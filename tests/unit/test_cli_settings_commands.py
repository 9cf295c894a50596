"""`equitrcoder config` and `providers`: values with their origins, keys never shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from equitrcoder.cli.app import run_app

KEY = "sk-test-0123456789abcdefSECRET"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def _user_file(text: str) -> Path:
    file = Path.home() / ".config" / "equitrcoder" / "config.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o600)
    return file


def _shown(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    assert run_app(["config", "show", "--json"]) == 0
    found: dict[str, dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_each_value_has_its_origin(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    file = _user_file("max_turns: 7\nsandbox: required\nreadable_paths: [/opt/a, /opt/b]\n")
    monkeypatch.setenv("EQUITRCODER_BUDGET", "2")
    shown = _shown(capsys)
    assert shown["budget"] == {"value": 2.0, "origin": "environment EQUITRCODER_BUDGET"}
    assert shown["max_turns"] == {"value": 7, "origin": f"user file {file}:1"}
    assert shown["readable_paths"]["value"] == ["/opt/a", "/opt/b"]
    assert shown["sandbox"]["value"] == "required"
    assert shown["stream"] == {"value": True, "origin": "default"}
    assert shown["check"]["value"] is None
    assert run_app(["config", "show"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["setting", "value", "origin"]
    assert [line.split() for line in lines if line.startswith("budget")] == [
        ["budget", "2", "environment", "EQUITRCODER_BUDGET"]
    ]


@pytest.mark.parametrize("arguments", [["config", "show"], ["config", "show", "--json"], ["providers"]])
def test_no_key_is_shown(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _user_file(
        f"ai_provider: groq\nai_api_key: {KEY}\nproviders:\n  mine:\n    wire: openai-chat\n"
        f"    base_url: https://llm.example/v1\n    headers: {{authorization: {KEY}}}\n"
    )
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    run_app(arguments)
    said = capsys.readouterr()
    assert KEY not in said.out + said.err
    assert "set" in said.out


def test_settings_that_cannot_be_used_say_where(capsys: pytest.CaptureFixture[str]) -> None:
    file = _user_file("max_turns: 3\nsuperviser_model: x\n")
    assert run_app(["config", "show"]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"E110 {file}:2: ") and "supervisor_model" in said.err


def test_an_untrusted_repository_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "equitrcoder.yaml").write_text("approve: all\n")
    assert run_app(["config", "show", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["approve"] == {"value": None, "origin": "default"}
    assert "trust" in said.err


def test_a_repository_that_is_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["config", "show", "--repo", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("E120 nowhere is not a folder. Fix: ")


def test_config_path_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["config", "path"]) == 0
    assert capsys.readouterr().out == f"{Path.home()}/.config/equitrcoder/config.yaml\n"


def test_providers_say_what_each_needs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    assert run_app(["providers", "--json"]) == 0
    rows = {row["name"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert len(rows) == 15
    assert (rows["groq"]["key_variable"], rows["groq"]["key_set"], rows["groq"]["state"]) == (
        "GROQ_API_KEY",
        True,
        "ready",
    )
    assert rows["deepseek"]["state"] == "no key"
    assert rows["anyscale"]["state"] == "no base URL"
    assert all(row["state"] in ("ready", "no key", "no base URL") for row in rows.values())
    assert run_app(["providers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines.index("") == 16
    groq = next(line for line in lines if line.startswith("groq"))
    assert "GROQ_API_KEY is set" in groq and "openai/gpt-oss-120b" in groq and "ready" in groq
    assert "not needed" in next(line for line in lines if line.startswith("local"))


def test_narrow_screens_lose_columns_not_names(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert run_app(["providers"]) == 0
    said = capsys.readouterr().out
    assert "…" not in said and "wire" not in said.splitlines()[0]
