"""The setting `content`: what is turned off stands in no file, what is counted stays, the index equals its journals."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.errors import ConfigError
from equitrcoder.ledger import CallQuery, Ledger, Reader, Redactor, rebuild_index
from equitrcoder.ledger.audit import audit
from equitrcoder.ledger.content import WITHHELD, Content
from equitrcoder.ledger.export import export_calls
from equitrcoder.ledger.log_file import ToolLog
from equitrcoder.records import ToolCall
from equitrcoder.settings import Settings, load, show_rows
from equitrcoder.wires.values import Turn, WireCall

ASKED = "the-argument-PLUM"
GAVE = "the-result-PEAR"


def record(state: Path, content: Content | None, *, log: Path | None = None, redactor: Redactor | None = None) -> None:
    """A run in which every field that can repeat an argument or a result does."""
    tool_log = None if log is None else ToolLog(log)
    with Ledger(state, content=content, tool_log=tool_log, redactor=redactor) as ledger:
        run = ledger.start_run(provider="groq", model_requested="groq/x", repo_path="/", task="t", capture="middleware")
        run.message(role="user", text="what the user said")
        run.request_failed(
            step=1, attempt=1, error_type="refused", message=f"E304 400: in {ASKED!r} and {GAVE!r}", status=400
        )
        calls = run.record_turn(
            Turn(
                text="what the model said",
                calls=(
                    WireCall(name="read_file", arguments={"file_path": ASKED, "deep": [{"x": ASKED}]}, id="a", index=0),
                    WireCall(name="run_command", arguments=f'{{"command": "{ASKED}', id="b", index=1),
                    WireCall(
                        name="web_search",
                        arguments={"q": ASKED},
                        id="c",
                        index=2,
                        kind="provider-executed",
                        result=[{"text": GAVE}],
                    ),
                    WireCall(
                        name="web_search",
                        arguments={ASKED: 1},
                        id="d",
                        index=3,
                        kind="provider-executed",
                        error=f"no {GAVE}",
                    ),
                    WireCall(name="read_file", arguments=None, id="e", index=4),
                ),
                native={"role": "assistant", "tool_calls": [{"input": {ASKED: GAVE}}], "odd": f"{ASKED} {GAVE}"},
            ),
            step=1,
            duration_ms=1.0,
            time_to_first_byte_ms=None,
            attempts=1,
            cost_nanousd=5,
            price_version="p",
        )
        run.approval(calls[0], decision="granted", by="user", reason=f"{ASKED} is fine", waited_ms=1.0)
        run.start(calls[0])
        run.close_call(
            calls[0],
            outcome="failed",
            result=f"first line: {GAVE}",
            result_metadata={"exit_code": 1, "path": ASKED, "lines": [GAVE]},
            error_type="exit_status",
            error_message=f"{ASKED}: {GAVE}",
            duration_ms=2.0,
        )
        run.close_call(calls[1], outcome="success", result=GAVE * 3, result_bytes=9000, result_sha256="c" * 64)
        run.close_call(calls[4], outcome="success")
        run.message(role="check", text=f"make test\npassed\n{GAVE}\n{ASKED}")
        run.finish(status="failed", response="what the model said", error=f"E401 {ASKED} needs approval")


def files_with(word: str, folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]


def calls(state: Path) -> list[ToolCall]:
    with Reader(state) as reader:
        return list(reader.calls(CallQuery(), full=True))


@pytest.mark.parametrize("kept", ["hash", "off"])
def test_what_is_turned_off_stands_in_no_file(tmp_path: Path, kept: Any) -> None:
    record(tmp_path / "state", Content(arguments=kept, results=kept), log=tmp_path / "tools.log")
    for word in (ASKED, GAVE, "PLUM", "PEAR"):
        assert files_with(word, tmp_path) == []
    for word in ("what the user said", "what the model said", "E401", "E304"):
        assert files_with(word, tmp_path / "state"), word
    assert len((tmp_path / "tools.log").read_text().splitlines()) == 5


def test_otherwise_all_of_it_does(tmp_path: Path) -> None:
    record(tmp_path / "state", None, log=tmp_path / "tools.log")
    for word in (ASKED, GAVE):
        assert {"index.sqlite", "tools.log"} <= {*files_with(word, tmp_path)}
        (journal,) = (tmp_path / "state" / "journals").rglob("*.jsonl")
        kinds = {json.loads(line)["type"] for line in journal.read_bytes().splitlines() if word.encode() in line}
        assert {"request_failed", "turn", "call_finished", "message"} <= kinds


def test_one_of_the_two_alone(tmp_path: Path) -> None:
    record(tmp_path / "a", Content(arguments="off"))
    assert files_with(ASKED, tmp_path / "a") == []
    assert [call.result for call in calls(tmp_path / "a")] == [
        f"first line: {GAVE}",
        GAVE * 3,
        [{"text": GAVE}],
        None,
        None,
    ]
    record(tmp_path / "r", Content(results="off"))
    assert files_with(GAVE, tmp_path / "r") == []
    assert calls(tmp_path / "r")[0].arguments == {"file_path": ASKED, "deep": [{"x": ASKED}]}
    assert calls(tmp_path / "r")[1].arguments_raw == f'{{"command": "{ASKED}'


def test_hash_keeps_size_and_sha256_of_both(tmp_path: Path) -> None:
    record(tmp_path, Content(arguments="hash", results="hash"))
    first, cut, provider, _, empty = calls(tmp_path)
    result = f"first line: {GAVE}".encode()
    assert (first.result, first.result_bytes) == (None, len(result))
    assert first.result_sha256 == hashlib.sha256(result).hexdigest()
    assert (first.arguments, first.arguments_raw, first.truncated_to) == (None, None, 0)
    assert (cut.result_bytes, cut.result_sha256) == (9000, "c" * 64)  # as the tool measured the whole of it
    assert provider.result_bytes == len(f'[{{"text":"{GAVE}"}}]')
    assert (empty.result_bytes, empty.truncated_to) == (None, None)
    with Reader(tmp_path) as reader:
        requested = [event for event in reader.events(first.run_id) if event["type"] == "call_requested"]
    arguments = f'{{"file_path":"{ASKED}","deep":[{{"x":"{ASKED}"}}]}}'.encode()
    assert (requested[0]["arguments_bytes"], requested[0]["arguments_sha256"]) == (
        len(arguments),
        hashlib.sha256(arguments).hexdigest(),
    )
    assert requested[1]["arguments_bytes"] == len(f'{{"command": "{ASKED}')


def test_off_keeps_neither(tmp_path: Path) -> None:
    record(tmp_path, Content(arguments="off", results="off"))
    assert {(call.result_bytes, call.result_sha256, call.truncated_to) for call in calls(tmp_path)} == {(None,) * 3}
    with Reader(tmp_path) as reader:
        events = [*reader.events(reader.run("last").run_id)]
    assert not any("arguments_sha256" in event for event in events)


@pytest.mark.parametrize("kept", ["hash", "off"])
def test_what_is_counted_stays(tmp_path: Path, kept: Any) -> None:
    record(tmp_path / "less", Content(arguments=kept, results=kept))
    record(tmp_path / "full", None)
    with Reader(tmp_path / "less") as less, Reader(tmp_path / "full") as full:
        assert less.stats() == full.stats()
        assert less.breakdown("model") == full.breakdown("model")
        names = ("tool_name", "outcome", "error_type", "duration_ms", "ordinal", "step", "provider_call_id", "approval")
        for one, other in zip(less.calls(), full.calls(), strict=True):
            assert [getattr(one, name) for name in names] == [getattr(other, name) for name in names]
        run = less.run("last")
        assert (run.status, run.task, run.response) == ("failed", "t", "what the model said")
        assert run.error == f"E401 {WITHHELD}"
        view = less.run_view("last")
        assert len(view["tool_calls"]) == 5  # type: ignore[arg-type]


def test_the_answer_is_marked_and_the_call_says_why_nothing_is_there(tmp_path: Path) -> None:
    record(tmp_path, Content(results="hash"))
    first = calls(tmp_path)[0]
    assert (first.error_type, first.error_message, first.result_metadata) == ("exit_status", WITHHELD, {"exit_code": 1})
    with Reader(tmp_path) as reader:
        events = {event["type"]: event for event in reader.events(first.run_id)}
    assert (events["turn"]["replay"], events["turn"]["kept"]) == ("altered", "outline")
    assert events["turn"]["native"] == {"role": "assistant", "tool_calls": [{"input": WITHHELD}]}
    assert events["message"]["text"] == f"make test\npassed\n{WITHHELD}"
    assert events["approval"]["reason"] == WITHHELD


def test_the_index_made_anew_is_the_same(tmp_path: Path) -> None:
    record(tmp_path, Content(arguments="hash", results="hash"))
    before = calls(tmp_path)
    rebuild_index(tmp_path)
    assert calls(tmp_path) == before


def test_hashes_are_of_the_redacted_value(tmp_path: Path) -> None:
    record(tmp_path / "one", Content(results="hash"), redactor=Redactor([GAVE]))
    record(tmp_path / "two", None, redactor=Redactor([GAVE]))
    assert calls(tmp_path / "one")[0].result_sha256 == calls(tmp_path / "two")[0].result_sha256
    assert calls(tmp_path / "one")[0].result_sha256 != hashlib.sha256(f"first line: {GAVE}".encode()).hexdigest()


def test_a_kind_of_entry_that_is_not_known_here_keeps_no_long_field() -> None:
    fields: dict[str, Any] = {"step": 1}
    assert Content(results="off").reduce(b"compacted", fields, {"messages": [GAVE]}, Redactor()) == {}
    assert Content().reduce(b"compacted", fields, {"messages": [GAVE]}, Redactor()) == {"messages": [GAVE]}


# Per tool.

MARKS = {"read_file": "FIG", "run_command": "DATE", "f_list": "LIME", "web_search": "KIWI"}


def record_each(state: Path, content: Content, log: Path) -> None:
    """A call of each tool, whose arguments and results hold its mark, each in an answer of its own."""
    with Ledger(state, content=content, tool_log=ToolLog(log)) as ledger:
        run = ledger.start_run(
            provider="groq", model_requested="groq/x", repo_path="/", task="t", capture="middleware", wire="openai-chat"
        )
        for step, (name, mark) in enumerate(MARKS.items(), 1):
            executed = name == "web_search"
            arguments, result = {"x": f"asked {mark}"}, f"gave {mark}"
            wire_call = WireCall(
                name=name,
                arguments=arguments,  # type: ignore[arg-type]
                id=f"c{step}",
                index=0,
                kind="provider-executed" if executed else "client",
                result=result if executed else None,
            )
            text = json.dumps(arguments)
            entry = {"id": f"c{step}", "function": {"name": name, "arguments": text}}
            hosted = {"id": f"c{step}", "type": name, "arguments": text, "output": result}
            native = {"role": "assistant", **({"executed_tools": [hosted]} if executed else {"tool_calls": [entry]})}
            (call,) = run.record_turn(
                Turn(calls=(wire_call,), native=native),
                step=step,
                duration_ms=None,
                time_to_first_byte_ms=None,
                attempts=1,
                cost_nanousd=None,
                price_version=None,
            )
            if executed:
                continue
            run.approval(call, decision="granted", by="user", reason=f"asked {mark}", waited_ms=1.0)
            run.close_call(
                call,
                outcome="failed",
                result=result,
                result_metadata={"path": f"asked {mark}"},
                error_type="not_found",
                error_message=f"asked {mark}, gave {mark}",
            )
        run.finish(status="completed")


OTHERS = [mark for name, mark in MARKS.items() if name != "run_command"]


@pytest.mark.parametrize(
    ("content", "gone", "kept"),
    [
        ({"tools": {"run_command": {"results": "hash"}}}, ["gave DATE"], ["asked DATE", *OTHERS]),
        ({"tools": {"run_command": {"arguments": "off"}}}, ["asked DATE"], ["gave DATE", *OTHERS]),
        ({"tools": {"web_search": {"results": "off"}}}, ["gave KIWI"], ["asked KIWI", "FIG", "DATE", "LIME"]),
        ({"tools": {"f_*": {"arguments": "hash", "results": "hash"}}}, ["LIME"], ["FIG", "DATE", "KIWI"]),
        (
            {"results": "off", "arguments": "off", "tools": {"read_file": {"arguments": "full", "results": "full"}}},
            ["DATE", "LIME", "KIWI"],
            ["asked FIG", "gave FIG"],
        ),
        (
            {"tools": {"*": {"results": "off"}, "f_*": {"results": "full"}}},
            ["gave DATE", "gave FIG", "gave KIWI"],
            ["gave LIME", "asked FIG"],
        ),
    ],
)
def test_each_tool_has_its_own_rule(tmp_path: Path, content: Any, gone: list[str], kept: list[str]) -> None:
    record_each(tmp_path / "state", Content(**content), tmp_path / "tools.log")
    with Reader(tmp_path / "state") as reader:
        export_calls(reader, CallQuery(), tmp_path / "calls.json", "json")
    for word in gone:
        assert files_with(word, tmp_path) == [], word
    for word in kept:
        assert {"index.sqlite", "tools.log", "calls.json"} <= {*files_with(word, tmp_path)}, word
    report = audit(tmp_path / "state")
    assert report.differences == [] and report.requested == report.in_messages == {"client": 3, "provider": 1}


def test_equal_values_have_equal_hashes_whether_they_are_kept_or_not(tmp_path: Path) -> None:
    shas = []
    for how in ("full", "hash"):
        record_each(tmp_path / how, Content(results=how, tools={"none": {"arguments": "off"}}), tmp_path / f"{how}.log")
        shas.append([call.result_sha256 for call in calls(tmp_path / how)])
    assert shas[0] == shas[1] and len({*shas[0]}) == 4


# The setting.


def settings_from(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return load(user_file=file, repo_file=None, environ=environ or {}, flags={}, trusted=False)


def test_it_is_read_as_one_writes_it(tmp_path: Path) -> None:
    assert settings_from(tmp_path, "content: {arguments: off, results: hash}").content == {
        "arguments": "off",  # which YAML reads as false
        "results": "hash",
    }
    both = settings_from(tmp_path, "content: {results: hash}", {"EQUITRCODER_CONTENT": "off"})
    assert both.content == {"arguments": "off", "results": "off"}
    shown = {key: value for key, value, _ in show_rows(settings_from(tmp_path, "content: {results: hash}"))}
    assert shown["content"] == "arguments full, results hash"


def test_tools_are_read_joined_and_shown(tmp_path: Path) -> None:
    user, repo = tmp_path / "user.yaml", tmp_path / "repo.yaml"
    user.write_text("content: {arguments: hash, tools: {run_command: {results: off}, f_*: {results: hash}}}")
    repo.write_text("content: {tools: {run_command: {arguments: off}, search: {results: off}}}")
    settings = load(user_file=user, repo_file=repo, environ={}, flags={}, trusted=False)
    assert settings.content == {
        "arguments": "hash",
        "tools": {
            "run_command": {"results": "off", "arguments": "off"},
            "f_*": {"results": "hash"},
            "search": {"results": "off"},
        },
    }
    shown = {key: value for key, value, _ in show_rows(settings)}["content"]
    assert shown.startswith("arguments hash, results full, run_command arguments off, run_command results off, f_*")
    every = load(user_file=user, repo_file=None, environ={"EQUITRCODER_CONTENT": "hash"}, flags={}, trusted=False)
    assert every.content == {"arguments": "hash", "results": "hash"}


@pytest.mark.parametrize(
    "tools", ["{run_command: {results: full}}", "{run_command: {results: hash}}", "{run_com*: {results: hash}}"]
)
def test_a_repository_loosens_no_tool(tmp_path: Path, tools: str) -> None:
    user, repo = tmp_path / "user.yaml", tmp_path / "repo.yaml"
    user.write_text("content: {tools: {run_*: {results: off}}}")
    repo.write_text(f"content: {{tools: {tools}}}")
    settings = load(user_file=user, repo_file=repo, environ={}, flags={}, trusted=False)
    assert settings.content == {"tools": {"run_*": {"results": "off"}}}
    assert "content" in settings.warnings[0]


@pytest.mark.parametrize(
    "text",
    [
        "content: off",
        "content: {arguments: some}",
        "content: {argument: off}",
        "content: {tools: {run_command: off}}",
        "content: {tools: {run_command: {result: off}}}",
        "content: {tools: {'*_command': {results: off}}}",
    ],
)
def test_what_is_none_of_it_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="E110"):
        settings_from(tmp_path, text)


@pytest.mark.parametrize(
    ("own", "repository", "left"),
    [
        ("{}", "{arguments: hash}", {"arguments": "hash"}),
        ("{arguments: hash}", "{arguments: off, results: off}", {"arguments": "off", "results": "off"}),
        ("{arguments: hash}", "{results: hash}", {"arguments": "hash", "results": "hash"}),
        ("{arguments: hash}", "{arguments: full, results: off}", {"arguments": "hash"}),
        ("{results: off}", "{results: hash}", {"results": "off"}),
    ],
)
def test_a_repository_may_only_keep_less(tmp_path: Path, own: str, repository: str, left: dict[str, str]) -> None:
    user_file, repo_file = tmp_path / "user.yaml", tmp_path / "repo.yaml"
    user_file.write_text(f"content: {own}")
    repo_file.write_text(f"content: {repository}")
    settings = load(user_file=user_file, repo_file=repo_file, environ={}, flags={}, trusted=False)
    assert settings.content == left
