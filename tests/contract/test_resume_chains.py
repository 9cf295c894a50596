"""What belongs to the conversation that a run goes on with: tasks before, stopped ones, other models, other wires."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from equitrcoder import AgentRuns, EquitrAPI, SyncEquitrAPI
from equitrcoder.agent.middleware import ModelFunction
from equitrcoder.agent.resuming import go_back
from equitrcoder.agent.session import Session, SessionOptions
from equitrcoder.cli.run_page import run_page
from equitrcoder.errors import ApprovalNeeded, BudgetExceeded, LedgerError, StepLimitReached, UsageError
from equitrcoder.ledger import Ledger, Reader
from equitrcoder.ledger.audit import audit
from equitrcoder.providers.client import ModelRequest, ModelResponse
from equitrcoder.settings import Settings
from equitrcoder.testing import Answer, Call, Fault, ReceivedRequest, ScriptedProvider, by_turn
from equitrcoder.testing.script import Reply, Script, Usage
from tests.ledger_runs import ask, start

READ = Call("read_file", {"file_path": "a.txt"})
BAD = Call("read_file", {"file_path": "none"})
WRITE = Call("run_command", {"command": "echo a >> log"})


@dataclass
class Bench:
    """A repository, a ledger and a provider that all sessions of a test share."""

    folder: Path
    provider: ScriptedProvider
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def repo(self) -> Path:
        return self.folder / "repo"

    @property
    def requests(self) -> list[ReceivedRequest]:
        return list(self.provider.requests)

    def session(self, row: str = "groq", middleware: Sequence[Any] = (), **settings: Any) -> Session:
        given = {"approve": "all", "sandbox": "off", **settings}
        chosen = Settings(**{name: value for name, value in given.items() if value is not None})
        options = SessionOptions(middleware=middleware, on_notice=self.notices.append)
        return Session(self.repo, chosen, self.environ, model=row if "/" in row else f"{row}/m", options=options)

    def __post_init__(self) -> None:
        self.notices: list[str] = []
        self.repo.mkdir()
        (self.repo / "a.txt").write_text("alpha\n")
        origin = self.provider.base_url.removesuffix("/v1")
        self.environ = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.folder),
            "EQUITRCODER_STATE_DIR": str(self.state),
            "GROQ_BASE_URL": f"{origin}/v1",
            "GROQ_API_KEY": "k" * 20,
            "ANTHROPIC_BASE_URL": origin,
            "ANTHROPIC_API_KEY": "k" * 20,
            "GEMINI_BASE_URL": f"{origin}/v1beta",
            "GEMINI_API_KEY": "k" * 20,
        }

    async def resume(
        self, row: str = "groq", words: str | None = None, *, anyway: bool = False, **settings: Any
    ) -> None:
        async with self.session(row, **settings) as session:
            with go_back(self.state, "last", words, anyway=anyway) as before:
                await session.resume(before)
        assert audit(self.state).differences == []

    def journals(self) -> list[Path]:
        return sorted(self.state.glob("journals/*/*/*.jsonl"))


@contextmanager
def bench(folder: Path, script: Script) -> Iterator[Bench]:
    with ScriptedProvider(script) as provider:
        yield Bench(folder, provider)
        assert provider.errors == []


def goes_on_from(before: ReceivedRequest, after: ReceivedRequest) -> None:
    old, new = before.messages, after.messages
    assert json.dumps(new[: len(old)]) == json.dumps(old)


async def test_tasks_before_and_stopped_ones_belong_to_the_conversation(tmp_path: Path) -> None:
    answers: list[Reply] = [
        Answer(text="First done."),
        Answer(calls=[READ, WRITE]),
        Answer(calls=[READ]),
        Answer(text="done"),
    ]
    with bench(tmp_path, answers) as place:
        async with place.session(approve="edits", max_turns=1) as session:
            await session.run("first")
            with pytest.raises(ApprovalNeeded):
                await session.run("second")
            with pytest.raises(StepLimitReached):
                await session.run("third")
        await place.resume()
        goes_on_from(place.requests[2], place.requests[3])
        said = [message["content"] for message in place.requests[3].messages if message["role"] == "user"]
        assert said == ["first", "second", "third"]
        assert [m["content"] for m in place.requests[3].messages if m["role"] == "tool"][:2] == [
            "The run was stopped."
        ] * 2
        assert place.requests[3].tool_results == ["1\talpha"] or "alpha" in place.requests[3].tool_results[0]


async def test_a_call_that_nobody_could_approve_is_told_so(tmp_path: Path) -> None:
    note = Call("write_file", {"file_path": "note", "content": "a"})
    with bench(tmp_path, by_turn([Answer(calls=[note]), Answer(calls=[note]), Answer(text="done")])) as place:
        async with place.session(approve="ask") as session:
            with pytest.raises(ApprovalNeeded):
                await session.run("do it")
        with pytest.raises(ApprovalNeeded):  # what was strict stays strict, unless it is said anew
            await place.resume(approve=None)
        assert "needs approval and there is no terminal. Nothing was done" in place.requests[1].tool_results[0]
        assert not (place.repo / "note").exists()
        await place.resume(approve="all")
        assert place.requests[2].tool_results == place.requests[1].tool_results


def twice(pick: int) -> Callable[[ModelFunction], ModelFunction]:
    """A middleware that asks twice and goes on with one of the answers."""

    def wrap(call_next: ModelFunction) -> ModelFunction:
        async def ask_twice(request: ModelRequest) -> ModelResponse:
            return [await call_next(request), await call_next(request)][pick]

        return ask_twice

    return wrap


@pytest.mark.parametrize("pick", [0, 1])
async def test_of_several_answers_the_one_that_was_taken_goes_back(tmp_path: Path, pick: int) -> None:
    # of the first two one asks for nothing
    calls = [[READ] if place == pick or step == "b" else [] for step in "ab" for place in (0, 1)]
    answers = [Answer(text=text, calls=asked) for text, asked in zip(("a0", "a1", "b0", "b1"), calls, strict=True)]
    with bench(tmp_path, [*answers, Answer(text="done"), Answer(text="done")]) as place:
        async with place.session(middleware=[twice(pick)], max_turns=4) as session:
            with pytest.raises(StepLimitReached):
                await session.run("do it")
        await place.resume()
        goes_on_from(place.requests[3], place.requests[4])
        said = [message["content"] for message in place.requests[4].messages if message["role"] == "assistant"]
        assert said == [f"a{pick}", f"b{pick}"]


async def test_killed_before_a_middleware_had_decided_nothing_of_it_goes_back(tmp_path: Path) -> None:
    answers = [Answer(text="a0", calls=[WRITE]), Answer(text="a1", calls=[WRITE]), Answer(text="done")]
    with bench(tmp_path, answers) as place:
        async with place.session(middleware=[twice(1)], max_turns=2) as session:
            with pytest.raises(StepLimitReached):
                await session.run("do it")
        (place.repo / "log").unlink()
        cut_after(place, '"text":"a1"')
        await place.resume()
        assert json.dumps(place.requests[2].messages) == json.dumps(place.requests[0].messages)
        assert not (place.repo / "log").exists()


def cut_after(place: Bench, words: str) -> None:
    """Leave of the only journal what stands up to these words, as a kill at that moment would have."""
    (journal,) = place.journals()
    kept = journal.read_bytes().splitlines(keepends=True)
    last = max(number for number, line in enumerate(kept) if words.encode() in line)
    journal.write_bytes(b"".join(kept[: last + 1]))
    register = place.state / "runs.jsonl"
    register.write_bytes(register.read_bytes().splitlines(keepends=True)[0])
    (place.state / "index.sqlite").unlink()


async def test_a_model_that_stood_in_goes_on_and_the_task_was_said_once(tmp_path: Path) -> None:
    answers: list[Reply] = [
        Answer(calls=[READ]),
        Fault(status=401, error={"message": "no"}),
        Answer(calls=[READ]),
        Answer(text="done"),
    ]
    with bench(tmp_path, answers) as place:
        async with place.session(fallback_models=("groq/other",), max_turns=1) as session:
            with pytest.raises(StepLimitReached):
                await session.run("do it")
        async with place.session(fallback_models=("groq/other",), max_turns=1) as session:
            with go_back(place.state, "last") as before, pytest.raises(StepLimitReached):
                await session.resume(before)
        with go_back(place.state, "last") as before:
            assert (before.model, before.attempt) == ("groq/other", 3)
        await place.resume()
        goes_on_from(place.requests[2], place.requests[3])
        assert [m["role"] for m in place.requests[3].messages] == ["system", "user", *["assistant", "tool"] * 2]


@pytest.mark.parametrize("other", ["gemini", "groq"])
async def test_another_wire_is_told_the_same(tmp_path: Path, other: str) -> None:
    first = Answer(text="I look.", reasoning="Hm.", calls=[READ, BAD])
    with bench(tmp_path, by_turn([first, Answer(text="done")])) as place:
        async with place.session("anthropic/claude-sonnet-5-5", max_turns=1) as session:
            with pytest.raises(StepLimitReached):
                await session.run("do it")
        await place.resume(other)
        one, two = place.requests[-1].tool_results
        assert "alpha" in one and "none" in two
        assert "Hm." not in json.dumps(place.requests[-1].json)
        assert "I look." in json.dumps(place.requests[-1].json)


@pytest.mark.parametrize("altered", [False, True], ids=["result", "answer"])
async def test_after_something_redacted_no_thinking_bound_to_it_goes_back(tmp_path: Path, altered: bool) -> None:
    secret = "ghp_" + "aB3dE6gH9" * 4
    echo = Call("run_command", {"command": f"echo {secret} > /dev/null"})
    first = Answer(reasoning="One.", calls=[echo if altered else READ])
    answers = [first, Answer(reasoning="Two.", calls=[BAD]), Answer(text="done")]
    with bench(tmp_path, by_turn(answers)) as place:
        (place.repo / "a.txt").write_text(secret)
        async with place.session("anthropic/claude-sonnet-5-5", max_turns=2) as session:
            with pytest.raises(StepLimitReached):
                await session.run("do it")
        await place.resume("anthropic/claude-sonnet-5-5")
        sent = json.dumps(place.requests[-1].json)
        assert (secret in sent, '"One."' in sent, '"Two."' in sent) == (False, not altered, False)
    where = "the answer of step 1" if altered else "the result of call 1"
    assert any(f"goes back so: {where}" in notice for notice in place.notices)


async def test_the_prefix_stays_when_notes_change_and_a_new_one_begins_with_other_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [Answer(reasoning="One.", calls=[READ]), Answer(text="done"), Answer(text="done")]
    with bench(tmp_path, by_turn(answers)) as place:
        (place.repo / "AGENTS.md").write_text("Be brief.")
        async with place.session("anthropic/claude-sonnet-5-5", max_turns=1) as session:
            with pytest.raises(StepLimitReached):
                await session.run("do it")
        (place.repo / "AGENTS.md").write_text("Be long.")
        await place.resume("anthropic/claude-sonnet-5-5")
        first, second = place.requests
        assert first.json["system"] == second.json["system"] and "Be brief." in json.dumps(second.json)
        assert '"One."' in json.dumps(second.json)
        monkeypatch.setattr(Session, "_tools_mark", lambda self: "others")
        await place.resume("anthropic/claude-sonnet-5-5", "more")
        assert '"One."' not in json.dumps(place.requests[2].json)
    assert any("the tools are not those" in notice for notice in place.notices)


async def test_what_was_forbidden_stays_forbidden(tmp_path: Path) -> None:
    push = Call("run_command", {"command": "git push"})
    rules = (("deny", "run_command git push"), ("allow", "run_command *"))
    with bench(tmp_path, by_turn([Answer(calls=[push]), Answer(calls=[push]), Answer(text="done")])) as place:
        async with place.session(rules=rules, max_turns=1) as session:
            with pytest.raises(StepLimitReached):
                await session.run("do it")
        async with place.session() as session:
            with go_back(place.state, "last") as before:
                await session.resume(before)
            assert session.settings.rules == rules[:1]
        assert place.requests[2].tool_results == place.requests[1].tool_results
        assert "denied" in place.requests[2].tool_results[0]


async def test_failing_calls_are_counted_on(tmp_path: Path) -> None:
    with bench(tmp_path, lambda request: Answer(calls=[BAD])) as place:
        async with place.session(max_turns=4) as session:
            with pytest.raises(StepLimitReached, match="as many as it may"):
                await session.run("do it")
        with pytest.raises(StepLimitReached, match="repeated the same failing call"):
            await place.resume()
        assert len(place.requests) == 5


async def test_all_that_was_spent_counts(tmp_path: Path) -> None:
    answer = Answer(calls=[READ], usage=Usage(input_tokens=6000, output_tokens=100))
    prices = {"groq/m": {"input": 100.0, "output": 100.0}}
    with bench(tmp_path, lambda request: answer) as place:
        async with place.session(max_turns=1, budget=5.0, prices=prices) as session:
            with pytest.raises(StepLimitReached):
                await session.run("do it")
        with go_back(place.state, "last") as before:
            assert before.spent == (610_000_000, 6100)
            assert before.flags["budget"] == 5.0
        with pytest.raises(BudgetExceeded, match=r"spent \$0.6100 of \$0.65"):
            await place.resume(budget=0.65, prices=prices)
        with pytest.raises(BudgetExceeded, match="6,100 of 6,500 tokens are used"):
            await place.resume(max_tokens=6500)
        assert len(place.requests) == 1


async def test_damage_and_deleted_runs_are_refused_unless_it_is_said(tmp_path: Path) -> None:
    with bench(tmp_path, by_turn([Answer(calls=[READ]), Answer(text="one"), Answer(text="two")])) as place:
        async with place.session() as session:
            await session.run("do it")
            with pytest.raises(StepLimitReached):
                session.settings = session.settings.replaced(max_turns=0)
                await session.run("and that")
        first = place.journals()[0]
        lines = first.read_bytes().splitlines(keepends=True)
        first.write_bytes(b"".join(b"#" + line if b'"call_finished"' in line else line for line in lines))
        with pytest.raises(
            UsageError, match=r"E123 Run .{4} cannot go on as it was: run .{4}: entry \d+ cannot be read"
        ):
            go_back(place.state, "last")
        first.unlink()
        with pytest.raises(UsageError, match=r"E123.*its journal cannot be read"):
            go_back(place.state, "last")
        with go_back(place.state, "last", anyway=True) as before:
            assert [type(each).__name__ for each in before.conversation.messages] == ["UserMessage"]


def test_runs_of_others_are_refused(tmp_path: Path) -> None:
    with AgentRuns(state_dir=tmp_path) as runs:
        run = runs.create(task="x", provider="openai", model="openai/m", agent_name="a")
        runs.update_completion(run.run_id, "y", 1, [], [], "completed", None)
    with pytest.raises(UsageError, match=r"E125 .* was not made by this agent"):
        go_back(tmp_path, "last")
    with Ledger(tmp_path / "team") as ledger:
        boss = start(ledger, wire="openai-chat")
        worker = start(ledger, wire="openai-chat", parent_run_id=boss.run_id)
        ask(worker, ("read_file", {}))
        worker.finish(status="failed")
        boss.finish(status="failed")
    with pytest.raises(UsageError, match=f"E125 .* is a worker's.*resume {boss.run_id[-4:]}"):
        go_back(tmp_path / "team", worker.run_id)
    with pytest.raises(LedgerError, match="There are no runs yet"):
        go_back(tmp_path / "none", "last")


def api_arguments(place: Bench, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    return {"approve": "all", "sandbox": "off"}


def test_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [Answer(calls=[WRITE]), Answer(text="one"), Answer(text="two")]
    with bench(tmp_path, by_turn(answers)) as place:
        common = api_arguments(place, monkeypatch)
        with SyncEquitrAPI(repo_path=place.repo, model="groq/m", max_turns=1, **common) as api:
            with pytest.raises(StepLimitReached):
                api.chat("do it")
            session = api.session_id
        with SyncEquitrAPI(**common) as api:
            assert api.session_id != session
            result = api.resume("last")
            assert (str(result), result.session_id, api.session_id) == ("one", session, session)
            assert str(api.chat("more")) == "two"
            assert api.get_tool_call_stats()["total_calls"] == 1
            assert [run.previous_run_id for run in api.runs()][1] == api.runs()[2].run_id
            with pytest.raises(UsageError, match="holds another conversation"):
                api.resume("last")
        with SyncEquitrAPI(**common) as api, pytest.raises(UsageError, match="E121"):
            api.resume("last")
        with Reader(place.state) as reader:
            newest, middle, oldest = reader.runs()
            assert f"then      {middle.run_id}" in list(run_page(reader, oldest.run_id))
            assert f"after     {oldest.run_id}" in list(run_page(reader, middle.run_id))
            assert not any(line.startswith(("then", "after", "go on")) for line in run_page(reader, newest.run_id))
        goes_on_from(place.requests[0], place.requests[2])
    assert (place.repo / "log").read_text() == "a\n"


async def test_from_an_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bench(tmp_path, by_turn([Answer(text="one"), Answer(text="two")])) as place:
        common = api_arguments(place, monkeypatch)
        async with EquitrAPI(repo_path=place.repo, model="groq/m", **common) as api:
            first = await api.chat("do it")
        async with EquitrAPI(**common) as api:
            with pytest.raises(UsageError, match="The message is empty"):
                await api.resume("last", " ")
            assert str(await api.resume(first.run_id, "and more")) == "two"
            assert api.session_id == first.session_id


async def test_after_a_check_that_failed_the_model_is_told_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench(tmp_path, by_turn([Answer(text="one"), Answer(text="two")])) as place:
        async with place.session(check="echo not yet; false", network=True) as session:
            monkeypatch.setattr(type(session.sandbox), "level", "bubblewrap")
            result = await session.run("do it", check=session.settings.check)
            assert result.status == "failed"
        with go_back(place.state, "last") as before:
            assert before.flags["check"] == "echo not yet; false"
        monkeypatch.undo()
        await place.resume()
        words = place.requests[1].messages[-1]["content"]
        assert words.startswith("You said that the task is done, but the check failed.") and "not yet" in words
    assert "commands could reach the network then; now only with --network" in place.notices
    assert "sandbox none, not bubblewrap as then: the model keeps what it was told" in place.notices
