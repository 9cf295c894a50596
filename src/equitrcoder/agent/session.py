"""A session: one repository, one model and one conversation, over any number of runs.

It puts the parts of a run together, from the settings; everything it opens, it closes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from equitrcoder import policy
from equitrcoder.errors import EquitrError, ProviderError, UsageError
from equitrcoder.pricing import find_price
from equitrcoder.providers.choice import ModelChoice, choose_model
from equitrcoder.providers.client import ModelClient
from equitrcoder.records import new_ulid
from equitrcoder.settings import Settings
from equitrcoder.wires.values import Conversation, ToolResults

from .accounting import Accounts
from .approvals import Approvals, Approver
from .beginning import Beginning, settings_of_run, tools_mark
from .budget import Budget
from .calls import CallRunner
from .conversation import mend, size_bytes
from .events import EventSink, RunEvents
from .fallbacks import choose_models, next_model
from .loop import AgentRun, RunLimits, RunParts
from .middleware import ModelMiddleware
from .notices import about_model, what_was_decided
from .prompts import system_prompt
from .result import RunResult
from .surroundings import Surroundings

if TYPE_CHECKING:
    from equitrcoder.ledger.recorder import RunRecorder
    from equitrcoder.mcp.tools import AcceptTools
    from equitrcoder.pricing import Price
    from equitrcoder.rules.judging import Rules

    from .resuming import Before


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """What a face (command line, API) decides for a session beside the settings."""

    interactive: bool = False
    """Whether there is a person at a terminal: the approval mode defaults to `ask`."""
    sink: EventSink | None = None
    approver: Approver | None = None
    accept_tools: AcceptTools | None = None
    """Asks about tools of MCP servers that are not what was accepted; None: those are left out."""
    on_notice: Callable[[str], None] | None = None
    """Told one line at a time what a person should know: an alias, a default that was taken, trouble of the ledger."""
    middleware: Sequence[ModelMiddleware] = ()
    session_id: str | None = None
    """None: one of its own."""


class Session:
    """Runs tasks in one repository, keeping the conversation.

    Example:
        >>> async def fix(settings, environ):
        ...     async with Session(Path("."), settings, environ) as session:
        ...         print(await session.run("make the failing test pass"))
    """

    def __init__(
        self,
        repo: Path,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        model: str | None = None,
        options: SessionOptions | None = None,
    ) -> None:
        if not repo.is_dir():
            raise UsageError(f"{repo} is not a folder.", hint="name the repository with --repo DIR")
        self._options = options or SessionOptions()
        self.settings = settings
        self._environ = environ
        self.repo = repo.resolve()
        self.session_id = self._options.session_id or new_ulid()
        if settings.use_multi_agent:
            from .roles import refuse_multi_agent

            refuse_multi_agent(settings, environ, model)
        choice, self._fallbacks, self._replaced = choose_models(settings, environ, model)
        self._take_model(choice)
        self.budget = Budget(
            dollars=settings.budget, tokens=settings.max_tokens, allow_unpriced=settings.allow_unpriced
        )
        self.budget.check_priced(self.price, self.choice.model_requested)
        for fallback in self._fallbacks:
            self.budget.check_priced(self._price_of(fallback), fallback.model_requested)
        self._around = Surroundings(self.repo, settings, environ, on_notice=self._options.on_notice)
        self._options = replace(self._options, on_notice=self._around.on_notice)
        self.redactor, self.ledger, self.sandbox = self._around.redactor, self._around.ledger, self._around.sandbox
        self.approve: policy.Mode = settings.approve or policy.default_mode(
            self._options.interactive, self.sandbox.level
        )
        self._first_approve = self.approve
        self._conversation = Conversation(system=self._system_prompt())
        self._say(what_was_decided(settings, self.sandbox.level, interactive=self._options.interactive))
        self._say([self._replaced] if self._replaced else [])
        self._say(about_model(self.settings, self.choice))

    def _system_prompt(self) -> str:
        return system_prompt(
            self.repo,
            sandbox=self.sandbox.level,
            network=self.settings.network or self.settings.network_hosts,
            approvals=self._first_approve,
            tools=self.choice.provider.takes_tools,
        )

    def _take_model(self, choice: ModelChoice) -> None:
        self.choice = choice
        self.price: Price | None = self._price_of(choice)
        self._client = ModelClient(
            choice,
            idle_timeout_s=self.settings.idle_timeout_s,
            deadline_s=self.settings.request_timeout_s,
            max_attempts=self.settings.max_attempts,
        )

    def _price_of(self, choice: ModelChoice) -> Price | None:
        return find_price(choice.provider.name, choice.model, self.settings.prices, free=choice.provider.free)

    def _say(self, notices: Iterable[str]) -> None:
        if self._options.on_notice is not None:
            for notice in notices:
                self._options.on_notice(notice)

    async def run(self, task: str, *, check: str | None = None) -> RunResult:
        """Work on one task.

        Args:
            task: What to do.
            check: A command that must pass in the end.

        Raises:
            RunStopped, ProviderError, LedgerError: See `AgentRun.execute`.
        """
        if not task.strip():
            raise UsageError("The task is empty.", hint='say what to do: equitrcoder run "make the failing test pass"')
        await self._add_mcp_tools()
        told = mend(self._conversation)
        try:
            return await self._run(Beginning(task=task, words=task, told=told), check)
        except EquitrError as error:
            self.redactor.clean(error)
            raise

    async def resume(self, before: Before, *, check: str | None = None) -> RunResult:
        """Go on where a run ended, as the first thing in this session, which takes over that run's.

        Nobody else can go on with it while `before` is held; it is released when the new run stands in the ledger.

        Raises:
            RunStopped, ProviderError, LedgerError: See `AgentRun.execute`.
        """
        await self._add_mcp_tools()
        self._take_over(before)
        beginning = Beginning(
            task=before.task,
            words=before.words,
            told=before.told,
            previous_run_id=before.run_id,
            attempt=before.attempt + 1,
            guard=before.guard,
            begun=before.release,
        )
        try:
            return await self._run(beginning, check)
        except EquitrError as error:
            self.redactor.clean(error)
            raise

    async def _add_mcp_tools(self) -> None:
        if self.settings.mcp_servers and self.choice.provider.takes_tools:
            await self._around.add_mcp_tools(self._options.accept_tools)

    def _take_over(self, before: Before) -> None:
        """Make the conversation before this session's; what it cost counts against the budget."""
        choice = self.choice
        if before.settings.get("tools", True) != choice.provider.takes_tools or before.repo.resolve() != self.repo:
            before.new_system(self._system_prompt())
        else:
            now = self._system_prompt()
            before.keep_system(now, self.redactor.text(now)[0])
            before.compare_tools(self._tools_mark())
        self.session_id = before.session_id
        self._conversation = before.conversation
        dollars, tokens = before.spent
        self.budget.spent_nanousd += dollars
        self.budget.spent_tokens += tokens
        if not self.settings.origins["approve"].startswith(("flag", "argument")):
            self.approve = before.approvals(self.approve)
        stricter = [rule for rule in before.strict_rules if rule not in self.settings.rules]
        if stricter:
            self.settings = self.settings.replaced(rules=(*self.settings.rules, *stricter))
        if before.settings.get("network") and not self.settings.network:
            before.notices.append("commands could reach the network then; now only with --network")
        if before.settings.get("sandbox", self.sandbox.level) != self.sandbox.level:
            then = before.settings["sandbox"]
            before.notices.append(f"sandbox {self.sandbox.level}, not {then} as then: the model keeps what it was told")
        self._say(before.notices)

    async def _run(self, beginning: Beginning, check: str | None) -> RunResult:
        attempt, replaced = beginning.attempt, None
        recorder = self._begin(beginning)
        while True:
            try:
                return await self._execute(recorder, beginning, check, goes_on=replaced is not None)
            except ProviderError as error:
                replaced = self.choice.model_requested
                if not await self._fall_back(error):
                    raise
            attempt += 1
            recorder = self._start(
                beginning.task, previous_run_id=recorder.run_id, attempt=attempt, fallback_for=replaced
            )

    def _begin(self, beginning: Beginning) -> RunRecorder:
        recorder = self._start(
            beginning.task,
            previous_run_id=beginning.previous_run_id,
            attempt=beginning.attempt,
            goes_on=beginning.words is None,
        )
        if beginning.told:
            recorder.results_told([{"text": each.text, "is_error": each.is_error} for each in beginning.told])
        if beginning.begun is not None:
            beginning.begun()
        return recorder

    async def change_model(self, model: str) -> None:
        """Ask another model from the next turn on; the conversation stays, rebuilt from its plain side where needed.

        Args:
            model: As in `choose_model`.

        Raises:
            ConfigError: No such model, no key for it, or no price although there is a dollar budget. Nothing changed.
        """
        choice = choose_model(self.settings, self._environ, model)
        self.budget.check_priced(self._price_of(choice), choice.model_requested)
        await self._client.aclose()
        self._exchange_model(choice)

    def _exchange_model(self, choice: ModelChoice) -> None:
        """Take another model; where one has tools and the other has none, a new prefix begins."""
        had_tools = self.choice.provider.takes_tools
        self._take_model(choice)
        if choice.provider.takes_tools != had_tools:
            self._conversation.system = self._system_prompt()
        self._say(about_model(self.settings, self.choice))

    def change_budget(self, dollars: float | None) -> None:
        """Set the most that the session may cost, what is spent already included; None: no limit.

        Raises:
            UnpricedModelError: The model has no known price. Nothing changed.
        """
        budget = Budget(dollars=dollars, tokens=self.budget.limit_tokens, allow_unpriced=self.budget.allow_unpriced)
        budget.check_priced(self.price, self.choice.model_requested)
        budget.spent_nanousd, budget.spent_tokens = self.budget.spent_nanousd, self.budget.spent_tokens
        self.budget = budget
        self.settings = self.settings.replaced(budget=dollars)

    def change_approvals(self, mode: policy.Mode) -> None:
        """Decide calls by another mode from the next turn on.

        The system prompt keeps what it said: it is part of a prefix that never changes.
        """
        self.approve = mode

    @property
    def last_output(self) -> tuple[str, str] | None:
        """Name of the tool and text of the last result, secrets taken out; None before the first one."""
        for message in reversed(self._conversation.messages):
            if isinstance(message, ToolResults) and message.results:
                last = message.results[-1]
                return last.name, self.redactor.text(last.text)[0]
        return None

    async def _fall_back(self, error: ProviderError) -> bool:
        """Take the next fallback model that can go on from here, if there is one."""
        choice = next_model(self._fallbacks, self.choice, error, self._conversation.messages)
        if choice is None:
            return False
        self._say([f"{error} Going on with {choice.model_requested}."])
        self._fallbacks.remove(choice)
        await self._client.aclose()
        self._exchange_model(choice)
        return True

    async def _execute(
        self, recorder: RunRecorder, beginning: Beginning, check: str | None, *, goes_on: bool
    ) -> RunResult:
        result = RunResult(run_id=recorder.run_id, session_id=self.session_id)
        events = RunEvents(
            self._options.sink,
            run=recorder.run_id,
            agent="single",
            provider=self.choice.provider.name,
            redactor=self.redactor,
        )
        self._announce(events, beginning.task, recorder.previous_run_id)
        parts = self._parts(recorder, result, events, check, goes_on=goes_on or beginning.words is None)
        if beginning.guard is not None:
            parts.runner.guard = beginning.guard
        return await AgentRun(parts).execute(beginning.words or beginning.task)

    def _start(
        self,
        task: str,
        *,
        previous_run_id: str | None = None,
        attempt: int = 1,
        fallback_for: str | None = None,
        goes_on: bool = False,
    ) -> RunRecorder:
        choice = self.choice
        return self.ledger.start_run(
            provider=choice.provider.name,
            model_requested=choice.model_requested,
            repo_path=str(self.repo),
            task=task,
            capture=choice.provider.capture,
            session_id=self.session_id,
            previous_run_id=previous_run_id,
            attempt=attempt,
            system=self._conversation.system,
            wire=choice.provider.wire,
            settings=settings_of_run(
                self.settings,
                choice,
                approve=self.approve,
                sandbox=self.sandbox.level,
                tools=self._tools_mark(),
                fallback_for=fallback_for,
                goes_on=goes_on,
            ),
        )

    def _tools_mark(self) -> str:
        return tools_mark(self.choice.provider.offered(self._around.toolbox.specs))

    def _announce(self, events: RunEvents, task: str, previous_run_id: str | None) -> None:
        events.emit(
            "run.started",
            session=self.session_id,
            previous_run=previous_run_id,
            task=task,
            repo=str(self.repo),
            model=self.choice.model,
            model_requested=self.choice.model_requested,
            alias_of=self.choice.alias_of,
            sandbox=self.sandbox.level,
            approve=self.approve,
            budget=self.settings.budget,
            tools=self.choice.provider.takes_tools,
        )

    def _rules(self) -> Rules | None:
        if not self.settings.rules:
            return None
        from equitrcoder.rules.judging import Rules

        return Rules(self.settings.rules, str(self.repo))

    def _parts(
        self, recorder: RunRecorder, result: RunResult, events: RunEvents, check: str | None, *, goes_on: bool
    ) -> RunParts:
        toolbox = self._around.toolbox
        approvals = Approvals(
            self.approve, self._options.approver, preview=toolbox.preview, events=events, rules=self._rules()
        )
        return RunParts(
            choice=self.choice,
            client=self._client,
            conversation=self._conversation,
            toolbox=toolbox,
            sandbox=self.sandbox,
            recorder=recorder,
            accounts=Accounts(
                recorder=recorder,
                events=events,
                result=result,
                budget=self.budget,
                price=self.price,
                tool_kinds={spec.name: toolbox.kind(spec.name) for spec in toolbox.specs},
                prompt_bytes=size_bytes(self._conversation, self.choice.provider.offered(toolbox.specs))
                if self.budget.limited
                else 0,
            ),
            runner=CallRunner(toolbox=toolbox, recorder=recorder, approvals=approvals, events=events, result=result),
            events=events,
            result=result,
            limits=RunLimits(
                max_turns=self.settings.max_turns,
                max_time_s=self.settings.max_time_s,
                output_limit_tokens=self.settings.output_limit_tokens,
            ),
            stream=self.settings.stream,
            reasoning_effort=self.settings.reasoning_effort,
            check=check,
            goes_on=goes_on,
            middleware=self._options.middleware,
        )

    async def aclose(self) -> None:
        """End what the session opened; the ledger's index has everything when this returns."""
        await self._client.aclose()
        await self._around.aclose()

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()
