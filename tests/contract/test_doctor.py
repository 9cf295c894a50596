"""`equitrcoder doctor`, as a user runs it: every check in both directions, and no key in what it says."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.doctor import checks_walls, examine
from equitrcoder.doctor.checks_network import key_doubt
from equitrcoder.providers import choose_model
from equitrcoder.sandbox import probing
from equitrcoder.sandbox.probing import trouble_with_bubblewrap
from equitrcoder.settings import Settings
from equitrcoder.testing import Answer, ScriptedProvider
from tests.command import KEY, World


@contextmanager
def answering(status: int = 200, *, ahead_s: float = 0, location: str = "") -> Iterator[tuple[str, list[Any]]]:
    """A server (or proxy) that answers everything so, with a clock of its own; its address, and what it was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, dict(self.headers)))
            self.send_response(status)
            if location:
                self.send_header("location", location)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate((timestamp or time.time()) + ahead_s, usegmt=True)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    del world.environ["OPENAI_BASE_URL"], world.environ["OPENAI_API_KEY"]
    world.environ["OLLAMA_HOST"] = "127.0.0.1:9"
    return world


def by_command(world: World, *arguments: str, code: int, **environ: str) -> dict[str, dict[str, Any]]:
    """The findings by check, the worst of each, as the command prints them."""
    done = world.equitrcoder("doctor", "--json", *arguments, environ=environ)
    assert KEY not in done.out + done.err
    assert done.code == code, done.out + done.err
    return worst([json.loads(line) for line in done.out.splitlines()])


def found(
    world: World, *, offline: bool = False, blocked: bool | None = None, **environ: str
) -> dict[str, dict[str, Any]]:
    """The same without a process."""
    findings = asyncio.run(examine(world.repo, world.environ | environ, offline=offline))
    assert KEY not in repr(findings)
    if blocked is not None:
        assert any(finding.level == "problem" for finding in findings) == blocked, findings
    return worst([finding._asdict() for finding in findings])


