"""Every place where text is stored, exported, streamed or shown, each with a secret of every kind planted there."""

from __future__ import annotations

import base64
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from equitrcoder.agent.approvals import ApprovalAnswer, ApprovalRequest, Approvals
from equitrcoder.agent.events import RunEvents
from equitrcoder.agent.surroundings import Surroundings
from equitrcoder.errors import BadResponseError
from equitrcoder.ledger import Redactor
from equitrcoder.settings import load
from equitrcoder.testing import Answer, Call, Fault, ScriptedProvider
from tests.command import KEY, World
from tests.redaction_keys import FORMATS, make_key

RANDOM = Random(5)
BODY = base64.b64encode(RANDOM.randbytes(120)).decode()
FORMAT = {format_.name: make_key(format_, RANDOM) for format_ in FORMATS}
SECRETS = {
    "known value": KEY,
    "known value in base64": base64.b64encode(f"u:{KEY}".encode()).decode()[4:40],
    "key format": FORMAT["github-token"],
    "key format of a provider": FORMAT["anthropic-key"],
    "web token": FORMAT["json-web-token"],
    "named": "q7w8e9r0t1y2",
    "header": "9f8e7d6c5b4a3f2e1d",
    "URL password": "p4ss-w0rd-zz",
    "private key": BODY,
}
PLANTED = "\n".join(
    [
        KEY,
        base64.b64encode(f"u:{KEY}".encode()).decode(),
        SECRETS["key format"],
        SECRETS["key format of a provider"],
        SECRETS["web token"],
        f"DB_PASSWORD={SECRETS['named']}",
        f"Authorization: Bearer {SECRETS['header']}",
        f"redis://:{SECRETS['URL password']}@cache/0",
        f"-----BEGIN PRIVATE KEY-----\n{BODY}\n-----END PRIVATE KEY-----",
    ]
)
NAME = f"notes-{SECRETS['key format']}.txt"

READING = [
    ["runs"],
    ["runs", "--json"],
    ["show", "last"],
    ["calls", "--run", "last"],
    ["calls", "--json"],
    ["stats"],
    ["tail", "last", "--json"],
    ["export", "runs", "--format", "json"],
    ["export", "turns", "--format", "jsonl"],
    ["export", "calls", "--format", "csv"],
]
"""What shows what the ledger holds."""


def holds(text: str) -> list[str]:
    return [kind for kind, secret in SECRETS.items() if secret in text]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A run with secrets in the task, the words, the arguments, file names, results, errors and the check."""
    folder = tmp_path_factory.mktemp("places")
    script = [
        Fault(status=500, body=f'{{"error": {{"message": "bad key {SECRETS["key format"]}"}}}}'.encode()),
        Answer(
            text=f"I use\n{PLANTED}\nnow",
            reasoning=f"thinking of {SECRETS['key format']}",
            text_deltas=60,
            calls=[
                Call("write_file", {"file_path": NAME, "content": PLANTED}),
                Call("read_file", {"file_path": f"missing-{NAME}"}),
                Call("run_command", {"command": f"cat notes-* && echo '{SECRETS['key format']}' && exit 3"}),
                Call(f"tool_{SECRETS['key format']}", {"x": {"password": SECRETS["named"], SECRETS["web token"]: 1}}),
            ],
        ),
        Answer(text=f"Done:\n{PLANTED}\n", text_deltas=40),
    ]
    with ScriptedProvider(script) as provider:
        world = World(folder, provider.base_url)
        options = ["--log-tool-calls", "--tool-log-file", str(folder / "tools.jsonl")]
        options += ["--check", f"echo '{SECRETS['key format']}'; false"]
        done = world.run(*options, task=f"use these:\n{PLANTED}")
        plain = world.equitrcoder("run", f"use these:\n{PLANTED}", "-v", "--model", "openai/gpt-4.1")
        # What goes to the model and to the tools is not altered.
        assert SECRETS["key format"] in provider.requests[1].body.decode()
        assert SECRETS["header"] in provider.requests[2].body.decode()
    assert (world.repo / NAME).read_text() == PLANTED
    (folder / "shown").write_text(done.out + done.err + plain.out + plain.err)
    return world


def test_no_event_and_no_line_on_the_screen_holds_one(world: World) -> None:
    shown = (world.repo.parent / "shown").read_text()
    assert holds(shown) == []
    for rule in ("OPENAI_API_KEY", "github-token", "anthropic-key", "json-web-token", "named-secret", "authorization"):
        assert f"[redacted:{rule}]" in shown
    assert "text.delta" in shown


def test_no_file_of_the_ledger_and_no_log_holds_one(world: World) -> None:
    files = [path for path in world.repo.parent.rglob("*") if path.is_file() and world.repo not in path.parents]
    assert {"index.sqlite", "runs.jsonl", "tools.jsonl"} <= {path.name for path in files}
    for path in files:
        assert holds(path.read_bytes().decode("utf-8", "replace")) == [], path
    calls = world.calls()
    assert calls[0]["redactions"]["github-token"] >= 2
    assert set(calls[0]["redactions"]) >= {
        "known_value",
        "private-key",
        "url-password",
        "named-secret",
        "authorization",
    }


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_nothing_that_reads_the_ledger_shows_one(world: World, words: list[str]) -> None:
    done = world.equitrcoder(*words)
    assert done.code == 0, done.err
    assert holds(done.out + done.err) == []


async def test_what_is_shown_for_an_approval_holds_none() -> None:
    asked: list[ApprovalRequest] = []

    async def approver(request: ApprovalRequest) -> ApprovalAnswer:
        asked.append(request)
        return ApprovalAnswer(granted=False)

    command = f"echo {SECRETS['key format']}"
    valid = SimpleNamespace(name="run_command", effect="command", subject=command, arguments={"command": command})
    recorder = SimpleNamespace(approval=lambda *_, **__: None)
    events = RunEvents(None, run="r", agent="single", provider="groq", redactor=Redactor([KEY]))
    approvals = Approvals("ask", approver, preview=lambda _: PLANTED, events=events)
    await approvals.decide(SimpleNamespace(call_uid="c"), valid, recorder)  # type: ignore[arg-type]
    assert holds(asked[0].preview + asked[0].shown_subject) == []
    assert asked[0].arguments == valid.arguments


async def test_notices_and_errors_hold_none(tmp_path: Path) -> None:
    told: list[str] = []
    environ = {"EQUITRCODER_STATE_DIR": str(tmp_path / "state"), "OPENAI_API_KEY": KEY, "HOME": str(tmp_path)}
    settings = load(user_file=None, repo_file=None, environ=environ, flags={"sandbox": "off"}, trusted=False)
    around = Surroundings(tmp_path, settings, environ, on_notice=told.append)
    assert around.on_notice is not None
    around.on_notice(PLANTED)
    error = BadResponseError(f"message {PLANTED}", hint=f"hint {KEY}")
    around.redactor.clean(error)
    await around.aclose()
    assert told and holds(told[0] + str(error) + error.hint + repr(error.args)) == []
