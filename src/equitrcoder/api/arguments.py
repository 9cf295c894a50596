"""What both faces take, turned into settings. Making one does no I/O."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from equitrcoder.api.chats import Chats
from equitrcoder.api.opening import Opening
from equitrcoder.api.records import SessionRecords

if TYPE_CHECKING:
    from equitrcoder.agent.events import EventSink
    from equitrcoder.agent.middleware import ModelMiddleware
    from equitrcoder.api.approving import ApproveFunction

DEFAULT_LOG_FILE = "tool_calls.log"


class Face(SessionRecords):
    """What `EquitrAPI` and `SyncEquitrAPI` have in common: their arguments and what they answer from the ledger."""

    def __init__(
        self,
        repo_path: str | os.PathLike[str] = ".",
        model: str | None = None,
        budget: float | None = None,
        multi_agent: bool = False,
        supervisor_model: str | None = None,
        worker_model: str | None = None,
        log_tool_calls: bool = False,
        tool_log_file: str | os.PathLike[str] = DEFAULT_LOG_FILE,
        *,
        approve: Literal["ask", "edits", "all", "deny"] | ApproveFunction | None = None,
        rules: Sequence[Mapping[str, str]] | None = None,
        trust: bool = False,
        api_key: str | None = None,
        base_url: str | None = None,
        allow_unpriced: bool | None = None,
        max_turns: int | None = None,
        max_time_s: float | None = None,
        max_tokens: int | None = None,
        check: str | None = None,
        sandbox: Literal["auto", "required", "off"] | None = None,
        network: bool | None = None,
        stream: bool | None = None,
        reasoning_effort: str | None = None,
        fallback_model: str | Sequence[str] | None = None,
        settings: Mapping[str, Any] | None = None,
        on_event: EventSink | None = None,
        middleware: Sequence[ModelMiddleware] = (),
    ) -> None:
        """Nothing is opened, read or checked yet: that happens on entering, or at the first `chat`.

        What is not given comes from the environment, the repository's `equitrcoder.yaml` if the folder is trusted, and
        the user's settings file, in this order (docs/settings.md).

        Args:
            repo_path: The repository to work in. A missing folder is created, if the folder that it is in exists.
            model: `provider/model`, or a provider alone. None: as the settings say, else the first provider whose key
                is set.
            budget: Most dollars to spend, over all chats; reserved before each request to the model.
            multi_agent: A supervisor that plans, and workers. False leaves it to the settings.
            supervisor_model: Model that plans; None: the main model.
            worker_model: Model that carries out; None: the main model.
            log_tool_calls: Write the tool log. False leaves it to the settings. Statistics need no log.
            tool_log_file: Where to, relative to the current folder; beside it a readable copy with `.txt` added.
            approve: What needs approval: before every write and command (`ask`), commands only (`edits`), nothing
                (`all`), or refuse what would ask (`deny`). Or a function, sync or async, that is asked: it takes an
                `ApprovalRequest` and returns True, False or an `ApprovalAnswer`. None: as the settings say, else `all`
                if a sandbox stands, else `edits`.
            rules: What is allowed, asked about or denied whatever `approve` says, added to those of the settings, such
                as [{"allow": "run_command pytest *"}, {"deny": "run_command git push"}] (docs/approvals.md).
            trust: Trust this folder's own `equitrcoder.yaml`, now and later.
            api_key: Key of the model's provider; comes before its environment variable.
            base_url: Address to use in place of the provider's.
            allow_unpriced: Let a budget stand beside a model without a known price.
            max_turns: Most model answers in one chat.
            max_time_s: Most seconds for one chat.
            max_tokens: Most tokens, input and output together, over all chats.
            check: Command that must pass when the model says it is done; else the result's status is `failed`.
            sandbox: Walls around commands: the strongest there are (`auto`), `required` or `off`.
            network: Whether commands in the sandbox may reach the network.
            stream: Whether answers are read while they are written.
            reasoning_effort: How much the model should think, in the provider's own word.
            fallback_model: `provider/model` to go on with when the first cannot be used; several are taken in order.
            settings: Any other setting by its key (docs/settings.md), such as {"command_timeout_s": 600}.
            on_event: Called with each event of a run as it happens, in the event loop's thread (docs/events.md). What
                it raises is logged and changes nothing.
            middleware: Functions that wrap the model call, the first one outermost (docs/middleware.md).
        """
        flags = {
            **(settings or {}),
            **_given(
                ai_model=model,
                ai_provider=_provider_of(model) if api_key or base_url else None,
                ai_api_key=api_key,
                ai_base_url=base_url,
                budget=budget,
                use_multi_agent=multi_agent or None,
                supervisor_model=supervisor_model,
                worker_model=worker_model,
                log_tool_calls=log_tool_calls or None,
                tool_log_file=None if tool_log_file == DEFAULT_LOG_FILE else os.fspath(tool_log_file),
                approve=approve if isinstance(approve, str) else None if approve is None else "ask",
                rules=_joined(settings, rules),
                allow_unpriced=allow_unpriced,
                max_turns=max_turns,
                max_time_s=max_time_s,
                max_tokens=max_tokens,
                check=check,
                sandbox=sandbox,
                network=network,
                stream=stream,
                reasoning_effort=reasoning_effort,
                fallback_models=(fallback_model,) if isinstance(fallback_model, str) else fallback_model,
            ),
        }
        opening = Opening(
            repo_path,
            flags,
            approve=None if isinstance(approve, str) else approve,
            trust=trust,
            on_event=on_event,
            middleware=middleware,
        )
        super().__init__(opening.session_id, opening.state_dir)
        self._chats = Chats(opening)


def _given(**arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


def _joined(settings: Mapping[str, Any] | None, rules: Sequence[Mapping[str, str]] | None) -> list[Any] | None:
    """Rules of both arguments: one does not take the other's away."""
    return None if rules is None else [*((settings or {}).get("rules") or ()), *rules]


def _provider_of(model: str | None) -> str | None:
    """The provider that a model's name starts with: whose key and address the caller gave."""
    return model.partition("/")[0].strip() or None if model else None
