"""The real filesystem server from npm, under the name `f`, in the two sessions that the second seed shows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.sandbox.probing import trouble_with_bubblewrap
from equitrcoder.testing import Answer, Call, ScriptedProvider
from equitrcoder.testing.script import Usage
from tests.command import World

pytest.importorskip("mcp", reason="skipped: no mcp (pip install 'equitrcoder[mcp]')")

PACKAGE = "@modelcontextprotocol/server-filesystem"
GO_MOD = "module example.com/station\n\ngo 1.22\n"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its program: of the folder EQUITR_NODE_MODULES, else installed here and now."""
    named = os.environ.get("EQUITR_NODE_MODULES")
    if shutil.which("node") is None:
        pytest.skip("skipped: no node")
    folder = Path(named) if named else tmp_path_factory.mktemp("npm") / "node_modules"
    program = folder / PACKAGE / "dist" / "index.js"
    if not program.exists():
        words = [
            "npm",
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
            str(folder.parent),
            PACKAGE,
        ]
        try:
            subprocess.run([*words, PACKAGE], check=True, capture_output=True, timeout=120)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"skipped: {PACKAGE} cannot be had ({type(error).__name__})")
    return program


def _run(
    folder: Path, server: Path, provider: ScriptedProvider, *, model: str, env: dict[str, str]
) -> tuple[Any, World]:
    world = World(folder, provider.base_url)
    if trouble_with_bubblewrap(world.repo, os.environ):
        pytest.skip("skipped: no bubblewrap")
    world.environ |= env
    (world.repo / "go.mod").write_text(GO_MOD)
    (world.repo / "internal" / "db").mkdir(parents=True)
    (world.repo / "cmd").mkdir()
    config = world.home / ".config" / "equitrcoder" / "config.yaml"
    config.parent.mkdir(parents=True)
    row = {"command": "node", "args": [str(server), "."]}
    config.write_text(json.dumps({"mcpServers": {"f": row}, "readable_paths": [str(server.parents[3])]}))
    done = world.equitrcoder("run", "-v", "--model", model, "--allow-unpriced", "look around")
    assert done.code == 0, done.err
    assert provider.errors == []
    return done, world


def test_openai_through_the_middleware(tmp_path: Path, server: Path) -> None:
    edits = [{"oldText": "go 1.22", "newText": "go 1.23"}]
    script = [
        Answer(calls=[Call("f_list_directory", {"path": "."})], usage=Usage(input_tokens=400, output_tokens=50)),
        Answer(calls=[Call("f_directory_tree", {"path": "go.mod"})], usage=Usage(input_tokens=420, output_tokens=50)),
        Answer(
            calls=[Call("f_edit_file", {"path": "go.mod", "dryRun": True, "edits": edits})],
            usage=Usage(input_tokens=450, output_tokens=57),
        ),
        Answer(text="It is a Go module.", usage=Usage(input_tokens=0, output_tokens=0)),
    ]
    with ScriptedProvider(script) as provider:
        done, world = _run(tmp_path, server, provider, model="openai/gpt-5.1", env={})
        offered = [tool["function"]["name"] for tool in json.loads(provider.requests[0].body)["tools"]]
    assert {"f_list_directory", "f_directory_tree", "f_edit_file"} <= set(offered)
    lines = [
        "🔧 Middleware captured 3 tool calls from openai",
        "💰 Token usage - Input: 1270, Output: 157, Total: 1427",
        "",
        "🔧 Tool Calls (3):",
        '  1. {"input": {"path": "."}, "step": 1, "tool_name": "f_list_directory"}',
        '  2. {"input": {"path": "go.mod"}, "step": 2, "tool_name": "f_directory_tree"}',
        f'  3. {{"input": {{"dryRun": true, "edits": {json.dumps(edits, sort_keys=True)}, "path": "go.mod"}}, '
        '"step": 3, "tool_name": "f_edit_file"}',
    ]
    assert "\n".join(lines) in done.err
    assert "\n".join(lines) in world.equitrcoder("show", "last").out
    listed, tree, edited = world.calls()
    kinds = [(one["tool_kind"], one["executed_by"], one["sandbox"], one["capture"]) for one in (listed, tree, edited)]
    assert kinds == [("mcp", "client", "bubblewrap", "middleware")] * 3
    assert listed["result"].splitlines() == ["[DIR] cmd", "[FILE] go.mod", "[DIR] internal"]
    assert (tree["outcome"], tree["error_type"]) == ("failed", "tool_error")  # it is no folder: the server says so
    assert "+go 1.23" in edited["result"]
    assert (world.repo / "go.mod").read_text() == GO_MOD


def test_gemini_natively(tmp_path: Path, server: Path) -> None:
    repo = (tmp_path / "repo").resolve()
    places = ["/", str(repo), str(repo / "internal"), str(repo / "cmd")]
    tools = ["f_list_directory", "f_list_directory", "f_directory_tree", "f_directory_tree"]
    calls = [Call(tool, {"path": place}) for tool, place in zip(tools, places, strict=True)]
    usage = [Usage(input_tokens=2136, output_tokens=91)] * 2 + [Usage(input_tokens=2137, output_tokens=91)] * 2
    script = [Answer(calls=[call], usage=used) for call, used in zip(calls, usage, strict=True)]
    end = Answer(text="Done.", usage=Usage(input_tokens=0, output_tokens=0))
    with ScriptedProvider([*script, end]) as provider:
        env = {"GEMINI_API_KEY": "test-key-for-gemini", "GEMINI_BASE_URL": provider.base_url.removesuffix("/v1")}
        done, world = _run(tmp_path, server, provider, model="gemini/gemini-3-flash", env=env)
    lines = ["💰 Token usage - Input: 8546, Output: 364, Total: 8910", "", "🔧 Tool Calls (4):"]
    for step, (tool, place) in enumerate(zip(tools, places, strict=True), 1):
        entry = {"input": {"path": place}, "step": step, "tool_name": tool}
        lines.append(f"  {step}. {json.dumps(entry, sort_keys=True)}")
    assert "\n".join(lines) in done.err
    assert "Middleware" not in done.err
    assert "\n".join(lines) in world.equitrcoder("show", "last").out
    records = world.calls()
    assert [(one["outcome"], one["capture"], one["tool_kind"]) for one in records] == [
        ("failed", "native", "mcp"),  # the root of the disk is not the repository
        *[("success", "native", "mcp")] * 3,
    ]
