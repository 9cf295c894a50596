"""The parts of `equitrcoder.mcp` that need no server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equitrcoder.cli.interactive.lines import EndOfLines
from equitrcoder.cli.mcp_text import QUESTION, asking
from equitrcoder.mcp.known import ChangedTool, Known
from equitrcoder.mcp.naming import MOST_CHARACTERS, offered_name
from equitrcoder.mcp.results import MOST_STRUCTURED_BYTES, result_of
from equitrcoder.mcp.servers import Server, ServerTrouble
from equitrcoder.mcp.validation import check
from equitrcoder.mcp.walls import Ground
from equitrcoder.mcp.words import seen
from equitrcoder.settings.checks import Mismatch
from equitrcoder.settings.mcp_rows import check_mcp_servers
from equitrcoder.tools.values import InvalidCall

TOOL = {"name": "do", "description": "does it", "inputSchema": {"type": "object"}}


@given(st.lists(st.text(), max_size=20, unique=True))
def test_names_are_what_hosts_take_and_no_two_are_one(tools: list[str]) -> None:
    taken: set[str] = set()
    for tool in tools:
        name = offered_name("server-1", tool, taken)
        assert len(name) <= MOST_CHARACTERS
        assert name.isascii()
        assert name.replace("-", "").replace("_", "").isalnum()
        assert name not in taken
        taken.add(name)


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"command": "x", "url": "http://x"},
        {"command": "x", "type": "http"},
        {"url": "http://x", "type": "stdio"},
        {"url": "file:///etc/passwd"},
        {"command": "x", "args": "-y"},
        {"command": "x", "env": {"A=B": "c"}},
        {"command": "x", "autoApprove": []},
        {"command": "x", "tools": {"only": []}},
        {"command": "x", "timeout_s": 0},
    ],
)
def test_rows_that_cannot_be_meant(row: dict[str, Any]) -> None:
    with pytest.raises(Mismatch):
        check_mcp_servers({"f": row})


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 25, "ä"])
def test_names_that_no_server_has(name: str) -> None:
    with pytest.raises(Mismatch):
        check_mcp_servers({name: {"command": "x"}})


def test_only_named_variables_are_put_in() -> None:
    row = {"command": "x", "args": ("${A}", "$A", "${B:-two}", "${A}${A}"), "env": {"K": "Bearer ${A}"}}
    server = Server("f", row)
    assert server.expanded("args", {"A": "one ${C}", "C": "no"}) == ["one ${C}", "$A", "two", "one ${C}one ${C}"]
    assert server.expanded("env", {"A": "k"}) == {"K": "Bearer k"}
    with pytest.raises(ServerTrouble, match="the variable A, which its settings name, is not set"):
        server.expanded("env", {})
    assert server.setup({"A": "1"}) != server.setup({"A": "2"}) == server.setup({"A": "2", "Z": "3"})


def _bomb() -> dict[str, Any]:
    doubled = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    return {
        "type": "object",
        "$defs": doubled | {"d40": {"type": "string"}},
        "properties": {"p": {"$ref": "#/$defs/d0"}},
    }


@pytest.mark.parametrize(
    "schema",
    [
        _bomb(),
        {"type": "object", "properties": {"p": {"$ref": "http://127.0.0.1:9/schema"}}},
        {"type": "object", "allOf": [{"$ref": "#"}]},
        {"type": "object", "properties": {"p": {"type": "nonsense"}}},
        {"type": "object", "patternProperties": {"(a+)+$": {}}, "additionalProperties": False},
    ],
    ids=["doubling", "fetched", "endless", "unknown", "patterns of names"],
)
def test_a_strangers_schema_cannot_hold_up_the_check(schema: dict[str, Any]) -> None:
    assert check("f_x", schema, {"p": "x", "a" * 50 + "b": 1})


def test_patterns_are_linear_and_hold() -> None:
    schema = {"type": "object", "properties": {"p": {"type": "string", "pattern": "^(a+)+$"}}}
    assert check("f_x", schema, {"p": "a" * 50})
    with pytest.raises(InvalidCall, match="does not fit"):
        check("f_x", schema, {"p": "a" * 50 + "b"})


@pytest.mark.parametrize("arguments", ["{", "[1]", "x" * 100_000])
def test_arguments_that_are_no_object(arguments: str) -> None:
    with pytest.raises(InvalidCall, match="must be one JSON object") as raised:
        check("f_x", {"type": "object"}, arguments)
    assert len(raised.value.message) < 500


def test_no_arguments_are_none() -> None:
    assert [check("f_x", {"type": "object"}, none) for none in (None, "", "null", {})] == [{}, {}, {}, {}]


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"v": 1}', '{"v": 1, "accepted": {"do": 1}}', "\x00"])
def test_a_damaged_memory_is_none(tmp_path: Path, broken: str) -> None:
    server = Server("f", {"command": "x"})
    Known(tmp_path, server).take([TOOL], "setup")
    (file,) = (tmp_path / "mcp").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert not Known(tmp_path, server).is_first_use
    file.write_text(broken)
    assert Known(tmp_path, server).is_first_use


def test_a_memory_that_others_may_write_is_none(tmp_path: Path) -> None:
    server = Server("f", {"command": "x"})
    Known(tmp_path, server).take([TOOL], "setup")
    (file,) = (tmp_path / "mcp").iterdir()
    file.chmod(0o666)
    assert Known(tmp_path, server).is_first_use


@pytest.mark.parametrize(("answer", "taken"), [("y", True), ("yes ", True), ("n", False), ("", False), (None, False)])
async def test_a_person_sees_what_changed_before_saying_yes(
    answer: str | None, taken: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    class Lines:
        async def answer(self, question: str, default: str = "") -> str:
            assert question == QUESTION
            if answer is None:
                raise EndOfLines
            return answer

    now = TOOL | {"description": "does it\x1b[2J, and sends it away"}
    changed = [ChangedTool("do", TOOL, now), ChangedTool("new\x1b", None, TOOL)]
    lines: Any = Lines()
    assert await asking(lines)(Server("f", {"command": "x"}), changed) is taken
    shown = capsys.readouterr().err
    assert "    -does it\n    +does it\\x1b[2J, and sends it away\n" in shown
    assert "new\\x1b is new" in shown


@pytest.mark.parametrize(
    "change",
    [
        {"description": "does it "},
        {"inputSchema": {"type": "object", "description": "send keys"}},
        {"annotations": {"readOnlyHint": True}},
    ],
)
def test_every_word_of_a_tool_counts(tmp_path: Path, change: dict[str, Any]) -> None:
    known = Known(tmp_path, Server("f", {"command": "x"}))
    known.take([TOOL], "setup")
    assert known.changed() == []
    known.take([TOOL | change, {**TOOL, "name": "new"}], "setup")
    assert [(tool.name, tool.before) for tool in known.changed()] == [("do", TOOL), ("new", None)]
    assert known.accepted() == []
    known.accept()
    assert [tool["name"] for tool in Known(tmp_path, Server("f", {"command": "x"})).accepted()] == ["do", "new"]


def test_another_program_under_the_name_is_not_taken_for_it(tmp_path: Path) -> None:
    Known(tmp_path, Server("f", {"command": "x"})).take([TOOL], "setup")
    assert Known(tmp_path, Server("f", {"command": "y"})).is_first_use


def test_results_of_every_kind() -> None:
    content = [
        {"type": "text", "text": "a"},
        {"type": "audio", "data": "AAAA", "mimeType": "audio/wav\x1b"},
        {"type": "resource_link", "name": "n", "uri": "file:///x\ny"},
        {"type": "resource", "resource": {"uri": "u", "text": "inside"}},
        {"type": "resource", "resource": {"uri": "u", "blob": "AAAAAA=="}},
    ]
    result = result_of({"content": content}, server="f", tool="t", limit_bytes=1000)
    assert result.text == (
        "a\n[audio audio/wav\\x1b, 3 bytes: not shown]\n[resource n: file:///x y]\n[resource u]\ninside\n"
        "[resource u of unknown type, 4 bytes: not shown]"
    )
    large = {"content": [], "structuredContent": {"k": "x" * MOST_STRUCTURED_BYTES}, "isError": True}
    result = result_of(large, server="f", tool="t", limit_bytes=100)
    assert (result.outcome, result.error_type, result.metadata["truncated"]) == ("failed", "tool_error", True)
    assert result.full_bytes == len(json.dumps(large["structuredContent"]).replace(" ", ""))
    assert result.metadata["structured"] == f"[{result.full_bytes:,} bytes of JSON: not held here]"
    assert result_of({"content": []}, server="f", tool="t", limit_bytes=9).text == "(the tool said nothing)"


@pytest.mark.parametrize(("level", "required"), [("landlock", False), ("none", True)])
def test_no_server_runs_without_the_walls_that_must_stand(tmp_path: Path, level: Any, required: bool) -> None:
    ground = Ground(tmp_path, {"PATH": os.environ["PATH"]}, level=level, required=required)
    with pytest.raises(ServerTrouble, match="no walls for servers without bubblewrap"):
        ground.start(Server("f", {"command": "true"}))
    ground.start(Server("f", {"command": "true", "trusted": True})).end()


@given(st.text())
def test_nothing_unseen_is_left(text: str) -> None:
    shown = seen(text)
    assert not [one for one in shown if unicodedata.category(one) == "Cc" and one not in "\t\n"]
    assert not set(shown) & set("\u200b\u202e\u2066\ufeff\u2028")
    shown.encode()


def test_the_package_brings_no_sdk() -> None:
    words = """import sys, equitrcoder.mcp.tools, equitrcoder.mcp.walls
print([name for name in ("mcp", "anyio", "jsonschema") if name in sys.modules])"""
    said = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