def worst(lines: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    order = ["problem", "warning", "ok"]
    return {line["check"]: line for line in sorted(lines, key=lambda line: order.index(line["level"]), reverse=True)}


def level(world: World, check: str, **environ: str) -> str:
    return str(found(world, offline=True, **environ)[check]["level"])


def test_a_healthy_place(world: World) -> None:
    with ScriptedProvider([]) as server:
        (world.repo / ".git").mkdir()
        del world.environ["OLLAMA_HOST"]
        checks = by_command(world, code=0, OPENAI_BASE_URL=server.base_url, OPENAI_API_KEY=KEY)
        assert [request.path for request in server.requests] == ["/v1/models"]
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert checks["openai"]["message"].startswith("OPENAI_API_KEY is accepted")
    assert checks["model"]["message"] == "a run asks openai/gpt-6.1-sol"
    names = {"settings", "trust", "sandbox", "disk", "permissions", "ledger", "git", "terminal", "model", "openai"}
    assert set(checks) - {"file view", "network"} == names | {"landlock", "approvals"}
    assert {check["level"] for name, check in checks.items() if name != "sandbox"} == {"ok"}


def test_the_page_for_people_gives_each_fix(world: World) -> None:
    done = world.equitrcoder("doctor")
    assert done.code == 3
    lines = done.out.splitlines()
    assert any(line.startswith("problem  model ") and "Fix: export ANTHROPIC_API_KEY=…" in line for line in lines)
    assert lines[-1].startswith("1 problem, ")
    assert done.err == ""


@pytest.mark.parametrize(
    ("status", "level", "code", "words"),
    [
        (401, "problem", 3, "OPENAI_API_KEY is refused (401)"),
        (403, "problem", 3, "is refused (403)"),
        (404, "ok", 0, "the key was not tried"),
        (429, "warning", 0, "not well now"),
        (503, "warning", 0, "not well now"),
        (307, "warning", 0, "redirects are not followed"),
    ],
)
def test_what_a_provider_says_to_a_key(world: World, status: int, level: str, code: int, words: str) -> None:
    with answering(status, location="http://127.0.0.1:9/steal" if status == 307 else "") as (address, asked):
        checks = found(world, blocked=code == 3, OPENAI_BASE_URL=f"{address}/v1", OPENAI_API_KEY=KEY)
    assert checks["openai"]["level"] == level and words in checks["openai"]["message"]
    assert len(asked) == 1


def test_each_provider_is_asked_in_its_own_words(world: World) -> None:
    with answering() as (address, asked):
        found(
            world,
            ANTHROPIC_BASE_URL=address,
            ANTHROPIC_API_KEY=KEY,
            GEMINI_BASE_URL=address,
            GEMINI_API_KEY=KEY,
            COHERE_BASE_URL=address,
            CO_API_KEY=KEY,
            REPLICATE_BASE_URL=address,
            REPLICATE_API_TOKEN=KEY,
            OLLAMA_HOST=address,
        )
    by_path = {path: {name.lower(): text for name, text in headers.items()} for path, headers in asked}
    paths = ["/account", "/api/tags", "/v1/account", "/v1/models", "/v1beta/models"]
    assert set(by_path) <= set(paths) and {"/api/tags", "/v1/models", "/v1beta/models", "/v1/account"} <= set(by_path)
    assert by_path["/v1beta/models"]["x-goog-api-key"] == KEY
    assert by_path["/v1/account"]["authorization"] == f"Bearer {KEY}"
    assert any(headers.get("x-api-key") == KEY for _, headers in asked)


def test_no_way_there_blocks_only_the_model_that_is_asked(world: World) -> None:
    with ScriptedProvider([]) as server:
        checks = found(
            world, code=0, OPENAI_BASE_URL=server.base_url, GROQ_API_KEY=KEY, GROQ_BASE_URL="http://127.0.0.1:9"
        )
    assert (checks["openai"]["level"], checks["groq"]["level"]) == ("ok", "warning")
    assert "connection refused" in checks["groq"]["message"] and checks["groq"]["fix"]
    checks = found(world, blocked=True, GROQ_API_KEY=KEY, GROQ_BASE_URL="http://127.0.0.1:9")
    assert checks["groq"]["level"] == "problem"


def test_offline_asks_nobody(world: World) -> None:
    with ScriptedProvider([]) as server:
        checks = by_command(world, "--offline", code=0, OPENAI_BASE_URL=server.base_url, OPENAI_API_KEY=KEY)
        assert server.requests == []
    assert checks["openai"]["message"] == "OPENAI_API_KEY is set; not asked"


@pytest.mark.parametrize(("ahead_s", "level"), [(0, "ok"), (-3600, "warning"), (86_400, "warning")])
def test_the_clock_is_held_against_the_providers_through_the_proxy(world: World, ahead_s: float, level: str) -> None:
    with answering(ahead_s=ahead_s) as (proxy, asked):
        checks = by_command(
            world,
            code=0,
            OPENAI_BASE_URL="http://llm.example/v1",
            OPENAI_API_KEY=KEY,
            HTTP_PROXY=proxy,
            http_proxy=proxy,
        )
    assert asked[0][0] == "http://llm.example/v1/models"
    assert checks["clock"]["level"] == level
    if ahead_s:
        assert ("behind" if ahead_s > 0 else "ahead of") in checks["clock"]["message"]


def test_other_users_on_the_ledger(world: World) -> None:
    world.state.mkdir(mode=0o700)
    secret = world.state / "trust.json"
    secret.write_text("{}")
    secret.chmod(0o600)
    assert level(world, "permissions") == "ok"
    secret.chmod(0o644)
    told = found(world, offline=True, blocked=True)["permissions"]
    assert "trust.json is open to other users" in told["message"] and told["fix"] == f"chmod -R go= {world.state}"
    secret.chmod(0o600)
    world.state.chmod(0o755)
    assert level(world, "permissions") == "problem"


def test_a_state_directory_that_cannot_be_made(world: World) -> None:
    (world.home / "file").write_text("")
    checks = found(world, offline=True, blocked=True, EQUITRCODER_STATE_DIR=str(world.home / "file" / "state"))
    assert checks["disk"]["level"] == "problem" and "cannot be written" in checks["disk"]["message"]


def test_a_damaged_journal_is_told(world: World) -> None:
    with ScriptedProvider([Answer(text="Done.")]) as server:
        world.environ |= {"OPENAI_BASE_URL": server.base_url}
        assert world.run().code == 0
        assert level(world, "ledger") == "ok"
    world.balances = False
    (journal,) = (world.state / "journals").rglob("*.jsonl")
    journal.write_bytes(journal.read_bytes().replace(b"Done.", b"Gone.", 1))
    (world.state / "index.sqlite").unlink()
    told = found(world, offline=True)["ledger"]
    assert told["level"] == "warning" and "damaged" in told["message"]


def test_settings_that_are_wrong_and_a_folder_that_is_not_trusted(world: World) -> None:
    settings = world.repo / "equitrcoder.yaml"
    settings.write_text("approve: all\n")
    assert level(world, "trust") == "warning"
    settings.write_text("aprove: all\n")
    told = found(world, offline=True, blocked=True)["settings"]
    assert told["level"] == "problem" and "equitrcoder.yaml:1" in told["message"]


def test_a_sandbox_that_is_turned_off(world: World) -> None:
    (world.repo / "equitrcoder.yaml").unlink(missing_ok=True)
    told = found(world, offline=True, EQUITRCODER_SANDBOX="off")["sandbox"]
    assert told["level"] == "warning" and "your rights" in told["message"]


def test_the_walls_that_stand_are_told_one_by_one(world: World) -> None:
    trouble = trouble_with_bubblewrap(world.repo, world.environ)
    if trouble:
        pytest.skip(f"skipped: no bubblewrap ({trouble})")
    told = found(world, offline=True)
    assert told["sandbox"]["message"].startswith("bubblewrap ") and "2,000 processes" in told["sandbox"]["message"]
    assert "nothing else of your home folder" in told["file view"]["message"]
    assert told["network"]["message"] == "commands have none"
    assert told["approvals"]["message"].startswith("run --approve all (default; a session in a terminal asks)")
    assert {told[name]["level"] for name in ("sandbox", "file view", "network", "landlock", "approvals")} == {"ok"}
    open_to_all = found(world, offline=True, EQUITRCODER_NETWORK="true")["network"]
    assert open_to_all["level"] == "warning" and "any network" in open_to_all["message"] and open_to_all["fix"]
    config = world.home / ".config" / "equitrcoder" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(
        "network_hosts: [package-indexes, '*.example.org']\nreadable_paths: [/srv/data]\napprove: ask\n"
        "rules: [{deny: run_command git push}]\ncommand_limits: {processes: 77}\n"
    )
    told = found(world, offline=True)
    assert re.fullmatch(
        r"commands reach package-indexes \(\d\d+ hosts\), \*\.example\.org, and nothing else",
        told["network"]["message"],
    )
    assert "and /srv/data" in told["file view"]["message"]
    assert "77 processes" in told["sandbox"]["message"]
    message = told["approvals"]["message"]
    assert message == "run --approve ask: reads run unasked, everything else needs approval; 1 rule comes first"


def test_the_walls_that_are_missing_are_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_BWRAP", ("/nowhere/bwrap",))
    told = found(world, offline=True, blocked=True)  # no provider is set up: that is the problem
    assert told["sandbox"]["level"] == "warning"
    assert told["sandbox"]["message"] == "no walls around commands: no bwrap in /nowhere"
    assert "network" not in told and "file view" not in told  # nothing stands there that could be told of
    assert told["approvals"]["message"].startswith("run --approve edits (default")
    assert "commands need approval" in told["approvals"]["message"]
    free = found(world, offline=True, EQUITRCODER_APPROVE="all")["approvals"]
    assert free["level"] == "warning" and free["message"].endswith("with your rights") and free["fix"]
    required = found(world, offline=True, EQUITRCODER_SANDBOX="required")["sandbox"]
    assert required["level"] == "problem" and "install bubblewrap" in required["fix"]


@pytest.mark.parametrize(("version", "words"), [(0, "the kernel has none"), (3, "the kernel has version 3")])
def test_landlock_is_told_as_what_it_is(monkeypatch: pytest.MonkeyPatch, version: int, words: str) -> None:
    monkeypatch.setattr(checks_walls, "_landlock_version", lambda: version)
    assert checks_walls.landlock_words() == f"not used; {words}"


def test_without_git(world: World, tmp_path: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    assert level(world, "git", PATH=str(empty)) == "warning"


def test_a_terminal_that_cannot_show_everything(world: World) -> None:
    told = by_command(world, "--offline", code=3, PYTHONIOENCODING="latin-1")["terminal"]
    assert told["level"] == "warning" and "iso88591" in told["message"].replace("latin1", "iso88591")


def test_a_model_without_tools_is_a_warning(world: World) -> None:
    checks = found(
        world, offline=True, blocked=False, EQUITRCODER_AI_PROVIDER="replicate", REPLICATE_API_TOKEN=f"r8_{KEY}"
    )
    assert checks["model"]["level"] == "warning" and "takes no tools" in checks["model"]["message"]


@pytest.mark.parametrize(
    ("key", "doubt"),
    [
        ("gsk_0123456789abcdef", ""),
        ("sk-0123456789abcdef", "does not start with gsk_"),
        ("gsk_your-key-goes-here", "looks like a placeholder"),
        ("gsk_1", "looks like a placeholder"),
        ('"gsk_0123456789abcdef"', "holds quotation marks"),
    ],
)
def test_keys_that_look_like_none(key: str, doubt: str) -> None:
    told = key_doubt(choose_model(Settings(), {"GROQ_API_KEY": key}, "groq"))
    assert (doubt in told) if doubt else told == ""
    assert key not in told
    elsewhere = {"GROQ_API_KEY": key, "GROQ_BASE_URL": "https://gateway.example"}
    assert key_doubt(choose_model(Settings(), elsewhere, "groq")) == ""
