"""What Tab offers: asked as a shell asks, by environment variables, of the real command in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from equitrcoder.cli.app import COMMANDS, run_app
from equitrcoder.cli.completion import INSTALL, script
from equitrcoder.ledger import Ledger
from equitrcoder.providers.registry import PROVIDERS
from equitrcoder.wires.values import Turn, WireCall

HEAVY = ("asyncio", "httpx2", "ssl", "yaml", "re2", "equitrcoder.agent", "equitrcoder.ledger.reader", "prompt_toolkit")


def ask(words: str, *, shell: str = "bash") -> list[str]:
    """What is offered for the last of the words (empty: after a blank), as the shell gets it."""
    given = ["equitrcoder", *words.split(" ")]
    environ = {
        **os.environ,
        "_EQUITRCODER_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": " ".join(given),
        "COMP_CWORD": given[-1] if shell == "fish" else str(len(given) - 1),
        "PYTHONWARNINGS": "error",
    }
    done = subprocess.run(
        [sys.executable, "-m", "equitrcoder"], env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


def values(lines: Sequence[str]) -> list[str]:
    return [line.partition(",")[2] for line in lines]


@pytest.fixture
def runs() -> list[str]:
    """Two runs in this user's ledger; their ids, oldest first."""
    ids = []
    with Ledger(Path(os.environ["EQUITRCODER_STATE_DIR"])) as ledger:
        for model, task in (
            ("mistral/own-model", "one"),
            ("groq/model-x", "make the\ntest: pass, \x1b[31mnow"),
        ):
            run = ledger.start_run(
                provider=model.partition("/")[0], model_requested=model, repo_path="/", task=task, capture="middleware"
            )
            run.record_turn(
                Turn(calls=(WireCall(name=f"tool_of_{task[:3]}", arguments={}, id=None, index=0),)),
                step=1,
                duration_ms=1.0,
                time_to_first_byte_ms=None,
                attempts=1,
                cost_nanousd=None,
                price_version=None,
            )
            run.finish(status="completed")
            ids.append(run.run_id)
    return ids


def test_commands() -> None:
    assert values(ask("")) == list(COMMANDS)
    assert values(ask("ru")) == ["run", "runs"]
    assert values(ask("db ")) == ["backup", "check", "path", "prune", "rebuild", "size"]


def test_options_and_their_words() -> None:
    assert {"--model", "--check", "--max-turns", "--json"} <= set(values(ask("run --")))
    assert values(ask("run --approve ")) == ["ask", "edits", "all", "deny"]
    assert values(ask("stats --by ")) == ["tool", "model", "provider", "agent", "role", "day"]
    assert values(ask("completion ")) == ["bash", "zsh", "fish"]
    assert ask("run --repo ")[0].startswith("file,")


def test_runs_of_the_ledger(runs: list[str]) -> None:
    older, newer = runs
    for words in ("show ", "tail ", "stats --run ", "calls --run "):
        assert values(ask(words)) == ["last", newer[-4:], older[-4:]], words
    assert values(ask(f"show {older[-4:].lower()}")) == [older[-4:]]
    assert values(ask(f"show {newer[:24]}")) == [name for name in reversed(runs) if name.startswith(newer[:24])]
    assert values(ask("show la")) == ["last"]


def test_zsh_and_fish_also_get_what_each_run_was_about(runs: list[str]) -> None:
    lines = ask("show ", shell="zsh")
    place = lines.index(runs[1][-4:])
    assert lines[place - 1 : place + 2] == [
        "plain",
        runs[1][-4:],
        r"completed: make the test: pass, \x1b[31mnow",
    ]
    assert f"plain,{runs[0][-4:]}\tcompleted: one" in ask("show ", shell="fish")


def test_models_and_providers(runs: list[str]) -> None:
    offered = values(ask("run --model "))
    assert offered[:2] == ["groq/model-x", "mistral/own-model"]
    assert offered[2:] == [f"{name}/" for name in PROVIDERS]
    assert values(ask("run --fallback-model OPENA")) == [f"openai/{model}" for model in PROVIDERS["openai"].models]
    groq = values(ask("run --model groq/"))
    assert groq[0] == "groq/model-x"
    assert groq[1:] == [f"groq/{model}" for model in PROVIDERS["groq"].models]
    assert values(ask("run --model ollama")) == ["ollama/"]  # its models are the user's
    assert values(ask("calls --provider an")) == ["anthropic", "anyscale"]


def test_tools_that_were_used(runs: list[str]) -> None:
    assert values(ask("calls --tool tool")) == ["tool_of_mak", "tool_of_one"]


def test_without_a_ledger_nothing_is_offered_and_nothing_is_made() -> None:
    state = Path(os.environ["EQUITRCODER_STATE_DIR"])
    assert ask("show ") == []
    assert not state.exists()
    state.mkdir()
    (state / "index.sqlite").write_text("this is no database")
    assert ask("show ") == []
    assert values(ask("run --model ")) == [f"{name}/" for name in PROVIDERS]


@pytest.mark.parametrize("words", ["", "run --", "run --model gr", "show ", "calls --tool ", "stats --by "])
def test_nothing_heavy_is_loaded(words: str, runs: list[str]) -> None:
    program = (
        "import sys\n"
        "from equitrcoder.cli.app import run_app\n"
        "try:\n"
        "    run_app([])\n"
        "finally:\n"
        f"    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    given = ["equitrcoder", *words.split(" ")]
    environ = {
        **os.environ,
        "_EQUITRCODER_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(given),
        "COMP_CWORD": str(len(given) - 1),
    }
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, timeout=60)
    assert done.stderr == "[]\n"
    assert done.stdout.startswith(("plain,", "file,"))


# The scripts.


@pytest.mark.parametrize("shell", INSTALL)
def test_the_script_says_how_to_install_it(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["completion", shell]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out == script(shell)
    assert f"_EQUITRCODER_COMPLETE={shell}_complete" in said.out
    assert f"#   {INSTALL[shell][0]}" in said.out
    if shell == "zsh":
        assert said.out.startswith("#compdef equitrcoder\n")


@pytest.mark.parametrize("shell", INSTALL)
def test_the_shell_takes_the_script(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    file = tmp_path / "script"
    file.write_text(script(shell))
    subprocess.run([shell, "-n", str(file)], check=True, timeout=60)


def test_bash_completes_with_it(tmp_path: Path, runs: list[str]) -> None:
    """The function that the script defines, called as bash calls it."""
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    command = tmp_path / "equitrcoder"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m equitrcoder "$@"\n')
    command.chmod(0o755)
    (tmp_path / "script").write_text(script("bash"))
    program = (
        f"source {tmp_path}/script\n"
        "COMP_WORDS=(equitrcoder show '') COMP_CWORD=2\n"
        f"_equitrcoder_completion {command}\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(["bash", "--norc", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["last", runs[1][-4:], runs[0][-4:]], done.stderr


def test_a_shell_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["completion", "csh"]) == 2
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err
