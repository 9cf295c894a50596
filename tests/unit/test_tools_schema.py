"""The tools' schemas, and what a model is told when its arguments do not fit them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from equitrcoder.sandbox import choose_sandbox
from equitrcoder.tools import InvalidCall, Toolbox, Workspace


@pytest.fixture
def toolbox(tmp_path: Path) -> Iterator[Toolbox]:
    workspace = Workspace.open(tmp_path)
    yield Toolbox(workspace, choose_sandbox("off", tmp_path, environ=os.environ))
    workspace.close()


def test_ten_tools_in_a_fixed_order_with_their_parameters(toolbox: Toolbox) -> None:
    shapes = {spec.name: (list(spec.parameters["properties"]), spec.parameters["required"]) for spec in toolbox.specs}
    assert list(shapes.items()) == [
        ("read_file", (["file_path", "start_line", "end_line"], ["file_path"])),
        ("write_file", (["file_path", "content"], ["file_path", "content"])),
        ("edit_file", (["file_path", "old_text", "new_text", "replace_all"], ["file_path", "old_text", "new_text"])),
        ("list_directory", (["path"], [])),
        ("directory_tree", (["path", "depth"], [])),
        ("search", (["pattern", "path", "glob"], ["pattern"])),
        ("run_command", (["command", "timeout_s"], ["command"])),
        ("git_status", ([], [])),
        ("git_diff", (["path", "staged"], [])),
        ("git_commit", (["message", "paths"], ["message"])),
    ]


def test_schemas_are_json_schemas_and_closed(toolbox: Toolbox) -> None:
    for spec in toolbox.specs:
        jsonschema.Draft202012Validator.check_schema(spec.parameters)
        assert spec.parameters["type"] == "object"
        assert spec.parameters["additionalProperties"] is False
        assert len(spec.description) > 20
        for value in spec.parameters["properties"].values():
            assert value["description"].endswith(".")
            assert "\n" not in value["description"]


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ({"file_path": "a"}, {"file_path": "a"}),
        ({"file_path": "a", "start_line": 2, "end_line": 12.0}, {"file_path": "a", "start_line": 2, "end_line": 12}),
        ({"file_path": "a", "start_line": None}, {"file_path": "a"}),
    ],
)
def test_good_arguments(toolbox: Toolbox, arguments: dict[str, Any], kept: dict[str, Any]) -> None:
    call = toolbox.validate("read_file", arguments)
    assert call.arguments == kept
    assert all(type(value) is not float for value in call.arguments.values())


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("read_file", {}, "'file_path' is missing"),
        ("read_file", None, "'file_path' is missing"),
        ("read_file", {"file_path": None}, "'file_path' must be a string, not null"),
        ("read_file", {"file_path": "a", "start_line": "12"}, "'start_line' must be an integer, not the string '12'"),
        ("read_file", {"file_path": "a", "start_line": 1.5}, "'start_line' must be an integer, not the number 1.5"),
        ("read_file", {"file_path": "a", "start_line": True}, "'start_line' must be an integer, not the boolean True"),
        ("read_file", {"file_path": "a", "start_line": 0}, "'start_line' must be at least 1, not 0"),
        ("read_file", {"path": "a"}, "'path' is no argument of it; 'file_path' is missing"),
        ("read_file", {"file_path": {"a": 1}}, "'file_path' must be a string, not an object"),
        ("git_commit", {"message": "m", "paths": ["a", 1]}, "'paths' must be a list of strings, not the list ['a', 1]"),
        ("git_commit", {"message": "m", "paths": "a"}, "'paths' must be a list of strings, not the string 'a'"),
        ("git_status", {"a": 1}, "'a' is no argument of it. It takes no arguments."),
    ],
)
def test_bad_arguments_are_named_all_at_once(toolbox: Toolbox, name: str, arguments: Any, said: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        toolbox.validate(name, arguments)
    assert caught.value.error_type == "invalid_arguments"
    assert caught.value.message.startswith(f"{name} was not run: {said}")


def test_the_message_says_what_the_tool_takes(toolbox: Toolbox) -> None:
    with pytest.raises(
        InvalidCall, match=r"It takes file_path: string, \[start_line: integer\], \[end_line: integer\]\."
    ):
        toolbox.validate("read_file", {})


def test_text_that_is_no_object_is_shown_back(toolbox: Toolbox) -> None:
    raw = '{"file_path": "a' + "x" * 500
    with pytest.raises(InvalidCall) as caught:
        toolbox.validate("read_file", raw)
    assert "must be one JSON object. Received (516 characters): " + raw[:200] + "…" in caught.value.message
    assert raw[:201] not in caught.value.message


@pytest.mark.parametrize("nothing", [None, "", "  ", "null", {}])
def test_no_arguments_at_all_are_fine_where_none_are_needed(toolbox: Toolbox, nothing: Any) -> None:
    assert toolbox.validate("git_status", nothing).arguments == {}


def test_an_unknown_tool_gets_the_nearest_names(toolbox: Toolbox) -> None:
    with pytest.raises(InvalidCall) as caught:
        toolbox.validate("readfile", {})
    assert caught.value.error_type == "unknown_tool"
    assert caught.value.message.startswith("There is no tool 'readfile'. Did you mean read_file")
    assert "git_commit" in caught.value.message
    with pytest.raises(InvalidCall, match=r"There is no tool ''\. The tools are: read_file"):
        toolbox.validate("", {})


@pytest.mark.parametrize(
    ("name", "arguments", "effect", "subject"),
    [
        ("read_file", {"file_path": "a"}, "read", "a"),
        ("write_file", {"file_path": "a", "content": ""}, "write", "a"),
        ("edit_file", {"file_path": "a", "old_text": "x", "new_text": "y"}, "write", "a"),
        ("list_directory", {}, "read", "."),
        ("search", {"pattern": "x"}, "read", "x"),
        ("run_command", {"command": "ls"}, "command", "ls"),
        ("git_status", {}, "read", ""),
        ("git_commit", {"message": "m"}, "write", "m"),
    ],
)
def test_effect_and_subject(toolbox: Toolbox, name: str, arguments: Any, effect: str, subject: str) -> None:
    call = toolbox.validate(name, arguments)
    assert (call.effect, call.subject) == (effect, subject)
    assert call.sandbox == ("none" if effect == "command" else "not_applicable")
    assert toolbox.kind(name) == "function"


def test_a_start_loads_no_engine(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = (
        "import sys, os; from pathlib import Path\n"
        "from equitrcoder.tools import Toolbox, Workspace; from equitrcoder.sandbox import choose_sandbox\n"
        "box = Toolbox(Workspace.open(Path('.')), choose_sandbox('off', Path('.'), environ=os.environ)); box.specs\n"
        "print([name for name in ('re2', 'pathspec', 'ctypes', 'subprocess', 'difflib', 'hashlib', 'tempfile')"
        " if name in sys.modules and name not in before])"
    )
    program = "import sys, asyncio, equitrcoder.wires.values; before = set(sys.modules)\n" + program
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
