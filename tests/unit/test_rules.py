"""Rules: what a rule says, what it fits, and which one holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from equitrcoder.errors import ConfigError
from equitrcoder.rules.judging import Rules
from equitrcoder.rules.shell import take_apart
from equitrcoder.rules.written import Rule
from equitrcoder.settings import load
from tests.unit.bypasses import TRIES


def command(line: str, *rows: tuple[str, str], writes_free: bool = False, root: str = "/repo") -> str | None:
    return Rules(rows, root).judge_command(line, writes_free=writes_free).verdict


FORBIDDEN = (("deny", "run_command git push *"),)
ALLOWED = tuple(("allow", f"run_command {name} *") for name in ("pytest", "echo", "cat", "xargs", "find"))


@pytest.mark.parametrize("line", TRIES)
def test_no_try_passes(line: str) -> None:
    assert command(line, *FORBIDDEN, writes_free=True) in ("deny", "unknown")
    assert command(line, *ALLOWED, writes_free=True) != "allow"
    # nor where both stand, and an ask rule catches the same
    assert command(line, *ALLOWED, *FORBIDDEN, writes_free=True) in ("deny", "unknown")
    assert command(line, ("ask", "run_command git push")) in ("ask", "unknown")


HARMLESS = [
    "pytest",
    "pytest -q tests/test_x.py",
    "pytest 'a; git push'",
    'pytest "a && git push"',
    "pytest $FILES *.py ~/x {a,b}",
    "cd src && pytest",
    "time pytest -q | cat",
    "timeout 60 pytest || echo failed",
    "for f in a b; do pytest $f; done",
    "if pytest; then echo $?; fi",
    "CI=1 pytest",
    "pytest 2>&1 | cat > /dev/null",
    "cat <<'E'\ngit push `x`\nE",
    "cat <<E\ngit push\nE",
    "bash -c 'pytest -q; echo done'",
    "pytest \\\n  -q",
    "echo a#b # git push",
    'x=$(pytest); echo "$x"',
    "/usr/bin/pytest",
    "pytest < input.txt",
    "[[ -f a.txt ]] && pytest",
    "eval 'pytest -q'",
    "seq=1; echo ${seq:-2}",
    "echo git push",
]


@pytest.mark.parametrize("line", HARMLESS)
def test_what_is_allowed_does_not_ask(line: str) -> None:
    assert command(line, *ALLOWED) == "allow", take_apart(line).unknown
    assert command(line, *FORBIDDEN) is None, "and a deny rule that is about something else is not in its way"


@pytest.mark.parametrize(
    "line",
    [
        "pytest; rm x",
        "rm x | pytest",
        "pytest > out.txt",
        "pytest &> out.txt",
        "PATH=. pytest",
        "LD_PRELOAD=x pytest",
        "PYTHONPATH=. pytest",
        "export PATH=.; pytest",
        "GIT_SSH_COMMAND=x pytest",
        "read PATH < x; pytest",
        "for PATH in .; do pytest; done",
        "./pytest",
        "x/pytest",
        "/tmp/pytest",
        "~/pytest",
        "cd /tmp && ./pytest",
        "cd .. && pytest",
        "echo < ../outside",
        "sudo rm x",
        "env -i pytest",
        "pytest > /tmp/x",
        "pytest > $x",
        "cd src; pytest > x",
        "alias pytest=rm; pytest",
        ". ./x; pytest",
        "source x",
        "echo > /dev/tcp/host/80",
        "./time pytest",
        "x/bash -c pytest",
        "bash pytest",
        "bash -c pytest x y",
    ],
)
def test_what_goes_beyond_an_allow_rule_is_not_allowed(line: str) -> None:
    assert command(line, ("allow", "run_command pytest *")) != "allow"


def test_redirections_are_writes() -> None:
    pytest_rule = ("allow", "run_command pytest *")
    assert command("pytest > out.txt", pytest_rule, writes_free=True) == "allow"
    assert command("pytest > out.txt", pytest_rule, ("allow", "write_file *.txt")) == "allow"
    assert command("pytest > a.py", pytest_rule, ("allow", "write_file *.txt")) is None
    assert command("pytest > .git/config", pytest_rule, writes_free=True) is None
    assert command("pytest > ../x", pytest_rule, ("allow", "write_file")) is None
    deny = ("deny", "write_file migrations/**")
    for line in (
        "echo > migrations/x",
        "echo >> ./migrations/../migrations/x",
        "2>migrations/x",
        "x=$(echo >|migrations/x)",
    ):
        assert command(line, deny, writes_free=True) == "deny", line
    for line in ("echo > $x", "cd migrations && echo > x", "echo > migr*/x"):
        assert command(line, deny, writes_free=True) == "unknown", line
    assert command("cat < .env", ("deny", "read_file .env")) == "deny"
    assert command("cat < env", ("deny", "read_file .env")) is None


def test_the_strictest_holds_whatever_the_order() -> None:
    rows = [("allow", "run_command git *"), ("ask", "run_command git push"), ("deny", "run_command git push --force")]
    for order in (rows, rows[::-1]):
        assert command("git log", *order) == "allow"
        assert command("git push", *order) == "ask"
        assert command("git push --force", *order) == "deny"
        assert command("git log; git push", *order) == "ask"


def test_words_of_an_allow_rule_are_exact_and_those_of_a_deny_rule_a_beginning() -> None:
    assert command("make", ("allow", "run_command make")) == "allow"
    assert command("make evil", ("allow", "run_command make")) is None
    assert command("make evil", ("deny", "run_command make")) == "deny"
    assert command("docker --context x run y", ("deny", "run_command docker run")) == "deny"
    assert command("npm run test:unit", ("allow", "run_command npm run test:*")) == "allow"
    assert command("npm run test:$x", ("allow", "run_command npm run test:*")) is None
    assert command("pip install x", ("allow", "run_command pip *install")) is None


def test_a_rule_without_a_pattern_is_about_the_whole_tool() -> None:
    assert command("'", ("allow", "run_command")) == "allow"
    assert command("ls", ("deny", "run_command")) == "deny"
    assert command("ls", ("deny", "*")) == "deny"
    assert command("git push", ("allow", "run_command"), *FORBIDDEN) == "deny"
    assert command("echo > x", ("allow", "run_command"), ("deny", "write_file x")) == "deny"


def test_without_rules_about_commands_no_line_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("equitrcoder.rules.shell.take_apart", lambda _line: pytest.fail("parsed"))
    assert command("'", ("allow", "write_file x")) is None
    assert command("'", ("allow", "run_command")) == "allow"


def test_what_is_broken_says_so() -> None:
    for line in ("echo 'x", "echo $(x", "if x", "a |", '"!@$D😀', "'日"):
        assert take_apart(line).unknown[0] == "it cannot be parsed", line


# ---- files and foreign tools


def of(tool: str, arguments: dict[str, Any], *rows: tuple[str, str], root: Path | str = "/repo") -> str | None:
    return Rules(rows, str(root)).judge(tool, arguments, writes_free=False).verdict


def test_path_rules_are_those_of_gitignore() -> None:
    deny = ("deny", "write_file migrations/**")
    for path in ("migrations/a.sql", "./migrations/b/c", "x/../migrations/a", "/repo/migrations/a"):
        assert of("write_file", {"file_path": path}, deny) == "deny", path
        assert of("edit_file", {"file_path": path}, deny) == "deny", path
    assert of("write_file", {"file_path": "src/a"}, deny) is None
    assert of("read_file", {"file_path": "migrations/a"}, deny) is None
    assert of("read_file", {"file_path": "deep/.env"}, ("deny", "read_file .env")) == "deny"
    assert of("read_file", {"file_path": "deep/x"}, ("deny", "read_file /x")) is None
    assert of("search", {"pattern": "x"}, ("deny", "search")) == "deny"
    assert of("list_directory", {"path": "secrets"}, ("deny", "list_directory secrets/")) == "deny"


def test_links_lead_past_no_rule(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "free").mkdir()
    (tmp_path / "link").symlink_to("secret")
    (tmp_path / "free" / "out").symlink_to("/etc")
    deny, allow = ("deny", "write_file secret/**"), ("allow", "write_file free/**")
    assert of("write_file", {"file_path": "link/x"}, deny, root=tmp_path) == "deny"
    assert of("write_file", {"file_path": "free/x"}, allow, root=tmp_path) == "allow"
    assert of("write_file", {"file_path": "free/out/x"}, allow, root=tmp_path) is None
    (tmp_path / "free" / "in").symlink_to("../secret")
    assert of("write_file", {"file_path": "free/in/x"}, allow, root=tmp_path) is None


def test_commits_name_their_files(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    deny, allow = ("deny", "git_commit *.key"), ("allow", "git_commit src/**")
    assert of("git_commit", {"paths": ["a.key", "b"]}, deny, root=tmp_path) == "deny"
    assert of("git_commit", {"paths": ["b"]}, deny, root=tmp_path) is None
    assert of("git_commit", {"message": "m"}, deny, root=tmp_path) == "unknown"
    assert of("git_commit", {"paths": ["d"]}, deny, root=tmp_path) == "unknown"
    assert of("git_commit", {"paths": ["src/a", "src/b"]}, allow, root=tmp_path) == "allow"
    assert of("git_commit", {"paths": ["src/a", "b"]}, allow, root=tmp_path) is None
    assert of("git_commit", {"message": "m"}, allow, root=tmp_path) is None


def test_foreign_tools_by_name_and_by_any_text() -> None:
    assert of("f_list", {"x": 1}, ("deny", "f_*")) == "deny"
    assert of("g_list", {"x": 1}, ("deny", "f_*")) is None
    assert of("f_read", {"a": [{"path": "/repo/.env"}]}, ("deny", "f_* .env")) == "deny"
    assert of("f_read", {"a": "x"}, ("allow", "f_* x")) is None
    assert of("f_read", {"a": "x"}, ("allow", "f_*")) == "allow"


# ---- how rules are written


@pytest.mark.parametrize(
    "text", ["", "run command", "!x y", "write_file !x", "write_file #x", "write_file /etc/passwd", "f*g x", "*x"]
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    if text == "run command":
        assert Rule("deny", text).tool == "run"  # a tool of this name may come from a server
        return
    with pytest.raises(ValueError):
        Rule("deny", text)


def test_a_wrong_rule_in_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    for text, said in (
        (
            "rules:\n  - allow: run_command x\n  - forbid: run_command y\n",
            r"c\.yaml:3: rules\.1 must be allow, ask or deny",
        ),
        ("rules:\n  - deny: write_file !x\n", r"c\.yaml:2: rules\.0 must be a path as in \.gitignore"),
        ("rules: yes\n", r"c\.yaml:1: rules must be a list of rules"),
        (
            "rules:\n  - deny: run_command a\n    ask: run_command b\n",
            r"c\.yaml:2: rules\.0 must be allow, ask or deny",
        ),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=said):
            load(user_file=path, repo_file=None, environ={}, flags={}, trusted=False)


def test_rules_of_all_layers_add_up(tmp_path: Path) -> None:
    user, repo = tmp_path / "u.yaml", tmp_path / "r.yaml"
    user.write_text('rules:\n  - allow: run_command "pytest *"\n')
    repo.write_text("rules:\n  - deny: run_command git push\n")
    given = [("ask", "git_*")]
    settings = load(user_file=user, repo_file=repo, environ={}, flags={"rules": given}, trusted=False)
    assert settings.rules == (
        ("allow", 'run_command "pytest *"'),
        ("deny", "run_command git push"),
        ("ask", "git_*"),
    )
    assert settings.warnings == ()
    repo.write_text("rules:\n  - allow: run_command git push\n")
    settings = load(user_file=user, repo_file=repo, environ={}, flags={}, trusted=False)
    assert settings.rules == (("allow", 'run_command "pytest *"'),)
    assert "rules" in settings.warnings[0]
