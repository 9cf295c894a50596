"""`AgentRuns`: the runs as the second guide's repository has them, over the ledger.

Source: provider-aware tool call tracking, "Database Integration".
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from equitrcoder.errors import LedgerError
from equitrcoder.records import JSON, AgentRole, Capture, Run, RunStatus

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from equitrcoder.ledger.ledger import Ledger
    from equitrcoder.ledger.reader import Reader
    from equitrcoder.ledger.recorder import RunRecorder

Runs: TypeAlias = list[Run]


class AgentRuns:
    """Runs: those that the agent made, and those of other agents that you report.

    Keep one for the life of a program, as you would a database connection, and close it. Thread-safe. Whatever changes
    a run is appended to its journal first; the database follows. Known secrets of the environment are taken out.

    Args:
        state_dir: Where the ledger is; None: this user's (`EQUITRCODER_STATE_DIR`, or ~/.local/state/equitrcoder).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, AgentRuns(Path(folder)) as runs:
        ...     run = runs.create(task="list the files", provider="openai", model="openai/gpt-6.1-sol")
        ...     calls = [{"tool_name": "f_list_directory", "input": {"path": "."}, "step": 1, "output": "a.py"}]
        ...     done = runs.update_completion(run.run_id, "There is a.py.", 2, calls, [], "completed")
        ...     done.status, done.calls, runs.get(run.run_id)["tool_calls"][0]["output"]
        ('completed', 1, 'a.py')
    """

    def __init__(self, state_dir: Path | None = None) -> None:
        if state_dir is None:
            from equitrcoder.settings import state_dir as users_state_dir

            state_dir = users_state_dir(os.environ)
        self.state_dir = state_dir
        self._ledger: Ledger | None = None
        self._reader: Reader | None = None
        self._open: dict[str, RunRecorder] = {}

    def create(
        self,
        *,
        task: str,
        provider: str = "",
        model: str = "",
        agent_name: str = "single",
        agent_role: AgentRole = "single",
        repo_path: str = "",
        session_id: str | None = None,
        parent_run_id: str | None = None,
        previous_run_id: str | None = None,
        capture: Capture = "middleware",
    ) -> Run:
        """Begin a run. It is `running` until `update_completion`; if this program ends before, `interrupted`.

        Args:
            task: What it is to do, in words.
            model: `provider/model`, as asked for.
            session_id: Runs that share a history share it; None: a new one.
            parent_run_id: The supervisor's run, for a worker.
            previous_run_id: The attempt before this one.
            capture: How the calls were noticed: by a middleware around the model call, or by the provider's own answer.

        Raises:
            LedgerError: The ledger cannot be written.
        """
        recorder = self._writing().start_run(
            provider=provider,
            model_requested=model,
            repo_path=repo_path,
            task=task,
            capture=capture,
            session_id=session_id,
            parent_run_id=parent_run_id,
            previous_run_id=previous_run_id,
            agent_role=agent_role,
            agent_name=agent_name,
        )
        self._open[recorder.run_id] = recorder
        return self._reading().run(recorder.run_id)

    def get(self, run_id: str) -> dict[str, JSON]:
        """One run with its `tool_calls`, `execution_steps` and `token_usage` (design/record.md, "Run").

        Args:
            run_id: Its id, a tail of it that no other has, or "last".

        Raises:
            LedgerError: There is none, or more than one.
        """
        return self._reading().run_view(run_id)

    def list(
        self,
        *,
        limit: int | None = 50,
        offset: int = 0,
        before: str | None = None,
        status: RunStatus | None = None,
        provider: str | None = None,
        model: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        repo: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Runs:
        """Runs, the newest first, a page at a time.

        Args:
            limit: At most so many; None: all.
            offset: So many of the newest are left out.
            before: Only runs older than this one (whole id): the next page, whatever was added meanwhile.
            model: As requested or as answered.
            agent: Name or role of the agent.
            repo: Path of the repository.
            since, until: Started at or after, and before, these moments (aware).
        """
        return self._reading().runs(
            limit=limit,
            offset=offset,
            before=before,
            status=status,
            provider=provider,
            model=model,
            agent=agent,
            session=session,
            repo=repo,
            since=since,
            until=until,
        )

    def update_completion(
        self,
        run_id: str,
        response: str | None,
        steps_taken: int,
        tool_calls: Iterable[Mapping[str, JSON]] | None,
        execution_steps: Iterable[Mapping[str, JSON]] | None,
        status: RunStatus = "completed",
        completed_at: datetime | None = None,
        *,
        token_usage: Mapping[str, int] | None = None,
        error: str | None = None,
    ) -> Run:
        """End a run that `create` began. Its calls are recorded as calls, its answers as turns.

        Args:
            response: The last words.
            steps_taken: Model answers.
            tool_calls: {tool_name, input} each, in order; further keys: `output`; `status` (an outcome; without one
                `failed` if there is an `error`, `success` if there is an `output`, else `unknown`); `error`;
                `duration_ms`; `model_step` (the answer that asked for it, from 1; without it the place in
                `execution_steps` decides); `provider_call_id`.
            execution_steps: {type, content, …} each, in order; `step` and the other keys of a step are added where they
                are missing.
            status: How it ended.
            completed_at: When (aware); None: now.
            token_usage: {input_tokens, output_tokens, …}; None: the sum of `tokens` of the `model` steps.
            error: What went wrong, in words.

        Returns:
            The run as it stands in the database.

        Raises:
            UsageError: What was given makes no sense; nothing was written.
            LedgerError: There is no such run, it has ended, or it was begun elsewhere; nothing was written.
        """
        from equitrcoder.ledger.reported import Completion

        completion = Completion(
            response=response,
            steps_taken=steps_taken,
            tool_calls=tool_calls,
            execution_steps=execution_steps,
            status=status,
            completed_at=completed_at,
            token_usage=token_usage,
            error=error,
        )
        recorder = self._open.pop(run_id, None)
        if recorder is None:
            raise self._not_ours(run_id)
        completion.write(recorder)
        return self._reading().run(run_id)

    def _not_ours(self, run_id: str) -> LedgerError:
        run = self._reading().run(run_id)
        if run.status == "running":
            return LedgerError(
                f"Run {run.run_id} was begun elsewhere, and only who began it can end it.",
                hint="keep one AgentRuns for create and update_completion",
                code="E605",
            )
        return LedgerError(
            f"Run {run.run_id} has ended ({run.status}); what stands in the ledger is not changed.",
            hint=f'create(previous_run_id="{run.run_id}", …) for another attempt',
            code="E605",
        )

    def _writing(self) -> Ledger:
        if self._ledger is None:
            from equitrcoder.ledger.ledger import Ledger
            from equitrcoder.ledger.redaction import Redactor, named_secrets

            self._ledger = Ledger(self.state_dir, redactor=Redactor(named_secrets(os.environ)))
        return self._ledger

    def _reading(self) -> Reader:
        if self._reader is None:
            from equitrcoder.ledger.reader import Reader

            self._reader = Reader(self.state_dir)
        return self._reader

    def close(self) -> None:
        """Close the database. Runs that were begun here and not completed end as `interrupted`."""
        self._open.clear()
        ledger, self._ledger = self._ledger, None
        reader, self._reader = self._reader, None
        if ledger is not None:
            ledger.close()
        if reader is not None:
            reader.close()

    def __enter__(self) -> AgentRuns:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
