"""Whatever a model, a tool, a file or a provider says: a terminal shows it and carries nothing out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from equitrcoder.cli.text import safe
from equitrcoder.testing import Answer, Call, Fault, ScriptedProvider
from tests.command import World

EVIL = {
    "colour": "\x1b[31mred\x1b[0m",
    "clear": "\x1b[2J\x1b[H",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://evil.example\x1b\\here\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "dcs": "\x1bP1$r0m\x1b\\",
    "c1": "\x9b31m\x9d52;c;x\x9c",
    "bell": "\x07\x08\x0e\x0f\x7f",
    "return": "safe\rrm -rf /",
    "bidi": "\u202egpj.exe\u2066x\u2069\u200f",
    "nothing seen": "pass\u200bword\u2060\ufeff\u00ad",
    "tags": "\U000e0072\U000e006d",
    "joiner": "a\u200db",
    "separators": "a\u2028b\u2029c",
}
ALL = " ".join(EVIL.values())
IN_YAML = "".join(json.dumps(char)[1:-1] for char in ALL if char < "\U00010000")
IN_JSON = json.dumps(ALL)[1:-1]
FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b\u200d-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)


@pytest.mark.parametrize("text", EVIL.values(), ids=EVIL)
def test_each_is_shown_as_an_escape(text: str) -> None:
    assert not FORBIDDEN.search(safe(text))
    assert "\\x" in safe(text) or "\\u" in safe(text).lower() or "\\r" in safe(text)


def test_what_people_write_stays() -> None:
    for text in ("déjà vu\n\tx", "👩\u200d💻 ❤\ufe0f\u200d🔥", "می\u200cخواهم", "क्\u200dष", "日本語", "Ω≈ç√"):
        assert safe(text) == text


def _check(done: object) -> None:
    for stream in (done.out, done.err):  # type: ignore[attr-defined]
        found = FORBIDDEN.search(stream)
        assert found is None, (found, stream[max(0, found.start() - 80) : found.end() + 80])


def test_every_command_that_shows_foreign_text(tmp_path: Path) -> None:
    calls = [
        Call("run_command", {"command": f"printf '%s' '{ALL.replace(chr(0), '')}'; exit 3"}),
        Call(f"no_such_tool{ALL}", {ALL: ALL}),
        Call("read_file", {"file_path": f"gone{ALL}"}),
        Call("list_directory", {"path": "."}),
        Call("search", {"pattern": f"({ALL}"}),
        Call("git_commit", {"message": ALL}),
        Call("run_command", {"command": f"git push {ALL}"}),
    ]
    script = [
        Answer(text=f"First {ALL}", calls=calls),
        Fault(status=400, body=f'{{"error": {{"message": "{IN_JSON}"}}}}'),
    ]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        (world.repo / f"file{EVIL['title']}").write_text(ALL)
        (world.repo / "AGENTS.md").write_text(ALL)
        (world.repo / "equitrcoder.yaml").write_text(f'ai_model: "a/b"\ncheck: "echo {IN_YAML}"\n')
        words = ["--model", "openai/scripted", "--approve", "all", "--sandbox", "off", "--deny", "run_command git push"]
        done = world.equitrcoder("run", "-v", *words, f"do {ALL}")
        assert done.code == 4, done.err
        _check(done)
        assert "\\x1b]52;c;" in done.err
    for arguments in (
        ["show", "last"],
        ["calls"],
        ["calls", "--tool", f"no_such_tool{ALL}"],
        ["runs"],
        ["stats"],
        ["tail", "last"],
        ["audit"],
        ["config", "show"],
        ["doctor", "--offline"],
        ["show", ALL],
        ["run", "--model", ALL, "x"],
        [ALL],
        ["run", f"--{ALL}", "x"],
        ["run", "--deny", ALL, "x"],
    ):
        _check(world.equitrcoder(*arguments))
    (world.repo / "equitrcoder.yaml").write_text(f'"bad{IN_YAML}": 1\n')
    _check(world.equitrcoder("config", "show"))
